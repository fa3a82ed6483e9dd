"""Decode by FFmpeg (PyAV) what libsndfile does not: MP4, and FLAC of unknown length.

An MP4 file (M4A, MOV) holds AAC, Apple Lossless or another codec, beside pictures in a video.
FFmpeg leaves out the samples that the encoder added at the start; those at the end lie after the
length that the file declares.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from rlhf_lib.analysis.containers import SLACK
from rlhf_lib.analysis.encode import Bits
from rlhf_lib.errors import InputError

#: Seconds between the time of a frame in the file and that of the samples before it, at most. The
#: shortest packets that may be missing last 5 ms.
_GAP = 0.002


def flac(path: Path, content: io.BytesIO) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the sound of a FLAC stream to its end; see `rlhf_lib.analysis.decode.decode`."""
    return _decoded(path, content, "flac")


def mp4(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the sound of an MP4 file, its first one; see `rlhf_lib.analysis.decode.decode`."""
    with path.open("rb") as handle:
        yield from _decoded(path, handle, "mp4")


def mp4_form(path: Path) -> tuple[int, Bits]:
    """Return the sample rate (Hz) of an MP4 file, and the bits that an edit of it needs."""
    try:
        with (
            path.open("rb") as handle,
            av.open(handle, "r", "mp4", metadata_errors="replace") as file,
        ):
            codec = file.streams.audio[0].codec_context
            return codec.sample_rate, 24 if codec.format.name.startswith("s32") else 16
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"cannot read the sound of {path} ({error}); check the path") from error


def _decoded(path: Path, content: io.IOBase, form: str) -> Iterator[tuple[np.ndarray, int]]:
    n_samples, seconds, start = 0, 0.0, None
    try:
        with av.open(content, "r", form, metadata_errors="replace") as file:
            if not file.streams.audio:
                return
            stream = file.streams.audio[0]
            declared = float(stream.duration * stream.time_base) if stream.duration else None
            for frame in file.decode(stream):
                start = frame.time if start is None else start
                rate, seconds = frame.sample_rate, n_samples / frame.sample_rate
                if frame.time is None or abs(frame.time - start - seconds) > _GAP:
                    raise InputError(
                        f"{path} is damaged: sound is missing after {seconds:.1f} s; copy or "
                        "export it again"
                    )
                n_samples += frame.samples
                seconds = n_samples / rate
                added = max(n_samples - round(declared * rate), 0) if declared else 0
                if added > SLACK * rate:
                    raise InputError(
                        f"{path} declares {declared:.1f} s of sound, but more follow; export it "
                        "again"
                    )
                yield _samples(frame)[: max(frame.samples - added, 0)], rate
            if declared and seconds < declared - SLACK:
                raise InputError(
                    f"{path} is cut short: {seconds:.1f} s decoded of {declared:.1f} s declared; "
                    "copy or export it again"
                )
    except av.error.FFmpegError as error:
        raise InputError(
            f"{path} is cut short or damaged after {seconds:.1f} s ({error.strerror}); copy or "
            "export it again"
        ) from error


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame as a (n, channels) float32 array."""
    block = frame.to_ndarray()
    block = block.T if frame.format.is_planar else block.reshape(frame.samples, -1)
    if block.dtype.kind == "f":
        return block.astype(np.float32)
    return block.astype(np.float32) / np.float32(2 ** (8 * block.itemsize - 1))
