"""A tripped pulse, heard in an edit's audio alone: a bar that does not come as expected.

A listener who moves along expects the onsets of the next bar where those of the last two bars
were. The *surprise* at a moment is 1 − the correlation of the onsets that come with the mean of
those one and two periods earlier. What the song itself does there is subtracted: the moments of
the original whose coming onsets are most alike are looked up, and only surprise beyond the largest
surprise there counts. Inside a piece both are equal. Seams, beats and bars are not given.

The onsets are found as by E. Scheirer ("Tempo and beat analysis of acoustic musical signals",
1998): filters split the sound into bands, and the rises of each band's smoothed loudness add up.
The period is that at which the original's onsets correlate best with themselves, between SHORTEST
and LONGEST s; near a moment it may differ by DRIFT.

Looks like: the criterion `uneven_onsets`, which also compares the rhythm before and after, but by
harmonics of the bar, in mel bands, and at given seams; and the descriptor `tempo`.
"""

from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.raters.playback import RATE, original, played

#: Periods between these are tried, s; near a moment the period may differ by this share.
SHORTEST, LONGEST, DRIFT = 1.2, 4.0, 0.03
#: This much more surprise than in the song is not noticed.
UNNOTICED = 0.1
#: A moment every so many s; the onsets of this time, or of a period, are looked up in the original.
EVERY, LOOKED_UP = 0.24, 3.0
#: Moments whose correlation is this little below the best are as much alike.
AS_ALIKE = 0.02

_HOP = 320  # 20 ms
_EDGES = (200.0, 800.0, 3200.0)  # Hz
_LOUDNESS = 0.3
_RISE = 0.1  # s of the half-Hann window that smooths a band
#: Moments looked up at once; bounds the memory for long songs.
_BLOCK = 512
_BLUR = 1.5  # frames by which onsets may be early or late, standard deviation


def trips(edit: Edit) -> float:
    """Return how often the pulse trips: surprise beyond the song's own, summed over periods.

    Raises
    ------
    InputError
        When the song's audio cannot be read.
    """
    period, reference, usual = _known(edit.song)
    strength = onsets(played(edit))
    moments = _moments(strength, period)
    if not len(moments) or not len(usual):
        return 0.0
    size = min(max(period, _frames(LOOKED_UP)), len(reference) - 2 * period)
    places = _standard(sliding_window_view(reference, size)[: len(usual)]) / np.sqrt(size)
    padded, own = np.pad(strength, (0, size)), []
    for some in np.array_split(moments, -(-len(moments) // _BLOCK)):
        coming = _standard(padded[some[:, None] + np.arange(size)]) / np.sqrt(size)
        alike = coming @ places.T
        as_alike = alike >= alike.max(axis=1, keepdims=True) - AS_ALIKE
        own.append(np.where(as_alike, usual[: len(places)], 0.0).max(axis=1))
    excess = surprise(strength, moments, period) - np.concatenate(own) - UNNOTICED
    return float(np.maximum(excess, 0).sum()) * _frames(EVERY) / period


def onsets(samples: np.ndarray) -> np.ndarray:
    """Return the strength of onsets every 20 ms, (n // _HOP,) float32, blurred by _BLUR."""
    fine = _HOP // 2
    n = len(samples) // _HOP * 2
    rise = np.hanning(2 * round(_RISE * RATE / fine) + 1)[round(_RISE * RATE / fine) :]
    total = np.zeros(n)
    for band in _bands():
        power = signal.sosfilt(band, samples)[: n * fine].reshape(n, fine) ** 2
        loud = signal.lfilter(rise / rise.sum(), 1, power.mean(axis=1) ** _LOUDNESS)
        total += np.maximum(np.diff(loud, prepend=loud[:1]), 0)
    reach = round(3 * _BLUR)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _BLUR) ** 2)
    pairs = total.reshape(-1, 2).mean(axis=1)
    return np.convolve(pairs, kernel / kernel.sum(), "same").astype(np.float32)


def period_of(strength: np.ndarray) -> int:
    """Return the period, in frames of 20 ms, at which onsets correlate best with themselves."""
    centred = strength - strength.mean()
    n = len(centred)
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    likeness = np.fft.irfft(power)[:n] / np.arange(n, 0, -1)
    shortest, longest = _frames(SHORTEST), min(_frames(LONGEST), n // 3)
    return shortest + int(np.argmax(likeness[shortest : longest + 1]))


def surprise(strength: np.ndarray, moments: np.ndarray, period: int) -> np.ndarray:
    """Return the surprise at moments, (n_moments,) in 0 … 1; see the module.

    Parameters
    ----------
    strength : (n_frames,) array
        What `onsets` returns.
    moments : (n_moments,) int array
        Frames, at least 2 · (1 + DRIFT) periods after the start, one before the end.
    period : int
        In frames.
    """
    window = moments[:, None] + np.arange(period)
    coming = _standard(strength[window])
    best = np.zeros(len(moments))
    slack = _slack(period)
    for lag in range(period - slack, period + slack + 1):
        expected = strength[window - lag] + strength[window - 2 * lag]
        best = np.maximum(best, (coming * _standard(expected)).mean(axis=1))
    return 1 - best


def _moments(strength: np.ndarray, period: int, step: int | None = None) -> np.ndarray:
    first = 2 * (period + _slack(period))
    return np.arange(first, len(strength) - period + 1, step or _frames(EVERY))


def _slack(period: int) -> int:
    return int(np.ceil(DRIFT * period))


def _frames(seconds: float) -> int:
    return round(seconds * RATE / _HOP)


def _standard(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(rows.std(axis=1, keepdims=True), 1e-9)


@lru_cache(maxsize=32)
def _known(song: Song) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the period, the onsets and the surprise at every frame of a song.

    Before the first moment the surprise is that of the first one.
    """
    strength = onsets(original(song))
    period = period_of(strength)
    moments = _moments(strength, period, 1)
    if not len(moments):
        return period, strength, np.zeros(0)
    values = surprise(strength, moments, period)
    return period, strength, np.concatenate([np.full(moments[0], values[0]), values])


@cache
def _bands() -> list[np.ndarray]:
    def butter(edges, kind):
        return signal.butter(2, edges, kind, fs=RATE, output="sos").astype(np.float32)

    inner = [butter(pair, "bandpass") for pair in pairwise(_EDGES)]
    return [butter(_EDGES[0], "lowpass"), *inner, butter(_EDGES[-1], "highpass")]
