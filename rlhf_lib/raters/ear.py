"""Audible faults of seams, computed from the sound and never from the beat features.

Each seam is rendered separately, with a bar on either side and the crossfade of
`rlhf_lib.editing.render`. Three faults are computed. Each is compared with its mean at the two
places in the song that the seam joins: where the passage left continues, and where the passage
reached comes from. Only the excess counts, so a join between similar passages has no fault.

- onset irregularity: the onset envelopes (mean rise of the loudness in mel bands, taken as the
  fourth root of their power; S. Dixon, "Onset detection revisited", DAFx 2006) of the bar
  before, L, and of the bar after, R, are written as harmonics of the bar, up to four per beat.
  Their coherence Re Σ R·conj(L) / Σ |R·L| is 1 if every harmonic continues in phase; the
  irregularity is 1 − coherence. A slip of δ s costs 1 − mean cos(2π·f·δ) over the harmonics f of
  the rhythm: with onsets on every beat of 0.5 s, 0.06 for 10 ms and 0.4 for 30 ms.
- spectral jump: change of the log-mel spectrum from the last SPECTRUM_TIME s before the join to
  the first after it, less its mean, root mean square over bands, dB. An excess of JUMP_SPAN_DB
  counts as 1.
- loudness step: change of the RMS level from the beat before to the beat after, dB. An excess of
  STEP_SPAN_DB counts as 1.
"""

from functools import cache, lru_cache

import numpy as np
from scipy import fft

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.filters import mel_filters
from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.render import crossfade
from rlhf_lib.raters.playback import RATE, decoded

#: The faults of a seam, in the order of the last axis of `seam_faults`.
FAULTS = ("onset irregularity", "spectral jump", "loudness step")
SPECTRUM_TIME = 0.15  # s
JUMP_SPAN_DB, STEP_SPAN_DB = 6.0, 6.0

_FRAME, _HOP, _MELS = 512, 160, 32  # 32 ms, every 10 ms
_HALF_FADE = 0.006  # s, half of what `render` takes
_PER_BEAT = 4
#: Onsets up to this many s before a join belong to the beat that begins there.
_EARLY = 0.03
#: Harmonics of the onset envelope below this amplitude do not count as rhythm.
_FAINT = 0.0005
#: Power in a band, relative to the song's, that counts as silence: −40 dB.
_SILENCE = 1e-4
_SONGS_DECODED = 32


def seam_faults(edit: Edit) -> np.ndarray:
    """Return the faults of each seam of an edit.

    Results are cached by song, beat left and beat reached; the last _SONGS_DECODED songs stay
    decoded (4 MB a minute each).

    Returns
    -------
    (n_seams, 3) float64 array in 0 … 1
        In the order of `FAULTS`. 0: no more than in the song itself.

    Raises
    ------
    InputError
        When the song's audio file is missing or broken, or not the one that was analysed.
    """
    if not len(edit.seams):
        return np.zeros((0, len(FAULTS)))
    song = edit.song
    ear = _ear(
        str(song.path),
        song.sha256,
        song.sample_rate,
        song.beat_bounds.tobytes(),
        song.beats_per_bar,
    )
    joins = zip(edit.order[edit.seams - 1].tolist(), edit.order[edit.seams].tolist(), strict=True)
    return np.array([ear.faults(*join) for join in joins])


class _Ear:
    """The faults of one song's seams, computed once each."""

    def __init__(self, path: str, sha256: str, sample_rate: int, bounds: np.ndarray, bar: int):
        self._source = path, sha256, sample_rate, int(bounds[-1])
        self._bounds = np.rint(bounds * (RATE / sample_rate)).astype(int)
        self._lengths = np.diff(self._bounds)
        self._bar = bar
        self._heard: dict[tuple[int, int], np.ndarray] = {}
        self._faults: dict[tuple[int, int], np.ndarray] = {}

    def faults(self, i: int, j: int) -> np.ndarray:
        """Return the three faults of playing beat j right after beat i."""
        if (i, j) not in self._faults:
            goes_on = [(i, i + 1)] * (i + 1 < len(self._lengths)) + [(j - 1, j)] * (j > 0)
            usual = np.mean([self._hear(*join) for join in goes_on] or np.zeros((1, 3)), axis=0)
            irregularity, change, step = self._hear(i, j) - usual
            faults = irregularity, change / JUMP_SPAN_DB, abs(step) / STEP_SPAN_DB
            self._faults[i, j] = np.clip(faults, 0.0, 1.0)
        return self._faults[i, j]

    def _hear(self, i: int, j: int) -> np.ndarray:
        """Return irregularity, spectral change and step in level (both dB) from beat i to j."""
        if (i, j) in self._heard:
            return self._heard[i, j]
        sound = _sound(*self._source)
        around = [
            self._lengths[max(i - self._bar + 1, 0) : i + 1],
            self._lengths[j : j + self._bar],
        ]
        beat = float(np.mean([np.median(lengths) for lengths in around]))
        reach = round(self._bar * beat + _EARLY * RATE) + _FRAME
        piece, place = _rendered(sound, self._bounds[i + 1], self._bounds[j], reach)
        bands, first = _mel_bands(piece, place)
        spectra = round(SPECTRUM_TIME * RATE / _HOP)
        # Frames −1 and 0 lie across the join.
        before = bands[max(-first - 1 - spectra, 0) : -first - 1]
        after = bands[-first + 1 :][:spectra]
        change = _decibel(after).mean(axis=0) - _decibel(before).mean(axis=0)
        level = [
            _decibel(np.mean(part**2))
            for part in (piece[max(place - round(beat), 0) : place], piece[place:][: round(beat)])
        ]
        self._heard[i, j] = np.array(
            [1 - _coherence(bands, first, self._bar, beat), change.std(), level[1] - level[0]]
        )
        return self._heard[i, j]


