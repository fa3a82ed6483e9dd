"""A listener who knows the words: joins inside a sung line, lines cut in half, lines that are lost.

The true times of the lines come from a file beside the song, ``song.sung.json`` for ``song.mp3``
(see docs/data-formats.md). The utility is a sum over the steps of an edit, so that a planner can
find the best edit there is.

Looks like no descriptor: none of them knows where a voice sings. `phrase` guesses at phrases of
four bars.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError

#: Cost of leaving or entering the song inside a line; inside a note of it; of losing all that is
#: sung (a share of it costs that share). Two cut sides cost as much as a tenth of the words.
IN_LINE, IN_NOTE, LOST = 0.25, 0.5, 5.0
#: This much of a line or a note may be cut off at either end without harm, s.
_LINE_EDGE, _NOTE_EDGE = 0.1, 0.05


@dataclass(frozen=True, eq=False)
class SungLines:
    """When the voice of a song sings.

    Attributes
    ----------
    lines, notes : (n, 2) float64 arrays
        Start and end of every sung line and of every sung note, s; there may be no notes.
    """

    lines: np.ndarray
    notes: np.ndarray

    def in_line(self, times: np.ndarray) -> np.ndarray:
        """Return which times lie inside a line, bool of the shape of `times`."""
        return _inside(self.lines, times, _LINE_EDGE)

    def in_note(self, times: np.ndarray) -> np.ndarray:
        """Return which times lie inside a note, bool of the shape of `times`."""
        return _inside(self.notes, times, _NOTE_EDGE)


def sung_file(song: Song) -> Path:
    """Return the place of a song's sung lines: ``song.sung.json`` beside ``song.mp3``."""
    return song.path.with_suffix(".sung.json")


def read_sung_lines(song: Song) -> SungLines:
    """Read the sung lines beside a song.

    Raises
    ------
    InputError
        When the file is missing, is not JSON of this shape, or holds times that do not rise or lie
        outside the song.
    """
    path = sung_file(song)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{song.song_id}: no sung lines at {path}; write the start and end of every line in s "
            'there, as {"lines": [[12.5, 15.2], …]}'
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or "lines" not in content:
        raise InputError(f'{path} has no "lines"; give {{"lines": [[12.5, 15.2], …]}}')
    lines, notes = (_spans(path, song, name, content.get(name, [])) for name in ("lines", "notes"))
    if not len(lines):
        raise InputError(f'{path}: "lines" is empty; a song without singing needs no such file')
    return SungLines(lines, notes)


def line_faults(edit: Edit) -> np.ndarray:
    """Return what is wrong with the words of an edit, (3,).

    In this order: what its joins cost, at both sides; what a start and an end inside a line cost;
    what is sung and not heard.

    Raises
    ------
    InputError
        When the song has no usable file of sung lines.
    """
    side, share = _known(edit.song)
    order, seams = edit.order, edit.seams
    joins = side[order[seams - 1] + 1].sum() + side[order[seams]].sum()
    ends = side[order[0]] + side[order[-1] + 1]
    return np.array([joins, ends, LOST * (1 - share[np.unique(order)].sum())])


def line_table(song: Song) -> np.ndarray:
    """Return what every step of an edit is worth to a listener who knows the words.

    The sum over the steps of an edit of KEEP and CUT is LOST − the sum of its `line_faults`.

    Returns
    -------
    (n_beats + 1, n_beats + 1) float64 array
        Entry [i, j]: beat j right after beat i. The last row is the start, the last column the
        end.

    Raises
    ------
    InputError
        When the song has no usable file of sung lines.
    """
    side, share = _known(song)
    n = song.n_beats
    table = np.zeros((n + 1, n + 1))
    table[:n, :n] = -side[1:, None] - side[:n]
    table[np.arange(n - 1), np.arange(1, n)] = 0.0
    table[n, :n], table[:n, n] = -side[:n], -side[1:]
    heard = np.arange(n) > np.arange(n)[:, None]  # what is played again counts once
    table[:n, :n] += LOST * np.where(heard, share, 0.0)
    table[n, :n] += LOST * share
    return table


@lru_cache(maxsize=256)
def _known(song: Song) -> tuple[np.ndarray, np.ndarray]:
    """Return the cost of a cut at each beat bound, (n + 1,), and each beat's share of what is sung.

    Nothing is cut where the song itself begins and ends, so these bounds cost 0.
    """
    sung = read_sung_lines(song)
    times = song.beat_bounds / song.sample_rate
    side = np.where(sung.in_note(times), IN_NOTE, np.where(sung.in_line(times), IN_LINE, 0.0))
    side[[0, -1]] = 0.0
    starts, ends = sung.lines[:, :1], sung.lines[:, 1:]
    overlap = np.minimum(times[1:], ends) - np.maximum(times[:-1], starts)  # (lines, beats)
    seconds = np.maximum(overlap, 0).sum(axis=0)
    return side, seconds / seconds.sum()


def _spans(path: Path, song: Song, name: str, values: object) -> np.ndarray:
    try:
        spans = np.array(values, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise InputError(
            f'{path}: "{name}" is not a list of [start, end] pairs in s: {error}'
        ) from error
    wrong = ~((spans[:, 0] < spans[:, 1]) & (spans[:, 0] >= 0) & (spans[:, 0] < song.duration))
    if wrong.any():
        start, end = spans[wrong.argmax()]
        raise InputError(
            f'{path}: "{name}" holds [{start:g}, {end:g}]; a start is 0 or later, before its end, '
            f"and inside the song of {song.duration:.2f} s"
        )
    return spans


def _inside(spans: np.ndarray, times: np.ndarray, edge: float) -> np.ndarray:
    times = np.asarray(times)[..., None]
    return ((times > spans[:, 0] + edge) & (times < spans[:, 1] - edge)).any(axis=-1)
