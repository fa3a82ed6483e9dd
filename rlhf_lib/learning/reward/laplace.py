"""The mode of the posterior, and the posterior around it.

Around the mode the posterior is taken for a Gaussian (Laplace's approximation: MacKay, 1992). Its
variances go into the estimate of the sparse prior, and the members of the ensemble are draws of it.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from rlhf_lib.learning.reward.posterior import NegativeLogPosterior, split

#: How often the variances of the prior are estimated before the last fit.
ROUNDS = 4


def sparse(objective: NegativeLogPosterior, epochs: int) -> NegativeLogPosterior:
    """Return the objective with the variances of its prior estimated from the data.

    Expectation maximisation (Dempster et al., 1977), in turns: the mode and the variances around it
    under the present prior; the variances of the prior from these.
    """
    values = objective.begin()
    for _ in range(ROUNDS):
        values = descend(objective, values, epochs)[-1]
        variance = covariance(objective, values).diagonal()
        objective = objective.under(objective.prior.reestimated(*split(values), variance))
    return objective


def descend(objective: NegativeLogPosterior, start: np.ndarray, epochs: int) -> list[np.ndarray]:
    """Return the values after each pass of L-BFGS-B, the start first (Byrd et al., 1995)."""
    path = [start]
    minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=objective.bounds(),
        callback=lambda values: path.append(values.copy()),
        options={"maxiter": epochs},
    )
    return path


def covariance(objective: NegativeLogPosterior, mode: np.ndarray) -> np.ndarray:
    """Return the covariance of the free parameters, (n_free, n_free).

    The prior scale varies too; the shape numbers of the likelihood are held. A parameter at its
    bound is held as well: its rows and columns are 0.

    Parameters
    ----------
    objective : NegativeLogPosterior
    mode : (n_free + 4,) array
        Its minimum.
    """
    hessian = objective.hessian(mode)
    n = len(hessian)
    low, high = objective.bounds()[:n].T
    moves = np.flatnonzero((mode[:n] > low) & (mode[:n] < high))
    out = np.zeros((n, n))
    place = np.ix_(moves, moves)
    out[place] = cho_solve(cho_factor(hessian[place]), np.eye(len(moves)))
    return out[:-1, :-1]


def draws(covariance: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw deviations from a Gaussian; their mean is 0, (count, n).

    Subtracting the mean makes them smaller, which a factor makes good. A single draw is 0.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    out = rng.normal(size=(count, len(covariance))) @ root
    return (out - out.mean(axis=0)) * np.sqrt(count / max(count - 1, 1))


def around(values: np.ndarray, moves: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return `values` + `moves` within bounds, (count, n); their mean is still `values`.

    Where a move of one member would cross a bound, the moves of all members are made smaller by one
    factor.

    Parameters
    ----------
    values : (n,) array
    moves : (count, n) array
        Of mean 0.
    bounds : (n, 2) array
    """
    low, high = bounds.T
    least = 1e-300
    down, up = np.maximum(-moves.min(axis=0), least), np.maximum(moves.max(axis=0), least)
    factor = np.minimum(1.0, np.minimum((values - low) / down, (high - values) / up))
    return np.clip(values + factor * moves, low, high)
