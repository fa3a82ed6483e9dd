"""The beat grid: estimated from sound, or read from a file; and its bounds in samples.

The estimate looks at onset strength (spectral flux). A rigid grid (one period, one phase) is
fitted through the Fourier transform of the onset strength; beats that follow the local tempo
are found by dynamic programming (D. Ellis, "Beat tracking by dynamic programming", J. New Music
Research 36, 2007). The rigid grid wins unless the followed beats collect clearly more strength.
"""

from pathlib import Path

import numpy as np
from scipy import fft, ndimage

from rlhf_lib.errors import InputError
from rlhf_lib.music.audio import Audio, resample
from rlhf_lib.paths import atomic_path

_RATE = 22050  # Hz, of the analysis
_HOP, _FRAME = 256, 1024  # samples at _RATE
_FPS = _RATE / _HOP  # onset strengths per s
_SLOWEST, _FASTEST = 50.0, 220.0  # beats per minute


def _band_edges(n_bands: int = 40) -> np.ndarray:
    """Return log-spaced FFT bins that bound the bands, at least one bin wide."""
    bins = np.geomspace(40, 10000, n_bands + 1) * _FRAME / _RATE
    return np.unique(np.rint(bins).astype(int))


def onset_strength(audio: Audio) -> np.ndarray:
    """Return spectral flux over log bands, (n_frames,), `_FPS` a second, unit local variance."""
    mono = resample(audio.mono(), audio.sample_rate, _RATE)
    padded = np.pad(mono, _FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    window = np.hanning(_FRAME).astype(np.float32)
    edges = _band_edges()
    power = np.empty((len(frames), len(edges) - 1), np.float32)
    for start in range(0, len(frames), 2048):
        spectrum = fft.rfft(frames[start : start + 2048] * window, axis=1)
        energy = spectrum.real**2 + spectrum.imag**2
        power[start : start + 2048] = np.add.reduceat(energy, edges[:-1], axis=1)
    level = np.log10(power + 1e-6 * max(float(power.max()), 1e-12))
    rise = np.maximum(level[2:] - level[:-2], 0).mean(axis=1)
    flux = np.pad(rise, (1, len(level) - 1 - len(rise)))
    flux = np.maximum(flux - ndimage.uniform_filter1d(flux, int(_FPS)), 0)
    spread = np.sqrt(ndimage.uniform_filter1d(flux**2, int(8 * _FPS)))
    return flux / (spread + 0.1 * spread.max() + 1e-9)


def _rigid(onsets: np.ndarray) -> np.ndarray:
    """Return the beats (s) of the one-period grid that collects most onset strength."""
    n = 1 << int(np.ceil(np.log2(len(onsets) * 8)))
    spectrum = fft.rfft(onsets - onsets.mean(), n)
    step = _FPS / n
    freqs = np.arange(int(_SLOWEST / 60 / step), int(_FASTEST / 60 / step))
    coefs = np.stack([spectrum[h * freqs] for h in range(1, 5)])  # (4, n_freqs)
    phases = np.arange(32) / 32
    turns = np.exp(2j * np.pi * np.arange(1, 5)[:, None] * phases)
    comb = np.einsum("hf,hp->fp", coefs, turns).real
    tempo = freqs * step * 60
    prior = np.exp(-0.5 * (np.log2(tempo / 140) / 0.8) ** 2)
    # A grid of N beats sums N strengths; the spread of that sum grows with √N.
    score = comb.max(axis=1) / np.sqrt(tempo) * prior
    best = int(score.argmax())
    frequency = freqs[best] * step
    phase = phases[comb[best].argmax()]
    count = int(np.ceil(len(onsets) / _FPS * frequency)) + 1
    return (np.arange(count) + phase) / frequency


def estimate_beats(audio: Audio) -> np.ndarray:
    """Return the beat times in s, (n_beats,) float64, covering the whole file."""
    beats = _rigid(onset_strength(audio))
    return beats[(beats >= 0) & (beats < audio.duration)]


def read_beats(path: str | Path, duration: float) -> np.ndarray:
    """Read a beat file: one time in s a line, rising; blank lines and # comments are skipped.

    Parameters
    ----------
    path : path of the text file
    duration : float
        Length of the song in s, which no beat may reach.

    Returns
    -------
    (n_beats,) float64
        Times in s, strictly increasing.

    Raises
    ------
    InputError
        When the file is missing, is not text, has fewer than two beats, or a line is not a
        number, not in 0 … `duration`, or not later than the one before.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read beat file {path} ({error}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; write one time in s a line") from error
    times: list[float] = []
    for number, line in enumerate(lines, start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        where = f"{path}, line {number}: {text!r}"
        try:
            time = float(text)
        except ValueError as error:
            raise InputError(f"{where} is not a number; write one time in s a line") from error
        if not 0 <= time < duration:
            raise InputError(f"{where} is not within the song, 0 … {duration:.3f} s; use seconds")
        if times and time <= times[-1]:
            raise InputError(f"{where} is not later than {times[-1]}; sort the beats")
        times.append(time)
    if len(times) < 2:
        raise InputError(f"{path} holds {len(times)} beats; give at least two")
    return np.array(times)


def write_beats(path: str | Path, beat_times: np.ndarray) -> None:
    """Write beat times (s) one a line, to the microsecond, atomically."""
    with atomic_path(path) as part:
        part.write_text("".join(f"{time:.6f}\n" for time in beat_times), encoding="utf-8")


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
