"""Proximal policy optimisation (Schulman et al., 2017) on the editing environment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.policy.policy import Policy, choose


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters; the defaults are the values that worked best (docs/learning.md).

    Attributes
    ----------
    episodes_per_update : int
        Episodes walked in parallel before each update.
    gamma, gae_lambda : float
        Discount and the λ of generalised advantage estimation.
    clip : float
        Largest change of the probability ratio.
    epochs, minibatches : int
        Passes over the batch; minibatches per pass.
    lr : float
        Adam's learning rate.
    entropy_coef, value_coef : float
        Weights of entropy bonus and value loss.
    kl_coef : float
        Weight of the KL penalty: KL(policy ‖ reference) per decision, in reward units.
    max_grad_norm : float
        Gradient clipping.
    tau : float
        Temperature of the policy during exploration, in reward units (see `PolicyConfig`).
    """

    episodes_per_update: int = 50
    gamma: float = 1.0
    gae_lambda: float = 0.95
    clip: float = 0.2
    epochs: int = 4
    minibatches: int = 4
    lr: float = 3e-4
    entropy_coef: float = 0.0
    value_coef: float = 0.5
    kl_coef: float = 0.02
    max_grad_norm: float = 0.5
    tau: float = 0.1


@dataclass
class Batch:
    """T decisions of B episodes; `mask` is True before the end of each song."""

    slots: torch.Tensor  # (T, B, 14)
    action_values: torch.Tensor  # (T, B, 9), planned
    actions: torch.Tensor  # (T, B)
    log_probs: torch.Tensor  # (T, B)
    values: torch.Tensor  # (T, B), of the critic
    rewards: torch.Tensor  # (T, B)
    mask: torch.Tensor  # (T, B)
    edits: list[Edit]


def generalised_advantages(
    rewards: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    gamma: float,
    gae_lambda: float,
) -> torch.Tensor:
    """Return generalised advantage estimates (Schulman et al., 2016), (T, B).

    Parameters
    ----------
    rewards, values, mask : (T, B)
        Reward of each decision, the critic's value before it, and whether it took place.
        An episode ends with its last decision that took place.
    """
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[0])
    next_value = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_value - values[t]
        following = (delta + gamma * gae_lambda * following).where(mask[t], 0.0)
        advantages[t] = following
        next_value = values[t].where(mask[t], 0.0)
    return advantages


def clipped_loss(
    log_probs: torch.Tensor, old_log_probs: torch.Tensor, advantages: torch.Tensor, clip: float
) -> torch.Tensor:
    """Return the clipped surrogate loss of PPO per decision (to be minimised)."""
    ratio = (log_probs - old_log_probs).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


@torch.no_grad()
def collect(
    policy: Policy,
    env: EditingEnv,
    whole_reward: Callable[[list[Edit]], np.ndarray] | None,
    generator: torch.Generator,
    tau: float | None = None,
) -> Batch:
    """Walk all episodes once with sampled actions.

    Parameters
    ----------
    whole_reward : callable, optional
        Edits → (B,) reward of whole edits. The last decision is given the rest of it, so that the
        rewards of an episode add up to it. None: only the rewards of the environment.
    tau : float, optional
        Instead of the policy's own temperature.
    """
    look, rows = policy.on(env, tau), []

    def decide(slots: torch.Tensor, action_values: torch.Tensor) -> torch.Tensor:
        log_probs, values = look(slots, action_values)
        actions = choose(log_probs, greedy=False, generator=generator)
        chosen = log_probs.gather(1, actions[:, None]).squeeze(1)
        rows.append((slots, action_values, actions, chosen, values, env.active))
        return actions

    rewards = env.walk(decide)
    edits = env.edits()
    if whole_reward is not None:
        whole = torch.as_tensor(whole_reward(edits), dtype=torch.float32, device=env.song.device)
        rest = whole - rewards.sum(0)
        rewards[env.n_units - 1, torch.arange(len(edits), device=rest.device)] += rest
    slots, action_values, actions, log_probs, values, mask = map(
        torch.stack, zip(*rows, strict=True)
    )
    return Batch(slots, action_values, actions, log_probs, values, rewards, mask, edits)


