"""Sound in memory and on disk: decode, encode, resample."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
import soxr

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

#: Suffixes of the formats that libsndfile decodes.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au")
)
#: Suffix → libsndfile (format, subtype) that `save_audio` writes.
_ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
}
#: Seconds by which the declared length may exceed the decoded one: MP3 encoders round to frames.
_SLACK = 0.5
#: Hz. Other rates come from damaged headers; a rate far too low would turn a minute into hours.
_LOWEST_RATE, _HIGHEST_RATE = 4000, 768_000
#: In 32-bit headers, sizes from here on mean "unknown".
_NEVER_FILLED_IN = 0x7FFFF000
_LONGEST_OGG_PAGE = 65_307  # bytes


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
        """Return the mean of the channels, (n_samples,) float32."""
        return mixed_down(self.samples)


def mixed_down(samples: np.ndarray) -> np.ndarray:
    """Return the mean of one or two channels: (n, channels) → (n,) float32."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    return (samples[:, 0] + samples[:, 1]) * np.float32(0.5)  # numpy's mean takes ten times as long


def largest_jump(samples: np.ndarray) -> float:
    """Return the largest step between successive samples of (n, channels)."""
    block = 1 << 16  # keeps intermediate arrays small
    return max(
        float(np.abs(np.diff(samples[start : start + block + 1], axis=0)).max(initial=0.0))
        for start in range(0, len(samples), block)
    )


def load_audio(path: str | Path) -> Audio:
    """Decode a file with libsndfile.

    A recording beyond full scale (as loud MP3, Vorbis and float files can be) is scaled down as a
    whole so that its peak is 1; otherwise the samples are unchanged.

    Parameters
    ----------
    path : path of a WAV, FLAC, OGG, Opus, MP3, AIFF … file, mono or stereo

    Returns
    -------
    Audio
        At the file's own sample rate.

    Raises
    ------
    InputError
        When the file is missing, empty, not audio, cut short, has more than two channels, an
        impossible sample rate or samples that are not numbers.
    """
    with opened(path) as handle:
        samples = handle.read(dtype="float32", always_2d=True)
        check_whole(handle, len(samples))
    peak = max(float(samples.max()), -float(samples.min()))
    check_numbers(path, samples)
    if peak > 1:
        samples /= np.float32(peak)
        np.clip(samples, -1, 1, out=samples)  # rounding can leave 1 + 1e-7
    return Audio(samples, handle.samplerate)


@contextmanager
def opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file for reading; errors of libsndfile become an `InputError`."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no audio file at {path}; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or export it again")
    try:
        with soundfile.SoundFile(path) as handle:
            channels, rate = handle.channels, handle.samplerate
            if channels > 2:
                raise InputError(f"{path} has {channels} channels; mix it down to mono or stereo")
            if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
                raise InputError(
                    f"{path} has a sample rate of {rate} Hz, outside {_LOWEST_RATE} … "
                    f"{_HIGHEST_RATE}; export it again, 44100 Hz is usual"
                )
            yield handle
    except (soundfile.LibsndfileError, MemoryError) as error:
        raise InputError(
            f"cannot decode {path} ({error}); give a WAV, FLAC, OGG, Opus or MP3 file that plays "
            "elsewhere"
        ) from error


def check_whole(handle: soundfile.SoundFile, n_samples: int) -> None:
    """Raise an `InputError` when fewer samples could be read than the file declares."""
    path, rate = Path(handle.name), handle.samplerate
    declared = max(handle.frames, _promised_frames(handle.extra_info, handle.frames))
    if n_samples == 0:
        raise InputError(f"{path} holds no sound (0 samples); copy or export it again")
    if n_samples < declared - _SLACK * rate:
        raise InputError(
            f"{path} is cut short: {n_samples / rate:.1f} s decoded of {declared / rate:.1f} s "
            "declared; copy or export it again"
        )
    if not _ends_as_ogg_should(path):
        raise InputError(f"{path} is cut short: its last page is missing; copy it again")


