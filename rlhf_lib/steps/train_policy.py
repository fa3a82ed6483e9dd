"""Train policies from files to files: v14 on the reward of v8, v15 on that of v9 and so on."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from rlhf_lib.analysis.song import Song
from rlhf_lib.learning.metrics import MetricsLogger
from rlhf_lib.learning.policy.policy import TARGETS, Policy, PolicyConfig
from rlhf_lib.learning.policy.training import (
    PolicyHistory,
    PolicyTraining,
    forget_state,
    train_policy,
)
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.paths import atomic_path
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model, save_model
from rlhf_lib.steps.devices import default_device
from rlhf_lib.steps.lineage import Parent, held_out_by, lineage, next_version, set_aside

HELD_OUT = 0.25
#: Share of the learned reward after feedback; the dense part only breaks ties. With a dense share
#: of 20 % policies followed new tastes less; with 0 % they exploited the model by reordering
#: (chosen by a few runs on validation songs).
REFINED_SHARE = 0.95


def train_initial_policy(
    songs: list[Song],
    reward_model: str | Path,
    models_dir: str | Path,
    run_dir: str | Path,
    training: PolicyTraining | None = None,
    device: torch.device | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    loggers: Sequence[MetricsLogger] = (),
) -> tuple[Policy, PolicyHistory]:
    """Train the first policy on the first reward model; save policy_v14 and policy_final."""
    training, device = training or PolicyTraining(episodes=1000), device or default_device()
    model, about = load_reward_model(reward_model, device)
    parents = [Parent(Path(reward_model), about)]
    policy = Policy(PolicyConfig(members=model.config.members), SYNTHETIC_WEIGHTS)
    reward = CombinedReward(model, policy.edits(songs, TARGETS))
    train, held_out = _split_songs(songs, parents, training.seed)
    history = train_policy(
        policy, reward, train, held_out, training, run_dir, report, loggers, device
    )
    path = Path(models_dir) / "policy_v14.pt"
    _save(path, policy, training, history, lineage(parents, train, held_out))
    forget_state(run_dir)
    return policy, history


def train_rlhf_stable(
    reward_model: str | Path,
    policy: str | Path,
    songs: list[Song],
    models_dir: str | Path,
    run_dir: str | Path,
    training: PolicyTraining | None = None,
    device: torch.device | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    loggers: Sequence[MetricsLogger] = (),
) -> tuple[Policy, PolicyHistory]:
    """Fine-tune a policy by PPO on a reward model: v14 → v15, v15 → v16 ….

    Songs that the reward model held out are held out here too.
    """
    training, device = training or PolicyTraining(), device or default_device()
    model, model_about = load_reward_model(reward_model, device)
    old, about = load_policy(policy)
    parents = [Parent(Path(policy), about), Parent(Path(reward_model), model_about)]
    reward = CombinedReward(model, old.edits(songs, TARGETS), REFINED_SHARE)
    new = old.child(reward)
    train, held_out = _split_songs(songs, parents, training.seed)
    history = train_policy(new, reward, train, held_out, training, run_dir, report, loggers, device)
    path = Path(models_dir) / f"{next_version(about['name'])}.pt"
    _save(path, new, training, history, lineage(parents, train, held_out))
    forget_state(run_dir)
    return new, history


def _save(
    path: Path,
    policy: Policy,
    training: PolicyTraining,
    history: PolicyHistory,
    descent: dict[str, object],
) -> None:
    """Save a trained policy under its name, and a copy as ``policy_final.pt``."""
    last = history.rows[-1]
    set_aside(path)
    save_model(
        path,
        policy,
        name=path.stem,
        seed=training.seed,
        training=asdict(training)
        | {"stopped": history.stopped, "best_episode": history.best_episode},
        metrics={key: float(last[key]) for key in ("dense", "learned", "combined", "kl")},
        **descent,
    )
    with atomic_path(path.with_name("policy_final.pt")) as part:
        shutil.copyfile(path, part)


def _split_songs(
    songs: list[Song], parents: list[Parent], seed: int
) -> tuple[list[Song], list[Song]]:
    """Hold out the songs that the parents held out; without any, a random quarter."""
    spared = held_out_by(parents)
    held_out = [song for song in songs if song.sha256 in spared]
    if not held_out or len(held_out) == len(songs):
        count = round(HELD_OUT * len(songs))
        chosen = np.random.default_rng(seed).permutation(len(songs))[:count]
        held_out = [songs[i] for i in sorted(chosen)]
    return [song for song in songs if song not in held_out], held_out
