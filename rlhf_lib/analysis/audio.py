"""Sound in memory and on disk: decode, encode, resample."""

import logging
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soxr

from rlhf_lib.analysis.decode import decode
from rlhf_lib.analysis.encode import Bits, check_format, encode
from rlhf_lib.analysis.tags import copy_tags
from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

_log = logging.getLogger(__name__)

#: Suffixes of the formats that can be decoded; of a video, its sound.
AUDIO_SUFFIXES = frozenset(
    (
        *(".wav", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc"),
        *(".au", ".caf", ".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp"),
    )
)
#: Suffixes of other sound and video files, which are named when a folder is searched.
_OTHER_SOUND = frozenset(
    (
        *(".aac", ".ac3", ".amr", ".ape", ".dsf", ".m4p", ".mka", ".mpc", ".ra", ".wma", ".wv"),
        *(".avi", ".flv", ".mkv", ".mpeg", ".mpg", ".webm", ".wmv"),
    )
)
#: Channels are opposed when their mean has less than this share of their power. Ten recorded songs
#: have 0.87 and more, with one channel turned over up to 0.13; the codec of an OGG leaves 0.02.
_OPPOSED = 0.1
_BLOCK = 1 << 16  # keeps intermediate arrays small


@dataclass(frozen=True, eq=False)
class Audio:
    """A piece of sound.

    Parameters
    ----------
    samples : (n_samples, n_channels) float32 array
        Full scale is −1 … 1.
    sample_rate : int
        Samples per second.

    Raises
    ------
    InputError
        When `samples` is not two-dimensional or empty, or the sample rate is not positive.
    """

    samples: np.ndarray
    sample_rate: int

    def __post_init__(self):
        samples = np.asarray(self.samples, dtype=np.float32)
        if samples.ndim != 2 or samples.size == 0:
            raise InputError(
                f"audio samples have shape {samples.shape}; give a non-empty array of shape "
                "(n_samples, n_channels)"
            )
        if self.sample_rate <= 0:
            raise InputError(f"sample rate {self.sample_rate!r} must be a positive number of Hz")
        object.__setattr__(self, "samples", samples)

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self.samples.shape[0]

    @property
    def n_channels(self) -> int:
        """1 for mono, 2 for stereo."""
        return self.samples.shape[1]

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.n_samples / self.sample_rate

    @cached_property
    def largest_jump(self) -> float:
        """Largest step between successive samples of a channel."""
        return largest_jump(self.samples)

    def mono(self) -> np.ndarray:
        """Return one channel, (n_samples,) float32: see `mixed_down`, `are_opposed`."""
        blocks = range(0, self.n_samples, _BLOCK)
        power = sum(channel_power(self.samples[start : start + _BLOCK]) for start in blocks)
        return self.samples[:, 0] if are_opposed(power) else mixed_down(self.samples)


def mixed_down(samples: np.ndarray) -> np.ndarray:
    """Return the mean of one or two channels: (n, channels) → (n,) float32."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    return (samples[:, 0] + samples[:, 1]) * np.float32(0.5)  # numpy's mean takes ten times as long


def channel_power(samples: np.ndarray) -> np.ndarray:
    """Return the power, summed over samples (n, channels), of their mean and of the channels."""
    flat, mean = samples.ravel(), mixed_down(samples)
    return np.array([mean @ mean, flat @ flat / samples.shape[1]], np.float64)


def are_opposed(power: np.ndarray) -> bool:
    """Return whether the channels cancel each other out (left ≈ −right, as by a reversed wire).

    Their mean would be what rounding and codecs leave; the first channel is analysed instead.

    Parameters
    ----------
    power : (2,) float64 array
        Sum of `channel_power` over a whole file.
    """
    mean, channels = power
    return bool(mean < _OPPOSED * channels)


def largest_jump(samples: np.ndarray) -> float:
    """Return the largest step between successive samples of (n, channels)."""
    return max(
        float(np.abs(np.diff(samples[start : start + _BLOCK + 1], axis=0)).max(initial=0.0))
        for start in range(0, len(samples), _BLOCK)
    )


def load_audio(path: str | Path) -> Audio:
    """Decode a whole file.

    A recording beyond full scale (as loud MP3, Vorbis and float files can be) is scaled down as a
    whole by `headroom_gain`, so that its peak is 1; otherwise the samples are unchanged.

    Parameters
    ----------
    path : path of a WAV, FLAC, OGG, Opus, MP3, MP4, AIFF … file, mono or stereo

    Returns
    -------
    Audio
        At the file's own sample rate.

    Raises
    ------
    InputError
        When the file cannot be used as it is; see `rlhf_lib.analysis.decode.decode`.
    """
    blocks, rate = [], 0
    for block, rate in decode(path):  # noqa: B007
        blocks.append(block)
    samples = np.concatenate(blocks)
    gain = headroom_gain(max(float(samples.max()), -float(samples.min())))
    if gain < 1:
        samples *= np.float32(gain)
        np.clip(samples, -1, 1, out=samples)  # rounding can leave 1 + 1e-7
    return Audio(samples, rate)


def headroom_gain(peak: float) -> float:
    """Return the factor that brings a recording down to full scale; 1 if its peak is not beyond."""
    return 1 / max(peak, 1.0)


def save_audio(
    path: str | Path, audio: Audio, bits: Bits = 16, tags_from: str | Path | None = None
) -> None:
    """Write `audio` atomically, in the format of the suffix.

    Parameters
    ----------
    path : path
        .wav, .flac, .ogg (Vorbis) or .mp3 (the highest constant bit rate of the sample rate).
    audio : Audio
    bits : 16 or 24
        Of a sample in .wav and .flac: samples from a file of as many bits are written back
        unchanged; see `rlhf_lib.analysis.decode.source_bits`. Other formats have no such number.
    tags_from : path, optional
        A sound file whose tags are copied; see `copy_tags`.

    Raises
    ------
    InputError
        When the suffix is none of these, the format lacks the sample rate or the channels, a
        sample lies beyond −1 … 1 or is not a number, or the file cannot be written.
    """
    path = Path(path)
    check_format(path.suffix, audio.sample_rate, audio.n_channels, path.name)
    peak = max(float(audio.samples.max()), -float(audio.samples.min()))
    if not peak <= 1:
        raise InputError(
            f"cannot write {path.name}: its peak {peak:.4g} is beyond full scale (1); scale the "
            "samples down first"
        )
    content = encoded(audio, path.suffix, bits)  # libsndfile does not report a full disk
    with atomic_path(path) as part:
        part.write_bytes(content)
        if tags_from is not None:
            copy_tags(tags_from, part)


def encoded(audio: Audio, suffix: str, bits: Bits = 16) -> bytes:
    """Return the bytes of a file of this suffix; see `encode`.

    Samples must lie within −1 … 1."""
    return encode(audio.samples, audio.sample_rate, suffix, bits)


def resample(mono: np.ndarray, sr_from: int, sr_to: int) -> np.ndarray:
    """Return `mono` at another sample rate (band-limited, by the SoX resampler).

    Parameters
    ----------
    mono : (n,) float32
    sr_from, sr_to : int
        Hz.

    Returns
    -------
    (≈ n · sr_to / sr_from,) float32
    """
    return mono if sr_from == sr_to else soxr.resample(mono, sr_from, sr_to)


def find_audio(folder: str | Path) -> list[Path]:
    """Return the audio files below `folder`, by suffix, sorted; hidden ones are left out.

    Sound and video files of other formats are left out with a warning.

    Linked folders are searched too. A folder that several paths lead to is searched once; links
    to `folder` or a folder above it are left out. What is no regular file (pipes, devices) and
    folders that cannot be read are left out with a warning.

    Raises
    ------
    InputError
        When `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; check the path")
    found: list[Path] = []
    tops, seen = [folder], {*folder.resolve().parents}
    for top in tops:  # grows by the links that are found
        for root, folders, files in os.walk(top, onerror=_warn_unreadable):
            place = Path(root).resolve()
            folders[:] = [] if place in seen else sorted(_visible(folders))
            files = [] if place in seen else files
            seen.add(place)
            tops += [link for name in folders if (link := Path(root, name)).is_symlink()]
            found += [path for name in _visible(files) if _is_audio(path := Path(root, name))]
    return sorted(found)


def _visible(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def _is_audio(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _OTHER_SOUND:
        _log.warning("%s is left out: %s is not supported; convert it to WAV or FLAC", path, suffix)
    if suffix not in AUDIO_SUFFIXES:
        return False
    if is_endless(path):
        _log.warning("%s is left out: it is a pipe or device, not a file", path)
        return False
    return True


def is_endless(path: Path) -> bool:
    """Return whether a path leads to a pipe, socket or device: reading it may never end."""
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever reads it will find out
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _warn_unreadable(error: OSError) -> None:
    _log.warning("%s is left out: %s", error.filename, error.strerror)
