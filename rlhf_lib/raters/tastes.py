"""Hidden tastes of simulated raters: weights over descriptors and hidden criteria."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlhf_lib.editing.descriptors import (
    DESCRIPTOR_NAMES,
    DESCRIPTOR_TABLE,
    describe,
    weight_vector,
)
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.raters.criteria import CRITERIA, criteria

#: Tastes that come with the project. Two sensible edits of the same song and length differ by
#: about half a unit to one and a half units of utility.
#:
#: Additive over joins, so that a planner can optimise them: `smooth` penalises audible seams;
#: `hooks` rewards the hooks and tolerates seams; `phrases` rewards unbroken phrases from the first
#: bar to the last. Not additive: `calm` rewards few seams, far apart; `chorus` at least one whole
#: chorus (the descriptor `whole_chorus`, clipped: this taste depends on descriptors only); `arc` a
#: level that builds up; `fresh` no repeats too soon. From the sound alone: `ear`. Beyond cutting:
#: `loops` rewards a hook that is looped a few times, `shuffle` some beats out of order.
TASTES: dict[str, dict[str, float]] = {
    "smooth": {"seams": -0.25, "transition": -3.0, "energy": -1.5, "worst_seam": -1.5},
    "hooks": {"hook": 8.0, "oddity": -3.0, "ending": -0.5, "transition": -0.5},
    "phrases": {"phrase": -3.0, "tempo": -1.0, "intro": -2.0, "ending": -1.5, "seams": -0.1},
    "calm": {"excess_seams": -0.8, "crowding": -3.0, "worst_seam": -1.0},
    "chorus": {"unbroken_chorus": 4.0, "transition": -3.0, "seams": -0.1},
    "arc": {"climax": 3.0, "transition": -1.0},
    "fresh": {"heard_again": -25.0, "transition": -1.0},
    "ear": {"uneven_onsets": -5.0, "spectral_jumps": -3.0, "loudness_steps": -1.0},
    "loops": {"hook_loops": 3.0, "leaps": -0.5, "seams": -0.1, "transition": -0.5},
    "shuffle": {"shuffling": 3.0, "transition": -1.0, "hook": 4.0},
}

#: Name → reasons of a rater who prefers an edit with less, and with more, of it.
_WORDS = {one.name: (one.less, one.more) for one in DESCRIPTOR_TABLE} | {
    name: (one.less, one.more) for name, one in CRITERIA.items()
}


class SumOfParts:
    """What tastes share: a utility that is a sum of parts, each with a reason in words."""

    def parts(self, edit: Edit) -> np.ndarray:
        """Return what each part adds to the utility, (n_parts,)."""
        raise NotImplementedError

    def words(self, part: int) -> str:
        """Return the reason of a rater for whom this part decides."""
        raise NotImplementedError

    def utility(self, edit: Edit) -> float:
        """Return the utility of an edit: the sum of its parts."""
        return float(self.parts(edit).sum())

    def reason(self, gains: np.ndarray) -> str:
        """Return the main reason for the chosen edit, given its `parts` less the other's."""
        decisive = int(np.argmax(gains))
        return self.words(decisive) if gains[decisive] > 0 else "a feeling, nothing to point at"


@dataclass(frozen=True)
class Taste(SumOfParts):
    """Weights over names of descriptors and of criteria.

    Raises
    ------
    InputError
        For an unknown name, a weight that is not finite, or only weights of 0.
    """

    by_name: Mapping[str, float]

    def __post_init__(self):
        for name, weight in self.by_name.items():
            if name not in (*DESCRIPTOR_NAMES, *CRITERIA):
                raise InputError(
                    f"a taste weighs the unknown name {name!r}; the descriptors are "
                    f"{', '.join(DESCRIPTOR_NAMES)}; the criteria are {', '.join(CRITERIA)}"
                )
            if not np.isfinite(weight):
                raise InputError(f"a taste weighs {name!r} by {weight!r}; give finite weights")
        if not any(self.by_name.values()):
            raise InputError(f"the taste {dict(self.by_name)!r} needs a weight that is not 0")

    @cached_property
    def descriptor_weights(self) -> np.ndarray:
        """The weights over the descriptors, (N_DESCRIPTORS,), 0 where it has none."""
        weights = {name: w for name, w in self.by_name.items() if name in DESCRIPTOR_NAMES}
        return weight_vector(weights)

    @cached_property
    def criteria(self) -> tuple[list[str], np.ndarray]:
        """The names that are no descriptors, and their weights."""
        names = [name for name in self.by_name if name not in DESCRIPTOR_NAMES]
        return names, np.array([self.by_name[name] for name in names])

    def parts(self, edit: Edit) -> np.ndarray:
        """Return what each weighted name adds to the utility, in the order of `by_name`."""
        values = {}
        if self.descriptor_weights.any():
            values = dict(zip(DESCRIPTOR_NAMES, describe(edit), strict=True))
        others, _ = self.criteria
        values |= dict(zip(others, criteria(edit, others), strict=True))
        return np.array([w * values.get(name, 0.0) for name, w in self.by_name.items()])

    def words(self, part: int) -> str:
        """Return the reason of a rater for whom the name at this place decides."""
        name = list(self.by_name)[part]
        return _WORDS[name][int(self.by_name[name] > 0)]
