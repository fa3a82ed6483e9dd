"""What audio files declare: streams one after the other, and chunks that end before the file does.

libsndfile reads the first stream of a file, and as much of it as the header declares. The
functions here find what it would pass over.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

#: Seconds by which what is declared and what is there may differ: encoders round to frames.
SLACK = 0.5
#: In 32-bit headers, sizes from here on mean "unknown".
NEVER_FILLED_IN = 0x7FFFF000
_BLOCK = 1 << 20
_OGG_PAGE = re.compile(rb"OggS\x00[\x00-\x07]", re.DOTALL)  # RFC 3533: version 0, then flags
_OGG_FIRST, _OGG_LAST = 2, 4  # flags of a page: the first, or the last, of its stream
#: RFC 9639: the first metadata block, 34 bytes long, is STREAMINFO.
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22", re.DOTALL)
#: Chunks with sound. After the sound of a file they are more sound, as of files that were joined.
_OF_SOUND = (b"data", b"SSND", b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
_TAGS = (b"ID3", b"TAG", b"APET", b"LYRI")


class Part(NamedTuple):
    """One of the streams that lie one after the other in a file: bytes start … stop.

    `ended` is False when the mark of the stream's end is missing.
    """

    start: int
    stop: int
    ended: bool


class Declared(NamedTuple):
    """The sound that a header declares.

    Attributes
    ----------
    size_at : int
        Place of the 32-bit size in the file.
    size : int
        Declared bytes of sound.
    rest : int
        Bytes after the declared ones that are neither chunks nor tags.
    """

    size_at: int
    size: int
    rest: int


def ogg_parts(path: Path) -> list[Part]:
    """Return the links of a chained Ogg file; other Ogg files have one."""
    starts, ended, before = [0], [], _OGG_FIRST
    for place, page in _places(path, _OGG_PAGE, 6):
        flags = page[5]
        if flags & _OGG_FIRST and not before & _OGG_FIRST:
            starts.append(place)
            ended.append(bool(before & _OGG_LAST))
        before = flags
    return _parts(starts, [*ended, bool(before & _OGG_LAST)], path)


def flac_parts(path: Path) -> list[Part]:
    """Return the streams of a FLAC file, of which there are several when files were joined."""
    starts = [place for place, _ in _places(path, _FLAC_START, 8)] or [0]
    return _parts(starts, [True] * len(starts), path)


def _parts(starts: list[int], ended: list[bool], path: Path) -> list[Part]:
    return [*map(Part, starts, [*starts[1:], path.stat().st_size], ended)]


def _places(path: Path, pattern: re.Pattern[bytes], length: int) -> Iterator[tuple[int, bytes]]:
    """Yield (place in the file, match) of a pattern whose matches have `length` bytes."""
    with path.open("rb") as handle:
        place, data = 0, b""
        while block := handle.read(_BLOCK):
            place += max(len(data) - length + 1, 0)
            data = data[-length + 1 :] + block
            for match in pattern.finditer(data):
                yield place + match.start(), match.group()


def declared(path: Path) -> Declared | None:
    """Return what the header of a WAV, AIFF or AU file declares.

    None for other files, and where the header is damaged or its size was never filled in.
    W64 is left out: libsndfile reads it to the end.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        magic = handle.read(4)
        if magic in (b".snd", b"dns."):
            order = "big" if magic == b".snd" else "little"
            start, length = (int.from_bytes(handle.read(4), order) for _ in range(2))
            return Declared(8, length, max(size - start - length, 0))
        if magic not in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
            return None
        order = "big" if magic in (b"RIFX", b"FORM") else "little"
        large = 0
        for name, start, length in _chunks(handle, 12, size, order):
            if name == b"ds64":  # RF64: the size that does not fit into 32 bits
                handle.seek(start + 8)
                large = int.from_bytes(handle.read(8), "little")
            elif name in (b"data", b"SSND"):
                if large and length == 0xFFFFFFFF:
                    length = large
                ends = {start + length, start + length + length % 2}  # some omit the odd byte
                rest = min(_rest(handle, end, size, order) for end in ends)
                return Declared(start - 4, length, rest)
    return None


def _chunks(
    handle: BinaryIO, place: int, size: int, order: str
) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte, length) of the chunks of a file from a place on."""
    while place + 8 <= size:
        handle.seek(place)
        name, length = handle.read(4), int.from_bytes(handle.read(4), order)
        yield name, place + 8, length
        place += 8 + length + length % 2


def _rest(handle: BinaryIO, place: int, size: int, order: str) -> int:
    """Return how many bytes from a place on are neither chunks without sound nor tags."""
    for name, start, length in _chunks(handle, place, size, order):
        if name.startswith(_TAGS):
            return 0
        known = name.isascii() and name.decode().isprintable() and name not in _OF_SOUND
        if not known or start + length > size:
            return size - start + 8
    return 0
