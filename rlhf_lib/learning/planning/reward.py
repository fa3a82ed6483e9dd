"""What edits are worth: any function of edits, with an optional linear part to plan by."""

from collections.abc import Callable

import numpy as np

from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.stretch import describe_edits

Scores = Callable[[list[Edit]], np.ndarray]


class Reward:
    """A reward for edits.

    Parameters
    ----------
    function : callable, optional
        Edits → (n_edits,) scores, higher is better. Only differences between edits of one song
        matter. Without it, the reward is linear: weights times descriptors.
    weights : (N_DESCRIPTORS,) or (M, N_DESCRIPTORS) array, optional
        Linear part, by which plans are made; one row for each of M members of an ensemble, whose
        disagreement is the uncertainty of the reward.

    Raises
    ------
    InputError
        When there is neither a function nor weights, or the weights are not numbers of that shape.
    """

    def __init__(self, function: Scores | None = None, weights: np.ndarray | None = None):
        if function is None and weights is None:
            raise InputError("a reward needs a function of edits, or weights of the descriptors")
        if function is not None and not callable(function):
            raise InputError(
                f"the reward is a {type(function).__name__}; give a function that takes a list of "
                "edits and returns one score for each"
            )
        self.function = function
        self.member_weights = None
        if weights is not None:
            try:
                self.member_weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
            except (TypeError, ValueError) as error:
                raise InputError(f"the weights of the reward are no numbers ({error})") from error
            members, *size = self.member_weights.shape
            if members < 1 or size != [N_DESCRIPTORS]:
                raise InputError(
                    f"the weights have shape {np.shape(weights)}; give {N_DESCRIPTORS}, one for "
                    "each descriptor, or rows of these"
                )
            if not np.isfinite(self.member_weights).all():
                raise InputError("a weight of the reward is not a finite number")

    @classmethod
    def of(cls, reward: "Reward | Scores") -> "Reward":
        """Return a reward as it is, and a function of edits as a reward."""
        return reward if isinstance(reward, Reward) else cls(reward)

    @property
    def linear(self) -> bool:
        """Whether the reward is weights times descriptors and nothing else."""
        return self.function is None

    @property
    def name(self) -> str:
        """What tells this reward from others: its weights, and the name of its function."""
        weights = "" if self.member_weights is None else self.member_weights.tobytes().hex()
        return weights + getattr(self.function, "__qualname__", type(self.function).__name__)

    @property
    def weights(self) -> np.ndarray | None:
        """Mean of the members' weights, (N_DESCRIPTORS,); None without a linear part."""
        return None if self.member_weights is None else self.member_weights.mean(axis=0)

    def members(self, edits: list[Edit]) -> np.ndarray:
        """Return the scores of edits by each member, (n_edits, M); M is 1 for a function.

        Raises
        ------
        InputError
            When the function does not return one finite number for each edit.
        """
        if self.linear:
            return describe_edits(edits) @ self.member_weights.T
        return checked_scores(self.function, edits)[:, None]

    def scores(self, edits: list[Edit]) -> np.ndarray:
        """Return the score of each edit, (n_edits,): the mean of the members."""
        return self.members(edits).mean(axis=1)

    def parts(self, edits: list[Edit]) -> dict[str, np.ndarray]:
        """Return the score of each edit, and what it is made of, for a log."""
        return {"combined": self.scores(edits)}


def checked_scores(function: Scores, edits: list[Edit]) -> np.ndarray:
    """Return ``function(edits)`` as (n_edits,) float64.

    Raises
    ------
    InputError
        When it is something else than one finite number for each edit.
    """
    values = function(edits)
    try:
        scores = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the reward returned a {type(values).__name__} that holds no numbers ({error})"
        ) from error
    if scores.shape != (len(edits),):
        raise InputError(
            f"the reward returned shape {scores.shape} for {len(edits)} edits; it takes a list of "
            "edits and must return one score for each"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise InputError(
            f"the reward of {edits[bad[0]]} is {scores[bad[0]]}; scores must be finite numbers"
        )
    return scores
