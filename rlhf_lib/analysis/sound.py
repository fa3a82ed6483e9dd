"""The 87 sound features of a beat, from one short-time Fourier transform.

Everything is computed at 22050 Hz, mono, in frames of 2048 samples every 512, block by block, so
that an hour of music needs no more memory than its frame features. The definitions follow
librosa's (B. McFee et al., "librosa: audio and music signal analysis in Python", SciPy 2015);
spectral contrast is D.-N. Jiang et al., "Music type classification by spectral contrast feature",
ICME 2002; the tonal centroid is C. Harte et al., "Detecting harmonic change in musical audio",
AMCMM 2006.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from scipy import fft

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.beats import beat_bounds
from rlhf_lib.analysis.downmix import ANALYSIS_RATE, Downmix
from rlhf_lib.analysis.feature_table import BAND_EDGES, FEATURE_GROUPS, N_SOUND
from rlhf_lib.analysis.filters import chroma_filters, mel_filters

RATE = ANALYSIS_RATE
FRAME = 2048
HOP = 512
N_MELS = 64
#: Length in s of a beat's edge, at its start and at its end.
EDGE = 0.08
#: Power (full-scale sine = 1) below which everything counts as silence: −80 dB.
SILENCE = 1e-8
_BLOCK = 1024
_ROLLOFF = 0.85
_CONTRAST_EDGES = (0, 200, 400, 800, 1600, 3200, 6400, RATE // 2)
_CONTRAST_SHARE = 0.02

_BINS = np.fft.rfftfreq(FRAME, 1 / RATE).astype(np.float32)
#: Frame features, in the order of the columns that `_frame_features` returns.
_WIDTHS = {"mfcc": 13, "chroma": 12, "contrast": 7, "shape": 5, "level": 1, "flux": 1, "bands": 8}
_ENDS = np.cumsum(list(_WIDTHS.values()))
_COLUMNS = {
    name: slice(end - width, end)
    for (name, width), end in zip(_WIDTHS.items(), _ENDS.tolist(), strict=True)
}


def sound_features(audio: Audio | Downmix, beat_times: np.ndarray) -> np.ndarray:
    """Return the sound features of each beat.

    Parameters
    ----------
    audio : Audio or Downmix
    beat_times : (n_beats,) float array
        Seconds, strictly increasing; beat i lasts to beat i + 1, the first one carries the
        lead-in and the last one the tail.

    Returns
    -------
    (n_beats, 87) float64 array
        The first 87 rows of `FEATURE_TABLE`, in their units; finite for any sound.
    """
    bounds = beat_bounds(beat_times, audio.n_samples, audio.sample_rate) / audio.sample_rate
    mono = Downmix.of(audio).samples
    frames = _frame_features(mono)
    whole = _frame_ranges(bounds[:-1], bounds[1:], len(frames))
    first = np.minimum(bounds[:-1] + EDGE, bounds[1:])
    last = np.maximum(bounds[1:] - EDGE, bounds[:-1])
    start = _frame_ranges(bounds[:-1], first, len(frames))
    end = _frame_ranges(last, bounds[1:], len(frames))

    mean, std = _moments(frames, whole)
    features = np.empty((len(beat_times), N_SOUND))
    columns = {name: features[:, place] for name, place in FEATURE_GROUPS.items()}
    columns["mfcc_mean"][:] = mean[:, _COLUMNS["mfcc"]]
    columns["mfcc_std"][:] = std[:, _COLUMNS["mfcc"]]
    chroma = mean[:, _COLUMNS["chroma"]] + np.sqrt(SILENCE)  # silence: all classes alike
    chroma /= chroma.sum(axis=1, keepdims=True)
    columns["chroma"][:] = chroma
    columns["contrast"][:] = mean[:, _COLUMNS["contrast"]]
    columns["tonnetz"][:] = chroma @ _tonal_centroids().T
    columns["shape_mean"][:] = mean[:, _COLUMNS["shape"]]
    columns["shape_std"][:] = std[:, _COLUMNS["shape"]]
    columns["rms"][:, 0] = _range_levels(mono, bounds[:-1], bounds[1:])
    columns["rms"][:, 1] = std[:, _COLUMNS["level"]][:, 0]
    columns["rms"][:, 2] = _range_levels(mono, bounds[:-1], first)
    columns["rms"][:, 3] = _range_levels(mono, last, bounds[1:])
    # A frame's flux is that of the sound entering its window, half a window ahead of its centre.
    flux = np.pad(frames[:, _COLUMNS["flux"]][:, 0], (FRAME // 2 // HOP, 0))[: len(frames)]
    columns["onset"][:] = _onsets(flux, whole, start)
    columns["bands"][:] = _decibel(mean[:, _COLUMNS["bands"]])
    timbre = frames[:, _COLUMNS["mfcc"]][:, 1:6]
    columns["edge_start"][:] = _moments(timbre, start)[0]
    columns["edge_end"][:] = _moments(timbre, end)[0]
    return features


def _frame_features(mono: np.ndarray) -> np.ndarray:
    """Return the features of all frames, (n_frames, 47) float32; frame k is centred at k·HOP."""
    n_frames = 1 + len(mono) // HOP
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    window *= 2 / window.sum()  # a full-scale sine then has power 1 at its peak
    features = np.empty((n_frames, _ENDS[-1]), np.float32)
    mel_bands, pitch_classes = mel_filters(RATE, FRAME, N_MELS).T, chroma_filters(RATE, FRAME).T
    previous = None
    for begin in range(0, n_frames, _BLOCK):
        stop = min(begin + _BLOCK, n_frames)
        low, high = begin * HOP - FRAME // 2, (stop - 1) * HOP + FRAME // 2
        piece = np.pad(mono[max(low, 0) : high], (max(-low, 0), max(high - len(mono), 0)))
        pieces = np.lib.stride_tricks.sliding_window_view(piece, FRAME)[::HOP]
        spectrum = fft.rfft(pieces * window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        mel = _decibel(power @ mel_bands)
        rows = features[begin:stop]
        rows[:, _COLUMNS["mfcc"]] = fft.dct(mel, norm="ortho", axis=1)[:, :13]
        magnitude = np.sqrt(power)
        rows[:, _COLUMNS["chroma"]] = magnitude @ pitch_classes
        rows[:, _COLUMNS["contrast"]] = _contrast(power)
        rows[:, _COLUMNS["shape"]] = _shape(magnitude, power, pieces)
        rows[:, _COLUMNS["level"]] = _decibel(np.mean(pieces**2, axis=1, keepdims=True))
        if previous is None:
            previous = mel[:1]
        rise = np.diff(mel, axis=0, prepend=previous)
        rows[:, _COLUMNS["flux"]] = np.maximum(rise, 0).mean(axis=1, keepdims=True)
        previous = mel[-1:]
        # Σ over bins of a windowed sine's power is 1.5 (Hann): 1/3 makes it the mean square.
        rows[:, _COLUMNS["bands"]] = np.add.reduceat(power, _band_bins(), axis=1) / 3
    return features


def _shape(magnitude: np.ndarray, power: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Return centroid, bandwidth, rolloff (Hz), flatness and zero crossing rate of frames."""
    total = magnitude.sum(axis=1) + np.float32(1e-9)  # silence has its centroid at 0 Hz
    centroid = magnitude @ _BINS / total
    spread = magnitude @ _BINS**2 / total - centroid**2
    reached = np.cumsum(magnitude, axis=1)
    rolloff = _BINS[(reached < _ROLLOFF * reached[:, -1:]).sum(axis=1)]
    audible = np.maximum(power, np.float32(1e-12))
    flatness = np.exp(np.log(audible).mean(axis=1)) / audible.mean(axis=1)
    signs = pieces < 0
    crossings = (signs[:, 1:] != signs[:, :-1]).mean(axis=1)
    return np.stack(
        [centroid, np.sqrt(np.maximum(spread, 0)), rolloff, flatness, crossings], axis=1
    )


