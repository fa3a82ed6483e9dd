"""The protocol of a rater, and the answer that a rater gives."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError


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
    """A person or program that compares two edits of a song.

    Attributes
    ----------
    rater_id : str
        The name in annotations.
    rater_kind : "human" or "simulated"
    """

    rater_id: str
    rater_kind: Literal["human", "simulated"]

    def compare(self, song: Song, a: Edit, b: Edit) -> Answer:
        """Answer which edit of `song` is better; `a` is the one shown first."""
        ...
