"""Attacks on a reward model: PPO with and without leash, and a search that climbs anywhere."""

import pandas as pd
import torch

from lab.material import Material
from lab.policies import reference_edits, refined, utilities
from lab.rewards import fitted
from rlhf_lib.climb import climb
from rlhf_lib.feedback.raters import SimulatedRater
from rlhf_lib.learning.policy import every_target, rollout
from rlhf_lib.learning.ppo import PPOConfig
from rlhf_lib.learning.reward_training import RewardTraining

#: PPO without leash and rule, to see what it finds in the reward model.
UNLEASHED = PPOConfig(kl=0.0, lr=1e-3)
FEW_PAIRS = 10
#: Answers behind the models that are climbed; spreads of the members that a step has to gain.
CLIMBED_PAIRS, CAUTIONS = (10, 50, 200), (0.0, 1.0)
CLIMBED_TARGET = 0.73


def overoptimisation(material: Material, taste: str) -> pd.DataFrame:
    """Learned and true reward over KL, with leash and rule and without, after few answers."""
    songs, rows = material.songs["test"], []
    reference = reference_edits(material, material.v14())
    for seed in range(min(2, material.size.seeds)):
        for name, ppo, settings in (
            ("leash and rule", PPOConfig(), {}),
            ("no leash, no rule", UNLEASHED, {"kl_limit": 1e9, "drop_limit": 1e9}),
        ):
            model = fitted(material, taste, FEW_PAIRS, seed, RewardTraining())
            start, _, history, snapshots = refined(
                material,
                material.v14(),
                model,
                reference,
                seed,
                ppo,
                episodes=3 * material.size.episodes,
                checkpoint_every=material.size.episodes // 2 // 50 * 50,
                **settings,
            )
            env = every_target(start, songs)
            kl = {row["episode"]: row["kl"] for row in history.rows}
            for episode, policy in [(0, start), *snapshots]:
                generator = torch.Generator().manual_seed(0)
                edits = rollout(policy, env, greedy=False, generator=generator)
                learned, gold = model.score(edits).mean(axis=1), utilities(taste, edits)
                for edit, a, b in zip(edits, learned, gold, strict=True):
                    rows.append(
                        {"taste": taste, "run": name, "seed": seed, "episode": episode}
                        | {"kl": kl.get(episode, 0.0), "song": edit.song.sha256}
                        | {"target": edit.target, "learned": a, "gold": b}
                        | {"best_episode": history.best_episode, "stopped": history.stopped}
                    )
    return pd.DataFrame(rows)


def exploits(material: Material, taste: str) -> pd.DataFrame:
    """Where a search ends that starts from v14's edits and changes them as the model likes."""
    old, songs = material.v14(), material.songs["test"]
    starts = rollout(old, every_target(old, songs, (CLIMBED_TARGET,)), greedy=True)
    judge = SimulatedRater("simulated", taste, noise=0.0)
    reference, rows = reference_edits(material, old), []
    for pairs in CLIMBED_PAIRS:
        model = fitted(material, taste, pairs, 0, RewardTraining())
        model.set_normal(reference)
        for caution in CAUTIONS:
            course = climb(model, judge, starts, caution=caution)
            last = course[course["step"] == course["step"].max()]
            rows.append(last.assign(taste=taste, pairs=pairs, caution=caution))
    return pd.concat(rows)
