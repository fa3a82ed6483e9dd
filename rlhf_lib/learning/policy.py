"""The policy: a network on top of a planner.

``logits = network(state) + (Q − max Q) / τ`` where Q are the planner's action values under the
additive part of the current reward. This is residual policy learning (Silver et al., 2018;
Johannink et al., 2019): where the reward adds up over joins the planner is already right, and
the network learns what it can't see. With τ small the policy is nearly greedy; the planner's
tables are computed anew whenever the reward changes, so the policy follows at once.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from rlhf_lib.learning.editing_env import N_SLOTS, EditingEnv
from rlhf_lib.learning.planner import NEVER
from rlhf_lib.learning.song_tensors import N_CONTEXT, FeatureScale
from rlhf_lib.music.edit import N_ACTIONS, Action, Edit

#: The 875 context numbers would drown the 14 that matter.
CONTEXT_SCALE = 0.1


@dataclass(frozen=True)
class PolicyConfig:
    """What rebuilds a policy.

    Attributes
    ----------
    hidden : int
        Width of the two hidden layers.
    tau : float
        Temperature of the planner's values in the logits, in reward units.
    planner, network : bool
        Whether each part speaks; switched off only to report the other alone.
    """

    hidden: int = 256
    tau: float = 0.03
    planner: bool = True
    network: bool = True


class Policy(nn.Module):
    """Chooses one of nine actions per decision and estimates what is still to come.

    Parameters
    ----------
    config : PolicyConfig
    weights : (len(ADDITIVE),) array
        The additive reward it plans with; part of the policy, so that a checkpoint edits songs
        without any other file.
    scale : FeatureScale
        Standardisation of the beat features.
    """

    def __init__(self, config: PolicyConfig, weights: np.ndarray, scale: FeatureScale):
        super().__init__()
        self.config = config
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64))
        self.register_buffer("feature_mean", torch.tensor(scale.mean))
        self.register_buffer("feature_std", torch.tensor(scale.std))
        # One first layer for both heads: the context part is the same at every visit of a
        # unit, so it is computed once per song and not once per step.
        self.context = nn.Linear(N_CONTEXT, 2 * config.hidden)
        self.slots = nn.Linear(N_SLOTS, 2 * config.hidden, bias=False)
        self.actor = self._head(config.hidden, N_ACTIONS)
        self.critic = self._head(config.hidden, 1)
        if not config.planner:  # without a planner: start by keeping
            with torch.no_grad():
                self.actor[-1].bias[:] = -3.0
                self.actor[-1].bias[Action.KEEP] = 3.0
                self.actor[-1].bias[Action.CUT] = 0.0

    @staticmethod
    def _head(hidden: int, outputs: int) -> nn.Sequential:
        head = nn.Sequential(
            nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
        )
        nn.init.zeros_(head[-1].weight)
        nn.init.zeros_(head[-1].bias)
        return head

    @property
    def feature_scale(self) -> FeatureScale:
        """The standardisation the policy was trained with."""
        return FeatureScale(self.feature_mean.cpu().numpy(), self.feature_std.cpu().numpy())

    def config_dict(self) -> dict:
        """Return the configuration as plain values, for a checkpoint."""
        return asdict(self.config)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Return the context's part of the first layer, (..., 2 · hidden)."""
        return self.context(context * CONTEXT_SCALE)

    def forward(
        self, embedded: torch.Tensor, slots: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities (B, 9) and the expected reward to come (B,).

        Parameters
        ----------
        embedded : (B, 2 · hidden)
            From `embed`.
        slots : (B, 14)
        values : (B, 9)
            Planned action values, -inf where an action isn't allowed.
        """
        first = embedded + self.slots(slots)
        acting, judging = first.chunk(2, dim=-1)
        best = values.amax(dim=-1, keepdim=True)
        logits = torch.zeros_like(values)
        if self.config.network:
            logits = logits + self.actor(acting)
        if self.config.planner:
            logits = logits + (values - best).clamp(min=-1e3) / self.config.tau
        logits = logits.where(values > NEVER, NEVER)
        value = self.critic(judging).squeeze(-1) + best.squeeze(-1)
        return torch.log_softmax(logits, dim=-1), value


@torch.no_grad()
def rollout(
    policy: Policy, env: EditingEnv, greedy: bool, generator: torch.Generator | None = None
) -> list[Edit]:
    """Walk every song of `env` from start to end and return the edits.

    Parameters
    ----------
    greedy : bool
        Take the likeliest action; else sample with `generator`.
    """
    env.reset()
    embedded = policy.embed(env.tensors.context)
    while env.unit < env.horizon:
        slots, values = env.observe()
        log_p, _ = policy(embedded[env.song, env.unit], slots, values)
        env.step(choose(log_p, greedy, generator))
    return env.edits()


def choose(
    log_p: torch.Tensor, greedy: bool, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Pick an action per row of log-probabilities, (B, 9) → (B,)."""
    if greedy:
        return log_p.argmax(dim=-1)
    return torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(-1)
