"""Policies: the dense scale, win rates after feedback, over-optimisation, cycles."""

import tempfile

import numpy as np
import pandas as pd
import torch

from lab.material import Material, comparable_pairs
from lab.rewards import fitted, member_gaps
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.feedback.annotation import VOTE_FOR_A
from rlhf_lib.learning.planning.search import alternatives, greedy_edits
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, TARGETS, Policy, every_target, rollout
from rlhf_lib.learning.policy.ppo import PPOConfig
from rlhf_lib.learning.policy.training import PolicyTraining, load_snapshots, train_policy
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward
from rlhf_lib.learning.reward.fit import RewardTraining, fit
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.learning.reward.synthetic import random_cuts
from rlhf_lib.raters.simulated import SimulatedRater, taste_of
from rlhf_lib.steps.evaluation import part_of, planned_edits, wins
from rlhf_lib.steps.train_policy import REFINED_SHARE

#: Random edits per song and length whose mean is the zero of the dense scale.
RANDOM_EDITS = 64
#: Alternatives among which the bound is searched where no exact optimum is known.
BOUND_EDITS = 32
#: Number of seeds for which the network is trained too; it takes most of the time.
PPO_SEEDS = 2
#: The line of the whole policy, for these seeds only.
NETWORK = "planner + search + network"


def reference_edits(material: Material, policy: Policy) -> list[Edit]:
    """Return the edits of the training songs on which rewards are renormalised."""
    return rollout(policy, every_target(policy, material.songs["train"], TARGETS), greedy=True)


def own_edits(policy: Policy, songs: list[Song]) -> list[list[Edit]]:
    """Return the policy's five greedy edits of each song, one at each temperature."""
    edits = rollout(policy, every_target(policy, songs, TARGETS), greedy=True)
    return [edits[k : k + len(TARGETS)] for k in range(0, len(edits), len(TARGETS))]


def utilities(taste: str, edits: list[Edit]) -> np.ndarray:
    """Return the utility of each edit under a taste, without noise, (n_edits,)."""
    judge = taste_of(taste)
    return np.array([judge.utility(edit) for edit in edits])


def _edits(policy: Policy, songs: list[Song], greedy: bool, seed: int = 0) -> list[Edit]:
    generator = torch.Generator().manual_seed(seed)
    return rollout(policy, every_target(policy, songs), greedy, generator)


def dense_scale(material: Material) -> pd.DataFrame:
    """Return where v14 lies between a random single cut (0) and the exact optimum (1)."""
    songs, policy = material.songs["test"], material.v14()
    rng = np.random.default_rng(0)
    best = [dense_reward(e) for e in planned_edits(DENSE_WEIGHTS, policy, songs)]
    zero = [
        np.mean([dense_reward(random_cuts(song, target, 1, rng)) for _ in range(RANDOM_EDITS)])
        for song in songs
        for target in CUTTING_TARGETS
    ]
    rows = []
    lines = {
        "v14": policy,
        "planner under the dense reward": _plain(policy),
    }
    for name, each in lines.items():
        for greedy in (True, False):
            edits = _edits(each, songs, greedy)
            reached = (np.array([dense_reward(e) for e in edits]) - zero) / (np.array(best) - zero)
            for edit, value in zip(edits, reached, strict=True):
                about = {"line": name, "mode": "greedy" if greedy else "sampled"}
                rows.append(
                    about | {"song": edit.song.sha256, "target": edit.target, "value": value}
                )
    return pd.DataFrame(rows)


def _plain(policy: Policy) -> Policy:
    alone = part_of(policy, "planner")
    alone.follow(np.pad(DENSE_WEIGHTS, (0, N_DESCRIPTORS - len(DENSE_WEIGHTS))))
    return alone


