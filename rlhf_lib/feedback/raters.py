"""Who compares edits: the rater protocol, and simulated raters with a hidden taste."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.measures import MEASURES, measure, weight_vector
from rlhf_lib.music.song import Song

#: Tastes that come with the project: weights over measures. Two sensible edits of the same
#: length differ by about half a unit to one and a half units of utility. `smooth` hates audible
#: seams; `hooks` wants the hooks and tolerates seams; `phrases` wants unbroken phrases from the
#: first bar to the last; `calm` and `arc` mostly weigh what does not add up over joins, so that
#: no planner can follow them exactly.
TASTES: dict[str, dict[str, float]] = {
    "smooth": {"seams": -0.25, "transition": -3.0, "energy": -1.5, "worst_seam": -1.5},
    "hooks": {"hook": 8.0, "oddity": -3.0, "ending": -0.5, "transition": -0.5},
    "phrases": {"phrase": -3.0, "tempo": -1.0, "intro": -2.0, "ending": -1.5, "seams": -0.1},
    "calm": {"close_seams": -1.0, "seams": -0.3, "worst_seam": -2.5, "repeats": -0.5},
    "arc": {"energy_arc": 8.0, "whole_chorus": 2.0, "length": -3.0, "transition": -1.0},
}

#: Utility differences at which a preference becomes moderate (2) and strong (3).
STRENGTH_STEPS = (0.75, 1.75)

#: What a rater says when the chosen edit has less, or more, of a measure.
_REASONS = {
    "seams": ("fewer audible seams", "more cuts"),
    "transition": ("smoother joins", "rougher joins"),
    "energy": ("steadier level across the joins", "bolder level changes"),
    "phrase": ("joins that keep the phrases whole", "joins inside phrases"),
    "tempo": ("steadier tempo across the joins", "looser tempo"),
    "repeats": ("fewer repeats", "more repeats"),
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
}


@dataclass(frozen=True)
class Answer:
    """What a rater answers to "which of these two edits do you prefer?".

    Parameters
    ----------
    preference : "a", "b" or "tie"
    strength : int
        1 slight, 2 moderate, 3 strong; 0 exactly when a tie.
    confidence : float
        From 0 (a guess) to 1 (sure).
    reasoning : str
        Why, in words; may be empty.

    Raises
    ------
    InputError
        When a value is outside its range or the strength contradicts the preference.
    """

    preference: Literal["a", "b", "tie"]
    strength: int
    confidence: float
    reasoning: str = ""

    def __post_init__(self):
        if self.preference not in ("a", "b", "tie"):
            raise InputError(f'preference {self.preference!r} is none of "a", "b" and "tie"')
        if self.strength not in ((0,) if self.preference == "tie" else (1, 2, 3)):
            raise InputError(
                f"strength {self.strength!r} does not go with preference {self.preference!r}; "
                "it is 0 for a tie, else 1 (slight), 2 (moderate) or 3 (strong)"
            )
        if not 0 <= self.confidence <= 1:
            raise InputError(f"confidence {self.confidence!r} is outside 0 … 1")


@runtime_checkable
class Rater(Protocol):
    """Anyone who can compare two edits of a song.

    Attributes
    ----------
    rater_id : str
        The name that annotations carry.
    rater_kind : "human" or "simulated"
    """

    rater_id: str
    rater_kind: Literal["human", "simulated"]

    def compare(self, song: Song, a: Edit, b: Edit) -> Answer:
        """Answer which edit of `song` is better; `a` is the one shown first."""
        ...


@dataclass(frozen=True)
class SimulatedRater:
    """A stand-in for a person: a hidden taste and noisy votes.

    The choice follows Bradley and Terry (1952): the utility difference plus logistic noise of
    scale `noise`, so that P(a over b) = 1 / (1 + exp(−(U(a) − U(b)) / noise)) but for ties.
    The noise depends on the seed, the rater, the song and the two edits alone: answers do not
    change with the order of the tasks, and swapping the sides mirrors the answer.

    Parameters
    ----------
    rater_id : str
    taste : str or mapping
        A name in `TASTES`, or weights over names in `rlhf_lib.music.measures.MEASURES`.
    noise : float
        Scale of the logistic noise in units of utility; 0 votes by taste alone.
    tie_margin : float
        Noisy differences up to this size are a tie.
    seed : int
    side_bias : float
        Added to the difference in favour of the edit shown first.

    Raises
    ------
    InputError
        For an unknown taste or measure, no weight at all, a weight that is not finite, or a
        negative noise or margin.
    """

    rater_id: str
    taste: str | Mapping[str, float]
    noise: float = 0.5
    tie_margin: float = 0.1
    seed: int = 0
    side_bias: float = 0.0
    rater_kind: ClassVar[Literal["simulated"]] = "simulated"

    def __post_init__(self):
        for name in ("noise", "tie_margin"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} of rater {self.rater_id!r} is {value!r}; give 0 or more")
        if not math.isfinite(self.side_bias):
            raise InputError(f"side_bias of rater {self.rater_id!r} is {self.side_bias!r}")
        _ = self.weights  # an unknown taste is told here, not at the first comparison

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights of the hidden taste in the order of `MEASURES`, (n_measures,)."""
        taste = self.taste
        if isinstance(taste, str):
            if taste not in TASTES:
                raise InputError(f"unknown taste {taste!r}; the tastes are {', '.join(TASTES)}")
            taste = TASTES[taste]
        unknown = [name for name in taste if name not in MEASURES]
        if unknown:
            raise InputError(
                f"the taste of rater {self.rater_id!r} weighs the unknown measure {unknown[0]!r}; "
                f"the measures are {', '.join(MEASURES)}"
            )
        weights = weight_vector(dict(taste))
        if not np.isfinite(weights).all() or not weights.any():
            raise InputError(
                f"the taste of rater {self.rater_id!r} is {taste!r}; give finite weights, at "
                "least one of them not 0"
            )
        return weights

    def utility(self, edit: Edit) -> float:
        """Return how much the hidden taste likes an edit, without noise."""
        return float(self.weights @ measure(edit))

    def compare(self, song: Song, a: Edit, b: Edit) -> Answer:
        """Vote on two edits of a song; see the class for the rule."""
        gains = self.weights * (measure(a) - measure(b))
        difference = float(gains.sum()) + self._noise(song, a, b) + self.side_bias
        size = abs(difference)
        # 1 unit apart is felt with 0.88 confidence, 0.42 units with 0.7.
        confidence = round(1 / (1 + math.exp(-2 * min(size, 50.0))), 3)
        if size <= self.tie_margin:
            return Answer("tie", 0, confidence, "simulated: too close to call")
        side = 1 if difference > 0 else -1
        return Answer(
            preference="a" if side > 0 else "b",
            strength=1 + int(np.searchsorted(STRENGTH_STEPS, size)),
            confidence=confidence,
            reasoning=f"simulated: {self._reason(side * gains)}",
        )

    def _noise(self, song: Song, a: Edit, b: Edit) -> float:
        """Return the logistic draw for a over b; for b over a it is the same, negated."""
        key_a, key_b = (edit.actions.tobytes() + repr(edit.target).encode() for edit in (a, b))
        if key_a == key_b:
            return 0.0
        low, high = sorted((key_a, key_b))
        digest = hashlib.sha256(
            b"\0".join([f"{self.seed}/{self.rater_id}/{song.song_id}".encode(), low, high])
        ).digest()
        draw = np.random.default_rng(int.from_bytes(digest[:16], "big")).logistic(0, self.noise)
        return float(draw if key_a == low else -draw)

    def _reason(self, gains: np.ndarray) -> str:
        """Name the measure that spoke most for the chosen edit, given its gains."""
        decisive = int(np.argmax(gains))
        if gains[decisive] <= 0:
            return "a feeling, nothing to point at"
        return _REASONS[MEASURES[decisive]][int(self.weights[decisive] > 0)]
