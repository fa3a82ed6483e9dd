"""The sound that is analysed: one channel at 22050 Hz, decoded block by block.

An hour of stereo takes 320 MB this way; the file's own samples would take 1.3 GB.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from rlhf_lib.analysis.audio import Audio, check_numbers, check_whole, mixed_down, opened, resample

#: Hz.
ANALYSIS_RATE = 22050
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Downmix:
    """The sound of a song for analysis: one channel at 22050 Hz.

    Parameters
    ----------
    samples : (≈ duration · 22050,) float32 array
    n_samples, sample_rate : int
        Of the file, per channel.
    peak : float
        The file's largest sample, at most 1.
    """

    samples: np.ndarray
    n_samples: int
    sample_rate: int
    peak: float

    @property
    def duration(self) -> float:
        """Length of the file in s."""
        return self.n_samples / self.sample_rate

    @classmethod
    def of(cls, sound: "Audio | Downmix") -> "Downmix":
        """Return the downmix of a sound in memory; a downmix is returned as it is."""
        if isinstance(sound, Downmix):
            return sound
        samples = resample(sound.mono(), sound.sample_rate, ANALYSIS_RATE)
        peak = max(float(sound.samples.max()), -float(sound.samples.min()))
        return cls(samples, sound.n_samples, sound.sample_rate, peak)


def load_downmix(path: str | Path) -> Downmix:
    """Decode a file for analysis, in little memory.

    Returns the same as ``Downmix.of(load_audio(path))`` and raises the same errors.
    """
    n_samples, peak, mono = 0, 0.0, []
    with opened(path) as handle:
        stream = soxr.ResampleStream(handle.samplerate, ANALYSIS_RATE, 1, dtype="float32")
        while len(block := handle.read(_BLOCK, dtype="float32", always_2d=True)):
            check_numbers(path, block, n_samples)
            n_samples += len(block)
            peak = max(peak, float(block.max()), -float(block.min()))
            mono.append(stream.resample_chunk(mixed_down(block)))
        check_whole(handle, n_samples)
    mono.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    samples = np.concatenate(mono)
    if peak > 1:  # as `load_audio` does
        samples /= np.float32(peak)
    return Downmix(samples, n_samples, handle.samplerate, min(peak, 1.0))
