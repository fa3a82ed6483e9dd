"""Weights that sum the bins of a spectrum into mel bands and pitch classes.

The weights equal librosa's (B. McFee et al., SciPy 2015). librosa is not imported, because that
takes a second and compiles code at first use.
"""

from functools import cache

import numpy as np

#: Slaney's mel scale ("Auditory Toolbox", 1998): linear up to 1 kHz, 15 mel, then logarithmic.
_KNEE_HERTZ, _KNEE_MEL = 1000.0, 15.0
_STEP = np.log(6.4) / 27  # of the logarithm, per mel
#: Hz of the A that octaves are counted from.
_LOWEST_A = 27.5
#: Octaves have Gaussian weights: centre A5 (five octaves above), standard deviation two octaves.
_CENTRE, _SPREAD = 5.0, 2.0


@cache
def mel_filters(rate: int, frame: int, n_bands: int) -> np.ndarray:
    """Return triangles of height 1, evenly spaced in mel, (n_bands, frame // 2 + 1) float32.

    Parameters
    ----------
    rate : int
        Sample rate, Hz; the bands reach to half of it.
    frame : int
        Samples of the Fourier transform.
    n_bands : int
    """
    top = _KNEE_MEL + np.log(rate / 2 / _KNEE_HERTZ) / _STEP
    mel = np.linspace(0.0, top, n_bands + 2)
    above = _KNEE_HERTZ * np.exp(_STEP * (mel - _KNEE_MEL))
    corners = np.where(mel < _KNEE_MEL, mel * _KNEE_HERTZ / _KNEE_MEL, above)
    bins = np.fft.rfftfreq(frame, 1 / rate)
    step = np.diff(corners)[:, None]
    rising = (bins - corners[:-2, None]) / step[:-1]
    falling = (corners[2:, None] - bins) / step[1:]
    return np.maximum(np.minimum(rising, falling), 0).astype(np.float32)


@cache
def chroma_filters(rate: int, frame: int) -> np.ndarray:
    """Return each bin's share in the pitch classes C … B, (12, frame // 2 + 1) float32.

    Each bin is spread by a Gaussian as wide as the bin, at least a semitone (D. Ellis, "Chroma
    feature analysis and synthesis", 2007). Standard pitch, A = 440 Hz.
    """
    bins = np.fft.rfftfreq(frame, 1 / rate)[1:]
    semitones = 12 * np.log2(bins / _LOWEST_A)
    semitones = np.concatenate([[semitones[0] - 18], semitones])  # 0 Hz: 1½ octaves lower
    width = np.maximum(np.diff(semitones, append=semitones[-1]), 1.0)
    classes = np.arange(12)[:, None] + 3  # C is three semitones above A
    distance = (semitones - classes + 6) % 12 - 6
    weights = np.exp(-2 * (distance / width) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=0))
    weights *= np.exp(-0.5 * ((semitones / 12 - _CENTRE) / _SPREAD) ** 2)
    return weights.astype(np.float32)
