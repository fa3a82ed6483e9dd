"""Onset strength and local tempo.

Each tempo is scored in each window by the onset strength that a comb of beats collects and by
how well the rhythm repeats. The Viterbi algorithm finds the best path through the windows.
"""

import numpy as np
from scipy import fft, ndimage

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.downmix import ANALYSIS_RATE, Downmix

_HOP, _FRAME = 256, 1024  # samples at ANALYSIS_RATE
FPS = ANALYSIS_RATE / _HOP  # onset strengths per s
_BANDS = 40

_TEMPI = np.geomspace(50, 220, 104)  # beats per minute considered, 1.4 % apart
#: Prior over tempi that explain the sound equally well: log-normal, width in octaves.
#: Fitted, with _REPETITION, on 40 songs of known tempo (82 … 190 bpm).
_USUAL_TEMPO, _USUAL_WIDTH = 128.0, 1.0
_REPETITION = 0.35  # weight of repetition relative to collected strength
_WINDOW = 9.0  # s: long enough for four slow bars, short enough for a tempo to hold
_WINDOW_STEP = 0.5  # s
BLUR = 0.02  # s by which a player may miss the beat (standard deviation)
_HARMONICS = 24  # of a comb; at 50 bpm and this blur the next ones weigh < 10 %
_PHASES = 64  # phases of a beat that are compared
#: Viterbi costs of a tempo change, in units of collected strength: per octave, and the most (a
#: jump). A jump pays off after about 6 s.
_DRIFT, _JUMP = 40.0, 30.0
#: Tempi closer than this (octaves) are the same.
SAME_TEMPO = float(np.log2(1.08))
#: A window may be moved to the song's octave when its tempo is this close to a whole number of
#: octaves away and keeps this share of its strength there.
_OCTAVE_WIDTH, _OCTAVE_SHARE = 0.25, 0.65


def onset_strength(audio: Audio | Downmix) -> np.ndarray:
    """Return the onset strength of each frame.

    The sum of two spectral fluxes: that of the total amplitude marks loud onsets (drums on the
    beat), that of the log band energies marks new sounds, however soft.

    Returns
    -------
    (n_frames,) float64
        One value per 256 samples at 22.05 kHz, ≥ 0, normalised over 8 s.
    """
    mono = Downmix.of(audio).samples
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mono, _FRAME // 2), _FRAME)[::_HOP]
    window = np.hanning(_FRAME).astype(np.float32)
    edges = np.unique(
        np.rint(np.geomspace(40, 10000, _BANDS + 1) * _FRAME / ANALYSIS_RATE).astype(int)
    )
    energy = np.empty((len(frames), len(edges) - 1), np.float32)
    for start in range(0, len(frames), 2048):
        spectrum = fft.rfft(frames[start : start + 2048] * window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        energy[start : start + 2048] = np.add.reduceat(power, edges[:-1], axis=1)
    floor = 1e-6 * max(float(energy.max()), 1e-9)  # −60 dB
    return _flux(np.sqrt(energy.sum(axis=1, keepdims=True))) + _flux(np.log10(energy + floor))


def _flux(level: np.ndarray) -> np.ndarray:
    """Return the mean rise of (n_frames, n_bands) levels, normalised, (n_frames,)."""
    rise = np.maximum(level[2:] - level[:-2], 0).mean(axis=1, dtype=np.float64)
    rise = np.pad(rise, (1, len(level) - 1 - len(rise)))
    rise = np.maximum(rise - ndimage.uniform_filter1d(rise, int(FPS)), 0)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter1d(rise**2, int(8 * FPS)), 0))
    return rise / (spread + 0.1 * spread.max() + 1e-9)


