"""How answers depend on score differences: the loss of one answer, and its derivatives.

Every function takes score differences (a − b, in logits), answers (1, ½, 0: a, tie, b, or a
mean of several), strengths (0 … 3) and three shape numbers, and returns the loss of each answer
in nats, its derivative by the difference and by the three numbers, and its second derivative by
the difference. The second derivative is never negative.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit

#: Upper limits of a tie, a slight and a moderate preference, in logits, before there is feedback.
#: The three shape numbers are added to the logarithms of the gaps between them.
THRESHOLDS = np.array([0.25, 1.5, 3.5])
_GAPS = np.diff(THRESHOLDS, prepend=0.0)
#: By the strength of an answer (0 is a tie): its weight, and the difference in logits that it
#: indicates.
STRENGTH_WEIGHTS = np.array([1.0, 0.5, 1.0, 1.5])
STRENGTH_MARGINS = np.array([0.0, 0.75, 2.25, 4.0])

Likelihood = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
]


def plain(gap, answer, strength, shape):
    """Bradley and Terry (1952); a tie counts half for each side, strength is ignored."""
    return _shapeless(np.logaddexp(0, gap) - answer * gap, expit(gap) - answer, _bell(gap))


def weighted(gap, answer, strength, shape):
    """Bradley and Terry, with each answer weighted by its strength."""
    loss, slope, none, bend = plain(gap, answer, strength, shape)
    weight = STRENGTH_WEIGHTS[strength]
    return loss * weight, slope * weight, none, bend * weight


def margin(gap, answer, strength, shape):
    """Bradley and Terry with strength as a margin that the difference has to pass.

    As in Touvron et al. (2023); the margin is half of the difference that the strength indicates.
    """
    shift = (2 * answer - 1) * STRENGTH_MARGINS[strength] / 2
    return plain(gap - shift, answer, strength, shape)


def squared(gap, answer, strength, shape):
    """Least squares on the signed strength, in logits."""
    distance = gap - (2 * answer - 1) * STRENGTH_MARGINS[np.where(answer == 0.5, 0, strength)]
    return _shapeless(distance**2 / 4, distance / 2, np.full(len(distance), 0.5))


def ordinal(gap, answer, strength, shape):
    """The seven answers as steps of one scale with logistic noise (Agresti, 1992).

    An answer means that the noisy difference lies between two thresholds, symmetric about 0. This
    extends Bradley and Terry's model to ties and strengths. An answer without strength means only
    that the difference is above the threshold of a tie on its side; a mean of several answers is
    treated as in Bradley and Terry's model.
    """
    steps = _GAPS * np.exp(shape)
    bounds = np.concatenate([[0.0], np.cumsum(steps), [np.inf]])
    side = np.where(answer < 0.5, -1.0, 1.0)
    tie, mixed = answer == 0.5, ~np.isin(answer, (0.0, 0.5, 1.0))
    level = np.where(tie, 0, np.where(strength == 0, 1, strength))
    low = np.where(tie, -bounds[1], bounds[level])
    top = np.where(tie, 1, np.where(strength == 0, 4, level + 1))
    high = bounds[top]
    width, above, below = high - low, high - gap * side, low - gap * side
    # P = σ(above) − σ(below) as a product, which is precise even for very small P.
    loss = -(log_expit(above) + log_expit(-below) + np.log(-np.expm1(-width)))
    slope = side * (expit(-above) - expit(below))
    bend = _bell(above) + _bell(below)
    by_high = -(expit(-above) + 1 / np.expm1(width))
    by_low = expit(below) + 1 / np.expm1(width)
    by_bound = np.zeros((len(gap), 5))
    rows = np.arange(len(gap))
    by_bound[rows, top] += by_high
    by_bound[rows[~tie], level[~tie]] += by_low[~tie]
    by_bound[rows[tie], 1] -= by_low[tie]
    moves = np.tril(np.ones((3, 3))) * steps  # threshold k by shape number j
    by_shape = by_bound[:, 1:4] @ moves
    if mixed.any():
        as_plain = plain(gap, answer, strength, shape)
        loss[mixed], slope[mixed], by_shape[mixed], bend[mixed] = (x[mixed] for x in as_plain)
    return loss, slope, by_shape, bend


#: The seven answers: name, (answer, strength).
SEVEN_ANSWERS = {
    "b strongly": (0.0, 3),
    "b": (0.0, 2),
    "b slightly": (0.0, 1),
    "tie": (0.5, 0),
    "a slightly": (1.0, 1),
    "a": (1.0, 2),
    "a strongly": (1.0, 3),
}


def seven_answers(gap: float) -> pd.DataFrame:
    """Return what `ordinal` expects of the seven answers, before there is feedback.

    Parameters
    ----------
    gap : float
        Score of a less score of b, in logits.

    Returns
    -------
    DataFrame
        One row per answer, from "b strongly" to "a strongly": P (its probability), loss (nats) and
        slope (derivative of the loss by the difference).
    """
    answers, strengths = map(np.array, zip(*SEVEN_ANSWERS.values(), strict=True))
    gaps, start = np.full(len(answers), float(gap)), np.zeros(len(_GAPS))
    loss, slope, *_ = ordinal(gaps, answers, strengths, start)
    return pd.DataFrame({"P": np.exp(-loss), "loss": loss, "slope": slope}, list(SEVEN_ANSWERS))


def _bell(x: np.ndarray) -> np.ndarray:
    """Return the density of the logistic distribution, σ(x) σ(−x)."""
    return expit(x) * expit(-x)


def _shapeless(loss: np.ndarray, slope: np.ndarray, bend: np.ndarray):
    return loss, slope, np.zeros((len(loss), 3)), bend


LIKELIHOODS: dict[str, Likelihood] = {
    each.__name__: each for each in (plain, weighted, margin, squared, ordinal)
}
