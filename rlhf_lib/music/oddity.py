"""Which beats sound like a mistake: unlike the rest, suddenly quiet, or out of time."""

import numpy as np
from scipy.ndimage import median_filter

from rlhf_lib.music.feature_names import FEATURE_GROUPS

#: Beats around a beat whose median says what level and length to expect there.
_AROUND = 17
#: A loss of level of this many dB, or a beat longer or shorter by this many octaves, is odd.
_LEVEL_SPAN_DB = 12.0
_TIME_SPAN = 0.15
#: A beat may not vouch for itself or its neighbours.
_APART = 4
_BLOCK = 512


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
        One minus the product of what three tests leave over: sound unlike any other beat of
        the song, level below that of the beats around, length off the local period.
    """
    level = sound[:, FEATURE_GROUPS["rms"].start].astype(np.float64)
    loss = median_filter(level, _AROUND, mode="nearest") - level
    lengths = np.diff(beat_times, append=beat_times[-1] + periods[-1])
    slip = np.abs(np.log2(lengths / periods))
    doubts = [
        _unlikeness(sound),
        np.clip(loss / _LEVEL_SPAN_DB, 0.0, 1.0),
        np.clip(slip / _TIME_SPAN, 0.0, 1.0),
    ]
    return 1.0 - np.prod([1.0 - d for d in doubts], axis=0)


def _unlikeness(sound: np.ndarray) -> np.ndarray:
    """Return 0 for beats with a close likeness elsewhere, towards 1 for those without."""
    chroma = sound[:, FEATURE_GROUPS["chroma"]].astype(np.float64)
    chroma /= np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)
    timbre = sound[:, FEATURE_GROUPS["mfcc_mean"]][:, 1:].astype(np.float64)
    timbre = (timbre - timbre.mean(axis=0)) / np.maximum(timbre.std(axis=0), 1.0)
    points = np.concatenate([chroma, timbre * np.sqrt(0.5 / timbre.shape[1])], axis=1)
    lengths = (points**2).sum(axis=1)
    beats = np.arange(len(points))
    nearest = np.empty(len(points))
    for first in range(0, len(points), _BLOCK):
        rows = beats[first : first + _BLOCK]
        squared = lengths[rows, None] + lengths - 2 * points[rows] @ points.T
        squared[np.abs(rows[:, None] - beats) < _APART] = np.inf
        nearest[rows] = np.sqrt(np.maximum(np.partition(squared, 1, axis=1)[:, 1], 0.0))
    excess = nearest - np.median(nearest)
    usual = max(1.4826 * float(np.median(np.abs(excess))), 0.02)
    return np.clip((excess / usual - 1.0) / 4.0, 0.0, 1.0)
