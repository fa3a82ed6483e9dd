"""A stage of a policy: a linear reward, and a distribution over the plans under it."""

from collections.abc import Mapping, Sequence

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_ADDITIVE, N_DESCRIPTORS
from rlhf_lib.editing.whole_edit import EIGHTHS
from rlhf_lib.learning.archive import refuse_other_arrays
from rlhf_lib.learning.planning.plans import PlanWeights
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import CONTENT, own_weights
from rlhf_lib.learning.planning.song_globals import N_GLOBAL, song_globals

#: What a stage's network reads: the song as a whole, and the length. What it changes of a plan.
N_SITUATION, N_PLAN = N_GLOBAL + 1, N_ADDITIVE + EIGHTHS + 2
#: Standard deviation of each plan number at the start, and its bounds.
START_SD, LEAST_LOG_SD, MOST_LOG_SD = 0.5, -2.5, 0.5
#: Bars that are looped or reordered for each unit of their plan number, and at most.
_RARE_SCALE, _MOST_RARE = 2.0, 8


class Stage:
    """A linear reward, and a Gaussian distribution over the plans under it.

    A plan is an exact optimum (`planning.plans`) under changed weights. Its *plan numbers*, (29,),
    are: the logarithm of a factor for each additive weight (for the weights of level and activity
    a shift), a shift of the weight of the level in each eighth, and how many bars are looped and
    reordered. Their mean depends on the song and the length, their standard deviations do not.

    Attributes
    ----------
    weights : (members, N_DESCRIPTORS) float64 array
        The linear reward.
    linear : bool
        False after training on a reward that is not linear: the weights are not the reward then.
    network : dict of float32 arrays
        What training changes: two layers, ``net.0`` and ``net.2``, each with ``weight`` and
        ``bias``, and ``log_sd``. Empty before: the plan under the reward is the mean then.
    """

    def __init__(self, members: int, hidden: int):
        self.weights = np.zeros((members, N_DESCRIPTORS))
        self.linear = True
        self.hidden = hidden
        self.network: dict[str, np.ndarray] = {}

    def start_anew(self) -> None:
        """Centre the distribution on the plan under the reward itself."""
        if self.network:
            for name in ("net.2.weight", "net.2.bias"):
                self.network[name] = np.zeros_like(self.network[name])
            self.network["log_sd"] = np.full(N_PLAN, np.log(START_SD), np.float32)

    def plan_numbers(self, situation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the plan numbers, (N_PLAN,), in a situation, (6,).

        For a situation see `situations`.
        """
        net = self.network
        if not net:
            return np.zeros(N_PLAN), np.full(N_PLAN, START_SD)
        hidden = np.tanh(net["net.0.weight"] @ situation + net["net.0.bias"])
        return net["net.2.weight"] @ hidden + net["net.2.bias"], np.exp(net["log_sd"])

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the arrays of the stage by name, for a checkpoint."""
        return {"weights": self.weights, "linear": np.array(self.linear), **self.network}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the arrays of a checkpoint.

        Raises
        ------
        ValueError
            When they have other names, shapes or types than those of this stage.
        """
        wanted = {"weights": self.weights, "linear": np.array(self.linear)}
        if state.keys() - wanted.keys():
            wanted |= {name: np.empty(size, np.float32) for name, size in self._sizes().items()}
        refuse_other_arrays(wanted, state)
        arrays = {name: value.copy() for name, value in state.items()}
        self.weights, self.linear = arrays.pop("weights"), bool(arrays.pop("linear"))
        self.network = arrays

    def _sizes(self) -> dict[str, tuple[int, ...]]:
        return {
            "net.0.weight": (self.hidden, N_SITUATION),
            "net.0.bias": (self.hidden,),
            "net.2.weight": (N_PLAN, self.hidden),
            "net.2.bias": (N_PLAN,),
            "log_sd": (N_PLAN,),
        }

    @property
    def mean_weights(self) -> np.ndarray:
        """The linear reward, (N_DESCRIPTORS,): the mean of its members."""
        return self.weights.mean(axis=0)

    def reward(self) -> Reward:
        """Return the linear reward of this stage."""
        return Reward(weights=self.weights)

    def plan_weights(self, numbers: np.ndarray) -> PlanWeights:
        """Return the rewards to plan under, from plan numbers (C, N_PLAN)."""
        own = own_weights(self.mean_weights)
        size = np.sqrt(np.mean(own.additive**2))
        factors, shifts, counts = np.split(numbers, [N_ADDITIVE, N_ADDITIVE + EIGHTHS], axis=1)
        additive = own.additive * np.exp(factors)
        additive[:, CONTENT] = own.additive[:, CONTENT] + size * factors[:, CONTENT]
        counts = np.clip(np.floor(_RARE_SCALE * counts), 0, _MOST_RARE).astype(np.int64)
        return PlanWeights(additive, own.eighths + size * shifts, *counts.T)


def situations(songs: Sequence[Song], targets: Sequence[float]) -> np.ndarray:
    """Return what a stage's network reads of songs and keep ratios, (B, 6) float32."""
    rows = [[*song_globals(song), target] for song, target in zip(songs, targets, strict=True)]
    return np.array(rows, dtype=np.float32)
