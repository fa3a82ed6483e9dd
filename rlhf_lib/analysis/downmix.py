"""The sound that is analysed: one channel at 22050 Hz, decoded block by block.

An hour of stereo takes 320 MB this way; the file's own samples would take 1.3 GB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from rlhf_lib.analysis.audio import (
    Audio,
    are_opposed,
    channel_power,
    headroom_gain,
    mixed_down,
    resample,
)
from rlhf_lib.analysis.decode import decode

#: Hz.
ANALYSIS_RATE = 22050


@dataclass(frozen=True, eq=False)
class Downmix:
    """The sound of a song for analysis: one channel at 22050 Hz.

    Parameters
    ----------
    samples : (≈ duration · 22050,) float32 array
    n_samples, sample_rate : int
        Of the file, per channel.
    peak : float
        The largest sample of the file, scaled down as by `load_audio`: at most 1.
    gain : float
        The factor by which the file was scaled down; 1 when it was not.
    """

    samples: np.ndarray
    n_samples: int
    sample_rate: int
    peak: float
    gain: float = 1.0

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

    Returns the same as ``Downmix.of(load_audio(path))``, and the gain by which `load_audio` scales
    the file down; raises the same errors.
    """
    downmix, power = _downmix(path, mixed_down)
    if are_opposed(power):
        downmix, _ = _downmix(path, _first_channel)
    return downmix


def _downmix(
    path: str | Path, one_channel: Callable[[np.ndarray], np.ndarray]
) -> tuple[Downmix, np.ndarray]:
    """Return the downmix of a file by (n, channels) → (n,), and its `channel_power`."""
    n_samples, peak, power, stream, mono = 0, 0.0, np.zeros(2), None, []
    for block, rate in decode(path):
        stream = stream or soxr.ResampleStream(rate, ANALYSIS_RATE, 1, dtype="float32")
        n_samples += len(block)
        peak = max(peak, float(block.max()), -float(block.min()))
        power += channel_power(block)
        mono.append(stream.resample_chunk(one_channel(block)))
    mono.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    samples = np.concatenate(mono)
    gain = headroom_gain(peak)
    if gain < 1:
        samples *= np.float32(gain)
    return Downmix(samples, n_samples, rate, min(peak, 1.0), gain), power


def _first_channel(block: np.ndarray) -> np.ndarray:
    return block[:, 0]
