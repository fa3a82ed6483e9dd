"""Bars: which beats begin one, and the place of every beat in its bar and in its phrase."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlhf_lib.errors import InputError

#: Most beats of a bar.
LONGEST_BAR = 12
#: Bars of a phrase.
PHRASE_BARS = 4
#: From `_MANY_BEATS` on a policy decides at bar lines only; below `_FEW_BEATS` at every beat.
#: Coarser steps on shorter songs would miss the target keep ratio by more than 0.03.
_MANY_BEATS, _FEW_BEATS = 100, 50
#: A longer step between decisions, as a share of the song, would miss it too.
_LONGEST_STEP = 0.06


@dataclass(frozen=True, eq=False)
class Bars:
    """The bars of a song.

    A bar has 1 to 12 beats, of any number that may change from bar to bar; one of a single beat
    is an exception (a beat that was inserted), never the usual bar. Beats before the first
    downbeat are the end of an incomplete bar, the pick-up, which counts as long as the next bar,
    or longer if it must. The last bar is taken as complete if another one has as many beats, else
    it counts as long as the one before, or longer if it must.

    Parameters
    ----------
    downbeats : (n_bars,) int array
        The beats that begin a bar, strictly rising.
    n_beats : int
        Number of beats of the song.
    section_starts : sequence of int
        Beats at which given sections begin: downbeats, or 0. Phrases start anew there.

    Raises
    ------
    InputError
        When the downbeats are not such beats.
    """

    downbeats: np.ndarray
    n_beats: int
    section_starts: Sequence[int] = ()

    def __post_init__(self):
        downbeats = np.asarray(self.downbeats)
        if downbeats.ndim != 1 or not len(downbeats) or downbeats.dtype.kind not in "iu":
            raise InputError("downbeats must be numbers of beats, at least one")
        downbeats = downbeats.astype(np.int64)
        first, last = int(downbeats[0]), int(downbeats[-1])
        if not (first >= 0 and last < self.n_beats and np.all(np.diff(downbeats) > 0)):
            raise InputError(
                f"downbeats {first} … {last} of {self.n_beats} beats; expected rising numbers of "
                f"beats from 0 to {self.n_beats - 1}"
            )
        lengths = [first + 1, *np.diff(downbeats), self.n_beats - last]
        if max(lengths) > LONGEST_BAR:
            raise InputError(
                f"a bar of {max(lengths)} beats; give bars of at most {LONGEST_BAR}, and a pick-up "
                "that is shorter"
            )
        if not {*self.section_starts} <= {0, *downbeats.tolist()}:
            raise InputError(
                f"sections begin at beats {list(self.section_starts)}; begin them at bar lines"
            )
        object.__setattr__(self, "downbeats", frozen(downbeats))
        if self.usual == 1:
            raise InputError("most bars have one beat; count the beats of the bars: 1, 2, 3 …")

    @cached_property
    def usual(self) -> int:
        """The usual number of beats of a bar: the most frequent one, the largest of several."""
        often = np.bincount(self._lengths[:-1] if len(self._lengths) > 1 else self._lengths)
        return int(np.flatnonzero(often == often.max())[-1])

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Beats of each bar; an incomplete last one counts as long as the one before."""
        lengths = np.diff(self.downbeats, append=self.n_beats)
        if lengths[-1] not in lengths[:-1]:
            lengths[-1] = lengths[-2:].max()
        return lengths

    @cached_property
    def _grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bar, place and length of every beat and of the one that would follow the last."""
        beats = np.arange(self.n_beats + 1)
        bar = np.searchsorted(self.downbeats, beats, side="right") - 1
        pick_up = max(int(self.downbeats[0]) + 1, int(self._lengths[0]))
        length = np.where(bar < 0, pick_up, self._lengths[bar])
        place = beats - np.where(bar < 0, self.downbeats[0] - pick_up, self.downbeats[bar])
        if place[-1] == length[-1]:  # the last bar is complete: another one would begin
            bar[-1], place[-1] = bar[-1] + 1, 0
        return bar, place, length

    @property
    def number(self) -> np.ndarray:
        """Number of the bar of each beat, from 0, (n_beats,) int; −1 in a pick-up."""
        return self._grid[0][:-1]

    @property
    def place(self) -> np.ndarray:
        """Place of each beat in its bar, from 0, (n_beats,) int."""
        return self._grid[1][:-1]

    @property
    def length(self) -> np.ndarray:
        """Beats of the bar of each beat, (n_beats,) int."""
        return self._grid[2][:-1]

    @cached_property
    def _phrase_bar(self) -> np.ndarray:
        bar, place, _ = self._grid
        starts = np.unique(np.asarray(self.section_starts, dtype=np.int64))
        if not len(starts):
            return bar
        anchors = bar[starts] + (place[starts] > 0)  # a section may begin with the pick-up
        section = np.searchsorted(starts, np.arange(len(bar)), side="right") - 1
        return bar - anchors[np.maximum(section, 0)]

    @property
    def phrase_bar(self) -> np.ndarray:
        """Bars since the given section began, else since the first downbeat, (n_beats,) int.

        Negative before. Phrases are runs of `PHRASE_BARS` of these bars.
        """
        return self._phrase_bar[:-1]

    @cached_property
    def kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """The metrical kinds of beats: what is the same at both ends of a fitting join.

        Returns
        -------
        kind : (n_beats + 1,) int
            Of each beat, and of the one that would follow the last.
        table : (n_kinds, 3) int
            Place in the bar, beats of the bar, and bar of the phrase of each kind.
        """
        _, place, length = self._grid
        rows = np.column_stack([place, length, self._phrase_bar % PHRASE_BARS])
        table, kind = np.unique(rows, axis=0, return_inverse=True)
        return kind.reshape(-1), table

    @cached_property
    def decision_points(self) -> np.ndarray:
        """Beats at which a policy decides, (n_points,) int, rising from 0.

        Bar lines and the starts of given sections. In songs of fewer than 50 beats every beat;
        of fewer than 100 every second beat of bars of an even number, else every beat. A bar
        longer than 6 % of the song is divided into equal parts, or, if its number of beats is
        prime, into parts as equal as possible.
        """
        place, length = self.place, self.length
        if self.n_beats < _FEW_BEATS:
            here = np.ones(self.n_beats, dtype=bool)
        elif self.n_beats < _MANY_BEATS:
            here = (length % 2 == 1) | (place % 2 == 0)
        else:
            longest = _LONGEST_STEP * self.n_beats
            here = np.zeros(self.n_beats, dtype=bool)
            for n in np.unique(length):
                here |= (length == n) & np.isin(place, _parts(int(n), longest))
        here[[0, *self.section_starts]] = True
        return frozen(np.flatnonzero(here))


def _parts(length: int, longest: float) -> list[int]:
    """Return where the parts of a bar begin, so that none is longer than `longest` beats."""
    if length <= longest:
        return [0]
    equal = [part for part in range(2, length) if length % part == 0 and part <= longest]
    if equal:
        return list(range(0, length, equal[-1]))
    count = int(np.ceil(length / longest))
    return [-(-length * k // count) for k in range(count)]


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the array itself, made read-only."""
    array.flags.writeable = False
    return array