def check_numbers(path: str | Path, samples: np.ndarray, first: int = 0) -> None:
    """Raise an `InputError` when samples (n, channels) are not finite; row 0 has index `first`."""
    if not (np.isfinite(samples.max()) and np.isfinite(samples.min())):  # max propagates NaN
        bad = int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        raise InputError(
            f"{path} holds {samples[bad].tolist()} at sample {first + bad}, which is not a "
            "number; export it again"
        )


def _promised_frames(log: str, found: int) -> int:
    """Return how many frames the header of an uncompressed file declares, from libsndfile's log.

    libsndfile reads a truncated file without an error. A size near the end of the number range
    was never filled in, as in a piped recording, and is ignored.
    """
    for promised, present in re.findall(
        r"^\W*(?:data|SSND|Data Size|riff)\W*(\d+) \(should be (\d+)\)", log, re.M
    ):
        if int(promised) < _NEVER_FILLED_IN and int(present):
            return found * int(promised) // int(present)
    return found


def _ends_as_ogg_should(path: Path) -> bool:
    """Return False for an Ogg file whose last page lacks the end-of-stream flag (RFC 3533)."""
    with path.open("rb") as handle:
        if handle.read(4) != b"OggS":
            return True
        handle.seek(-min(_LONGEST_OGG_PAGE, path.stat().st_size), os.SEEK_END)
        tail = handle.read()
    flags = tail[tail.rfind(b"OggS") + 5 :][:1]
    return bool(flags and flags[0] & 4)


def save_audio(path: str | Path, audio: Audio) -> None:
    """Write `audio` atomically, in the format of the suffix.

    .wav and .flac have 16 bits: samples from a 16-bit file are written back unchanged.
    .ogg is Vorbis.

    Raises
    ------
    InputError
        When the suffix is none of these, a sample lies beyond −1 … 1 or is not a number, or the
        file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENCODINGS:
        raise InputError(
            f"cannot write {path.name}: suffix {path.suffix!r} is not one of "
            f"{', '.join(_ENCODINGS)}"
        )
    peak = max(float(audio.samples.max()), -float(audio.samples.min()))
    if not peak <= 1:
        raise InputError(
            f"cannot write {path.name}: its peak {peak:.4g} is beyond full scale (1); scale the "
            "samples down first"
        )
    content = encoded(audio, path.suffix.lower())  # libsndfile does not report a full disk
    with atomic_path(path) as part:
        part.write_bytes(content)


def encoded(audio: Audio, suffix: str) -> bytes:
    """Return the bytes of a file of this suffix: ".wav", ".flac" or ".ogg"; see `save_audio`.

    Samples must lie within −1 … 1.
    """
    form, subtype = _ENCODINGS[suffix]
    samples = _sixteen_bits(audio.samples) if subtype == "PCM_16" else audio.samples
    # libsndfile's Vorbis encoder overflows its stack on very long writes.
    block = 1 << 16 if subtype == "VORBIS" else len(samples)
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", audio.sample_rate, audio.n_channels, format=form, subtype=subtype
    ) as handle:
        for start in range(0, len(samples), block):
            handle.write(samples[start : start + block])
    return buffer.getvalue()


def _sixteen_bits(samples: np.ndarray) -> np.ndarray:
    """Return samples as 16-bit numbers.

    libsndfile reads int / 32768 but writes float * 32767; this is its inverse.
    """
    out = np.empty(samples.shape, np.int16)
    block = 1 << 14  # fits the processor's cache
    for start in range(0, len(samples), block):
        scaled = samples[start : start + block] * np.float32(32768)
        np.rint(scaled, out=scaled)
        out[start : start + block] = np.clip(scaled, -32768, 32767, out=scaled)
    return out


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

    Raises
    ------
    InputError
        When `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; check the path")
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
        ]
    return sorted(found)
