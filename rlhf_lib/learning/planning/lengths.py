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
