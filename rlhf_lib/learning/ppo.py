"""Proximal policy optimisation (Schulman et al., 2017) on the editing environment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rlhf_lib.learning.editing_env import EditingEnv
from rlhf_lib.learning.policy import Policy, choose
from rlhf_lib.music.edit import Edit


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters; the values are the ones that worked (docs/learning.md).

    Attributes
    ----------
    episodes_per_update : int
        Episodes walked side by side before each update.
    gamma, lam : float
        Discount and the λ of generalised advantage estimation.
    clip : float
        How far the probability ratio may move.
    epochs, minibatches : int
        Passes over the batch, parts per pass.
    lr : float
        Adam's learning rate.
    entropy, value : float
        Weights of entropy bonus and value loss.
    kl : float
        Weight of the leash: KL(policy ‖ reference) per decision, in reward units.
    max_norm : float
        Gradient clipping.
    tau : float
        Temperature of the policy while it explores, in reward units (see `Policy`).
    """

    episodes_per_update: int = 50
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    epochs: int = 4
    minibatches: int = 4
    lr: float = 3e-4
    entropy: float = 0.0
    value: float = 0.5
    kl: float = 0.02
    max_norm: float = 0.5
    tau: float = 0.1


@dataclass
class Batch:
    """T decisions of B episodes; `real` marks those before the end of each song."""

    slots: torch.Tensor  # (T, B, 14)
    values: torch.Tensor  # (T, B, 9) planned action values
    actions: torch.Tensor  # (T, B)
    log_p: torch.Tensor  # (T, B)
    judged: torch.Tensor  # (T, B) critic
    rewards: torch.Tensor  # (T, B)
    real: torch.Tensor  # (T, B)
    edits: list[Edit]


def advantages(
    rewards: torch.Tensor, judged: torch.Tensor, real: torch.Tensor, gamma: float, lam: float
) -> torch.Tensor:
    """Return generalised advantage estimates (Schulman et al., 2016), (T, B).

    Parameters
    ----------
    rewards, judged, real : (T, B)
        Reward of each decision, the critic's value before it, and whether it took place.
        Episodes end with their last real decision.
    """
    out = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[0])
    next_value = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_value - judged[t]
        following = (delta + gamma * lam * following).where(real[t], 0.0)
        out[t] = following
        next_value = judged[t].where(real[t], 0.0)
    return out


def clipped_loss(
    log_p: torch.Tensor, old_log_p: torch.Tensor, advantage: torch.Tensor, clip: float
) -> torch.Tensor:
    """Return the clipped surrogate loss of PPO per decision (to be minimised)."""
    ratio = (log_p - old_log_p).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


@torch.no_grad()
def collect(
    policy: Policy,
    env: EditingEnv,
    whole_reward: Callable[[list[Edit]], np.ndarray] | None,
    generator: torch.Generator,
    tau: float | None = None,
) -> Batch:
    """Walk all episodes once, sampling.

    Parameters
    ----------
    whole_reward : callable, optional
        Edits → (B,) reward of whole edits. What the environment has not paid of it step by
        step is paid at the end. None: the environment's pay is all.
    tau : float, optional
        Instead of the policy's own temperature.
    """
    env.reset()
    context, which = env.tensors.distinct
    embedded, which = policy.embed(context), which[env.song]
    kept = {name: [] for name in ("slots", "values", "actions", "log_p", "judged", "rewards")}
    real = []
    while env.unit < env.horizon:
        slots, values = env.observe()
        log_p, judged = policy(embedded[which, env.unit], slots, values, tau)
        action = choose(log_p, greedy=False, generator=generator)
        real.append(env.active)
        reward = env.step(action)
        chosen = log_p.gather(1, action[:, None]).squeeze(1)
        for name, value in zip(kept, (slots, values, action, chosen, judged, reward), strict=True):
            kept[name].append(value)
    batch = {name: torch.stack(rows) for name, rows in kept.items()}
    edits = env.edits()
    if whole_reward is not None:
        whole = torch.as_tensor(whole_reward(edits), dtype=torch.float32, device=env.song.device)
        rest = whole - batch["rewards"].sum(0)
        batch["rewards"][env.n_units - 1, torch.arange(len(edits), device=rest.device)] += rest
    return Batch(**batch, real=torch.stack(real), edits=edits)


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
        Anchor of the leash, judged on the same states. None: no leash.

    Returns
    -------
    dict
        loss, policy_loss, value_loss, entropy, kl (to the reference, nats per decision),
        kl_step (to the policy before the update), clip_fraction, explained_variance.
    """
    advantage = advantages(batch.rewards, batch.judged, batch.real, config.gamma, config.lam)
    returns = advantage + batch.judged
    real = batch.real.flatten().nonzero().squeeze(1)
    steps = len(batch.real)
    context, which = env.tensors.distinct
    context, n_units = context.flatten(0, 1), context.shape[1]
    unit = torch.arange(steps, device=real.device)[:, None]
    visit = (which[env.song] * n_units + unit).flatten()[real]  # a row of `context`
    flat = {
        name: getattr(batch, name).flatten(0, 1)[real]
        for name in ("slots", "values", "actions", "log_p", "judged")
    }
    gain, goal = advantage.flatten()[real], returns.flatten()[real]
    if reference is not None:
        with torch.no_grad():
            anchor, _ = reference(
                reference.embed(context)[visit],
                flat["slots"],
                flat["values"],
                config.tau,
            )
    rows = []
    for _ in range(config.epochs):
        order = torch.randperm(len(real), generator=generator, device=generator.device)
        for part in order.to(real.device).chunk(config.minibatches):
            visited, row = visit[part].unique(return_inverse=True)
            log_p, judged = policy(
                policy.embed(context[visited]).index_select(0, row),
                flat["slots"][part],
                flat["values"][part],
                config.tau,
            )
            chosen = log_p.gather(1, flat["actions"][part, None]).squeeze(1)
            adv = (gain[part] - gain[part].mean()) / (gain[part].std() + 1e-8)
            policy_loss = clipped_loss(chosen, flat["log_p"][part], adv, config.clip).mean()
            value_loss = (judged - goal[part]).square().mean()
            p = log_p.exp()
            entropy = -(p * log_p.where(p > 0, 0.0)).sum(-1).mean()
            kl = torch.zeros((), device=real.device)
            if reference is not None:
                gap = (log_p - anchor[part]).where(p > 0, 0.0)
                kl = (p * gap).sum(-1).mean()
            loss = (
                policy_loss + config.value * value_loss - config.entropy * entropy + config.kl * kl
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), config.max_norm)
            optimizer.step()
            with torch.no_grad():
                moved = chosen - flat["log_p"][part]
                rows.append(
                    torch.stack(
                        [
                            loss,
                            policy_loss,
                            value_loss,
                            entropy,
                            kl,
                            (moved.exp() - 1 - moved).mean(),
                            ((moved.exp() - 1).abs() > config.clip).float().mean(),
                        ]
                    )
                )
    means = torch.stack(rows).mean(0).tolist()
    names = ("loss", "policy_loss", "value_loss", "entropy", "kl", "kl_step", "clip_fraction")
    spread = goal.var()
    explained = 1 - (goal - flat["judged"]).var() / spread if spread > 0 else torch.zeros(())
    return dict(zip(names, means, strict=True)) | {"explained_variance": float(explained)}
