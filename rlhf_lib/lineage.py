"""Where a checkpoint comes from: its version, and the songs it and its parents learned from."""

import re

from rlhf_lib.errors import InputError
from rlhf_lib.music.song import Song


def next_version(name: str) -> str:
    """Return the name with its version number raised by one: policy_v14 → policy_v15.

    Raises
    ------
    InputError
        When the name does not end in ``_v`` and a number.
    """
    match = re.fullmatch(r"(.*_v)(\d+)", name)
    if match is None:
        raise InputError(f"model name {name!r} does not end in a version such as _v9")
    return f"{match[1]}{int(match[2]) + 1}"


def song_list(songs: list[Song]) -> list[dict[str, str]]:
    """Name each song once, for the lineage."""
    unique = {song.sha256: song for song in songs}
    return [
        {"song_id": s.song_id, "path": str(s.path), "sha256": s.sha256} for s in unique.values()
    ]


def merged(*lists: list[dict[str, str]]) -> list[dict[str, str]]:
    """Join lists of songs, each song once."""
    return list({song["sha256"]: song for songs in lists for song in songs}.values())
