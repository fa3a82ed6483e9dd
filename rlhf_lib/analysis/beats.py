"""The beat grid, estimated from sound, and its bounds in samples.

Beats follow the local tempo by dynamic programming (D. Ellis, "Beat tracking by dynamic
programming", J. New Music Research 36, 2007). A rigid grid (one period, one phase), fitted
through the Fourier transform of the whole file, replaces them unless it misses the onsets
somewhere.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.downmix import Downmix
from rlhf_lib.analysis.tempo import BLUR, FPS, comb, local_period, onset_strength
from rlhf_lib.errors import InputError

_TIGHTNESS = 100.0  # cost of an uneven beat, per squared log ratio to the period (Ellis: α)
_NEAR = 0.04  # s around a rigid beat in which its onset is sought
#: The rigid grid is rejected if, in any stretch of _STRETCH s, it collects less than this share
#: of the onset strength that the followed beats collect. Songs of constant tempo stay above 0.58;
#: a song whose tempo drifts or changes falls below 0.36.
_RIGID_SHARE, _STRETCH = 0.47, 25.0
#: Least pulse clarity (see `local_period`) of music. Noise of 20 s or more has 1.9 … 2.8 (3.6 seen
#: in 10 s), the songs of `benchmarks/beats.py` and composed ones have more than 5.
_LEAST_CLARITY = 3.0


def _follow(strength: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Return beats (frames) that collect strength while keeping close to the local period.

    Ellis's recursion, computed in blocks as long as the shortest step between beats.
    """
    n = len(strength)
    lags = np.arange(max(int(period.min() * 0.6), 1), int(period.max() * 1.6) + 2)
    longest, block = lags[-1], lags[0]
    total = np.zeros(longest + n)  # beats before the file cost nothing
    back = np.empty(n, int)
    for start in range(0, n, block):
        now = np.arange(start, min(start + block, n))
        uneven = np.log(lags / period[now, None]) ** 2
        options = total[longest + now[:, None] - lags] - _TIGHTNESS * uneven
        best = options.argmax(axis=1)
        back[now] = now - lags[best]
        total[longest + now] = strength[now] + options[np.arange(len(now)), best]
    last = max(n - int(period[-1]), 0)
    beat = last + int(total[longest + last :].argmax())
    beats = []
    while beat >= 0:
        beats.append(beat)
        beat = back[beat]
    return np.array(beats[::-1])


def _rigid(strength: np.ndarray, period: float) -> np.ndarray:
    """Return the beats (frames) of the best grid of one period within 8 % of `period`."""
    size = 1 << int(np.ceil(np.log2(16 * len(strength))))
    spectrum = fft.rfft(strength - strength.mean(), size) / len(strength)
    bins = np.arange(size / period / 1.08, size / period * 1.08)
    collected, phase = comb(spectrum[None], bins)
    best = int(collected[0].argmax())
    period = size / bins[best]
    beats = np.arange(phase[0, best] * period, len(strength), period)
    # FFT bins and phases are coarse; a straight line through the onsets near the beats is finer.
    near = np.arange(-round(_NEAR * FPS), round(_NEAR * FPS) + 1)
    weight = np.interp(beats[:, None] + near, np.arange(len(strength)), strength)
    total = weight.sum(axis=1)
    late = (weight * near).sum(axis=1) / np.maximum(total, 1e-9)
    count = np.arange(len(beats))
    return beats + np.polyval(np.polyfit(count, late, 1, w=np.sqrt(total)), count)


def _holds(strength: np.ndarray, rigid: np.ndarray, followed: np.ndarray) -> bool:
    """Return whether the rigid grid collects enough strength in every stretch of the file."""
    frames = np.arange(len(strength))
    half = min(_STRETCH * FPS, len(strength)) / 2
    for centre in np.arange(half, len(strength) - half + 1, 5 * FPS):
        held, reached = (
            np.interp(beats[np.abs(beats - centre) <= half], frames, strength).mean()
            for beats in (rigid, followed)
        )
        if held < _RIGID_SHARE * reached:
            return False
    return True


