"""Attacks on a reward model: PPO with and without KL penalty, and a search over free edits."""

import pandas as pd
import torch

from lab.material import Material
from lab.policies import reference_edits, refined, utilities
from lab.rewards import fitted
from rlhf_lib.learning.policy.policy import every_target, rollout
from rlhf_lib.learning.policy.ppo import PPOConfig
from rlhf_lib.learning.reward.fit import RewardTraining
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.climb import climb

#: PPO without KL penalty and at a higher learning rate, to see how it exploits the reward model.
UNPENALISED = PPOConfig(kl_coef=0.0, lr=1e-3)
FEW_PAIRS = 10
#: Numbers of answers behind the climbed models; values of k of the lower confidence bound.
CLIMBED_PAIRS, KS = (10, 50, 200), (0.0, 1.0)
CLIMBED_TARGET = 0.73


def over_optimisation(material: Material, taste: str) -> pd.DataFrame:
    """Return learned and true reward over KL, with and without penalty and rule, after few answers.

    Columns: taste, run, seed, episode, kl (nats per decision), song, target, learned, gold,
    best_episode, stopped.
    """
    songs, rows = material.songs["test"], []
    reference = reference_edits(material, material.v14())
    for seed in range(min(2, material.size.seeds)):
        for name, ppo, settings in (
            ("penalty and rule", PPOConfig(), {}),
            ("no penalty, no rule", UNPENALISED, {"kl_limit": 1e9, "drop_limit": 1e9}),
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
    """Return the end of a search that changes v14's edits wherever the model's score rises."""
    old, songs = material.v14(), material.songs["test"]
    starts = rollout(old, every_target(old, songs, (CLIMBED_TARGET,)), greedy=True)
    judge = SimulatedRater("simulated", taste, noise=0.0)
    reference, rows = reference_edits(material, old), []
    for pairs in CLIMBED_PAIRS:
        model = fitted(material, taste, pairs, 0, RewardTraining())
        model.set_normal(reference)
        for k in KS:
            course = climb(model, judge, starts, k=k)
            last = course[course["step"] == course["step"].max()]
            rows.append(last.assign(taste=taste, pairs=pairs, k=k))
    return pd.concat(rows)