def comb(spectrum: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean onset strength on the best grid of each frequency, and its phase.

    A grid of frequency f and phase φ collects Σ_h w_h Re(X(h f) e^{2πihφ}), X the spectrum of
    the onset strength and w the blur: an inverse FFT over h gives all phases at once.

    Parameters
    ----------
    spectrum : (n_windows, n_bins) complex, divided by the sum of the window
    bins : (n_freqs,) float, beat frequencies in bins

    Returns
    -------
    strength, phase : (n_windows, n_freqs); the phase of the first beat in 0 … 1 periods
    """
    harmonics = np.arange(1, _HARMONICS + 1)
    places = bins[:, None] * harmonics
    hertz = places * FPS / (2 * (spectrum.shape[1] - 1))
    weight = np.exp(-0.5 * (2 * np.pi * BLUR * hertz) ** 2)
    places = np.minimum(np.rint(places).astype(int), spectrum.shape[1] - 1)
    terms = np.zeros((len(spectrum), len(bins), _PHASES // 2 + 1), np.complex64)
    terms[:, :, harmonics] = spectrum[:, places] * weight
    collected = fft.irfft(terms, _PHASES, axis=2) * _PHASES
    best = collected.argmax(axis=2)
    strength = np.take_along_axis(collected, best[:, :, None], axis=2)[:, :, 0]
    return strength, best / _PHASES


def _repetition(windows: np.ndarray) -> np.ndarray:
    """Return how well windows (n, width) repeat after 1, 2 and 3 or 4 beats, (n, n_tempi).

    The sum of three autocorrelations. It distinguishes a tempo from 2/3 or 4/3 of it, which
    collect strength from dotted rhythms but do not repeat.
    """
    width = windows.shape[1]
    power = np.abs(fft.rfft(windows, fft.next_fast_len(2 * width, real=True), axis=1)) ** 2
    likeness = fft.irfft(power, axis=1)[:, :width]
    likeness /= np.maximum(likeness[:, :1], 1e-9) * (1 - np.arange(width) / width)
    likeness = ndimage.maximum_filter1d(likeness, 5, axis=1)
    lags = np.rint(np.arange(1, 5)[:, None] * 60 * FPS / _TEMPI).astype(int)
    after = likeness[:, np.minimum(lags, width - 1)]  # (n, 4, n_tempi)
    return after[:, 0] + after[:, 1] + np.maximum(after[:, 2], after[:, 3])


def local_period(onsets: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the local beat period and how clear the pulse is.

    Returns
    -------
    period : (n_frames,), frames
    clarity : float
        Strength that the beats of a window collect, in standard deviations of the strength of
        as many random frames; mean over the clearer half of the windows.
    confidence : float
        Share of the windows whose own best tempo is the one chosen for them.
    """
    width = min(int(_WINDOW * FPS), len(onsets))
    starts = np.arange(0, len(onsets) - width + 1, int(_WINDOW_STEP * FPS))
    windows = np.lib.stride_tricks.sliding_window_view(onsets, width)[starts]
    windows = (windows - windows.mean(axis=1, keepdims=True)).astype(np.float32)
    taper = np.hanning(width + 2)[1:-1].astype(np.float32)
    size = fft.next_fast_len(8 * width, real=True)
    size += size % 2
    spectrum = fft.rfft(windows * taper, size, axis=1) / taper.sum()
    strength, _ = comb(spectrum, _TEMPI / 60 / FPS * size)
    # The chance spread of a sum of N strengths grows with √N.
    strength *= np.sqrt(_TEMPI / 60 / FPS * width)
    usual = np.exp(-0.5 * (np.log2(_TEMPI / _USUAL_TEMPO) / _USUAL_WIDTH) ** 2)
    score = strength * usual * np.exp(_REPETITION * _repetition(windows))
    octaves = np.abs(np.log2(_TEMPI[:, None] / _TEMPI))
    path = _in_one_octave(_viterbi(score, np.minimum(_DRIFT * octaves, _JUMP)), strength)
    confidence = np.mean(octaves[score.argmax(axis=1), path] < SAME_TEMPO)
    row = np.arange(len(starts))
    periods = 60 * FPS / _TEMPI[path]
    clear = np.sort(strength[row, path])[len(starts) // 2 :].mean()
    period = np.interp(np.arange(len(onsets)), starts + width / 2, periods)
    return period, float(clear), float(confidence)


def _in_one_octave(path: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return the path with windows moved to the octave of the song, where the beats allow it.

    A window whose tempo is about twice or half the song's median is moved to the tempo in the
    median's octave that collects most strength, when that is at least _OCTAVE_SHARE of its own.
    """
    usual = np.median(np.log2(_TEMPI[path]))
    octaves = np.rint(np.log2(_TEMPI[path]) - usual)
    near = np.abs(np.log2(_TEMPI[path]) - usual - octaves) < _OCTAVE_WIDTH
    path = path.copy()
    for row in np.flatnonzero(near & (octaves != 0)):
        away = np.abs(np.log2(_TEMPI) + octaves[row] - np.log2(_TEMPI[path[row]]))
        options = np.where(away < SAME_TEMPO, strength[row], -np.inf)
        if options.max() >= _OCTAVE_SHARE * strength[row, path[row]]:
            path[row] = int(options.argmax())
    return path


def _viterbi(score: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Return the path of states (n_steps,) with the highest sum of scores less costs."""
    total = score[0]
    back = np.zeros(score.shape, int)
    for step in range(1, len(score)):
        options = total[:, None] - cost
        back[step] = options.argmax(axis=0)
        total = options.max(axis=0) + score[step]
    path = np.empty(len(score), int)
    path[-1] = total.argmax()
    for step in range(len(score) - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return path
