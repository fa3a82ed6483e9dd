"""Active learning: choose the pairs to ask people about."""

from collections.abc import Callable

import numpy as np
from scipy.special import entr, expit

from rlhf_lib.errors import InputError


def disagreement(differences: np.ndarray) -> np.ndarray:
    """Return the standard deviation over the ensemble of P(a preferred), (n_pairs,).

    Query by committee (Seung et al., 1992) on Bradley–Terry probabilities.

    Parameters
    ----------
    differences : (n_pairs, members) array
        Score differences in logits.
    """
    return expit(differences).std(axis=1)


def information(differences: np.ndarray) -> np.ndarray:
    """Return the expected information of an answer about the model, (n_pairs,) nats.

    Mutual information between answer and member: the entropy of the mean prediction less the
    mean entropy of the predictions (BALD: Houlsby et al., 2011). It is 0 for a pair that every
    member predicts at ½, because the edits are equally good.
    """
    p = expit(differences)
    mean = p.mean(axis=1)
    return entr(mean) + entr(1 - mean) - (entr(p) + entr(1 - p)).mean(axis=1)


#: Acquisition rules: how pairs are chosen. Random choice needs no model.
RULES: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
    "disagreement": disagreement,
    "information": information,
    "random": None,
}


def select(
    differences: np.ndarray, n_pairs: int, rule: str, random_share: float, rng: np.random.Generator
) -> np.ndarray:
    """Choose pairs: the best under an acquisition rule, and a random share as unbiased test data.

    Parameters
    ----------
    differences : (n, members) array
        Score differences in logits, see `RewardModel.score_differences`.
    n_pairs : int
    rule : str
        One of `RULES`.
    random_share : float
        0 … 1.

    Returns
    -------
    (n_pairs,) int array
        The chosen places: in decreasing order under the rule, then the random ones.

    Raises
    ------
    InputError
        When `n_pairs` is below 1 or above the number of pairs, the share is outside 0 … 1, or
        the rule is unknown.
    """
    if not 1 <= n_pairs <= len(differences):
        raise InputError(f"cannot choose {n_pairs} of {len(differences)} pairs; ask for fewer")
    if not 0 <= random_share <= 1:
        raise InputError(f"random_share {random_share!r} is outside 0 … 1")
    if rule not in RULES:
        raise InputError(f"unknown rule {rule!r}; choose one of {', '.join(RULES)}")
    acquisition = RULES[rule]
    if acquisition is None:
        return rng.permutation(len(differences))[:n_pairs]
    n_random = round(random_share * n_pairs)
    by_value = np.argsort(-acquisition(differences), kind="stable")
    chosen, rest = by_value[: n_pairs - n_random], by_value[n_pairs - n_random :]
    return np.concatenate([chosen, rng.permutation(rest)[:n_random]])
