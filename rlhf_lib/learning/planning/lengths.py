"""Lengths of a song and its units in ticks, and which lengths count as reaching a wanted one."""

import numpy as np

from rlhf_lib.analysis.song import Song

#: Lengths are counted in half beats (of the song's mean beat), so that edits of songs
#: whose tempo drifts also have the right length in seconds.
TICKS_PER_BEAT = 2


def beat_ticks(song: Song) -> np.ndarray:
    """Return the bounds of the beats in ticks, (n_beats + 1,)."""
    shares = song.beat_bounds / song.n_samples
    return np.round(shares * song.n_beats * TICKS_PER_BEAT).astype(np.int64)


def unit_ticks(song: Song) -> np.ndarray:
    """Return the length of each unit of a song in ticks, (n_units,)."""
    return np.diff(beat_ticks(song)[np.append(song.decision_points, song.n_beats)])


def window_ticks(song: Song) -> int:
    """Return how many adjacent lengths, in ticks, count as reaching a target: a usual unit."""
    edges = np.append(song.decision_points, song.n_beats)
    return int(np.median(np.diff(edges))) * TICKS_PER_BEAT


def longest_ticks(wanted: float, window: int, whole: int) -> int:
    """Return the longest length that counts as reaching a wanted one, all in ticks.

    The same as `SongTensors.budget` for one length; `whole` is the length that nothing exceeds.
    """
    return min(whole, int(np.floor(wanted + window / 2 + 1e-6)))


def allotted(total: float, lengths: np.ndarray, needed: np.ndarray, window: int) -> np.ndarray:
    """Return how many ticks of a song are to be played before each of its parts.

    All parts play the same share of their length, except those that need more. Between parts the
    ticks are whole windows, so that half windows do not add up.

    Parameters
    ----------
    total : float
        Ticks to be played of the whole song; at least those that are needed.
    lengths, needed : (P,) int arrays
        Ticks of each part, and those that it must play.
    window : int

    Returns
    -------
    (P + 1,) float64 array
        From 0 to `total`.
    """
    more, share = np.zeros(len(lengths), dtype=bool), 0.0
    while not more.all():
        share = (total - needed[more].sum()) / lengths[~more].sum()
        added = ~more & (needed > share * lengths)
        if not added.any():
            break
        more |= added
    marks = np.append(0.0, np.cumsum(np.where(more, needed, share * lengths)))
    marks[-1] = total
    marks[1:-1] = window * np.round(marks[1:-1] / window)
    # A part reaches lengths of up to half a window above its own.
    last, least = len(lengths) - 1, np.where(needed > 0, needed - window / 2, 0)
    for part in range(last):
        while marks[part + 1] - marks[part] < least[part]:
            marks[part + 1] += window
    for part in range(last, 0, -1):
        while marks[part + 1] - marks[part] < least[part]:
            marks[part] -= window
    return marks
