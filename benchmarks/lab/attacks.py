"""Over-optimisation: how far a policy may climb a reward model, or train on it."""

import tempfile
from pathlib import Path

import pandas as pd

from lab.material import Material, utilities
from lab.policies import reference_edits, refined
from lab.rewards import fitted
from rlhf_lib.learning.planning.search import K_CHANGES, K_PLANS
from rlhf_lib.learning.policy.policy import PolicyConfig
from rlhf_lib.learning.policy.ppo import PPOConfig
from rlhf_lib.learning.policy.training import PolicyTraining, load_snapshots, train_policy
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.fit import RewardTraining
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.climb import climb
from rlhf_lib.steps.evaluation import wins
from rlhf_lib.steps.train_policy import REFINED_SHARE

#: Numbers of answers behind the attacked models, and k of the bound of a change.
ATTACKED_PAIRS, KS, SEEDS = (10, 50, 200), (0.0, K_CHANGES), 2
#: PPO after few answers: as usual, and without penalty and stopping rule at a higher rate.
FEW_PAIRS, LONGER = 10, 4
RUNS = {
    "penalty and rule": {},
    "no penalty, no rule": {
        "ppo": PPOConfig(kl_coef=0.0, lr=3e-2),
        "kl_limit": 1e9,
        "drop_limit": 1e9,
    },
}
#: Draws of each song and length by which a snapshot of PPO is judged.
DRAWS = 4
#: Settings of the search, each varied alone.
CAUTION = {
    "k_plans": (0.0, K_PLANS, 0.5, 1.0),
    "k_changes": (0.0, 0.5, K_CHANGES, 2.0),
    "climb": (0, 100, PolicyConfig.climb, 1000),
}


def over_optimisation(material: Material, taste: str) -> pd.DataFrame:
    """Return the courses of climbs on the test songs, with and without caution.

    Columns: taste, pairs, seed, k, and those of `rlhf_lib.steps.climb.climb`.
    """
    songs, old, tables = material.songs["test"], material.v14(), []
    judge = SimulatedRater("simulated", taste, noise=0.0)
    reference = reference_edits(old, material.songs["train"])
    for pairs in ATTACKED_PAIRS:
        for seed in range(min(SEEDS, material.size.seeds)):
            model = fitted(material, taste, pairs, seed, RewardTraining())
            new = refined(old, model, reference)
            for k in KS:
                course = climb(new, old, songs, judge, k)
                tables.append(course.assign(taste=taste, pairs=pairs, seed=seed, k=k))
    return pd.concat(tables)


def over_training(material: Material, taste: str) -> pd.DataFrame:
    """Return learned and true reward of drawn plans over PPO, with and without its brakes.

    Columns: taste, run, seed, episode, kl (nats per plan), song, target, learned, gold,
    best_episode, stopped.
    """
    songs, old, rows = material.songs["test"], material.v14(), []
    reference = reference_edits(old, material.songs["train"])
    for seed in range(min(SEEDS, material.size.seeds)):
        model = fitted(material, taste, FEW_PAIRS, seed, RewardTraining())
        reward = CombinedReward(model, reference, REFINED_SHARE)
        for name, settings in RUNS.items():
            policy = refined(old, model, reference)
            start, episodes = policy.only(), LONGER * material.size.episodes
            training = PolicyTraining(episodes, seed=seed, **settings)
            with tempfile.TemporaryDirectory() as folder:
                history = train_policy(
                    policy, reward, material.songs["train"], material.songs["valid"], training,
                    Path(folder),
                )  # fmt: skip
                snapshots = load_snapshots(folder, policy)
            kl = {row["episode"]: row["kl"] for row in history.rows}
            for episode, each in [(0, start), *snapshots]:
                drawn = each.only(search=False)
                edits = [
                    e for draw in range(DRAWS) for e in drawn.edits(songs, greedy=False, seed=draw)
                ]
                scores = zip(edits, reward.scores(edits), utilities(taste, edits), strict=True)
                for edit, learned, gold in scores:
                    rows.append(
                        {"taste": taste, "run": name, "seed": seed, "episode": episode}
                        | {"kl": kl.get(episode, 0.0), "song": edit.song.sha256}
                        | {"target": edit.target, "learned": learned, "gold": gold}
                        | {"best_episode": history.best_episode, "stopped": history.stopped}
                    )
    keys = ["taste", "run", "seed", "episode", "kl", "song", "target", "best_episode", "stopped"]
    return pd.DataFrame(rows).groupby(keys, sort=False, as_index=False).mean()


def caution(material: Material, taste: str) -> pd.DataFrame:
    """Compare the settings of the search on the validation songs; each is varied alone."""
    songs, old = material.songs["valid"], material.v14()
    base = utilities(taste, old.edits(songs))
    reference, rows = reference_edits(old, material.songs["train"]), []
    for pairs in material.size.policy_pairs:
        for seed in range(min(SEEDS, material.size.seeds)):
            model = fitted(material, taste, pairs, seed, RewardTraining())
            new = refined(old, model, reference)
            for setting, values in CAUTION.items():
                for value in values:
                    edits = new.only(**{setting: value}).edits(songs)
                    gold = utilities(taste, edits)
                    for edit, won, gain in zip(edits, wins(gold, base), gold - base, strict=True):
                        rows.append(
                            {"taste": taste, "setting": setting, "value": value, "pairs": pairs}
                            | {"seed": seed, "song": edit.song.sha256, "target": edit.target}
                            | {"win": won, "gain": gain}
                        )
    return pd.DataFrame(rows)
