"""Decode audio files block by block, whole or not at all.

MP3, MP4 and FLAC of unknown length are decoded by FFmpeg (PyAV), everything else by libsndfile.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from rlhf_lib.analysis import ffmpeg, mpeg
from rlhf_lib.analysis.containers import (
    NEVER_FILLED_IN,
    SLACK,
    Declared,
    Part,
    declared,
    flac_parts,
    ogg_parts,
)
from rlhf_lib.analysis.encode import Bits
from rlhf_lib.errors import InputError

_BLOCK = 1 << 18
#: Hz. Other rates come from damaged headers; a rate far too low would turn a minute into hours.
_LOWEST_RATE, _HIGHEST_RATE = 4000, 768_000
#: First bytes of files that are no MP3, whatever their suffix.
_NO_MP3 = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff", b".snd", b"dns.", b"fLaC", b"OggS")
#: Names of the first box of an MP4 file; those of old MOV files, too.
_MP4 = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")

#: Subtypes of libsndfile.
_MORE_THAN_16_BITS = ("PCM_24", "PCM_32", "FLOAT", "DOUBLE")

Blocks = Iterator[tuple[np.ndarray, int]]


def decode(path: str | Path) -> Blocks:
    """Yield the sound of a file in blocks.

    Parameters
    ----------
    path : path of a WAV, FLAC, OGG, Opus, MP3, MP4, AIFF … file, mono or stereo

    Yields
    ------
    block : (n, channels) float32 array
        Not empty; may exceed −1 … 1.
    sample_rate : int
        Hz. Rate and channels are the same for all blocks.

    Raises
    ------
    InputError
        When the file is missing, empty, not audio, cut short, has more than two channels, an
        impossible sample rate, samples that are not numbers, parts that differ in rate or
        channels, or more sound than its header declares.
    """
    path = Path(path)
    form, n_samples = None, 0
    try:
        if not path.is_file():
            raise InputError(f"no audio file at {path}; check the path")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); copy or export it again")
        for block, rate in _blocks(path):
            if form is None:
                _check_form(path, block.shape[1], rate)
                form = block.shape[1], rate
            if (block.shape[1], rate) != form:
                raise InputError(
                    f"{path} changes from {_words(*form)} to {_words(block.shape[1], rate)} after "
                    f"{n_samples / form[1]:.1f} s; convert its parts to one format, then join them"
                )
            if len(block):
                _check_numbers(path, block, n_samples)
                n_samples += len(block)
                yield block, rate
    except (soundfile.LibsndfileError, MemoryError) as error:
        reason = getattr(error, "error_string", error)  # of libsndfile: without the file's name
        raise InputError(
            f"cannot decode {path} ({reason}); give a WAV, FLAC, OGG, Opus, MP3 or MP4 (M4A) file "
            "that plays elsewhere, or convert it to WAV or FLAC"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error}); check the path and its permissions"
        ) from error
    if n_samples == 0:
        raise InputError(f"{path} holds no sound (0 samples); copy or export it again")


def source_bits(path: str | Path) -> Bits:
    """Return how many bits a sample of an edit needs to keep the resolution of its song.

    24 for a file of more than 16 bits or of floating-point numbers, 16 for any other, among them
    MP3, Vorbis and Opus.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    return _form(Path(path))[1]


