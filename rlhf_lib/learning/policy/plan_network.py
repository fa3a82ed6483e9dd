"""A stage of a policy as a network that PyTorch trains."""

import numpy as np
import torch
from torch import nn

from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.policy.stage import (
    LEAST_LOG_SD,
    MOST_LOG_SD,
    N_PLAN,
    N_SITUATION,
    START_SD,
    Stage,
)


class PlanNetwork(nn.Module):
    """The distribution of a stage over plans, to be trained; see `Stage`.

    Parameters
    ----------
    stage : Stage
        Its network, if it has one, is copied. `store` copies back.
    """

    def __init__(self, stage: Stage):
        super().__init__()
        self.stage = stage
        self.net = nn.Sequential(
            nn.Linear(N_SITUATION, stage.hidden), nn.Tanh(), nn.Linear(stage.hidden, N_PLAN)
        )
        self.log_sd = nn.Parameter(torch.full((N_PLAN,), float(np.log(START_SD))))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        if stage.network:
            self.read()

    @classmethod
    def of(cls, policy: Policy, seed: int, device: torch.device | str = "cpu") -> "PlanNetwork":
        """Return the network of a policy's last stage, on `device`.

        The first layer of a stage that was not trained is random; it depends on `seed` and on the
        number of stages.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for stage in policy.stages:
                network = cls(stage)
        return network.to(device)

    def forward(self, situation: torch.Tensor) -> torch.distributions.Normal:
        """Return the distribution of the plan numbers, (B, N_PLAN), in situations (B, 6)."""
        return torch.distributions.Normal(self.net(situation), self.log_sd.exp())

    @torch.no_grad()
    def keep_in_bounds(self) -> None:
        """Clip the standard deviations; for use after a step of an optimiser."""
        self.log_sd.clamp_(LEAST_LOG_SD, MOST_LOG_SD)

    def read(self) -> None:
        """Copy the network of the stage into this one."""
        self.load_state_dict({k: torch.from_numpy(v) for k, v in self.stage.network.items()})

    def store(self) -> None:
        """Copy this network into the stage."""
        self.stage.network = {k: v.cpu().numpy().copy() for k, v in self.state_dict().items()}
