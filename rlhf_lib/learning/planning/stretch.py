"""A stretch of a song, as the planner and the climb read it.

Songs up to `LONGEST` beats are one stretch. Longer songs are divided: each stretch is planned
alone, so that time and memory grow in proportion to the length of a song.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from cachetools import LRUCache, cached

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import (
    DESCRIPTOR_NAMES,
    LOOPS,
    N_ADDITIVE,
    N_DESCRIPTORS,
    RETURNS,
    TRANSITION,
    course_of,
    describe,
    step_descriptors,
)
from rlhf_lib.editing.edit import PLAYS, Action, Edit
from rlhf_lib.editing.whole_edit import Course, fill_many
from rlhf_lib.learning.planning.lengths import (
    allotted,
    beat_ticks,
    longest_ticks,
    unit_ticks,
    window_ticks,
)

#: Most beats of a stretch; its table of steps takes 76 bytes for each pair of beats.
LONGEST = 800
#: Memory for tables of steps that are kept; a song of two minutes takes 5 MB.
_TABLE_BYTES = 300e6
_MEANS = [k for k in range(N_ADDITIVE, N_DESCRIPTORS) if DESCRIPTOR_NAMES[k] != "close_seams"]


@dataclass(frozen=True, eq=False)
class Stretch:
    """The beats [first, stop) of a song, from one decision point to another.

    Beats and units are counted from the start of the stretch: n beats, U units. What comes before
    the first beat (step `n` of the table) is the beat before the stretch, or the start of the edit;
    what comes after the last one is the beat that follows, or the end.

    Attributes
    ----------
    song : Song
    first, stop : int
    parts : tuple of (int, int)
        Of each stretch of the song, where it stops, and the ticks that edits must play of it.
    """

    song: Song
    first: int
    stop: int
    parts: tuple[tuple[int, int], ...]

    @property
    def n(self) -> int:
        """Number of beats."""
        return self.stop - self.first

    @property
    def share(self) -> float:
        """Share of the song's beats: what a mean over the whole edit counts for in the stretch."""
        return self.n / self.song.n_beats

    @cached_property
    def edges(self) -> np.ndarray:
        """First beat of each unit, and n, (U + 1,) int64."""
        points = self.song.decision_points
        inside = points[(points >= self.first) & (points < self.stop)] - self.first
        return np.append(inside, self.n).astype(np.int64)

    @cached_property
    def ticks(self) -> np.ndarray:
        """Length of each unit, (U,) int64."""
        return np.diff(beat_ticks(self.song)[self.edges + self.first])

    @cached_property
    def first_ticks(self) -> np.ndarray:
        """Length of the first beat of each unit, (U,) int64."""
        bounds = beat_ticks(self.song)
        starts = self.edges[:-1] + self.first
        return bounds[starts + 1] - bounds[starts]

    @property
    def window(self) -> int:
        """How many adjacent lengths, in ticks, count as reaching a target."""
        return window_ticks(self.song)

    @property
    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        """The song's beats before and after every step of the stretch, (n + 1,) int64 each.

        n_beats is the start, or the end, of the edit.
        """
        beats, end = np.arange(self.first, self.stop), self.song.n_beats
        before = np.append(beats, self.first - 1 if self.first else end)
        return before, np.append(beats, self.stop)  # n_beats, the end, for the last stretch

    @property
    def table(self) -> np.ndarray:
        """The additive descriptors of every step, (n + 1, n + 1, K) float32."""
        return _table(self)

    @cached_property
    def course(self) -> Course:
        """What the descriptors of the whole edit read."""
        whole = course_of(self.song)
        inside = slice(self.first, self.stop)
        choruses = np.clip(whole.choruses, self.first, self.stop) - self.first
        return Course(
            np.unique(whole.kinds[inside], return_inverse=True)[1],
            whole.level[inside],
            whole.durations[inside],
            choruses[choruses[:, 1] > choruses[:, 0]],
        )

    def budget(self, target: float) -> int:
        """Return the longest allowed length in ticks for a keep ratio, as `SongTensors.budget`.

        The stretches of a long song share the length of its edit, see `allotted`.
        """
        stops, needed = zip(*self.parts, strict=True)
        bounds = beat_ticks(self.song)[[0, *stops]]
        marks = allotted(bounds[-1] * target, np.diff(bounds), np.array(needed), self.window)
        place = stops.index(self.stop)
        wanted = marks[place + 1] - marks[place]
        return longest_ticks(wanted, self.window, int(self.ticks.sum()))

    def actions(self, choices: np.ndarray) -> np.ndarray:
        """Return the actions of all beats, (..., n) int8, from those of the units, (..., U).

        The choice of a unit is the action of its first beat; the others are kept, or cut with it.
        """
        lengths = np.diff(self.edges)
        out = np.repeat(choices, lengths, axis=-1)
        out[out != Action.CUT] = Action.KEEP
        out[..., self.edges[:-1]] = choices
        return out

    def choices(self, actions: np.ndarray) -> np.ndarray:
        """Return the choices of the units, (..., U) int8, from the actions of the beats."""
        return actions[..., self.edges[:-1]].astype(np.int8)

    def lengths(self, choices: np.ndarray) -> np.ndarray:
        """Return the lengths in ticks of edits given by their choices, (...,) int64."""
        plays = PLAYS[choices]
        return ((plays > 0) * self.ticks + np.maximum(plays - 1, 0) * self.first_ticks).sum(-1)

    def describe(self, actions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return all descriptors of edits of the stretch alone, (E, N_DESCRIPTORS) float64.

        In a song of several stretches, descriptors that are no counts count by the stretch's share
        of the song, as they would in the mean over the stretches.

        Parameters
        ----------
        actions : (E, n) int8
        targets : (E,) float64
            Keep ratios.
        """
        out = np.empty((len(actions), N_DESCRIPTORS))
        fill_many(self.course, self.table, LOOPS, RETURNS, TRANSITION, actions, targets, out)
        out[:, _MEANS] *= self.share
        return out


def describe_edits(edits: Sequence[Edit]) -> np.ndarray:
    """Return all descriptors of edits, (n_edits, N_DESCRIPTORS) float64.

    The same as `describe` for each, and faster for many edits of few songs.
    """
    out = np.empty((len(edits), N_DESCRIPTORS))
    by_song: dict[Song, list[int]] = {}
    for place, edit in enumerate(edits):
        by_song.setdefault(edit.song, []).append(place)
    for song, places in by_song.items():
        some = [edits[place] for place in places]
        if len(stretches(song)) > 1:
            out[places] = [describe(edit) for edit in some]
            continue
        targets = np.array([edit.target for edit in some], dtype=np.float64)
        out[places] = stretches(song)[0].describe(np.stack([e.actions for e in some]), targets)
    return out


def _beats(stretch: Stretch) -> tuple[Song, int, int]:
    return stretch.song, stretch.first, stretch.stop


@cached(LRUCache(maxsize=_TABLE_BYTES, getsizeof=lambda table: table.nbytes), key=_beats)
def _table(stretch: Stretch) -> np.ndarray:
    before, after = stretch.steps
    return step_descriptors(stretch.song, before[:, None], after[None, :])


def stretches(song: Song, required: np.ndarray | None = None) -> tuple[Stretch, ...]:
    """Divide a song into stretches of about equal length; most songs are one.

    Parameters
    ----------
    song : Song
    required : (n_units,) bool array, optional
        Units that edits must play: a stretch gets at least as much of an edit's length as it needs.
    """
    made = _divided(song)
    if required is None or len(made) == 1:
        return made
    starts, ticks = song.decision_points[required], unit_ticks(song)[required]
    stops = [one.stop for one in made]
    needed = np.bincount(np.searchsorted(stops, starts, "right"), ticks, len(made))
    parts = tuple(zip(stops, needed.astype(int).tolist(), strict=True))
    return tuple(replace(one, parts=parts) for one in made)


@lru_cache(maxsize=256)
def _divided(song: Song) -> tuple[Stretch, ...]:
    points = song.decision_points
    count = -(-song.n_beats // LONGEST)
    wanted = np.arange(1, count) * song.n_beats / count
    cuts = points[np.unique(np.searchsorted(points, wanted).clip(1, len(points) - 1))]
    edges = [0, *cuts.tolist(), song.n_beats]
    if len(points) == 1:
        edges = [0, song.n_beats]
    parts = tuple((stop, 0) for stop in edges[1:])
    return tuple(Stretch(song, a, b, parts) for a, b in pairwise(edges))
