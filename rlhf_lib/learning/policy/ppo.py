"""Proximal policy optimisation (Schulman et al., 2017) over plans.

One draw of plan numbers changes a whole edit, and the edit is then the exact plan. Exploration beat
by beat around an exact plan does not get anywhere: nearly every deviation is worse. Advantages are
differences from the mean of a group of draws for one song and length (Shao et al., 2024), so no
critic is needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.planning.search import whole_edits
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.learning.policy.stage import situations


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters; the defaults are the values that worked best (docs/learning.md).

    Attributes
    ----------
    episodes_per_update : int
        Edits that are drawn before each update; a multiple of `draws`.
    draws : int
        Edits of one song and length.
    clip : float
        Largest change of the probability ratio.
    epochs : int
        Passes over the batch.
    lr : float
        Adam's learning rate.
    kl_coef : float
        Weight of the KL penalty: KL(policy ‖ reference) per plan, in nats.
    max_grad_norm : float
        Gradient clipping.
    """

    episodes_per_update: int = 50
    draws: int = 10
    clip: float = 0.2
    epochs: int = 4
    lr: float = 1e-2
    kl_coef: float = 0.02
    max_grad_norm: float = 1.0


@dataclass
class Batch:
    """B drawn plans and their edits.

    Attributes
    ----------
    situations : (B, 6) float32
    numbers : (B, N_PLAN) float32
    log_probs, advantages : (B,) float32
    edits : list of Edit
    parts : dict of (B,) arrays
        The reward and what it is made of.
    """

    situations: torch.Tensor
    numbers: torch.Tensor
    log_probs: torch.Tensor
    advantages: torch.Tensor
    edits: list[Edit]
    parts: dict[str, np.ndarray]


def clipped_loss(
    log_probs: torch.Tensor, old_log_probs: torch.Tensor, advantages: torch.Tensor, clip: float
) -> torch.Tensor:
    """Return the clipped surrogate loss of PPO for each draw (to be minimised)."""
    ratio = (log_probs - old_log_probs).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def group_advantages(rewards: np.ndarray, draws: int) -> np.ndarray:
    """Return rewards less the mean of their group, over the standard deviation of these, (B,).

    Parameters
    ----------
    rewards : (B,) array
        Groups of `draws` one after the other.
    """
    groups = rewards.reshape(-1, draws)
    gaps = (groups - groups.mean(axis=1, keepdims=True)).ravel()
    return gaps / max(float(gaps.std()), 1e-8)


@torch.no_grad()
def collect(
    network: PlanNetwork,
    songs: Sequence[Song],
    parts: Callable[[list[Edit]], dict[str, np.ndarray]],
    config: PPOConfig,
    generator: torch.Generator,
    targets: Sequence[float] = CUTTING_TARGETS,
) -> Batch:
    """Draw songs, lengths and plans, and edit the songs.

    Parameters
    ----------
    parts : callable
        Edits → arrays by name; "combined" is the reward.
    """
    device = generator.device
    groups = config.episodes_per_update // config.draws
    song = torch.randint(len(songs), (groups,), generator=generator, device=device).tolist()
    target = torch.randint(len(targets), (groups,), generator=generator, device=device).tolist()
    chosen = [(songs[s], targets[t]) for s, t in zip(song, target, strict=True)]
    x = torch.from_numpy(situations(*zip(*chosen, strict=True))).to(device)
    x = x.repeat_interleave(config.draws, dim=0)
    over = network(x)
    noise = torch.randn(over.mean.shape, generator=generator, device=device)
    numbers = over.mean + over.stddev * noise
    edits = []
    for each, (one, goal) in zip(numbers.split(config.draws), chosen, strict=True):
        edits += whole_edits(one, network.stage.plan_weights(each.double().cpu().numpy()), goal)
    values = parts(edits)
    advantages = group_advantages(values["combined"], config.draws)
    return Batch(
        x,
        numbers,
        over.log_prob(numbers).sum(1),
        torch.tensor(advantages, dtype=torch.float32, device=device),
        edits,
        values,
    )


def update(
    network: PlanNetwork,
    reference: PlanNetwork | None,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: PPOConfig,
) -> dict[str, float]:
    """Improve a stage's distribution over plans on one batch; return the diagnostics.

    Parameters
    ----------
    reference : PlanNetwork, optional
        Reference of the KL penalty, evaluated in the same situations. None: no penalty.

    Returns
    -------
    dict
        loss, policy_loss, entropy (nats per plan), kl (to the reference, nats per plan), approx_kl
        (to the policy before the update; J. Schulman, "Approximating KL divergence", 2020),
        clip_fraction; means over the passes.
    """
    start = None
    if reference is not None:
        with torch.no_grad():
            start = reference(batch.situations)
    rows = []
    for _ in range(config.epochs):
        row = _losses(network(batch.situations), start, batch, config)
        optimizer.zero_grad()
        row["loss"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.max_grad_norm)
        optimizer.step()
        network.keep_in_bounds()
        rows.append(torch.stack([value.detach() for value in row.values()]))
    return dict(zip(row, torch.stack(rows).mean(0).tolist(), strict=True))


def _losses(
    over: Normal, start: Normal | None, batch: Batch, config: PPOConfig
) -> dict[str, torch.Tensor]:
    log_probs = over.log_prob(batch.numbers).sum(1)
    policy_loss = clipped_loss(log_probs, batch.log_probs, batch.advantages, config.clip).mean()
    kl = torch.zeros((), device=log_probs.device)
    if start is not None:
        kl = kl_divergence(over, start).sum(1).mean()
    log_ratio = (log_probs - batch.log_probs).detach()
    return {
        "loss": policy_loss + config.kl_coef * kl,
        "policy_loss": policy_loss,
        "entropy": over.entropy().sum(1).mean(),
        "kl": kl,
        "approx_kl": (log_ratio.exp() - 1 - log_ratio).mean(),
        "clip_fraction": ((log_ratio.exp() - 1).abs() > config.clip).float().mean(),
    }
