"""Where a checkpoint comes from: its version, and the songs it and its parents learned from."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from rlhf_lib.errors import InputError
from rlhf_lib.music.song import Song
from rlhf_lib.paths import atomic_path, file_sha256, workspace


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
        {"song_id": s.song_id, "path": _within(s.path), "sha256": s.sha256} for s in unique.values()
    ]


def _within(path: Path) -> str:
    """The path from the workspace on; of a file elsewhere the name: models are given away."""
    inside = path.is_relative_to(workspace())
    return path.relative_to(workspace()).as_posix() if inside else path.name


def set_aside(path: Path, warn: Callable[[str], None] = print) -> None:
    """Copy a checkpoint that is about to be replaced to ``earlier/``, under its hash.

    Others may name it as their parent, and the pretrained ones came with the code.
    """
    if path.is_file():
        place = path.parent / "earlier" / f"{path.stem}_{file_sha256(path)[:8]}{path.suffix}"
        with atomic_path(place) as part:
            shutil.copyfile(path, part)
        warn(f"{path.name} is made anew; the earlier one is kept as earlier/{place.name}")


def merged(*lists: list[dict[str, str]]) -> list[dict[str, str]]:
    """Join lists of songs, each song once."""
    return list({song["sha256"]: song for songs in lists for song in songs}.values())
