"""Evaluation of policies and reward models: rates with intervals, bounds and baselines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_ADDITIVE
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import VOTE_FOR_A
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import Plan
from rlhf_lib.learning.planning.song_tensors import SongTensors
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy, every_target, rollout
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.candidate_files import CandidateEdit
from rlhf_lib.steps.candidates import comparison_tasks

#: Utility differences up to this count as even.
EVEN = 1e-6


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        In 0 … 1; with a single song the interval is 0 … 1, never NaN.
    n, n_songs : int
        Comparisons, songs.
    """

    value: float
    low: float
    high: float
    n: int
    n_songs: int

    def __str__(self):
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def clustered_rate(
    wins: Sequence[float], songs: Sequence[str], seed: int = 0, draws: int = 2000
) -> Rate:
    """Return the mean of `wins` with a percentile bootstrap interval clustered by song.

    Comparisons of one song are not independent, so songs are drawn with replacement, not
    comparisons (Davison & Hinkley, 1997, ch. 3.8).

    Parameters
    ----------
    wins : (n,) floats
        1 won, ½ even, 0 lost.
    songs : (n,) strings

    Raises
    ------
    InputError
        When there is nothing to average.
    """
    wins = np.asarray(wins, dtype=np.float64)
    if len(wins) == 0:
        raise InputError("no comparisons to compute a rate from")
    names, index = np.unique(songs, return_inverse=True)
    value = float(wins.mean())
    if len(names) == 1:
        return Rate(value, 0.0, 1.0, len(wins), 1)
    sums, counts = np.bincount(index, wins), np.bincount(index)
    low, high = _interval(sums, counts, seed, draws)
    return Rate(value, low, high, len(wins), len(names))