@dataclass
class _Decisions:
    """The N decisions of a batch that took place, one per row."""

    context: torch.Tensor  # (units of all songs, 875)
    visit: torch.Tensor  # (N,), a row of `context`
    slots: torch.Tensor
    action_values: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor

    @classmethod
    def of(cls, batch: Batch, env: EditingEnv, config: PPOConfig) -> "_Decisions":
        advantages = generalised_advantages(
            batch.rewards, batch.values, batch.mask, config.gamma, config.gae_lambda
        )
        took_place = batch.mask.flatten().nonzero().squeeze(1)
        context, which = env.tensors.distinct
        unit = torch.arange(len(batch.mask), device=took_place.device)[:, None]
        visit = which[env.song] * context.shape[1] + unit
        columns = (
            visit,
            batch.slots,
            batch.action_values,
            batch.actions,
            batch.log_probs,
            batch.values,
            advantages,
            advantages + batch.values,
        )
        return cls(context.flatten(0, 1), *(one.flatten(0, 1)[took_place] for one in columns))

    def __len__(self) -> int:
        return len(self.visit)


def update(
    policy: Policy,
    reference: Policy | None,
    optimizer: torch.optim.Optimizer,
    env: EditingEnv,
    batch: Batch,
    config: PPOConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """Improve the policy on one batch; return the diagnostics.

    Parameters
    ----------
    reference : Policy, optional
        Reference of the KL penalty, evaluated on the same states. None: no penalty.

    Returns
    -------
    dict
        loss, policy_loss, value_loss, entropy, kl (to the reference, nats per decision),
        approx_kl (to the policy before the update; J. Schulman, "Approximating KL divergence",
        2020), clip_fraction, explained_variance.
    """
    decisions = _Decisions.of(batch, env, config)
    reference_log_probs = None
    if reference is not None:
        with torch.no_grad():
            reference_log_probs, _ = reference(
                reference.embed(decisions.context)[decisions.visit],
                decisions.slots,
                decisions.action_values,
                config.tau,
            )
    rows = []
    for _ in range(config.epochs):
        order = torch.randperm(len(decisions), generator=generator, device=generator.device)
        for part in order.to(decisions.visit.device).chunk(config.minibatches):
            row = _losses(policy, reference_log_probs, decisions, part, config)
            optimizer.zero_grad()
            row["loss"].backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm)
            optimizer.step()
            rows.append({name: value.detach() for name, value in row.items()})
    means = torch.stack([torch.stack(list(row.values())) for row in rows]).mean(0).tolist()
    diagnostics = dict(zip(rows[0], means, strict=True))
    return diagnostics | {"explained_variance": _explained_variance(decisions)}


def _losses(
    policy: Policy,
    reference_log_probs: torch.Tensor | None,
    decisions: _Decisions,
    part: torch.Tensor,
    config: PPOConfig,
) -> dict[str, torch.Tensor]:
    """Return the loss of a minibatch, its terms, and how far the policy moved."""
    visited, row = decisions.visit[part].unique(return_inverse=True)
    log_probs, values = policy(
        policy.embed(decisions.context[visited]).index_select(0, row),
        decisions.slots[part],
        decisions.action_values[part],
        config.tau,
    )
    chosen = log_probs.gather(1, decisions.actions[part, None]).squeeze(1)
    advantages = decisions.advantages[part]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    old = decisions.log_probs[part]
    policy_loss = clipped_loss(chosen, old, advantages, config.clip).mean()
    value_loss = (values - decisions.returns[part]).square().mean()
    p = log_probs.exp()
    entropy = -(p * log_probs.where(p > 0, 0.0)).sum(-1).mean()
    kl = torch.zeros((), device=p.device)
    if reference_log_probs is not None:
        kl = (p * (log_probs - reference_log_probs[part]).where(p > 0, 0.0)).sum(-1).mean()
    loss = (
        policy_loss
        + config.value_coef * value_loss
        - config.entropy_coef * entropy
        + config.kl_coef * kl
    )
    log_ratio = (chosen - old).detach()
    return {
        "loss": loss,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": kl,
        "approx_kl": (log_ratio.exp() - 1 - log_ratio).mean(),
        "clip_fraction": ((log_ratio.exp() - 1).abs() > config.clip).float().mean(),
    }


def _explained_variance(decisions: _Decisions) -> float:
    """Return the share of the variance of the returns that the critic explains."""
    spread = decisions.returns.var()
    if not spread > 0:
        return 0.0
    return float(1 - (decisions.returns - decisions.values).var() / spread)
