"""The objective of a fit: −log of the posterior of one member's parameters.

Likelihood, prior and bounds are independent of each other and of the optimiser. Likelihood and
prior return their value and their gradient. The *parameters* are the weights of the descriptors, in
logits per typical difference, and the mix of the auxiliary scores. Four *shape numbers* are fitted
too: the logarithm of the prior scale, and three of the likelihood.
"""

from dataclasses import dataclass

import numpy as np

from rlhf_lib.editing.descriptors import DIRECTION
from rlhf_lib.learning.reward.likelihood import Likelihood
from rlhf_lib.learning.reward.pair_data import PairData

#: Gaussian priors of the shape numbers: mean and standard deviation. The prior mean comes from a
#: formula, not from people, so its scale in logits is fitted; −1 is a factor of 0.37.
SHAPE_MEAN, SHAPE_SD = np.array([-1.0, 0.0, 0.0, 0.0]), np.array([1.0, 0.5, 0.5, 0.5])
_SHAPE_LOW, _SHAPE_HIGH = np.array([-6.0, -3.0, -3.0, -3.0]), np.array([3.0, 3.0, 3.0, 3.0])


@dataclass(frozen=True)
class Prior:
    """Gaussian prior of the parameters around e^s · mean, where the prior scale e^s is fitted too.

    Attributes
    ----------
    mean, sd : (n_parameters,) float64 arrays
        A parameter whose sd is 0 is not fitted.
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, prior_mean: np.ndarray, n_parameters: int, sd: float, mix_sd: float) -> "Prior":
        """Return the prior of descriptor weights and of a mix around 0.

        Parameters
        ----------
        prior_mean : (N_DESCRIPTORS,) array
            `RewardModel.prior_mean`.
        n_parameters : int
            Descriptor weights and mix together.
        sd, mix_sd : float
            Of each descriptor weight; of the mix as a whole.
        """
        n_mix = n_parameters - len(prior_mean)
        spread = np.full(n_parameters, sd)
        spread[len(prior_mean) :] = mix_sd / np.sqrt(max(n_mix, 1))
        return cls(np.concatenate([prior_mean, np.zeros(n_mix)]), spread)

    @property
    def free(self) -> np.ndarray:
        """Which parameters are fitted, (n_parameters,) bool."""
        return self.sd > 0

    def negative_log(
        self, parameters: np.ndarray, shape: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return −log prior (up to a constant), its gradient by free parameters and by shape.

        Parameters
        ----------
        parameters : (n_free,) array
        shape : (4,) array
        """
        sd, expected = self.sd[self.free], np.exp(shape[0]) * self.mean[self.free]
        move, shape_move = (parameters - expected) / sd, (shape - SHAPE_MEAN) / SHAPE_SD
        pull = move / sd
        by_shape = shape_move / SHAPE_SD
        by_shape[0] -= pull @ expected
        return float((move @ move + shape_move @ shape_move) / 2), pull, by_shape


class NegativeLogPosterior:
    """The objective of one member of the ensemble.

    The optimiser works on one vector: the free parameters, then the four shape numbers.

    Parameters
    ----------
    data : PairData
    member : int
    counts : (n_pairs,) array
        How often each pair counts for this member.
    start : (n_parameters,) array
        Start of the fit; parameters that are not fitted keep these values.
    prior : Prior
    likelihood : Likelihood
    """

    def __init__(
        self,
        data: PairData,
        member: int,
        counts: np.ndarray,
        start: np.ndarray,
        prior: Prior,
        likelihood: Likelihood,
    ):
        self.inputs, self.data = data.inputs[:, member], data
        self.weights, self.start = counts * data.weights, start
        self.prior, self.likelihood, self.free = prior, likelihood, prior.free
        self._free_inputs = self.inputs[:, self.free]

    def parameters(self, values: np.ndarray) -> np.ndarray:
        """Return the whole vector of parameters, (n_parameters,)."""
        parameters = self.start.copy()
        parameters[self.free] = values[: -len(SHAPE_MEAN)]
        return parameters

    def __call__(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and its gradient."""
        shape = values[-len(SHAPE_MEAN) :]
        loss, by_score, by_likelihood_shape = self.likelihood(
            self.inputs @ self.parameters(values), self.data.answers, self.data.strengths, shape[1:]
        )
        penalty, pull, by_shape = self.prior.negative_log(values[: -len(SHAPE_MEAN)], shape)
        by_parameters = (self.weights * by_score) @ self._free_inputs + pull
        by_shape[1:] += self.weights @ by_likelihood_shape
        return float(self.weights @ loss) + penalty, np.concatenate([by_parameters, by_shape])

    def bounds(self) -> np.ndarray:
        """Return the bounds of every value, (n, 2); they fix the signs of costs and merits."""
        direction = np.zeros(len(self.start))
        direction[: len(DIRECTION)] = DIRECTION
        low = np.where(direction > 0, 0.0, -np.inf)[self.free]
        high = np.where(direction < 0, 0.0, np.inf)[self.free]
        return np.stack([np.append(low, _SHAPE_LOW), np.append(high, _SHAPE_HIGH)], axis=1)

    def begin(self) -> np.ndarray:
        """Return the initial values: `start`, clipped to the bounds, and shape numbers 0."""
        low, high = self.bounds()[: -len(SHAPE_MEAN)].T
        return np.append(np.clip(self.start[self.free], low, high), np.zeros(len(SHAPE_MEAN)))
