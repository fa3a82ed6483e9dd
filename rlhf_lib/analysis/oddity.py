"""Which beats sound like a mistake: unlike the rest, suddenly quiet, or out of time."""

import numpy as np
from scipy.ndimage import median_filter

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES

#: The level expected at a beat is the median over this many beats around it.
_AROUND = 17
#: A loss of level of this many dB, or a length off by this many octaves, is fully odd.
_LEVEL_SPAN_DB = 12.0
_TIME_SPAN = 0.15
#: A beat is not compared with beats closer than this, itself included.
_APART = 4
_BLOCK = 512
_EDGES = [
    *range(FEATURE_GROUPS["edge_start"].start, FEATURE_GROUPS["edge_end"].stop),
    *(FEATURE_NAMES.index(name) for name in ("onset_mean", "onset_max", "onset_start")),
]


def beat_oddity(sound: np.ndarray, beat_times: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Return how much each beat sounds like a mistake.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.
    beat_times, periods : (n_beats,) float arrays
        Seconds.

    Returns
    -------
    (n_beats,) float64 array in 0 … 1
        1 − Π (1 − x) over four values x in 0 … 1: pitches found nowhere else in the song (wrong
        notes), edges and onsets unlike any other beat's (played early or late), level below that
        of the beats around, length off the local period.
    """
    level = sound[:, FEATURE_GROUPS["rms"].start].astype(np.float64)
    loss = median_filter(level, _AROUND, mode="nearest") - level
    lengths = np.diff(beat_times, append=beat_times[-1] + periods[-1])
    slip = np.abs(np.log2(lengths / periods))
    chroma = sound[:, FEATURE_GROUPS["chroma"]].astype(np.float64)
    chroma /= np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)
    edges = sound[:, _EDGES].astype(np.float64)
    edges = (edges - edges.mean(axis=0)) / np.maximum(edges.std(axis=0), 0.5)
    signs = [
        _loneliness(chroma, 0.02),
        _loneliness(edges, 0.2),
        np.clip(loss / _LEVEL_SPAN_DB, 0.0, 1.0),
        np.clip(slip / _TIME_SPAN, 0.0, 1.0),
    ]
    return 1.0 - np.prod([1.0 - sign for sign in signs], axis=0)


def _loneliness(points: np.ndarray, least_spread: float) -> np.ndarray:
    """Return how far each point is from all others, (n,): 0 as usual, 1 an outlier.

    The distance to the second nearest point (the nearest may be the same mistake again), in
    robust standard deviations above the song's median: 1 counts as 0, 5 as 1.
    """
    lengths = (points**2).sum(axis=1)
    beats = np.arange(len(points))
    distance = np.empty(len(points))
    for first in range(0, len(points), _BLOCK):
        rows = beats[first : first + _BLOCK]
        squared = lengths[rows, None] + lengths - 2 * points[rows] @ points.T
        squared[np.abs(rows[:, None] - beats) < _APART] = np.inf
        distance[rows] = np.sqrt(np.maximum(np.partition(squared, 1, axis=1)[:, 1], 0.0))
    distance[~np.isfinite(distance)] = 0.0  # too few beats to compare
    excess = distance - np.median(distance)
    usual = max(1.4826 * float(np.median(np.abs(excess))), least_spread)
    return np.clip((excess / usual - 1.0) / 4.0, 0.0, 1.0)
