"""Where edits of songs are written: beside which name, in which folder, and what is there."""

import os
from collections.abc import Iterable
from pathlib import Path

from rlhf_lib.analysis.audio import find_audio
from rlhf_lib.analysis.encode import WRITABLE
from rlhf_lib.editing.cut_list import CUT_LIST_SUFFIXES
from rlhf_lib.errors import InputError
from rlhf_lib.paths import expanded
from rlhf_lib.steps.wishes import MOST_VARIANTS


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
    pairs, stems = [], set()  # cut lists have the stem of the edit
    for path in found:
        place = _named_after(path, output / path.relative_to(source).parent)
        if place.with_suffix("") in stems:  # song.wav and song.aiff
            place = place.with_stem(f"{path.stem}_{path.suffix[1:]}_short")
        stems.add(place.with_suffix(""))
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
    files = _variants(output, variants)
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


def has_variants(output: Path, variants: int) -> bool:
    """Return whether so many variants of the edit of a song are there."""
    return all(path.exists() for path in _variants(output, variants))


def not_written(output: Path, written: Iterable[Path]) -> list[Path]:
    """Return the files that are named like variants of an edit or cut lists and are none of it."""
    kinds = [suffix.removeprefix(".") for suffix in CUT_LIST_SUFFIXES]
    named = (
        path
        for variant in _variants(output, MOST_VARIANTS)
        for path in (variant, *_beside(variant, kinds))
    )
    known = {*written}
    return [path for path in named if path not in known and path.exists()]


def _variants(output: Path, variants: int) -> list[Path]:
    later = [output.with_stem(f"{output.stem}_{number}") for number in range(2, variants + 1)]
    return [output, *later]


def _beside(output: Path, cut_lists: Iterable[str]) -> list[Path]:
    return [output.with_name(f"{output.stem}.{kind}") for kind in cut_lists]