def _interval(
    sums: np.ndarray, counts: np.ndarray, seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """Return the bootstrap interval of a mean, from each song's sum and number of values."""
    chosen = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[chosen].sum(1) / counts[chosen].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def policy_edits(
    policy: Policy, songs: list[Song], greedy: bool, seed: int = 0, samples: int = 1
) -> list[Edit]:
    """Return the policy's edits of every song at the four keep ratios below 1.

    Parameters
    ----------
    greedy : bool
        Take the most probable actions; otherwise sample.
    samples : int
        Edits per song and length; ordered sample by sample.
    """
    return _walked(policy, every_target(policy, songs), greedy, seed, samples)


def _walked(
    policy: Policy, env: EditingEnv, greedy: bool, seed: int, samples: int = 1
) -> list[Edit]:
    """Return the same as `policy_edits`, in an environment that is already planned."""
    generator = torch.Generator(device=policy.weights.device).manual_seed(seed)
    return [e for _ in range(samples) for e in rollout(policy, env, greedy, generator)]


def planned_edits(weights: np.ndarray, policy: Policy, songs: list[Song]) -> list[Edit]:
    """Return the exact optimum under additive `weights` for the same songs and lengths."""
    tensors = SongTensors.build(songs, policy.feature_scale, policy.weights.device)
    song = torch.arange(len(songs), device=tensors.device).repeat_interleave(len(CUTTING_TARGETS))
    target = torch.tensor(CUTTING_TARGETS * len(songs), dtype=torch.float64, device=tensors.device)
    return Plan.build(tensors, weights).best_edits(song, target)


def wins(new: Sequence[float], old: Sequence[float]) -> np.ndarray:
    """Return 1 where new is better, 0 where old is, ½ where they are even."""
    gap = np.asarray(new) - np.asarray(old)
    return np.where(np.abs(gap) <= EVEN, 0.5, (gap > 0).astype(float))


def compare_policies(
    new: Policy,
    old: Policy,
    songs: list[Song],
    judge: SimulatedRater,
    reward: RewardModel | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a new policy with an old one by the taste of a simulated rater.

    Both edit the same songs to the same lengths. The win rate is by the noise-free taste,
    `votes` by its noisy answers. The table also has the exact re-plan under the taste's additive
    part (the bound for additive tastes) and, with a reward model, the best of 16 sampled old
    edits.

    Returns
    -------
    DataFrame
        One row per line of the report: line, mode, win_rate, low, high, votes, gain (mean
        utility less that of the old policy), n, n_songs.
    """
    utility = judge.utility
    before = every_target(old, songs)
    base = {g: _walked(old, before, g, seed) for g in (True, False)}
    base_gold = {g: np.array([utility(e) for e in base[g]]) for g in base}
    ids = [e.song.sha256 for e in base[True]]
    rows = []

    def add(line: str, greedy: bool, edits: list[Edit]) -> None:
        gold = np.array([utility(e) for e in edits])
        rate = clustered_rate(wins(gold, base_gold[greedy]), ids, seed)
        votes = [_vote(judge, a, b) for a, b in zip(edits, base[greedy], strict=True)]
        rows.append(
            {
                "line": line,
                "mode": "greedy" if greedy else "sampled",
                "win_rate": rate.value,
                "low": rate.low,
                "high": rate.high,
                "votes": float(np.mean(votes)),
                "gain": float((gold - base_gold[greedy]).mean()),
                "n": rate.n,
                "n_songs": rate.n_songs,
            }
        )

    planner, searched = part_of(new, "planner"), every_target(new, songs)
    plain = every_target(planner, songs)
    lines = {"new policy": (new, searched), "new, planner alone": (planner, plain)}
    for part in ("planner and search", "network"):  # same plans as the new policy
        lines[f"new, {part} alone"] = part_of(new, part), searched
    for greedy in (True, False):
        for line, (policy, env) in lines.items():
            add(line, greedy, _walked(policy, env, greedy, seed + 1))
    taste = judge.descriptor_weights[:N_ADDITIVE]
    if np.any(taste):
        add("re-plan under the taste", True, planned_edits(taste, new, songs))
    if reward is not None:
        add("best of 16 old edits", False, best_of(reward, old, before, 16, seed + 2))
    return pd.DataFrame(rows)


def part_of(policy: Policy, part: str) -> Policy:
    """Return a policy that uses only one part of `policy`.

    Parameters
    ----------
    part : "planner", "planner and search" or "network"
        Planner: the plan under the additive part of its reward. Planner and search: the best of
        its plans. Network: the network without the plan.
    """
    config = replace(
        policy.config,
        planner=part != "network",
        network=part == "network",
        search=1 if part == "planner" else policy.config.search,
    )
    alone = Policy(config, policy.weights.cpu().numpy(), policy.feature_scale)
    alone.load_state_dict(policy.state_dict())
    return alone.to(policy.weights.device).eval()


def best_of(reward: RewardModel, policy: Policy, env: EditingEnv, n: int, seed: int) -> list[Edit]:
    """Return, for each song and length, the sampled edit with the highest score."""
    edits = _walked(policy, env, False, seed, n)
    scores = reward.score(edits).mean(1).reshape(n, -1)
    each = scores.shape[1]
    return [edits[best * each + place] for place, best in enumerate(scores.argmax(0))]


def accuracy(
    score: Callable[[list[Edit]], np.ndarray], comparisons: Sequence[Comparison], seed: int = 0
) -> Rate:
    """Return the share of decided pairs that `score` ranks as the rater did, clustered by song.

    A pair that gets equal scores counts half.
    """
    decided = [c for c in comparisons if c.preference != 0.5]
    if not decided:
        raise InputError("every comparison is a tie, so there is no accuracy; collect more")
    scores = score([edit for c in decided for edit in c.edits])  # a, b, a, b, …
    right = wins(scores[0::2], scores[1::2])
    answers = np.array([c.preference for c in decided])
    return clustered_rate(
        np.where(answers == 1, right, 1 - right), [c.a.song.sha256 for c in decided], seed
    )


def accuracy_table(model: RewardModel, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return the accuracy of the model, of its two parts alone and of three baselines.

    Two baselines read only the length: "longer is better" prefers the longer edit, "cooler
    temperature" the one with the higher target keep ratio. "always a" reads nothing: it is the
    share of decided pairs in which edit a was preferred.

    Returns
    -------
    DataFrame
        scorer, accuracy, low, high (95 % interval, clustered by song), pairs (decided ones).
    """
    scores = {
        "reward model": lambda edits: model.score(edits).mean(1),
        "linear head alone": lambda edits: model.score_parts(edits)[0].mean(1),
        "transformer alone": lambda edits: model.score_parts(edits)[1].mean(1),
        "baseline: longer is better": lambda edits: np.array([e.duration for e in edits]),
        "baseline: cooler temperature": lambda edits: np.array([e.target for e in edits]),
        "baseline: always a": lambda edits: np.resize([1.0, 0.0], len(edits)),
    }
    rates = {name: accuracy(score, comparisons) for name, score in scores.items()}
    return pd.DataFrame(
        [
            {"scorer": name, "accuracy": r.value, "low": r.low, "high": r.high, "pairs": r.n}
            for name, r in rates.items()
        ]
    )


def judged_comparisons(
    edits_of_songs: Sequence[Sequence[CandidateEdit]], judge: SimulatedRater
) -> list[Comparison]:
    """Return the `comparison_tasks` of candidates, answered by the noise-free taste."""
    out = []
    for edits in edits_of_songs:
        by_id = {one.id: one.edit for one in edits}
        for task in comparison_tasks("song", list(edits)):
            a, b = by_id[task.edit_a_id], by_id[task.edit_b_id]
            out.append(Comparison(a, b, float(wins([judge.utility(a)], [judge.utility(b)])[0])))
    return out


def gold_course(
    snapshots: Sequence[tuple[int, Policy]],
    songs: list[Song],
    judge: SimulatedRater,
    reward: RewardModel,
) -> pd.DataFrame:
    """Return learned and true reward over training, relative to the first snapshot.

    Where the learned reward rises and the true one falls, the policy exploits the model
    (Gao et al., 2023).

    Returns
    -------
    DataFrame
        episode, learned (renormalised score), gold (utility), both as differences from the
        first snapshot, means over four sampled edits of every song and length; low and high, the
        95 % interval of gold, bootstrapped over songs.
    """
    rows, env, planned = [], None, None
    for episode, policy in snapshots:
        if env is None or not torch.equal(policy.weights, planned):
            env, planned = every_target(policy, songs), policy.weights
        edits = _walked(policy, env, False, seed=0, samples=4)
        gold = np.array([judge.utility(edit) for edit in edits])
        by_song = gold.reshape(4, len(songs), -1).mean(axis=(0, 2))
        rows.append((episode, reward.score(edits).mean(), by_song))
    gain = np.stack([by_song for _, _, by_song in rows]) - rows[0][2]
    low, high = np.transpose([_interval(row, np.ones(len(songs))) for row in gain])
    table = pd.DataFrame(
        {"episode": [row[0] for row in rows], "learned": [row[1] - rows[0][1] for row in rows]}
    )
    return table.assign(gold=gain.mean(axis=1), low=low, high=high)


def lengths_by_temperature(edits: Sequence[CandidateEdit]) -> pd.DataFrame:
    """Return target and achieved keep ratio and duration in s of each edit."""
    return pd.DataFrame(
        [
            {
                "song": one.edit.song.song_id,
                "temperature": one.temperature,
                "target": one.edit.target,
                "keep_ratio": one.edit.keep_ratio,
                "duration": one.edit.duration,
            }
            for one in edits
        ]
    )


def _vote(judge: SimulatedRater, a: Edit, b: Edit) -> float:
    if np.array_equal(a.actions, b.actions):
        return 0.5
    return VOTE_FOR_A[judge.compare(a.song, a, b).preference]
