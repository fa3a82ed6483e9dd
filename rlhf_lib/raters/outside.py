"""Raters from outside: tastes for recorded songs that read none of the descriptors.

A taste of `rlhf_lib.raters.tastes` weighs descriptors and hidden criteria that were written with
them. These four were written apart: one knows the true sung lines, three read nothing but the
sound of the edit and of the original, each by a transform of its own. Each module says which
descriptor or criterion looks like it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.editing.edit import Edit
from rlhf_lib.raters.breaks import breaks
from rlhf_lib.raters.lyrics import line_faults, sung_file
from rlhf_lib.raters.memory import missing
from rlhf_lib.raters.pulse import trips
from rlhf_lib.raters.tastes import SumOfParts


@dataclass(frozen=True)
class OutsideTaste(SumOfParts):
    """A taste that minds faults of an edit, computed apart from the descriptors.

    Attributes
    ----------
    faults : callable
        Edit → (n_faults,) array, 0 for none.
    weights : tuple of float
        Cost of one unit of each fault.
    reasons : tuple of str
        Reason of a rater who prefers an edit with less of each fault.
    """

    faults: Callable[[Edit], np.ndarray]
    weights: tuple[float, ...]
    reasons: tuple[str, ...]

    @property
    def descriptor_weights(self) -> np.ndarray:
        """All 0, (N_DESCRIPTORS,): the taste reads no descriptor."""
        return np.zeros(N_DESCRIPTORS)

    def parts(self, edit: Edit) -> np.ndarray:
        """Return what each fault adds to the utility, (n_faults,), 0 or less."""
        return -np.array(self.weights) * np.atleast_1d(self.faults(edit))

    def words(self, part: int) -> str:
        """Return the reason of a rater who minds this fault most."""
        return self.reasons[part]


#: Name → taste. By the weights, two candidates of one length of v14 typically differ by half a unit
#: to one and a half, as under the tastes of `rlhf_lib.raters.tastes` (14 recorded songs).
OUTSIDE_TASTES: dict[str, OutsideTaste] = {
    "lyrics": OutsideTaste(
        line_faults,
        (1.0, 1.0, 1.0),
        ("lines that are not cut", "a start and an end between lines", "more of the words"),
    ),
    "breaks": OutsideTaste(
        breaks,
        (2.0, 2.0),
        ("joins that sound like the song", "passages that sound like the song"),
    ),
    "pulse": OutsideTaste(trips, (4.0,), ("a pulse that goes on",)),
    "memory": OutsideTaste(
        missing,
        (1.0, 1.0, 1.0, 1.0, 2.0),
        (
            "it begins like the song",
            "the beginning is there",
            "it ends like the song",
            "the ending is there",
            "the best-known passage is there",
        ),
    ),
}


def judges(name: str, song: Song) -> bool:
    """Return whether a taste of this table can judge edits of a song.

    All but `lyrics` can; `lyrics` needs the song's file of sung lines.
    """
    return name != "lyrics" or sung_file(song).is_file()