def refined(
    material: Material,
    parent: Policy,
    model: RewardModel,
    reference: list[Edit],
    seed: int,
    ppo: PPOConfig | None = None,
    **settings,
):
    """Train `parent` in place against `model`.

    Returns
    -------
    tuple
        Policy before PPO, policy after PPO, history, snapshots.
    """
    songs = material.songs
    reward = CombinedReward(model, reference, REFINED_SHARE)
    torch.manual_seed(seed)
    training = PolicyTraining(
        episodes=settings.pop("episodes", material.size.episodes),
        seed=seed,
        ppo=ppo or PPOConfig(),
        **settings,
    )
    with tempfile.TemporaryDirectory() as folder:
        history = train_policy(parent, reward, songs["train"], songs["valid"], training, folder)
        snapshots = load_snapshots(folder, parent)
    return part_of(parent, "planner and search"), parent, history, snapshots


def win_rates(material: Material, taste: str) -> pd.DataFrame:
    """Return the comparison of every line with v14, one row for each test song and length.

    The line with search has greedy rows after every number of answers; the other lines, and
    sampled rows, have them after `policy_pairs` only.
    """
    songs, old = material.songs["test"], material.v14()
    env = every_target(old, songs)
    base = {
        greedy: rollout(old, env, greedy, torch.Generator().manual_seed(0))
        for greedy in (True, False)
    }
    liked = {greedy: utilities(taste, edits) for greedy, edits in base.items()}
    rows = []

    def add(line: str, greedy: bool, edits: list[Edit], gold: np.ndarray, **about) -> None:
        for edit, won, gain in zip(
            edits, wins(gold, liked[greedy]), gold - liked[greedy], strict=True
        ):
            rows.append(
                {"taste": taste, "line": line, "mode": "greedy" if greedy else "sampled"}
                | about
                | {"song": edit.song.sha256, "target": edit.target, "win": won, "gain": gain}
                | dict(zip(("loops", "reorders"), _moves(edit), strict=True))
            )

    edits, gold = _bound(material, taste, base[True])
    add("bound", True, edits, gold, pairs=0, seed=0)
    reference = reference_edits(material, old)
    for n_pairs in material.size.pairs:
        whole = n_pairs in material.size.policy_pairs
        for seed in range(material.size.seeds):
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            search = planning(old, CombinedReward(model, reference, REFINED_SHARE))
            searched = every_target(search, songs)
            lines = [("planner + search", search, searched)]
            about = {"pairs": n_pairs, "seed": seed, "best_episode": 0}
            if whole:
                planner = part_of(search, "planner")
                lines.insert(0, ("planner", planner, every_target(planner, songs)))
            if whole and seed < PPO_SEEDS:
                _, both, history, _ = refined(material, material.v14(), model, reference, seed)
                about["best_episode"] = history.best_episode
                lines.append((NETWORK, both, searched))
            for name, policy, env in lines:
                for greedy in (True, False) if whole else (True,):
                    edits = rollout(policy, env, greedy, torch.Generator().manual_seed(seed))
                    add(name, greedy, edits, utilities(taste, edits), **about)
    return pd.DataFrame(rows)


def _moves(edit: Edit) -> tuple[int, int]:
    """Return the numbers of looped and of moved beats of an edit."""
    moved = edit.actions > Action.LOOP_4
    return int(((edit.actions > Action.CUT) & ~moved).sum()), int(moved.sum())


def _bound(material: Material, taste: str, old: list[Edit]) -> tuple[list[Edit], np.ndarray]:
    """Return the best known edit under the taste itself, per song and length, and its utility."""
    songs, rng = material.songs["test"], np.random.default_rng(0)
    weights = taste_of(taste).descriptor_weights[: len(DENSE_WEIGHTS)]
    rounds = [old]
    if np.any(weights):
        rounds.append(planned_edits(weights, material.v14(), songs))
    more = alternatives(songs, DENSE_WEIGHTS, CUTTING_TARGETS, BOUND_EDITS, 1.0, rng)
    for k in range(BOUND_EDITS):
        rounds.append([more[e.song.sha256][e.target][k] for e in old])
    gold = np.stack([utilities(taste, edits) for edits in rounds])
    best = gold.argmax(axis=0)
    return [rounds[k][place] for place, k in enumerate(best)], gold.max(axis=0)


