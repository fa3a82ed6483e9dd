"""MPEG audio (MP3): its frames are walked one by one, so that no length is estimated.

Frame headers: ISO/IEC 11172-3 and 13818-3. The first frame of a stream may hold no sound but a
table (Xing, Info or VBRI) with the number of frames; LAME adds how many samples it padded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlhf_lib.analysis.containers import SLACK
from rlhf_lib.errors import InputError

_HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
#: (MPEG 1?, layer) → kbit/s of the indices 1 … 14
_KBITS = {
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
#: What can follow bytes that are neither frames nor tags.
_CANDIDATE = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]|ID3[\x02-\x04]|APETAGEX", re.DOTALL)
#: Samples that every decoder adds at the start.
_DECODER_DELAY = 529
_FRAMES_PER_BLOCK = 50


class Header(NamedTuple):
    """The header of a frame: what is the same in all frames of a stream, and its size in bytes."""

    rate: int
    channels: int
    samples: int
    layer: int
    size: int

    @property
    def form(self) -> tuple[int, ...]:
        """Rate, channels, samples a frame and layer."""
        return self[:4]


@dataclass
class _Stream:
    """Frames of one form, from one table of frames to the next.

    Attributes
    ----------
    form : Header of one of its frames
    declared : int or None
        Frames by the table.
    delay, padding : int
        Samples that the encoder added at the start and the end.
    frames : list of (start, stop)
    gap : int
        Bytes amid the stream that are no frames, or zeros at its end.
    cut : bool
        Whether the file ends within the last frame.
    """

    form: Header
    declared: int | None = None
    delay: int = 0
    padding: int = 0
    frames: list[tuple[int, int]] = field(default_factory=list)
    gap: int = 0
    cut: bool = False


@lru_cache(4096)
def header(head: bytes) -> Header | None:
    """Return the frame header in four bytes; None when they are none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, hertz = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or hertz == 3:
        return None
    kbits, rate = _KBITS[version == 3, layer][bits - 1], _HERTZ[version][hertz]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    unit = 4 if layer == 1 else 1
    size = (samples * 125 * kbits // unit // rate + (head[2] >> 1 & 1)) * unit
    return Header(rate, 1 if head[3] >> 6 == 3 else 2, samples, layer, size)


def tag_size(data: bytes, place: int = 0) -> int:
    """Return the bytes of the ID3v1, ID3v2 or APE tag at a place, 0 when there is none."""
    head = data[place : place + 32]
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return 10 + size + 10 * bool(head[5] & 16)
    if head[:3] == b"TAG" and len(data) - place == 128:
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        return 32 + int.from_bytes(head[12:16], "little") * (head[23] >> 5 & 1)
    return 0


def decode(data: bytes, path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the sound of a file in blocks: (n, channels) float32, and the sample rate.

    Parameters
    ----------
    data : bytes
        The file.
    path : Path
        Its name, for messages.

    Raises
    ------
    InputError
        When there are no frames, frames are missing, or cannot be decoded.
    """
    streams = _streams(data)
    if not streams:
        raise InputError(
            f"cannot decode {path} (it holds no MPEG audio frames); give a WAV, FLAC, OGG, Opus "
            "or MP3 file that plays elsewhere"
        )
    for stream in streams:
        _check_whole(stream, path)
        for block in _decoded(stream, data, path):
            yield block, stream.form.rate


def _streams(data: bytes) -> list[_Stream]:
    """Walk through a file: frames, tags, and what is neither."""
    streams: list[_Stream] = []
    place, in_step, gap = 0, False, 0
    while place < len(data):
        if size := tag_size(data, place):
            place += size
            continue
        found, now = header(data[place : place + 4]), streams[-1] if streams else None
        expected = found and in_step and now and found.form == now.form.form
        if not expected and not (found and _is_followed(data, place, found)):
            after = _next_candidate(data, place + 1)
            gap += after - place
            if after == len(data) and any(data[place:]):
                gap = 0  # whatever was appended
            place, in_step = after, False
            continue
        stop = place + found.size
        table = _table(data[place:stop], found)
        if now is None or found.form != now.form.form or table:
            streams.append(now := _Stream(found, *(table or ())))
        elif gap:
            now.gap += gap
        gap = 0
        if stop > len(data):
            now.cut = True
        elif not table:
            now.frames.append((place, stop))
        place, in_step = stop, True
    if streams:
        streams[-1].gap += gap
    return streams


def _is_followed(data: bytes, place: int, found: Header) -> bool:
    """Return whether two more frames of the same form follow, or the end of the file."""
    for _ in range(2):
        place += found.size
        if place == len(data):
            return True
        found, form = header(data[place : place + 4]), found.form
        if found is None or found.form != form:
            return False
    return True


def _next_candidate(data: bytes, place: int) -> int:
    match = _CANDIDATE.search(data, place)
    return match.start() if match else len(data)


def _table(frame: bytes, found: Header) -> tuple[int | None, int, int] | None:
    """Return (frames or None, delay, padding) from a Xing, Info or VBRI table; None without one."""
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big") or None, 0, 0
    first = found.samples == 1152
    at = 4 + ((17, 32) if first else (9, 17))[found.channels - 1]
    if found.layer != 3 or frame[at : at + 4] not in (b"Xing", b"Info") or len(frame) < at + 8:
        return None
    flags, frames = frame[at + 7], int.from_bytes(frame[at + 8 : at + 12], "big")
    lame = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    gaps = int.from_bytes(frame[lame + 21 : lame + 24], "big") if any(frame[lame:][:9]) else 0
    delay, padding = gaps >> 12, gaps & 0xFFF
    return (
        frames if flags & 1 and frames else None,  # a pipe leaves 0
        delay + _DECODER_DELAY if gaps else 0,
        max(padding - _DECODER_DELAY, 0),
    )


def _check_whole(stream: _Stream, path: Path) -> None:
    """Raise an `InputError` when frames of a stream are missing."""
    seconds = stream.form.samples / stream.form.rate
    found, declared = len(stream.frames), stream.declared
    if declared is not None:
        missing = declared - found  # some encoders count the frame of the table
        if missing * seconds > SLACK or (stream.cut and missing > 1):
            raise InputError(
                f"{path} is cut short: {found * seconds:.1f} s decoded of "
                f"{declared * seconds:.1f} s declared; copy or export it again"
            )
        return
    if stream.cut:
        raise InputError(
            f"{path} is cut short: it ends within a frame, after {found * seconds:.1f} s; copy or "
            "export it again"
        )
    size = sum(stop - start for start, stop in stream.frames)
    if stream.gap * found * seconds > SLACK * size:
        raise InputError(
            f"{path} is damaged: {stream.gap} bytes among its sound are no MPEG audio; copy or "
            "export it again"
        )


def _decoded(stream: _Stream, data: bytes, path: Path) -> Iterator[np.ndarray]:
    """Yield the samples of a stream, without those that its encoder added."""
    import av  # takes 0.1 s, and other formats need it rarely

    codec = av.CodecContext.create("mp3float", "r")
    shape = (stream.form.samples, stream.form.channels)
    n_frames, bad, done = len(stream.frames), 0, 0
    end = n_frames * shape[0] - (stream.padding if stream.declared == n_frames else 0)
    for first in range(0, n_frames, _FRAMES_PER_BLOCK):
        pieces = []
        for start, stop in stream.frames[first : first + _FRAMES_PER_BLOCK]:
            piece = None
            try:
                for frame in codec.decode(av.Packet(data[start:stop])):
                    piece = frame.to_ndarray().T
            except av.error.FFmpegError:
                piece = None
            if piece is None or piece.shape != shape:
                piece, bad = np.zeros(shape, np.float32), bad + 1
            pieces.append(piece)
        block = np.concatenate(pieces)
        yield block[max(stream.delay - done, 0) : max(end - done, 0)]
        done += len(block)
    if bad * shape[0] > SLACK * stream.form.rate:
        raise InputError(
            f"{path} is damaged: {bad} of {n_frames} frames cannot be decoded; copy or export it "
            "again"
        )
