"""Where edits of songs are written: beside which name, in which folder, and what is there."""

import os
from collections.abc import Iterable
from pathlib import Path

from rlhf_lib.analysis.audio import find_audio
from rlhf_lib.analysis.encode import WRITABLE
from rlhf_lib.errors import InputError
from rlhf_lib.paths import expanded


def edit_place(source: Path, output: str | Path | None) -> Path:
    """Return where the edit of a song is written: `output`, or NAME_short in that folder.

    A folder is one that exists, a text that ends in "/", or nothing, for the current one.
    """
    place = expanded(output or "")
    named = isinstance(output, str) and output.endswith(("/", os.sep))
    return _named_after(source, place) if named or place.is_dir() else place


def _named_after(source: Path, folder: Path) -> Path:
    suffix = source.suffix if source.suffix.lower() in WRITABLE else ".wav"
    return folder / f"{source.stem}_short{suffix}"


def songs_of_folder(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """Return the sound files below a folder, each with the path of its edit below `output`.

    Songs in `output` are left out: they are edits.

    Raises
    ------
    InputError
        When there are none, or `output` is the folder itself or a file, or named like one.
    """
    if output.is_file() or output.resolve() == source.resolve():
        raise InputError(f"{output}: give another folder for the edits of the songs in {source}")
    if output.suffix.lower() in WRITABLE and not output.is_dir():
        raise InputError(
            f"{output} is named like a sound file; give a folder for the edits of the songs in "
            f"{source}"
        )
    found = find_audio(source)
    if output.resolve().is_relative_to(source.resolve()):
        found = [path for path in found if not path.resolve().is_relative_to(output.resolve())]
    if not found:
        raise InputError(f"no sound file in {source}; give a file or a folder of songs")
    pairs = []
    for path in found:
        place = _named_after(path, output / path.relative_to(source).parent)
        if place in dict(pairs).values():  # song.wav and song.aiff
            place = place.with_stem(f"{path.stem}_{path.suffix[1:]}_short")
        pairs.append((path, place))
    return pairs


def places_of_variants(
    source: Path, output: Path, variants: int, cut_lists: Iterable[str], overwrite: bool
) -> list[tuple[Path, list[Path]]]:
    """Return the file and the cut lists of each variant; refuse them if they exist."""
    if output.suffix.lower() not in WRITABLE:
        raise InputError(
            f"cannot write {output}: its suffix is not one of {', '.join(WRITABLE)}; give another "
            "name, or a folder"
        )
    stems = [
        output.stem + (f"_{number}" if number > 1 else "") for number in range(1, variants + 1)
    ]
    files = [output.with_name(stem + output.suffix) for stem in stems]
    places = [(path, _beside(path, cut_lists)) for path in files]
    for path in (path for place, lists in places for path in (place, *lists)):
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path} is the song itself; give another output")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; give another output, or --overwrite (overwrite=True)")
    return places


def is_finished(output: Path, cut_lists: Iterable[str]) -> bool:
    """Return whether the edit of a song and its cut lists are there."""
    return all(path.exists() for path in (output, *_beside(output, cut_lists)))


def _beside(output: Path, cut_lists: Iterable[str]) -> list[Path]:
    return [output.with_name(f"{output.stem}.{kind}") for kind in cut_lists]