def _contrast(power: np.ndarray) -> np.ndarray:
    """Return peak minus valley of the power in seven octave bands, dB."""
    contrast = np.empty((len(power), len(_CONTRAST_EDGES) - 1), np.float32)
    bins = np.searchsorted(_BINS, _CONTRAST_EDGES) - 1  # bands as librosa bounds them
    bins[0], bins[-1] = 0, len(_BINS)
    for band, (low, high) in enumerate(pairwise(bins)):
        part = power[:, low:high]
        count = max(round(_CONTRAST_SHARE * (part.shape[1] + 1)), 1)
        part = np.sort(part, axis=1)  # all of it: numpy sorts faster than it selects
        valley, peak = part[:, :count].mean(axis=1), part[:, -count:].mean(axis=1)
        contrast[:, band] = _decibel(peak) - _decibel(valley)
    return contrast


def _decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, SILENCE))


def _frame_ranges(
    begin: np.ndarray, end: np.ndarray, n_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return [first, stop) of the frames centred in each span of seconds; at least one each."""
    first = np.minimum(np.ceil(begin * RATE / HOP).astype(int), n_frames - 1)
    stop = np.minimum(np.ceil(end * RATE / HOP).astype(int), n_frames)
    return first, np.maximum(stop, first + 1)


def _moments(
    frames: np.ndarray, ranges: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the frames in each range."""
    first, stop = ranges
    count = (stop - first)[:, None]
    centre = frames.mean(axis=0, dtype=np.float64)  # keeps the running sums small
    values = frames - centre
    mean = _range_sums(values, first, stop) / count
    square = _range_sums(values**2, first, stop) / count
    return mean + centre, np.sqrt(np.maximum(square - mean**2, 0.0))


def _range_sums(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    running = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return running[stop] - running[first]


def _range_levels(mono: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the RMS level of each span of seconds in dBFS (a full-scale sine has −3)."""
    first = np.minimum((begin * RATE).astype(int), len(mono) - 1)
    stop = np.clip((end * RATE).astype(int), first + 1, len(mono))
    squares = [
        np.mean(np.square(mono[a:b]), dtype=np.float64) for a, b in zip(first, stop, strict=True)
    ]
    return _decibel(np.array(squares))


def _onsets(
    flux: np.ndarray, whole: tuple[np.ndarray, np.ndarray], start: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return mean, maximum, maximum around the beat, and place of the maximum of the flux."""
    mean = _moments(flux[:, None], whole)[0][:, 0]
    largest, place = np.empty(len(mean)), np.empty(len(mean))
    attack = np.empty(len(mean))
    for beat, (first, stop, edge) in enumerate(zip(*whole, start[1], strict=True)):
        peak = int(flux[first:stop].argmax())
        largest[beat] = flux[first + peak]
        place[beat] = peak / (stop - first)
        attack[beat] = flux[max(first - 1, 0) : edge].max()  # one frame early is still on time
    return np.stack([mean, largest, attack, place], axis=1)


@cache
def _band_bins() -> np.ndarray:
    return np.searchsorted(_BINS, BAND_EDGES[:-1])


@cache
def _tonal_centroids() -> np.ndarray:
    """Return the (6, 12) matrix that maps chroma to the circles of fifths and thirds."""
    steps = np.arange(12)[None, :] * np.array([7, 7, 9, 9, 4, 4])[:, None] / 6
    radius = np.array([1, 1, 1, 1, 0.5, 0.5])[:, None]
    phase = np.array([0.5, 0, 0.5, 0, 0.5, 0])[:, None]
    return radius * np.cos(np.pi * (steps - phase))
