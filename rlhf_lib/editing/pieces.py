"""The pieces of an edit: which spans of the song it plays, and which it never plays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit

SeamKind = Literal["cut", "repeat", "step back"]


@dataclass(frozen=True)
class Span:
    """A stretch of sound.

    Attributes
    ----------
    start, end : int
        Samples; `end` is the first sample after it.
    sample_rate : int
        Hz.
    """

    start: int
    end: int
    sample_rate: int

    @property
    def start_s(self) -> float:
        """Start in s."""
        return self.start / self.sample_rate

    @property
    def end_s(self) -> float:
        """End in s."""
        return self.end / self.sample_rate


@dataclass(frozen=True)
class Piece:
    """A run of successive beats of the song that an edit plays.

    Attributes
    ----------
    number : int
        From 1, in playing order.
    first_beat, last_beat : int
        Counted from 0; the last one is played too.
    output : Span
        Its place in the edit.
    source : Span
        Its place in the song.
    """

    number: int
    first_beat: int
    last_beat: int
    output: Span
    source: Span


@dataclass(frozen=True)
class LeftOut:
    """A run of successive beats of the song that an edit never plays.

    Attributes
    ----------
    first_beat, last_beat : int
        Counted from 0.
    source : Span
        Its place in the song.
    """

    first_beat: int
    last_beat: int
    source: Span


@dataclass(frozen=True)
class Seam:
    """The place between two pieces.

    Attributes
    ----------
    before, after : Piece
        It lies where `before.output` ends, leaves the song at `before.source.end` and reaches it
        at `after.source.start`.
    """

    before: Piece
    after: Piece

    @property
    def kind(self) -> SeamKind:
        """What the edit does: goes forward, plays the same beat again, or goes further back."""
        left, reached = self.before.last_beat, self.after.first_beat
        return "cut" if reached > left else "repeat" if reached == left else "step back"


def pieces(edit: Edit) -> tuple[Piece, ...]:
    """Return what an edit plays, in playing order; the outputs follow each other without a gap."""
    found, place = [], 0
    for number, (first, stop) in enumerate(edit.segments.tolist(), start=1):
        source = _span(edit.song, first, stop)
        end = place + source.end - source.start
        output = Span(place, end, source.sample_rate)
        found.append(Piece(number, first, stop - 1, output, source))
        place = end
    return tuple(found)


def seams(pieces: tuple[Piece, ...]) -> tuple[Seam, ...]:
    """Return the places between the pieces, one less than these."""
    return tuple(map(Seam, pieces[:-1], pieces[1:]))


def left_out(edit: Edit) -> tuple[LeftOut, ...]:
    """Return what an edit never plays, in the order of the song."""
    played = np.zeros(edit.song.n_beats + 2, bool)
    played[[0, -1]] = True  # so that beats left out at the ends have an edge on both sides
    played[edit.order + 1] = True
    edges = np.flatnonzero(np.diff(played)).reshape(-1, 2).tolist()
    return tuple(LeftOut(first, stop - 1, _span(edit.song, first, stop)) for first, stop in edges)


def _span(song: Song, first: int, stop: int) -> Span:
    return Span(int(song.beat_bounds[first]), int(song.beat_bounds[stop]), song.sample_rate)
