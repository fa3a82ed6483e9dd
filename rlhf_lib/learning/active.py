"""Which pairs to ask people about: those the models disagree on."""

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward_model import RewardModel
from rlhf_lib.music.edit import Edit


def disagreement(model: RewardModel, pairs: list[tuple[Edit, Edit]]) -> np.ndarray:
    """Return the standard deviation over the ensemble of P(a preferred), (n_pairs,).

    Query by committee (Seung et al., 1992) on Bradley–Terry probabilities.
    """
    linear, transformer = model.score_parts([edit for pair in pairs for edit in pair])
    scores = linear + transformer
    gap = scores[0::2] - scores[1::2]
    return (1 / (1 + np.exp(-gap))).std(axis=1)


def select(
    uncertainty: np.ndarray, n_pairs: int, random_share: float, rng: np.random.Generator
) -> np.ndarray:
    """Choose pairs: the most uncertain ones, and a random share as a fair test stream.

    Returns
    -------
    (n_pairs,) int array
        The chosen places, the most uncertain first, the random ones last.

    Raises
    ------
    InputError
        When there are fewer pairs than asked for, or the share is outside 0 … 1.
    """
    if not 1 <= n_pairs <= len(uncertainty):
        raise InputError(f"cannot choose {n_pairs} of {len(uncertainty)} pairs; ask for fewer")
    if not 0 <= random_share <= 1:
        raise InputError(f"random_share {random_share!r} is outside 0 … 1")
    n_random = round(random_share * n_pairs)
    by_doubt = np.argsort(-uncertainty, kind="stable")
    chosen = by_doubt[: n_pairs - n_random]
    rest = by_doubt[n_pairs - n_random :]
    return np.concatenate([chosen, rng.permutation(rest)[:n_random]])
