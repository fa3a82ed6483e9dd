"""Policies: the dense scale, win rates after feedback, cycles, free length, shares."""

import numpy as np
import pandas as pd

from lab.baselines import Samples, directly_trained
from lab.material import Material, comparable_pairs, utilities
from lab.reference import edit_moves
from lab.rewards import fitted, member_gaps
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.feedback.annotation import VOTE_FOR_A
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, TARGETS, Policy
from rlhf_lib.learning.policy.training import PolicyTraining, train_policy
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward
from rlhf_lib.learning.reward.fit import RewardTraining, fit
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.learning.reward.synthetic import random_cuts
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.evaluation import optimal_edits, wins
from rlhf_lib.steps.train_policy import REFINED_SHARE

#: Random edits per song and length whose mean is the zero of the dense scale.
RANDOM_EDITS = 64
#: The lines of the tables of win rates.
POLICY, MEAN_PLAN, BEST_PLAN = "policy", "mean plan", "best plan"
TRAINED, TRAINED_PLAN = "policy after PPO", "mean plan after PPO"
DIRECT, BEST_OF = "direct (DPO)", "best of 16"


def reference_edits(policy: Policy, songs: list[Song]) -> list[Edit]:
    """Return the edits on which rewards are renormalised."""
    return policy.edits(songs, TARGETS)


def refined(
    old: Policy,
    model: RewardModel,
    reference: list[Edit],
    share: float = REFINED_SHARE,
) -> Policy:
    """Return a policy that follows a reward model after `old`, before any training."""
    return old.child(CombinedReward(model, reference, share))


def trained(
    new: Policy, model: RewardModel, material: Material, reference: list[Edit], seed: int
) -> Policy:
    """Return a copy of `new`, trained by PPO on its reward."""
    out, songs = new.only(), material.songs
    training = PolicyTraining(episodes=material.size.episodes, seed=seed)
    reward = CombinedReward(model, reference, REFINED_SHARE)
    train_policy(out, reward, songs["train"], songs["valid"], training)
    return out


def dense_scale(material: Material, taste: str = "") -> pd.DataFrame:
    """Return where v14 lies between a random single cut (0) and the exact optimum (1)."""
    songs, policy = material.songs["test"], material.v14()
    rng = np.random.default_rng(0)
    best = [dense_reward(e) for e in optimal_edits(DENSE_WEIGHTS, songs)]
    zero = [
        np.mean([dense_reward(random_cuts(song, target, 1, rng)) for _ in range(RANDOM_EDITS)])
        for song in songs
        for target in CUTTING_TARGETS
    ]
    rows = []
    for line, mode, edits in (
        ("v14", "greedy", policy.edits(songs)),
        ("v14", "sampled", policy.edits(songs, greedy=False)),
        ("v14, mean plan", "greedy", policy.only(search=False).edits(songs)),
    ):
        reached = (np.array([dense_reward(e) for e in edits]) - zero) / (np.array(best) - zero)
        for edit, value in zip(edits, reached, strict=True):
            about = {"line": line, "mode": mode, "song": edit.song.sha256}
            rows.append(about | {"target": edit.target, "value": value})
    return pd.DataFrame(rows)


def win_rates(material: Material, taste: str) -> pd.DataFrame:
    """Return the comparison of every line with v14, one row for each test song and length.

    The policy before PPO has greedy rows after every number of answers; the other lines, and
    sampled rows, have them after `policy_pairs` only.

    Columns: taste, line, mode, pairs, seed, song, target, win, gain (utility), loops, reorders.
    """
    songs, old = material.songs["test"], material.v14()
    modes = {greedy: old.edits(songs, greedy=greedy) for greedy in (True, False)}
    liked = {greedy: utilities(taste, edits) for greedy, edits in modes.items()}
    reference = reference_edits(old, material.songs["train"])
    samples, rows = Samples.of(old, songs), []

    def add(line: str, edits: list[Edit], greedy: bool = True, **about) -> None:
        gold, base = utilities(taste, edits), liked[greedy]
        for edit, won, gain in zip(edits, wins(gold, base), gold - base, strict=True):
            rows.append(
                {"taste": taste, "line": line, "mode": "greedy" if greedy else "sampled"}
                | about
                | {"song": edit.song.sha256, "target": edit.target, "win": won, "gain": gain}
                | edit_moves(edit)
            )

    for n_pairs in material.size.pairs:
        for seed in range(material.size.seeds):
            about = {"pairs": n_pairs, "seed": seed}
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            new = refined(old, model, reference)
            add(POLICY, new.edits(songs), **about)
            if n_pairs not in material.size.policy_pairs:
                continue
            sampled = new.edits(songs, greedy=False, seed=seed + 1)
            add(POLICY, sampled, greedy=False, **about)
            add(MEAN_PLAN, new.only(search=False).edits(songs), **about)
            add(BEST_PLAN, new.only(climb=0).edits(songs), **about)
            after = trained(new, model, material, reference, seed)
            add(TRAINED, after.edits(songs), **about)
            add(TRAINED_PLAN, after.only(search=False).edits(songs), **about)
            direct = directly_trained(material, old, taste, n_pairs, seed)
            add(DIRECT, direct.only(search=False).edits(songs), **about)
            add(BEST_OF, samples.best(model), **about)
    return pd.DataFrame(rows)


