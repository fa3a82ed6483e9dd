"""Where a voice sings, guessed from the sound of the beats.

The guess is made by hand and without a trained weight: within one song, a voice raises the level
between 400 and 800 Hz, sharpens the spectrum between 1.6 and 3.2 kHz (its overtones stand out) and
moves the formants (MFCC 7 to 10 vary within a beat). The three count alike. In a song without
singing the values say where an instrument plays that sounds so.
"""

import numpy as np
from scipy.special import expit

from rlhf_lib.analysis.feature_table import FEATURE_NAMES

_SIGNS = (
    ("band_400_800",),
    ("contrast_1600_3200",),
    ("mfcc_std_7", "mfcc_std_8", "mfcc_std_9", "mfcc_std_10"),
)
_COLUMNS = [[FEATURE_NAMES.index(name) for name in names] for names in _SIGNS]
#: Standard deviations at which a beat counts no further.
_MOST = 3.0
#: Beats before and after a bound that are heard.
_BEATS = 2
#: Slope of the probability, per standard deviation of the mean over these beats.
_SLOPE = 2.0
#: A spread below this (dB) is no singing that comes and goes.
_LEAST_SPREAD = 1e-3


def voices(sound: np.ndarray) -> np.ndarray:
    """Return how much each beat sounds like singing, compared with the song's other beats.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.

    Returns
    -------
    (n_beats,) float64 array
        In standard deviations from the song's mean; 0 throughout when nothing changes.
    """
    signs = [_standardised(sound[:, c].astype(np.float64)).mean(axis=1) for c in _COLUMNS]
    return _standardised(np.sum(signs, axis=0)[:, None])[:, 0]


def sung_bounds(sound: np.ndarray) -> np.ndarray:
    """Return the probability that a sung line runs across each bound between two beats.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array

    Returns
    -------
    (n_beats + 1,) float64 array in 0 … 1
        Bound p lies before beat p, bound n_beats after the last one. 0 at both ends of the song.
    """
    n = len(sound)
    around = np.arange(n + 1)[:, None] + np.arange(-_BEATS, _BEATS)
    sung = expit(_SLOPE * voices(sound)[np.clip(around, 0, n - 1)].mean(axis=1))
    sung[[0, n]] = 0.0
    return sung


def _standardised(columns: np.ndarray) -> np.ndarray:
    """Return z-scores within the song, at most _MOST; 0 for a column that does not change."""
    spread = columns.std(axis=0)
    scores = (columns - columns.mean(axis=0)) / np.maximum(spread, _LEAST_SPREAD)
    return np.clip(np.where(spread > _LEAST_SPREAD, scores, 0.0), -_MOST, _MOST)