def source_rate(path: str | Path) -> int:
    """Return the sample rate of a file in Hz.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    return _form(Path(path))[0]


def _form(path: Path) -> tuple[int, Bits]:
    try:
        magic = _first_bytes(path)
        if _is_mpeg(path, magic):
            frame = mpeg.header(magic)  # None where something else comes before the first frame
            return frame.rate if frame else next(decode(path))[1], 16
        if _is_mp4(path):
            return ffmpeg.mp4_form(path)
        with path.open("rb") as handle:  # libsndfile gives no reason for a file that it cannot open
            info = soundfile.info(handle)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", error)
        raise InputError(f"cannot read {path} ({reason}); check the path") from error
    return info.samplerate, 24 if info.subtype in _MORE_THAN_16_BITS else 16


def _blocks(path: Path) -> Blocks:
    """Yield blocks of any length, also empty ones, with the decoder that fits the content."""
    magic = _first_bytes(path)
    if _is_mpeg(path, magic):
        yield from mpeg.decode(path.read_bytes(), path)
    elif magic == b"OggS":
        yield from _ogg(path)
    elif magic == b"fLaC":
        yield from _flac(path)
    elif _is_mp4(path):
        yield from ffmpeg.mp4(path)
    else:
        yield from _chunked(path)


def _is_mpeg(path: Path, magic: bytes) -> bool:
    named = path.suffix.lower() == ".mp3" and magic not in _NO_MP3 and not _is_mp4(path)
    return bool(mpeg.header(magic)) or named


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(8)[4:] in _MP4


def _first_bytes(path: Path) -> bytes:
    """Return the first four bytes after any ID3v2 tags."""
    with path.open("rb") as handle:
        place = 0
        while True:
            handle.seek(place)
            head = handle.read(10)
            if not (head.startswith(b"ID3") and (size := mpeg.tag_size(head))):
                return head[:4]
            place += size


def _ogg(path: Path) -> Blocks:
    parts = ogg_parts(path)
    for number, part in enumerate(parts, start=1):
        yield from _by_libsndfile(path, path if len(parts) == 1 else _content(path, part))
        if not part.ended:
            which = f" of part {number}" if len(parts) > 1 else ""
            raise InputError(f"{path} is cut short: the last page{which} is missing; copy it again")


def _flac(path: Path) -> Blocks:
    parts = flac_parts(path)
    for part in parts:
        head = _content(path, part._replace(stop=part.start + 26)).getvalue()
        length = int.from_bytes(head[21:], "big") & 0xF_FFFF_FFFF  # samples: the last 36 bits
        if len(head) == 26 and length == 0:
            yield from ffmpeg.flac(path, _content(path, part))
        else:
            yield from _by_libsndfile(path, path if len(parts) == 1 else _content(path, part))


def _content(path: Path, part: Part) -> io.BytesIO:
    with path.open("rb") as handle:
        handle.seek(part.start)
        return io.BytesIO(handle.read(part.stop - part.start))


def _chunked(path: Path) -> Blocks:
    """Yield the sound of a file whose header declares its size; see `_blocks`."""
    header = declared(path)
    if header and header.size == 0 and header.rest and path.stat().st_size < 1 << 32:
        content = bytearray(path.read_bytes())  # a pipe left the size empty: it means "unknown"
        order = "big" if content[:4] in (b"RIFX", b"FORM", b".snd") else "little"
        size = len(content) - header.size_at - 4
        content[header.size_at : header.size_at + 4] = size.to_bytes(4, order)
        yield from _by_libsndfile(path, io.BytesIO(content))
    else:
        yield from _by_libsndfile(path, path, header)


def _by_libsndfile(path: Path, source: Path | io.BytesIO, header: Declared | None = None) -> Blocks:
    try:
        handle = soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        if header and header.rest:
            raise _too_little_declared(path, header) from error
        raise
    with handle:
        rate = handle.samplerate
        yield np.empty((0, handle.channels), np.float32), rate  # checked before anything is read
        if header:
            frame = header.size / handle.frames if handle.frames else 2 * handle.channels
            if header.rest > SLACK * rate * frame:
                raise _too_little_declared(path, header)
        n_samples = 0
        while len(block := handle.read(_BLOCK, dtype="float32", always_2d=True)):
            n_samples += len(block)
            yield block, rate
        promised = max(handle.frames, _promised_frames(handle.extra_info, handle.frames))
        if 0 < n_samples < promised - SLACK * rate:
            raise InputError(
                f"{path} is cut short: {n_samples / rate:.1f} s decoded of {promised / rate:.1f} s "
                "declared; copy or export it again"
            )


def _too_little_declared(path: Path, header: Declared) -> InputError:
    return InputError(
        f"{path} declares {header.size} bytes of sound, but {header.rest} bytes more follow; "
        "export it again, as FLAC, W64 or RF64 if it has over 4 GiB"
    )


def _check_form(path: Path, channels: int, rate: int) -> None:
    if channels > 2:
        raise InputError(f"{path} has {channels} channels; mix it down to mono or stereo")
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise InputError(
            f"{path} has a sample rate of {rate} Hz, outside {_LOWEST_RATE} … {_HIGHEST_RATE}; "
            "export it again, 44100 Hz is usual"
        )


def _words(channels: int, rate: int) -> str:
    return f"{rate} Hz {'mono' if channels == 1 else 'stereo'}"


def _check_numbers(path: Path, samples: np.ndarray, first: int) -> None:
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
        if int(promised) < NEVER_FILLED_IN and int(present):
            return found * int(promised) // int(present)
    return found