def _cover(beats: np.ndarray, duration: float) -> np.ndarray:
    """Extend beats (s) to the whole file by the periods at the ends; drop a short last beat."""
    first, last = (np.median(np.diff(part)) for part in (beats[:9], beats[-9:]))
    before = np.arange(beats[0] - first, 0, -first)[::-1]
    after = np.arange(beats[-1] + last, duration, last)
    beats = np.concatenate([before, beats, after])
    return beats[(beats >= 0) & (beats < duration - 0.5 * last)]


class BeatGrid(NamedTuple):
    """The estimated beats of a song.

    Attributes
    ----------
    times : (n_beats,) float64 array
        s, strictly increasing, within about 10 ms of tapped beats. The beats cover the file: the
        first is less than one period from the start, the last less than one and a half periods
        from the end.
    confidence : float
        In the tempo, 0 … 1; see `rlhf_lib.analysis.confidence.Confidence`.
    """

    times: np.ndarray
    confidence: float


def estimate_beats(audio: Audio | Downmix) -> BeatGrid:
    """Estimate the beat grid of a song.

    Parameters
    ----------
    audio : Audio or Downmix

    Raises
    ------
    InputError
        When no beat is found: the pulse is no clearer than that of noise, or the sound is
        shorter than four beats.
    """
    onsets = onset_strength(audio)
    period, clarity, confidence = local_period(onsets)
    if clarity < _LEAST_CLARITY or len(onsets) < 4 * period.max():
        raise InputError(
            f"no beat found in {audio.duration:.1f} s: pulse clarity {clarity:.2f}, needed "
            f"{_LEAST_CLARITY} and four beats; use rhythmic music, or put a beat file next to the "
            "song (same name, suffix .beats, one time in s a line)"
        )
    strength = ndimage.gaussian_filter1d(onsets, BLUR * FPS)
    strength /= strength.std()
    followed = _follow(strength, period)
    rigid = _rigid(strength, float(np.median(period)))
    beats = rigid if _holds(strength, rigid, followed) else followed
    return BeatGrid(_cover(beats / FPS, audio.duration), confidence)


def share_found(true_times: np.ndarray, times: np.ndarray, within: float = 0.07) -> float:
    """Return the share of the true beats that have an estimated beat near them.

    Parameters
    ----------
    true_times, times : (n,) and (m,) s
    within : float
        The largest distance in s; 70 ms is usual in beat tracking (Davies et al., 2009).

    Raises
    ------
    InputError
        When either has no beat.
    """
    true_times, times = np.asarray(true_times, float), np.asarray(times, float)
    if not true_times.size or not times.size:
        raise InputError(
            f"{true_times.size} true and {times.size} estimated beats; give at least one of each"
        )
    distance = np.abs(true_times[:, None] - times).min(axis=1)
    return float(np.mean(distance <= within))


def beat_bounds(beat_times: np.ndarray, n_samples: int, sample_rate: int) -> np.ndarray:
    """Return the sample bounds that cut a file into its beats.

    Beat i is samples bounds[i] … bounds[i + 1]. The first beat carries the lead-in and the
    last one the tail, so the beats partition the file.

    Parameters
    ----------
    beat_times : (n_beats,) float array
        s, strictly increasing.
    n_samples : int
        Length of the file.
    sample_rate : int
        Hz.

    Returns
    -------
    (n_beats + 1,) int64
        Strictly increasing from 0 to `n_samples`: beats closer than a sample, or beyond the
        end, are moved so that none is empty.

    Raises
    ------
    InputError
        When there are no beats or more beats than samples.
    """
    n_beats = len(beat_times)
    if not 1 <= n_beats <= n_samples:
        raise InputError(f"{n_beats} beats do not fit a file of {n_samples} samples")
    bounds = np.empty(n_beats + 1, np.int64)
    bounds[0], bounds[-1] = 0, n_samples
    places = np.arange(1, n_beats)
    inner = np.rint(np.asarray(beat_times[1:], float) * sample_rate).astype(np.int64)
    inner = np.maximum.accumulate(np.maximum(inner - places, 0)) + places
    bounds[1:-1] = np.minimum(inner, n_samples - n_beats + places)
    return bounds