def shares(material: Material, taste: str) -> pd.DataFrame:
    """Compare shares of the learned reward on the validation songs, without PPO."""
    songs, old = material.songs["valid"], material.v14()
    base = utilities(taste, old.edits(songs))
    reference, rows = reference_edits(old, material.songs["train"]), []
    for n_pairs in material.size.policy_pairs[-1:]:
        for seed in range(min(2, material.size.seeds)):
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            for share in (0.8, REFINED_SHARE, 1.0):
                edits = refined(old, model, reference, share).edits(songs)
                gold = utilities(taste, edits)
                for edit, won in zip(edits, wins(gold, base), strict=True):
                    rows.append(
                        {"taste": taste, "pairs": n_pairs, "seed": seed, "share": share}
                        | {"song": edit.song.sha256, "win": won}
                    )
    return pd.DataFrame(rows)


def cycles(material: Material, taste: str, n_cycles: int = 3, per_cycle: int = 50) -> pd.DataFrame:
    """Run cycles of asking, fitting and training, with accumulating feedback."""
    songs, rows = material.songs["test"], []
    base = utilities(taste, material.v14().edits(songs))
    for seed in range(min(2, material.size.seeds)):
        rater = SimulatedRater("simulated", taste, material.noise[taste], seed=seed)
        policy, model, answered = material.v14(), material.v8(), []
        before = None
        for cycle in range(1, n_cycles + 1):
            answered += asked(policy, material.songs["train"], rater, per_cycle, seed + 10 * cycle)
            fit(model, answered, [], RewardTraining(seed=seed))
            reference = reference_edits(policy, material.songs["train"])
            new = refined(policy, model, reference)
            policy = trained(new, model, material, reference, seed)
            edits = policy.edits(songs)
            gaps = member_gaps(material, model, "test").mean(axis=1)
            same = np.nan if before is None else float(np.mean((gaps > 0) == (before > 0)))
            agrees = float(np.mean((gaps > 0) == (material.utility[taste]["test"] > 0)))
            before = gaps
            gold = utilities(taste, edits)
            for edit, won, gain in zip(edits, wins(gold, base), gold - base, strict=True):
                rows.append(
                    {"taste": taste, "seed": seed, "cycle": cycle, "answers": len(answered)}
                    | {"song": edit.song.sha256, "win": won, "gain": gain}
                    | {"consistency": same, "alignment": agrees}
                )
    return pd.DataFrame(rows)


def asked(
    policy: Policy,
    songs: list[Song],
    rater: SimulatedRater,
    count: int,
    seed: int,
    per_song: int = 20,
) -> list[Comparison]:
    """Return a rater's answers to `count` pairs, of `per_song` candidates of each song."""
    pairs = comparable_pairs(policy, songs, per_song, seed)
    out = []
    for place in np.random.default_rng(seed).permutation(len(pairs))[:count]:
        a, b = pairs[place]
        answer = rater.compare(a.song, a, b)
        preference = VOTE_FOR_A[answer.preference]
        out.append(Comparison(a, b, preference, strength=answer.strength))
    return out


def free_length(material: Material, taste: str) -> pd.DataFrame:
    """Return the utility lost by using for each song the length with the highest score."""
    edits, rows = material.v14().edits(material.songs["test"], TARGETS), []
    liked = utilities(taste, edits).reshape(-1, len(TARGETS))
    spread = np.maximum(liked.max(axis=1) - liked.min(axis=1), 1e-9)
    for n_pairs in material.size.policy_pairs:
        for seed in range(material.size.seeds):
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            chosen = model.score(edits).mean(axis=1).reshape(liked.shape).argmax(axis=1)
            lost = liked.max(axis=1) - liked[np.arange(len(liked)), chosen]
            random = (liked.max(axis=1) - liked.mean(axis=1)) / spread
            for song, regret in enumerate(lost / spread):
                rows.append(
                    {"taste": taste, "pairs": n_pairs, "seed": seed, "song": song}
                    | {"regret": regret, "random": random[song]}
                    | {"best_chosen": float(lost[song] == 0)}
                )
    return pd.DataFrame(rows)
