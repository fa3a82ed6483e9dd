"""Calibration: compare the predicted probabilities of a reward model with the answers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from rlhf_lib.errors import InputError

_Z95 = float(norm.ppf(0.975))


def wilson_interval(share: np.ndarray | float, n: np.ndarray | int) -> tuple:
    """Return the 95 % interval of shares of n independent cases (Wilson, 1927, JASA 22).

    Parameters
    ----------
    share : array or float in 0 … 1
        A tie may count as half a case.
    n : array or int ≥ 1

    Returns
    -------
    low, high : of the shape of `share`
    """
    z2 = _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def calibration_table(
    probability: Sequence[float], outcome: Sequence[float], bins: int = 10
) -> pd.DataFrame:
    """Compare predicted probabilities with outcomes, in bins of equal width.

    Parameters
    ----------
    probability : (n,) floats in 0 … 1
        Predicted P(a preferred).
    outcome : (n,) floats
        1 when a was preferred, 0 when b was, ½ for a tie.
    bins : int
        Number of bins over 0 … 1.

    Returns
    -------
    DataFrame
        One row per bin that is not empty: start, stop, n, predicted and observed (means
        within the bin), low and high (Wilson's 95 % interval of observed).

    Raises
    ------
    InputError
        When there is nothing to compare, the lengths differ, or a value is outside 0 … 1.
    """
    probability = np.asarray(probability, dtype=np.float64)
    outcome = np.asarray(outcome, dtype=np.float64)
    if probability.ndim != 1 or probability.shape != outcome.shape or len(outcome) == 0:
        raise InputError(
            f"probabilities of shape {probability.shape} and outcomes of shape {outcome.shape}; "
            "give one outcome for each probability, at least one"
        )
    for name, values in (("probability", probability), ("outcome", outcome)):
        bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if bad.size:
            raise InputError(f"{name} {values[bad[0]]} at index {bad[0]} is outside 0 … 1")
    if bins < 1:
        raise InputError(f"bins is {bins}; use at least 1")
    which = np.minimum((probability * bins).astype(int), bins - 1)
    cases = pd.DataFrame({"predicted": probability, "observed": outcome})
    table = cases.groupby(which).mean()
    table.insert(0, "n", np.bincount(which)[table.index])
    low, high = wilson_interval(table["observed"], table["n"])
    table = table.assign(low=low, high=high)
    table.insert(0, "start", table.index / bins)
    table.insert(1, "stop", (table.index + 1) / bins)
    return table.reset_index(drop=True)


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error of a `calibration_table` (Naeini et al., 2015).

    The mean distance between predicted and observed, each bin weighted by its cases.
    """
    gaps = (table["predicted"] - table["observed"]).abs()
    return float((gaps * table["n"]).sum() / table["n"].sum())
