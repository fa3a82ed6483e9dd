"""Hidden tastes of simulated raters: weights over measures and qualities."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.qualities import QUALITIES, qualities
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.measures import MEASURES, measure, weight_vector

#: Tastes that come with the project. Two sensible edits of the same song and length differ by
#: about half a unit to one and a half units of utility.
#:
#: Additive over joins, so that a planner can follow them: `smooth` hates audible seams; `hooks`
#: wants the hooks and tolerates seams; `phrases` wants unbroken phrases from the first bar to
#: the last. Not additive: `calm` wants few seams, far apart; `chorus` at least one whole chorus;
#: `arc` a level that builds up; `fresh` nothing again too soon. By the sound alone: `ear`. Beyond
#: cutting: `loops` wants the hook looped a few times, `shuffle` some beats out of order.
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

#: What a rater says when the chosen edit has less, or more, of a measure or quality.
_REASONS = {
    "seams": ("fewer audible seams", "more cuts"),
    "transition": ("smoother joins", "rougher joins"),
    "energy": ("steadier level across the joins", "bolder level changes"),
    "phrase": ("joins that keep the phrases whole", "joins inside phrases"),
    "tempo": ("steadier tempo across the joins", "looser tempo"),
    "loops": ("fewer loops", "more loops"),
    "returns": ("fewer steps back", "more steps back"),
    "looped": ("nothing looped", "something looped"),
    "reordered": ("everything in its place", "beats out of their place"),
    "level": ("softer passages", "louder passages"),
    "activity": ("calmer passages", "busier passages"),
    "seam_rate": ("fewer cuts a minute", "more cuts a minute"),
    "short_pieces": ("longer pieces", "shorter pieces"),
    "again_16": ("less that goes on and on", "more that goes on and on"),
    "again_32": ("less that soon returns", "more that soon returns"),
    "again_64": ("less that returns", "more that returns"),
    "again_long": ("less that returns late", "more that returns late"),
    **{
        f"level_{eighth}": (f"a softer eighth {eighth} of 8", f"a louder eighth {eighth} of 8")
        for eighth in range(1, 9)
    },
    "intro": ("more of the intro", "a shorter intro"),
    "ending": ("more of the ending", "an earlier end"),
    "hook": ("less of the hook", "more of the hook"),
    "oddity": ("fewer odd passages", "more odd passages"),
    "length": ("a shorter edit", "a longer edit"),
    "worst_seam": ("no glaring seam", "a daring seam"),
    "close_seams": ("seams farther apart", "seams closer together"),
    "whole_chorus": ("a broken chorus", "a whole chorus"),
    "energy_arc": ("a new arc of energy", "the song's own arc of energy"),
    "length_error": ("the right length", "an unexpected length"),
    "excess_seams": ("no more cuts than it bears", "plenty of cuts"),
    "crowding": ("cuts with room between them", "cuts close together"),
    "unbroken_chorus": ("no chorus from end to end", "a chorus from end to end"),
    "climax": ("a level that dies down", "a level that builds up"),
    "heard_again": ("less that returns too soon", "more that returns at once"),
    "leaps": ("fewer leaps through the song", "more leaps through the song"),
    "hook_loops": ("no looping of the hook", "the hook looped"),
    "shuffling": ("everything in its order", "a play with the order"),
    "uneven_onsets": ("joins that keep the beat", "joins that trip the beat"),
    "spectral_jumps": ("no change of sound at the joins", "a change of sound at the joins"),
    "loudness_steps": ("no step in loudness", "steps in loudness"),
    "harshest_seam": ("no harsh join", "a harsh join"),
}


@dataclass(frozen=True)
class Taste:
    """Weights over names in `MEASURES` and in `QUALITIES`.

    Raises
    ------
    InputError
        For an unknown name, a weight that is not finite, or no weight but 0.
    """

    by_name: Mapping[str, float]

    def __post_init__(self):
        for name, weight in self.by_name.items():
            if name not in (*MEASURES, *QUALITIES):
                raise InputError(
                    f"a taste weighs the unknown measure {name!r}; the measures are "
                    f"{', '.join(MEASURES)}; the qualities are {', '.join(QUALITIES)}"
                )
            if not np.isfinite(weight):
                raise InputError(f"a taste weighs {name!r} by {weight!r}; give finite weights")
        if not any(self.by_name.values()):
            raise InputError(f"the taste {dict(self.by_name)!r} needs a weight that is not 0")

    @classmethod
    def named(cls, taste: "str | Mapping[str, float]") -> "Taste":
        """Return a taste by its name in `TASTES`, or of weights."""
        if isinstance(taste, str):
            if taste not in TASTES:
                raise InputError(f"unknown taste {taste!r}; the tastes are {', '.join(TASTES)}")
            taste = TASTES[taste]
        return cls(dict(taste))

    @cached_property
    def measured(self) -> np.ndarray:
        """The weights over `MEASURES`, (n_measures,), 0 where it has none."""
        weights = {name: w for name, w in self.by_name.items() if name in MEASURES}
        return weight_vector(weights)

    def parts(self, edit: Edit) -> np.ndarray:
        """Return what each weighed name adds to the utility, in the order of `by_name`."""
        values = {}
        if self.measured.any():
            values = dict(zip(MEASURES, measure(edit), strict=True))
        others = [name for name in self.by_name if name not in MEASURES]
        values |= dict(zip(others, qualities(edit, others), strict=True))
        return np.array([w * values.get(name, 0.0) for name, w in self.by_name.items()])

    def utility(self, edit: Edit) -> float:
        """Return how much the taste likes an edit: the weighted sum."""
        return float(self.parts(edit).sum())

    def reason(self, gains: np.ndarray) -> str:
        """Name what spoke most for the chosen edit, given its `parts` less the other's."""
        decisive = int(np.argmax(gains))
        if gains[decisive] <= 0:
            return "a feeling, nothing to point at"
        name = list(self.by_name)[decisive]
        return _REASONS[name][int(self.by_name[name] > 0)]
