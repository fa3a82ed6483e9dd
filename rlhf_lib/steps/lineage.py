"""The origin of a checkpoint: version, parents, and the songs that they were trained on."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError, quote
from rlhf_lib.learning.archive import archive_sha256
from rlhf_lib.paths import atomic_path, file_sha256, workspace


@dataclass(frozen=True)
class Parent:
    """A checkpoint that another one is made from.

    Attributes
    ----------
    path : Path
    about : dict
        Its `about` values; see `rlhf_lib.steps.checkpoints`.
    """

    path: Path
    about: dict[str, Any]


def next_version(name: str) -> str:
    """Return the name with its version number raised by one: policy_v14 → policy_v15.

    Raises
    ------
    InputError
        When the name does not end in ``_v`` and a number of at most nine digits.
    """
    match = re.fullmatch(r"(.*_v)([0-9]{1,9})", name)
    if match is None:
        raise InputError(f"model name {quote(name)} does not end in a version such as _v9")
    return f"{match[1]}{int(match[2]) + 1}"


def song_list(songs: list[Song]) -> list[dict[str, str]]:
    """Return name, path and hash of each different song, for the lineage."""
    unique = {song.sha256: song for song in songs}
    return [
        {"song_id": s.song_id, "path": _within(s.path), "sha256": s.sha256} for s in unique.values()
    ]


def _within(path: Path) -> str:
    """Return the path within the workspace; elsewhere only the name, because models are shared."""
    inside = path.is_relative_to(workspace())
    return path.relative_to(workspace()).as_posix() if inside else path.name


def set_aside(path: Path) -> None:
    """Copy a checkpoint that is about to be replaced to ``earlier/``, with its hash in the name.

    It may be the parent of other checkpoints, or a pretrained one that came with the code.
    """
    if path.is_file():
        place = path.parent / "earlier" / f"{path.stem}_{file_sha256(path)[:8]}{path.suffix}"
        with atomic_path(place) as part:
            shutil.copyfile(path, part)
        print(f"{path.name} is replaced; the earlier one is kept as earlier/{place.name}")


def lineage(
    parents: Sequence[Parent], train: list[Song], held_out: list[Song]
) -> dict[str, object]:
    """Return the `about` values of a checkpoint that describe what it was made from.

    Returns
    -------
    dict
        parents (name → sha256), songs (that it or a parent was trained on), held_out.
    """
    learned = [song for parent in parents for song in parent.about["songs"]]
    songs = {song["sha256"]: song for song in [*song_list(train), *learned]}
    return {
        "parents": {parent.about["name"]: archive_sha256(parent.path) for parent in parents},
        "songs": list(songs.values()),
        "held_out": song_list(held_out),
    }


def held_out_by(parents: Sequence[Parent]) -> set[str]:
    """Return the sha256 of songs that parents held out and none of them was trained on."""
    learned = {song["sha256"] for parent in parents for song in parent.about["songs"]}
    held_out = {song["sha256"] for parent in parents for song in parent.about["held_out"]}
    return held_out - learned
