"""Songs of a folder: composed if there are none, else left unchanged."""

import numpy as np

from rlhf_lib.analysis.audio import save_audio
from rlhf_lib.composer.compose import compose_song
from rlhf_lib.composer.demo_songs import songs_or_composed


def test_songs_are_composed_into_an_empty_folder_once(workspace, capsys):
    songs = songs_or_composed("data/songs", 2, 20.0, seed=5)
    warnings = [song.warning for song in songs if song.warning]  # 20 s are short for a metre
    assert capsys.readouterr().out.splitlines() == [
        "no audio in data/songs: composing 2 songs of 20 s (seed 5)",
        "data/songs: 2 songs",
        *warnings,
    ]
    assert [song.song_id for song in songs] == ["song_001", "song_002"]
    again = songs_or_composed("data/songs", 3, 30.0, seed=6)
    assert capsys.readouterr().out.splitlines() == ["data/songs: 2 songs", *warnings]
    assert [song.sha256 for song in again] == [song.sha256 for song in songs]


def test_own_songs_are_all_loaded_and_skipped_files_named(workspace, capsys):
    (workspace / "own").mkdir()
    save_audio(workspace / "own/mine.flac", compose_song(1, seconds=20.0).audio)
    (workspace / "own/broken.wav").write_bytes(np.zeros(100, np.uint8).tobytes())
    songs = songs_or_composed("own", n_songs=7)
    assert [song.song_id for song in songs] == ["mine"]
    out = capsys.readouterr().out
    assert out.startswith("own: 1 song\nskipped broken.wav: ")
    assert "composing" not in out
