"""The objective of a fit: −log of the posterior of the parameters.

Likelihood, prior and bounds are independent of each other and of the optimiser. Likelihood and
prior return their value and their derivatives. The *parameters* are the weights of the descriptors,
in logits per typical difference, and the mix of the auxiliary scores. Four *shape numbers* are
fitted too: the logarithm of the prior scale, and three of the likelihood.
"""

import copy
from dataclasses import dataclass, replace

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
    """Student-t prior of the parameters around e^s · mean, where the prior scale e^s is fitted too.

    A Student-t is a Gaussian whose variance is unknown and has an inverse gamma distribution
    (West, 1987). Here the prior is this Gaussian with the present variances; `reestimated` returns
    it with others.

    Attributes
    ----------
    mean : (n_parameters,) float64 array
    scale, degrees : (n_parameters,) float64 arrays
        Scale and degrees of freedom of the Student-t; infinitely many degrees of freedom give a
        Gaussian. A parameter whose scale is 0 is not fitted.
    sd : (n_parameters,) float64 array
        Present standard deviations; at first the scales.
    """

    mean: np.ndarray
    scale: np.ndarray
    degrees: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(
        cls,
        prior_mean: np.ndarray,
        n_parameters: int,
        scale: float | np.ndarray,
        degrees: float,
        mix_sd: float,
    ) -> "Prior":
        """Return the prior of descriptor weights, and a Gaussian one of a mix around 0.

        Parameters
        ----------
        prior_mean : (N_DESCRIPTORS,) array
            `RewardModel.prior_mean`.
        n_parameters : int
            Descriptor weights and mix together.
        scale : float or (N_DESCRIPTORS,) array
            Of each descriptor weight.
        degrees : float
            Of each descriptor weight.
        mix_sd : float
            Of the mix as a whole.
        """
        n_mix = n_parameters - len(prior_mean)
        spread = np.full(n_parameters, mix_sd / np.sqrt(max(n_mix, 1)))
        spread[: len(prior_mean)] = scale
        freedom = np.full(n_parameters, np.inf)
        freedom[: len(prior_mean)] = degrees
        return cls(np.concatenate([prior_mean, np.zeros(n_mix)]), spread, freedom, spread)

    @property
    def free(self) -> np.ndarray:
        """Which parameters are fitted, (n_parameters,) bool."""
        return self.scale > 0

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

    def hessian(self, parameters: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Return second derivatives by free parameters and prior scale, (n_free + 1, n_free + 1).

        The one by the prior scale is at least its Gauss–Newton part, so that the matrix is positive
        definite.
        """
        sd, expected = self.sd[self.free], np.exp(shape[0]) * self.mean[self.free]
        cross = -expected / sd**2
        bend = (expected / sd) @ (expected / sd) + 1 / SHAPE_SD[0] ** 2
        bend += max(0.0, cross @ (parameters - expected))
        return np.block([[np.diag(sd**-2), cross[:, None]], [cross[None], np.array([[bend]])]])

    def reestimated(
        self, parameters: np.ndarray, shape: np.ndarray, variance: np.ndarray
    ) -> "Prior":
        """Return the prior with the variances that posterior means and variances suggest.

        1 / sd² is the expected precision given them, with ν degrees of freedom:
        (ν + 1) / (ν scale² + (parameter − e^s mean)² + variance).

        Parameters
        ----------
        parameters, variance : (n_free,) arrays
        shape : (4,) array
        """
        free = self.free
        away = (parameters - np.exp(shape[0]) * self.mean[free]) ** 2 + variance
        degrees, sd = self.degrees[free], self.sd.copy()
        sd[free] = np.sqrt((self.scale[free] ** 2 + away / degrees) / (1 + 1 / degrees))
        return replace(self, sd=sd)


class NegativeLogPosterior:
    """The objective, for the mean score of the members.

    The optimiser works on one vector: the free parameters, then the four shape numbers.

    Parameters
    ----------
    data : PairData
    start : (n_parameters,) array
        Start of the fit; parameters that are not fitted keep these values.
    prior : Prior
    likelihood : Likelihood
    """

    def __init__(self, data: PairData, start: np.ndarray, prior: Prior, likelihood: Likelihood):
        self.data, self.start, self.likelihood = data, start, likelihood
        self.prior, self.free = prior, prior.free
        inputs = data.inputs.mean(axis=1)
        self._fixed = inputs[:, ~self.free] @ start[~self.free]
        self._inputs = inputs[:, self.free]

    def under(self, prior: Prior) -> "NegativeLogPosterior":
        """Return the same objective under a prior of other variances."""
        out = copy.copy(self)
        out.prior = prior
        return out

    def __call__(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and its gradient."""
        free, shape = split(values)
        loss, by_score, by_likelihood_shape, _ = self._answers(values)
        penalty, pull, by_shape = self.prior.negative_log(free, shape)
        weights = self.data.weights
        by_parameters = (weights * by_score) @ self._inputs + pull
        by_shape[1:] += weights @ by_likelihood_shape
        return float(weights @ loss) + penalty, np.concatenate([by_parameters, by_shape])

    def hessian(self, values: np.ndarray) -> np.ndarray:
        """Return second derivatives by free parameters and prior scale, (n_free + 1, n_free + 1).

        See `Prior.hessian`.
        """
        bend = self.data.weights * self._answers(values)[3]
        out = self.prior.hessian(*split(values))
        out[:-1, :-1] += self._inputs.T @ (bend[:, None] * self._inputs)
        return out

    def bounds(self) -> np.ndarray:
        """Return the bounds of every value, (n, 2); they fix the signs of costs and merits."""
        direction = np.zeros(len(self.start))
        direction[: len(DIRECTION)] = DIRECTION
        low = np.where(direction > 0, 0.0, -np.inf)[self.free]
        high = np.where(direction < 0, 0.0, np.inf)[self.free]
        return np.stack([np.append(low, _SHAPE_LOW), np.append(high, _SHAPE_HIGH)], axis=1)

    def begin(self) -> np.ndarray:
        """Return the initial values: `start`, clipped to the bounds, and shape numbers 0."""
        values = np.append(self.start[self.free], np.zeros(len(SHAPE_MEAN)))
        return np.clip(values, *self.bounds().T)

    def _answers(self, values: np.ndarray) -> tuple[np.ndarray, ...]:
        free, shape = split(values)
        gap = self._fixed + self._inputs @ free
        return self.likelihood(gap, self.data.answers, self.data.strengths, shape[1:])


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split values of the optimiser into free parameters and the four shape numbers."""
    return values[: -len(SHAPE_MEAN)], values[-len(SHAPE_MEAN) :]