@lru_cache(maxsize=4096)
def _ear(path: str, sha256: str, sample_rate: int, bounds: bytes, bar: int) -> _Ear:
    return _Ear(path, sha256, sample_rate, np.frombuffer(bounds, np.int64), bar)


@lru_cache(maxsize=_SONGS_DECODED)
def _sound(path: str, sha256: str, sample_rate: int, n_samples: int) -> Audio:
    """Return the sound of a song: mono at RATE, of mean square 1."""
    samples = decoded(path, sha256, sample_rate, n_samples).samples
    level = np.float32(max(np.sqrt(np.mean(samples**2, dtype=np.float64)), 1e-6))
    return Audio(samples / level, RATE)


def _rendered(sound: Audio, left: int, reached: int, reach: int) -> tuple[np.ndarray, int]:
    """Return up to `reach` samples before `left` and after `reached`, joined, and the join."""
    source = sound.samples
    parts = source[max(left - reach, 0) : left], source[reached : reached + reach]
    out, place = np.concatenate(parts), len(parts[0])
    if left != reached:
        room = np.array([len(part) // 2 for part in parts])
        half = round(_HALF_FADE * RATE)
        crossfade(out, place, source, left, reached, half, room, sound.largest_jump)
    return out[:, 0], place


def _mel_bands(piece: np.ndarray, place: int) -> tuple[np.ndarray, int]:
    """Return the power in mel bands, (n_frames, _MELS), and the number of the first frame.

    Frame k is centred (k + ½) _HOP after `place`; frames −1 and 0 lie to either side of it.
    """
    first = -((place - _FRAME // 2 + _HOP // 2) // _HOP)
    start = place + first * _HOP + _HOP // 2 - _FRAME // 2
    frames = np.lib.stride_tricks.sliding_window_view(piece[start:], _FRAME)[::_HOP]
    window, filters = _analysis()
    spectrum = fft.rfft(frames * window, axis=1)
    return (spectrum.real**2 + spectrum.imag**2) @ filters, first


def _decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + np.float32(_SILENCE))


@cache
def _analysis() -> tuple[np.ndarray, np.ndarray]:
    """Return window and mel filters, scaled so that the bands add up to the mean square."""
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    scale = 2 / (_FRAME * float((window**2).sum()))
    return window, mel_filters(RATE, _FRAME, _MELS).T * np.float32(scale)


def _coherence(bands: np.ndarray, first: int, bar: int, beat: float) -> float:
    """Return how well the onsets of the bar before the join continue after it, −1 … 1."""
    loudness = np.sqrt(np.sqrt(bands))
    rise = np.maximum(np.diff(loudness, axis=0), 0).mean(axis=1)
    # The rise to frame k happens when sound enters its window.
    times = ((first + 1 + np.arange(len(rise))) * _HOP + _FRAME / 4) / RATE + _EARLY
    length = bar * beat / RATE
    turn = np.exp(-2j * np.pi / length * times)
    waves = np.cumprod(np.broadcast_to(turn, (bar * _PER_BEAT, len(turn))), axis=0)
    sides = []
    for inside in ((-length <= times) & (times < 0), (times >= 0) & (times < length)):
        envelope = rise[inside]
        sides.append(waves[:, inside] @ (envelope - envelope.mean()) / max(inside.sum(), 1))
    before, after = sides
    faint = len(before) * _FAINT**2
    agreement = float((after * before.conj()).sum().real)
    return (agreement + faint) / (float(np.abs(after * before).sum()) + faint)
