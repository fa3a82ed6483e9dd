"""What a listener who knows the song misses in an edit's audio: its start, its end, its best-known
passage.

Three passages of the original are remembered: the first and the last ENDS s, and the passage of
BEST s that the song itself repeats most often. They are looked for in the edit by their sound
alone, in semitone bands; the beats, seams and beat features are not read. Distances are relative to
the median distance of two moments of the song: 0 is the same sound, 1 no more alike than chance.

Looks like: the descriptors `intro` and `ending` (beats missing at the ends), `hook` and
`whole_chorus` (from features of beats).
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy import fft

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.raters.playback import RATE, original, played

#: Seconds remembered at either end, how far into the edit they are looked for, and by which
#: passages; seconds that must sound like the song's own start and end; the best-known passage.
ENDS, SOUGHT, PASSAGE, FIRST, BEST = 12.0, 18.0, 2.0, 3.0, 12.0
#: Passages of a song nearer than this to each other are repeats; up to FLOOR they are the same.
REPEAT, FLOOR = 0.7, 0.3

_FRAME, _HOP = 8192, 4000  # 0.5 s, every 0.25 s
_LOWEST, _SEMITONES = 65.41, 74  # C2 (Hz) to 4.4 kHz
_SILENCE_DB = -60.0


@dataclass(frozen=True)
class _Known:
    sound: np.ndarray  # (n_frames, _SEMITONES)
    ending: np.ndarray  # the first frames of the sound played backwards
    typical: float
    best: int  # first frame of the best-known passage


def missing(edit: Edit) -> np.ndarray:
    """Return what is missing, (5,), each 0 (nothing) … 1.

    In this order: a start that sounds like the song's; the first seconds; an end that sounds like
    the song's; the last seconds; the best-known passage.

    Raises
    ------
    InputError
        When the song's audio cannot be read.
    """
    known = _known(edit.song)
    samples = played(edit)
    sound = bands(samples)
    ends = []
    for song, heard in ((known.sound, sound), (known.ending, _backwards(samples))):
        first = min(_frames(FIRST), len(heard), len(song))
        unlike = np.sqrt(((song[:first] - heard[:first]) ** 2).sum(axis=1)).mean()
        lost = _lost(song[: _frames(ENDS)], heard[: _frames(SOUGHT)], known.typical)
        ends += [_noticed(unlike / known.typical), lost]
    passage = known.sound[known.best : known.best + _frames(BEST)]
    apart = _passages(passage, sound, len(passage)).min(initial=np.inf)
    return np.array([*ends, _noticed(apart / known.typical)])


def bands(samples: np.ndarray) -> np.ndarray:
    """Return the level in semitone bands, dB, every 0.25 s, (n_frames, _SEMITONES) float32."""
    padded = np.pad(samples, (0, _FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[: len(samples) : _HOP]
    window, weights = _filters()
    spectrum = fft.rfft(frames * window, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ weights
    return (10 * np.log10(power + 10 ** (_SILENCE_DB / 10))).astype(np.float32)


def _backwards(samples: np.ndarray) -> np.ndarray:
    """Return the bands of the end, played backwards: the frames of edit and song lie alike."""
    return bands(samples[-round(SOUGHT * RATE) :][::-1])


def _noticed(distance: float) -> float:
    return float(np.clip((distance - FLOOR) / (1 - FLOOR), 0, 1))


def _lost(remembered: np.ndarray, heard: np.ndarray, typical: float) -> float:
    """Return the share of remembered passages that are not heard."""
    size = min(_frames(PASSAGE), len(remembered), len(heard))
    apart = _passages(remembered, heard, size).min(axis=1) / typical
    return float(np.mean([_noticed(one) for one in apart]))


def _passages(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """Return the root mean square distance of passages of `size` frames, (n, m); may be empty."""
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    rows, columns = len(a) - size + 1, max(len(b) - size + 1, 0)
    total = sum(squared[k : k + rows, k : k + columns] for k in range(size))
    return np.sqrt(np.maximum(total / size, 0))


def _frames(seconds: float) -> int:
    return round(seconds * RATE / _HOP)


@lru_cache(maxsize=32)
def _known(song: Song) -> _Known:
    sound = bands(original(song))
    typical = max(float(np.median(_passages(sound, sound, 1))), 1e-6)
    size = min(_frames(BEST), len(sound) // 2)
    apart = _passages(sound, sound, size) / typical
    place = np.arange(len(apart))
    apart[np.abs(place[:, None] - place) < size] = np.inf
    repeats = np.maximum(REPEAT - apart, 0).sum(axis=1)
    return _Known(sound, _backwards(original(song)), typical, int(repeats.argmax()))


@cache
def _filters() -> tuple[np.ndarray, np.ndarray]:
    """Return window, (_FRAME,), and bands, (_FRAME // 2 + 1, _SEMITONES): Gaussians, a semitone."""
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    bins = fft.rfftfreq(_FRAME, 1 / RATE)
    tones = 12 * np.log2(np.maximum(bins, 1e-3) / _LOWEST)
    width = np.maximum(12 * np.log2(1 + 2 * bins[1] / np.maximum(bins, bins[1])), 1.0) / 2
    weights = np.exp(-0.5 * ((tones[:, None] - np.arange(_SEMITONES)) / width[:, None]) ** 2)
    # A full-scale sine is about 0 dB.
    return window, (weights * (4 / window.sum() ** 2)).astype(np.float32)
