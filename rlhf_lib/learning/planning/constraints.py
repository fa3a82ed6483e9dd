"""What an edit of a song must keep: its start, its end, and protected passages."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.lengths import (
    TICKS_PER_BEAT,
    longest_ticks,
    unit_ticks,
    window_ticks,
)
from rlhf_lib.learning.planning.stretch import Stretch

#: Cost of a forbidden step: more than any reward, and finite, so that no sum is undefined.
FORBIDDEN = 1e4


@dataclass(frozen=True, eq=False)
class Constraints:
    """What edits of one song must keep.

    Parameters
    ----------
    song : Song
    protect : sequence of (start, stop) in s
        Passages that must be played once, in one piece and unchanged. They are extended to the
        units (bars) that they touch.
    must_start, must_end : bool
        Whether the edit must begin with the song's first unit and end with its last one.

    Raises
    ------
    InputError
        When a passage does not lie within the song.
    """

    song: Song
    protect: Sequence[tuple[float, float]] = ()
    must_start: bool = False
    must_end: bool = False

    def __post_init__(self):
        for start, stop in self.protect:
            if not 0 <= start < stop <= self.song.duration + 0.5:
                raise InputError(
                    f"{self.song.song_id}: passage {start:g}-{stop:g} s cannot be protected; give "
                    f"a start before its stop, within 0 … {self.song.duration:.1f} s"
                )

    @property
    def passages(self) -> list[tuple[int, int]]:
        """The protected passages as [start, stop) beats, whole units."""
        edges = np.append(self.song.decision_points, self.song.n_beats)
        bounds = self.song.beat_bounds[edges] / self.song.sample_rate
        out = []
        for start, stop in self.protect:
            first = np.searchsorted(bounds, start + 1e-6, side="right") - 1
            last = np.searchsorted(bounds, min(stop, self.song.duration) - 1e-6, side="left")
            out.append((int(edges[first]), int(edges[last])))
        return out

    def required(self) -> np.ndarray:
        """Return which units must be played, (n_units,) bool."""
        points = self.song.decision_points
        needed = np.zeros(len(points), dtype=bool)
        for start, stop in self.passages:
            needed |= (points >= start) & (points < stop)
        needed[0] |= self.must_start
        needed[-1] |= self.must_end
        return needed

    def forbidden(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return whether an edit must not take a step, for each of several steps.

        Parameters
        ----------
        before, after : int arrays of shapes that fit each other
            Beat `after` is played right after beat `before`. n_beats is the start, or the end.

        Returns
        -------
        bool array
        """
        n = self.song.n_beats
        before = np.where(before == n, -1, before)
        follows = after == before + 1
        bad = np.zeros(follows.shape, dtype=bool)
        for start, stop in self.passages:
            inside = (before >= start) & (before < stop)
            bad |= inside & ~follows & ((before < stop - 1) | (after < stop))
            bad |= (after > start) & (after < stop) & ~follows
            bad |= (before < start) & (after >= stop)  # left out
            bad |= (before >= stop) & (after == start)  # played again
        if self.must_start:
            bad |= (before == -1) & (after > 0)
        if self.must_end:
            bad |= (before < n - 1) & (after == n)
        return bad

    @lru_cache(maxsize=8)  # noqa: B019 - bounded; every stage of a policy reads it
    def costs(self, stretch: Stretch) -> np.ndarray:
        """Return the table that makes plans of a stretch avoid forbidden steps, (n + 1, n + 1)."""
        return -FORBIDDEN * self.forbidden(*np.ix_(*stretch.steps)).astype(np.float32)

    def allows(self, edit: Edit) -> bool:
        """Return whether an edit of the song keeps everything that it must keep."""
        n = self.song.n_beats
        return not self.forbidden(np.append(n, edit.order), np.append(edit.order, n)).any()

    def check_length(self, keep: float) -> None:
        """Refuse a keep ratio that no choice of units reaches.

        A length is reached within half a unit; if this passes the end of the song, within a unit
        of the song's length.

        Raises
        ------
        InputError
            The message gives the nearest lengths that can be reached, in s.
        """
        ticks, needed = unit_ticks(self.song), self.required()
        window, total = window_ticks(self.song), self.song.n_beats * TICKS_PER_BEAT
        reached = np.zeros(total + 1, dtype=bool)
        reached[ticks[needed].sum()] = True
        for length in ticks[~needed]:
            reached[length:] |= reached[: len(reached) - length].copy()
        reached[0] = False
        wanted = keep * total
        most = longest_ticks(wanted, window, total)
        if reached[max(most - window, 0) + 1 : most + 1].any():
            return
        lengths = np.flatnonzero(reached)
        near = lengths[np.abs(lengths - wanted).argmin()]
        second = total / self.song.duration
        raise InputError(
            f"{self.song.song_id}: {wanted / second:.1f} s cannot be reached; what must stay takes "
            f"{lengths[0] / second:.1f} s. The nearest possible length is {near / second:.1f} s"
        )
