"""Breaks of sound and level, heard in an edit's audio alone: passages that the song never plays.

A listener who knows the song hears a passage that it has nowhere. So every short passage of the
edit is compared with every passage of the original, and its *strangeness* is the distance to the
most similar one. Inside a piece the same passage exists, so the strangeness is near 0. Across a
seam it is small where the song goes on in that way elsewhere, and large where the sound, the level
or a voice breaks off. The unit is the song's own: the median distance from a passage of the
original to the most similar passage at least APART s away. The seams themselves are not given.

A passage is a series of loudness spectra: power in gammatone-shaped bands (R. Patterson et al.,
1992; spacing of B. Glasberg and B. Moore, 1990), compressed by the exponent of S. Stevens (1957).

Looks like: the descriptors `transition` and `energy`, and the criteria `spectral_jumps` and
`loudness_steps`, which also compare the sound across a seam; but these compare one side with the
other, in mel bands, and know the seams.
"""

from functools import cache, lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.raters.playback import RATE, original, played

#: Lengths of the passages in s, and the distance of the song's passages that set the unit.
PASSAGES, APART = (0.5, 2.0), 3.0
#: Strangeness up to this is not noticed: passages of the song itself are about 1.
UNNOTICED = 0.6

_FRAME, _HOP = 2048, 1024  # 128 ms, every 64 ms
_BANDS, _LOWEST, _HIGHEST = 28, 60.0, 7200.0  # Hz
_LOUDNESS = 0.3
#: Passages of an edit begin this many times in their length.
_PER_PASSAGE = 4
#: Passages compared at once; bounds the memory for long songs.
_BLOCK = 512


def breaks(edit: Edit) -> np.ndarray:
    """Return how strange an edit sounds, (2,): for short and for long passages.

    Each number is the strangeness beyond UNNOTICED, summed over the edit in units of the length
    of a passage: a seam adds about its excess.

    Raises
    ------
    InputError
        When the song's audio cannot be read.
    """
    references, units = _known(edit.song)
    heard = loudness(played(edit))
    out = []
    for size, unit in zip(_sizes(), units, strict=True):
        step = max(1, size // _PER_PASSAGE)
        excess = _nearest_of(heard, references, size, step) / unit - UNNOTICED
        out.append(np.maximum(excess, 0).sum() * step / size)
    return np.array(out)


def loudness(samples: np.ndarray, offset: int = 0) -> np.ndarray:
    """Return the loudness in bands, (n_frames, _BANDS) float32, of samples from `offset` on."""
    padded = np.pad(samples[offset:], (_FRAME // 2, _FRAME))
    frames = sliding_window_view(padded, _FRAME)[::_HOP]
    window, bands = _filters()
    spectrum = fft.rfft(frames * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ bands
    return power**_LOUDNESS


def nearest(
    heard: np.ndarray, reference: np.ndarray, size: int, step: int, apart: float = 0.0
) -> np.ndarray:
    """Return the distance from passages to the most similar passage of a reference.

    Parameters
    ----------
    heard, reference : (n, bands) and (m, bands) arrays
    size : int
        Frames of a passage.
    step : int
        Frames from one passage of `heard` to the next.
    apart : float
        Passages whose numbers of frames differ by less are not compared.

    Returns
    -------
    (n_passages,) array
        Root mean square over the frames of the Euclidean distance of spectra; inf where there is
        no passage to compare with.
    """
    size = min(size, len(heard), len(reference))
    ours, others = (
        sliding_window_view(frames, size, axis=0)[::every].reshape(-1, size * frames.shape[1])
        for frames, every in ((heard, step), (reference, 1))
    )
    lengths, places = (others**2).sum(axis=1), np.arange(len(others))
    least = np.empty(len(ours), dtype=np.float32)
    for first in range(0, len(ours), _BLOCK):
        some = ours[first : first + _BLOCK]
        squared = (some**2).sum(axis=1)[:, None] + lengths - 2 * some @ others.T
        at = (first + np.arange(len(some))) * step
        squared[np.abs(at[:, None] - places) < apart] = np.inf
        least[first : first + _BLOCK] = squared.min(axis=1)
    return np.sqrt(np.maximum(least, 0) / size)


def _sizes() -> list[int]:
    return [round(seconds * RATE / _HOP) for seconds in PASSAGES]


@lru_cache(maxsize=32)
def _known(song: Song) -> tuple[tuple[np.ndarray, ...], tuple[float, ...]]:
    """Return the spectra of a song, at two offsets of the frames, and the unit for each size."""
    samples = original(song)
    # An edit's frames lie anywhere relative to the song's; two offsets halve the mismatch.
    references = loudness(samples), loudness(samples, _HOP // 2)
    between = loudness(samples, _HOP // 4)
    units = []
    for size in _sizes():
        own = nearest(references[0], references[0], size, 1, APART * RATE / _HOP)
        own = own[np.isfinite(own)]
        typical = float(np.median(own)) if len(own) else 0.0
        # A song that repeats itself exactly is about as near to itself as frames that lie amiss.
        amiss = float(_nearest_of(between, references, size, 1).max())
        units.append(max(typical, amiss / UNNOTICED, 1e-6))
    return references, tuple(units)


def _nearest_of(heard, references, size: int, step: int) -> np.ndarray:
    return np.min([nearest(heard, other, size, step) for other in references], axis=0)


@cache
def _filters() -> tuple[np.ndarray, np.ndarray]:
    """Return window, (_FRAME,), and bands, (_FRAME // 2 + 1, _BANDS)."""
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (_LOWEST, _HIGHEST))
    centres = (10 ** (np.linspace(low, high, _BANDS) / 21.4) - 1) / 0.00437
    widths = 1.019 * 24.7 * (0.00437 * centres + 1)
    bins = fft.rfftfreq(_FRAME, 1 / RATE)[:, None]
    bands = (1 + ((bins - centres) / widths) ** 2) ** -4.0
    return window, (bands / bands.sum(axis=0)).astype(np.float32)
