"""Evaluation of policies and reward models: rates with intervals, bounds and baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_ADDITIVE
from rlhf_lib.editing.edit import Edit, temperature_of
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import VOTE_FOR_A
from rlhf_lib.learning.planning.plans import exact
from rlhf_lib.learning.planning.reward import Reward, Scores
from rlhf_lib.learning.planning.search import whole_edits
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.candidate_files import CandidateEdit
from rlhf_lib.steps.candidates import comparison_tasks

if TYPE_CHECKING:
    from rlhf_lib.learning.reward.model import RewardModel

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


def optimal_edits(additive: np.ndarray, songs: list[Song]) -> list[Edit]:
    """Return the exact optimum under additive weights, (N_ADDITIVE,), of KEEP and CUT.

    One edit for each song and each of the four keep ratios below 1, song by song.
    """
    plan = exact(additive)
    return [whole_edits(song, plan, target)[0] for song in songs for target in CUTTING_TARGETS]


def wins(new: Sequence[float], old: Sequence[float]) -> np.ndarray:
    """Return 1 where new is better, 0 where old is, ½ where they are even."""
    gap = np.asarray(new) - np.asarray(old)
    return np.where(np.abs(gap) <= EVEN, 0.5, (gap > 0).astype(float))


def compare_policies(
    new: Policy,
    old: Policy,
    songs: list[Song],
    judge: SimulatedRater | Reward | Scores,
    reward: RewardModel | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a new policy with an old one.

    Both edit the same songs to the same lengths. Besides the policies, the table has the new one's
    mean plan and best plan alone; with a simulated rater whose taste reads additive descriptors,
    their exact optimum; with a reward model, the best of 16 sampled old edits.

    Parameters
    ----------
    judge : SimulatedRater, Reward, or function of edits
        The win rate is by the noise-free taste of the rater, or by the scores.
    reward : RewardModel, optional

    Returns
    -------
    DataFrame
        One row per line of the report: line, mode, win_rate, low, high, votes (of a simulated
        rater: share of its noisy answers), gain (mean utility less that of the old policy), n,
        n_songs.
    """
    rater = judge if isinstance(judge, SimulatedRater) else None
    judged = _judged_by(judge)
    modes = (True, False)
    base = {greedy: old.edits(songs, greedy=greedy, seed=seed) for greedy in modes}
    base_gold = {greedy: judged(edits) for greedy, edits in base.items()}
    ids = [e.song.sha256 for e in base[True]]
    rows = []

    def add(line: str, greedy: bool, edits: list[Edit]) -> None:
        gold = judged(edits)
        rate = clustered_rate(wins(gold, base_gold[greedy]), ids, seed)
        row = {
            "line": line,
            "mode": "greedy" if greedy else "sampled",
            "win_rate": rate.value,
            "low": rate.low,
            "high": rate.high,
        }
        if rater is not None:
            votes = [_vote(rater, a, b) for a, b in zip(edits, base[greedy], strict=True)]
            row["votes"] = float(np.mean(votes))
        gain = float((gold - base_gold[greedy]).mean())
        rows.append(row | {"gain": gain, "n": rate.n, "n_songs": rate.n_songs})

    for greedy in modes:
        add("new policy", greedy, new.edits(songs, greedy=greedy, seed=seed + 1))
    add("new, mean plan", True, new.only(search=False).edits(songs))
    add("new, best plan", True, new.only(climb=0).edits(songs))
    if rater is not None and np.any(taste := rater.descriptor_weights[:N_ADDITIVE]):
        add("optimum of the taste's additive part", True, optimal_edits(taste, songs))
    if reward is not None:
        add("best of 16 old edits", False, best_of(reward, old, songs, 16, seed + 2))
    return pd.DataFrame(rows)


def _judged_by(judge: SimulatedRater | Reward | Scores) -> Callable[[list[Edit]], np.ndarray]:
    """Return a function of edits that gives their utilities."""
    if isinstance(judge, SimulatedRater):
        return lambda edits: np.array([judge.utility(edit) for edit in edits])
    return Reward.of(judge).scores


def best_of(
    reward: RewardModel, policy: Policy, songs: list[Song], n: int, seed: int
) -> list[Edit]:
    """Return, for each song and length, the sampled edit with the highest score."""
    edits = [e for k in range(n) for e in policy.edits(songs, greedy=False, seed=seed + k)]
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
        first snapshot, means over four draws of the plan of every song and length, without search;
        low and high, the 95 % interval of gold, bootstrapped over songs.
    """
    rows = []
    for episode, policy in snapshots:
        drawn = policy.only(search=False)
        edits = [e for seed in range(4) for e in drawn.edits(songs, greedy=False, seed=seed)]
        gold = np.array([judge.utility(edit) for edit in edits])
        by_song = gold.reshape(4, len(songs), -1).mean(axis=(0, 2))
        rows.append((episode, reward.score(edits).mean(), by_song))
    gain = np.stack([by_song for _, _, by_song in rows]) - rows[0][2]
    low, high = np.transpose([_interval(row, np.ones(len(songs))) for row in gain])
    table = pd.DataFrame(
        {"episode": [row[0] for row in rows], "learned": [row[1] - rows[0][1] for row in rows]}
    )
    return table.assign(gold=gain.mean(axis=1), low=low, high=high)


def lengths_by_temperature(edits: Sequence[Edit]) -> pd.DataFrame:
    """Return target and achieved keep ratio and duration in s of each edit."""
    return pd.DataFrame(
        [
            {
                "song": edit.song.song_id,
                "temperature": temperature_of(edit.target),
                "target": edit.target,
                "keep_ratio": edit.keep_ratio,
                "duration": edit.duration,
            }
            for edit in edits
        ]
    )


def _vote(judge: SimulatedRater, a: Edit, b: Edit) -> float:
    if np.array_equal(a.actions, b.actions):
        return 0.5
    return VOTE_FOR_A[judge.compare(a.song, a, b).preference]
