"""What candidates are called: ids of songs, names of files and folders."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError

_ID_DIGITS = 8
#: Bytes of a song's name in names of files and folders; file systems allow 255 for all of it.
_NAME_BYTES = 60

AudioFormat = Literal["wav", "flac"]
AUDIO_FORMATS: tuple[AudioFormat, ...] = ("wav", "flac")


def song_ids(songs: Sequence[Song]) -> list[str]:
    """Return an id for each song: ``song_`` and the first 8 hex digits of its file's sha256.

    So a song keeps its id when other songs are added or removed. Songs that share these digits
    get all of them.

    Raises
    ------
    InputError
        When two songs have the same content.
    """
    names: dict[str, str] = {}
    for song in songs:
        if song.sha256 in names:
            raise InputError(
                f"songs {names[song.sha256]!r} and {song.song_id!r} have the same content; "
                "give each song once"
            )
        names[song.sha256] = song.song_id
    times = Counter(sha256[:_ID_DIGITS] for sha256 in names)
    short = {sha256: sha256[:_ID_DIGITS] for sha256 in names}
    return [f"song_{sha256 if times[short[sha256]] > 1 else short[sha256]}" for sha256 in names]


def file_name(name: str) -> str:
    """Return the name of a song as files can be called everywhere: at most 60 bytes, not empty.

    Letters of any script, digits, "-" and "_" stay; anything else becomes "_".
    """
    kept = "".join(
        one if one in "-_" or unicodedata.category(one)[0] in "LMN" else " "
        for one in unicodedata.normalize("NFC", name)
    )
    cut = re.sub(" +", "_", kept.strip()).encode()[:_NAME_BYTES].decode(errors="ignore")
    return cut or "song"


def song_place(song: Song, song_id: str) -> str:
    """Return how the paths of a song's files begin, relative to the manifest's folder."""
    name = file_name(song.song_id)
    return f"{name}_{song_id.removeprefix('song_')}/{name}"


def sound_path(song: Song, song_id: str, candidate_id: str, audio_format: AudioFormat) -> str:
    return f"{song_place(song, song_id)}_{candidate_id}.{audio_format}"
