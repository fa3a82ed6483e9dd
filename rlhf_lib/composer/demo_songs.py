"""Load the songs of a folder; compose some first if there are none."""

from pathlib import Path

from rlhf_lib.analysis.audio import find_audio
from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.paths import resolve, shown


def songs_or_composed(
    folder: str | Path, n_songs: int = 10, seconds: float = 120.0, seed: int = 0
) -> list[Song]:
    """Load the songs of a folder; compose some into it when it holds no audio.

    Prints how many songs there are, whether they had to be composed, and which files were
    skipped, with the reason.

    Parameters
    ----------
    folder : path
        Relative to the workspace.
    n_songs, seconds, seed
        Of the songs to compose (see `rlhf_lib.composer.compose.compose_songs`). If the folder
        has songs already, all of them are loaded.

    Raises
    ------
    InputError
        When the folder holds audio and none of it can be used, or a number is out of range.
    """
    folder = resolve(folder)
    name = shown(folder)
    if not (folder.is_dir() and find_audio(folder)):
        print(f"no audio in {name}: composing {n_songs} songs of {seconds:g} s (seed {seed})")
        compose_songs(folder, n_songs, seed, seconds)
    songs, skipped = load_songs(folder, jobs=None)
    print(f"{name}: {len(songs)} song{'s' if len(songs) > 1 else ''}")
    for entry in skipped:
        print(f"skipped {entry.path.name}: {entry.reason}")
    for warning in filter(None, (song.warning for song in songs)):
        print(warning)
    return songs