def planning(parent: Policy, reward: CombinedReward) -> Policy:
    """Return a policy that plans under `reward`, without its network."""
    policy = part_of(parent, "planner and search")
    policy.follow(reward.weights)
    return policy


def shares(material: Material, taste: str) -> pd.DataFrame:
    """Compare shares of the learned reward on the validation songs, without PPO."""
    songs, old = material.songs["valid"], material.v14()
    base = utilities(taste, _edits(old, songs, True))
    reference, rows = reference_edits(material, old), []
    for n_pairs in material.size.policy_pairs[-1:]:
        for seed in range(min(2, material.size.seeds)):
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            for share in (0.8, REFINED_SHARE, 1.0):
                policy = planning(old, CombinedReward(model, reference, share))
                edits = greedy_edits(every_target(policy, songs))
                gold = utilities(taste, edits)
                for edit, won in zip(edits, wins(gold, base), strict=True):
                    rows.append(
                        {"taste": taste, "pairs": n_pairs, "seed": seed, "share": share}
                        | {"song": edit.song.sha256, "win": won, "moves": _moves(edit)[1]}
                    )
    return pd.DataFrame(rows)


def cycles(material: Material, taste: str, n_cycles: int = 3, per_cycle: int = 50) -> pd.DataFrame:
    """Run cycles of asking, fitting and refining, with accumulating feedback."""
    songs, rows = material.songs["test"], []
    base = utilities(taste, _edits(material.v14(), songs, True))
    for seed in range(min(2, material.size.seeds)):
        rater = SimulatedRater("simulated", taste, material.noise[taste], seed=seed)
        policy, model, answered = material.v14(), material.v8(), []
        before = None
        for cycle in range(1, n_cycles + 1):
            answered += _asked(policy, material.songs["train"], rater, per_cycle, seed + 10 * cycle)
            fit(model, answered, [], RewardTraining(seed=seed))
            reference = reference_edits(material, policy)
            _, policy, _, _ = refined(material, policy, model, reference, seed)
            edits = _edits(policy, songs, True)
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


def free_length(material: Material, taste: str) -> pd.DataFrame:
    """Return the utility lost by using for each song the length with the highest score."""
    edits = own_edits(material.v14(), material.songs["test"])
    liked = utilities(taste, [e for row in edits for e in row]).reshape(len(edits), -1)
    spread = liked.max(axis=1) - liked.min(axis=1)
    rows = []
    for n_pairs in material.size.policy_pairs:
        for seed in range(material.size.seeds):
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            scores = model.score([e for row in edits for e in row]).mean(axis=1)
            chosen = scores.reshape(len(edits), -1).argmax(axis=1)
            lost = liked.max(axis=1) - liked[np.arange(len(edits)), chosen]
            for song, (regret, random, hit) in enumerate(
                zip(
                    lost / np.maximum(spread, 1e-9),
                    (liked.max(axis=1) - liked.mean(axis=1)) / np.maximum(spread, 1e-9),
                    lost == 0,
                    strict=True,
                )
            ):
                rows.append(
                    {"taste": taste, "pairs": n_pairs, "seed": seed, "song": song}
                    | {"regret": regret, "random": random, "best_chosen": float(hit)}
                )
    return pd.DataFrame(rows)


def _asked(
    policy: Policy, songs: list[Song], rater: SimulatedRater, count: int, seed: int
) -> list[Comparison]:
    pairs = comparable_pairs(policy, songs, 20, seed)
    out = []
    for place in np.random.default_rng(seed).permutation(len(pairs))[:count]:
        a, b = pairs[place]
        answer = rater.compare(a.song, a, b)
        preference = VOTE_FOR_A[answer.preference]
        out.append(Comparison(a, b, preference, strength=answer.strength))
    return out
