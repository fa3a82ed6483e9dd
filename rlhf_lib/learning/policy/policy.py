"""The policy: a network on top of a planner.

``logits = (Q − max Q + network(state)) / τ`` where Q are the planner's action values under the
current reward. This is residual policy learning (Silver et al., 2018; Johannink et al., 2019):
the network corrects the plan's values, in units of reward, where the reward is not additive over
joins. Training explores with a high temperature τ; in use τ is low and the policy nearly greedy.
Plans are recomputed whenever the reward changes, so the policy adapts immediately.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import N_ACTIONS, TEMPERATURES, Action, Edit, target_keep_ratio
from rlhf_lib.learning.planning.editing_env import N_SLOTS, EditingEnv
from rlhf_lib.learning.planning.planner import NEVER
from rlhf_lib.learning.planning.search import planned_env
from rlhf_lib.learning.planning.song_tensors import N_CONTEXT, FeatureScale, SongTensors

#: The 875 context numbers would otherwise outweigh the 14 slots, which matter more.
CONTEXT_SCALE = 0.1


#: Keep ratios below 1; at 1.0 there is nothing to decide.
TARGETS = tuple(target_keep_ratio(t) for t in TEMPERATURES)
CUTTING_TARGETS = TARGETS[1:]


@dataclass(frozen=True)
class PolicyConfig:
    """Configuration of a policy.

    Attributes
    ----------
    hidden : int
        Width of the two hidden layers.
    tau : float
        Temperature in reward units: the logits are (planned + network) / tau.
    search : int
        Plans tried for each song and length (`planning.search`); 1: only the plan under the
        additive part of the reward.
    planner, network : bool
        Whether each part is used; one is switched off only to evaluate the other alone.
    """

    hidden: int = 256
    tau: float = 0.03
    search: int = 24
    planner: bool = True
    network: bool = True


class Policy(nn.Module):
    """Chooses one of nine actions per decision and estimates the future reward.

    Parameters
    ----------
    config : PolicyConfig
    weights : (N_DESCRIPTORS,) array
        The linear reward of its plans; part of the policy, so that a checkpoint can edit songs
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
        # One first layer for both heads, in two parts; see `embed`.
        self.context = nn.Linear(N_CONTEXT, 2 * config.hidden)
        self.slots = nn.Linear(N_SLOTS, 2 * config.hidden, bias=False)
        self.actor = self._head(config.hidden, N_ACTIONS)
        self.critic = self._head(config.hidden, 1)
        self._zero_heads()

    @staticmethod
    def _head(hidden: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
        )

    @torch.no_grad()
    def _zero_heads(self) -> None:
        """Set both last layers to zero; without a planner, bias the actor towards KEEP."""
        for head in (self.actor, self.critic):
            head[-1].weight.zero_()
            head[-1].bias.zero_()
        if not self.config.planner:
            self.actor[-1].bias[:] = -3.0 * self.config.tau
            self.actor[-1].bias[Action.KEEP] = 3.0 * self.config.tau
            self.actor[-1].bias[Action.CUT] = 0.0

    @torch.no_grad()
    def follow(self, weights: np.ndarray) -> None:
        """Plan with another linear reward, (N_DESCRIPTORS,).

        Corrections learned under the old reward do not hold for the new one: the network's last
        layers are set to zero, so that the policy starts as its plan.
        """
        weights = torch.as_tensor(weights, dtype=torch.float64, device=self.weights.device)
        if not torch.equal(weights, self.weights):
            self.weights.copy_(weights)
            self._zero_heads()

    @property
    def feature_scale(self) -> FeatureScale:
        """The standardisation the policy was trained with."""
        return FeatureScale(self.feature_mean.cpu().numpy(), self.feature_std.cpu().numpy())

    def config_dict(self) -> dict:
        """Return the configuration as plain values, for a checkpoint."""
        return asdict(self.config)

    def env(self, tensors: SongTensors, song: torch.Tensor, target: torch.Tensor) -> EditingEnv:
        """Return the environment in which this policy edits; see `planned_env`."""
        weights = self.weights.cpu().numpy()
        return planned_env(tensors, weights, song, target, self.config.search)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Return the context's part of the first layer, (..., 2 · hidden).

        It is most of the computation and the same at every visit of a unit, so compute it once
        for each visited unit.
        """
        return self.context(context * CONTEXT_SCALE)

    def forward(
        self,
        embedded: torch.Tensor,
        slots: torch.Tensor,
        action_values: torch.Tensor,
        tau: float | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities (B, 9) and the value of the state (B,).

        Parameters
        ----------
        embedded : (B, 2 · hidden)
            From `embed`.
        slots : (B, 14)
        action_values : (B, 9)
            Planned action values, -inf where an action isn't allowed.
        tau : float, optional
            Instead of the policy's own.
        """
        first = embedded + self.slots(slots)
        actor_input, critic_input = first.chunk(2, dim=-1)
        best = action_values.amax(dim=-1, keepdim=True)
        logits = torch.zeros_like(action_values)
        if self.config.network:
            logits = logits + self.actor(actor_input)
        if self.config.planner:
            logits = logits + (action_values - best).clamp(min=-1e3)
        logits = (logits / (tau or self.config.tau)).where(action_values > NEVER, NEVER)
        value = self.critic(critic_input).squeeze(-1) + best.squeeze(-1)
        return torch.log_softmax(logits, dim=-1), value

    def on(
        self, env: EditingEnv, tau: float | None = None
    ) -> Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return the policy as a function of observations of `env`; contexts are embedded once."""
        context, which = env.tensors.distinct
        embedded, which = self.embed(context), which[env.song]
        return lambda slots, action_values: self(
            embedded[which, env.unit], slots, action_values, tau
        )


def every_target(
    policy: Policy, songs: list[Song], targets: tuple[float, ...] = CUTTING_TARGETS
) -> EditingEnv:
    """Return the policy's environment with one episode for each song and target, song by song."""
    device = policy.weights.device
    song = torch.arange(len(songs), device=device).repeat_interleave(len(targets))
    target = torch.tensor(targets * len(songs), dtype=torch.float64, device=device)
    return policy.env(SongTensors.build(songs, policy.feature_scale, device), song, target)


@torch.no_grad()
def rollout(
    policy: Policy, env: EditingEnv, greedy: bool, generator: torch.Generator | None = None
) -> list[Edit]:
    """Walk every song of `env` from start to end and return the edits.

    Parameters
    ----------
    greedy : bool
        Take the most probable action; otherwise sample with `generator`.
    """
    look = policy.on(env)
    env.walk(lambda slots, action_values: choose(look(slots, action_values)[0], greedy, generator))
    return env.edits()


def choose(
    log_probs: torch.Tensor, greedy: bool, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Pick an action per row of log-probabilities, (B, 9) → (B,)."""
    if greedy:
        return log_probs.argmax(dim=-1)
    return torch.multinomial(log_probs.exp(), 1, generator=generator).squeeze(-1)
