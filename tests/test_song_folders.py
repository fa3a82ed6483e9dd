"""Folders as users have them: long names, pipes, links, loops, and caches that do not work."""

import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from children import full_disk, no_permissions, told_by_a_child
from mutations import no_longer_than
from test_song import click_track, write

from rlhf_lib.analysis import song_cache
from rlhf_lib.analysis.audio import find_audio, load_audio
from rlhf_lib.analysis.song import load_song, load_songs
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import PolicyRef
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps.candidates import generate_candidates

LONG_NAMES = ("x" * 250 + ".wav", "é" * 125 + ".wav", "x" * 251 + ".wav")
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def music(workspace):
    write(workspace / "music" / "track.wav", click_track())
    return workspace / "music"


@pytest.fixture
def warnings(caplog):
    """Return what records the warnings of this test."""
    song_cache._warned.clear()
    caplog.set_level(logging.WARNING)
    return caplog


def names(folder):
    return [path.relative_to(folder).as_posix() for path in find_audio(folder)]


# Names


@pytest.mark.parametrize("name", LONG_NAMES)
def test_a_long_name_is_a_name_like_any_other(music, name):
    write(music / name, click_track(seed=1))
    songs, skipped = load_songs(music)
    assert [song.path.name for song in songs] == sorted([name, "track.wav"])
    assert not skipped


def test_candidates_of_a_song_with_a_long_name(music, tmp_path):
    write(music / LONG_NAMES[0], click_track(30.0))
    songs, _ = load_songs(music)
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    ref = PolicyRef(name="p", sha256="0" * 64)
    for _ in range(2):  # the second time the files are found
        manifest = generate_candidates(songs[1:], policy, ref, tmp_path / "out", per_song=5)
    assert (tmp_path / "out" / manifest.songs[0].path).is_file()
    assert not list((tmp_path / "out").rglob("*.beats"))


def test_a_name_that_no_file_can_have_is_refused(workspace):
    for load in (load_song, load_audio):
        with pytest.raises(InputError, match="cannot read"):
            load(workspace / ("x" * 300 + ".wav"))


# Pipes, devices, links


def test_pipes_and_devices_are_left_out_with_a_warning(music, warnings):
    os.mkfifo(music / "pipe.wav")
    (music / "device.mp3").symlink_to("/dev/zero")
    with no_longer_than(30):
        songs, skipped = load_songs(music)
    assert [song.song_id for song in songs] == ["track"] and not skipped
    assert len(warnings.messages) == 2
    assert all(name in warnings.text for name in ("pipe.wav", "device.mp3"))


@pytest.mark.parametrize("load", [load_song, load_audio])
def test_a_pipe_or_device_is_refused(music, load):
    os.mkfifo(music / "pipe.wav")
    (music / "device.mp3").symlink_to("/dev/zero")
    for name in ("pipe.wav", "device.mp3"):
        with no_longer_than(30), pytest.raises(InputError, match=name):
            load(music / name)


def test_a_pipe_in_place_of_a_beat_file_is_none(music):
    os.mkfifo(music / "track.beats")
    with no_longer_than(30):
        assert load_song(music / "track.wav").n_beats > 16


def test_linked_folders_are_searched_and_each_folder_counts_once(tmp_path):
    for place in ("music/a/one.wav", "elsewhere/two.wav", "elsewhere/deep/three.wav"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    music = tmp_path / "music"
    (music / "b").symlink_to(tmp_path / "elsewhere")
    (music / "0").symlink_to(tmp_path / "elsewhere" / "deep")  # inside the folder before
    (music / "c").symlink_to(music / "a")  # a folder that is there anyway
    (music / "lost").symlink_to(tmp_path / "nowhere")
    (music / ".hidden").symlink_to(tmp_path / "elsewhere")
    found = names(music)
    assert [Path(name).name for name in found] == ["three.wav", "one.wav", "two.wav"]
    assert found[1:] == ["a/one.wav", "b/two.wav"]
    (tmp_path / "link").symlink_to(music)
    assert names(tmp_path / "link") == found


def test_links_that_form_a_loop_end(tmp_path):
    for place in ("outside.wav", "music/one.wav", "music/a/two.wav"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    music = tmp_path / "music"
    for name, target in (("up", music), ("a/up", music), ("top", tmp_path), ("self", "self")):
        (music / name).symlink_to(target)
    with no_longer_than(30):
        assert names(music) == ["a/two.wav", "one.wav"]


# The cache


def check_songs_without_cache(folder, cache, warnings, **options):
    """Check that songs load over a cache that does not work, with one warning."""
    for seed in (1, 2):
        write(folder / f"more{seed}.wav", click_track(seed=seed))
    for _ in range(2):
        songs, skipped = load_songs(folder, cache_dir=cache, **options)
        assert len(songs) == 3 and not skipped
    load_song(songs[0].path, cache)
    (warning,) = warnings.messages
    assert str(cache) in warning and "cache does not work" in warning
    reference = load_song(songs[0].path, folder / ".reference")
    np.testing.assert_array_equal(songs[0].features, reference.features)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cache_that_cannot_be_written_costs_one_warning(music, warnings, jobs):
    (music / "no_folder").touch()
    check_songs_without_cache(music, music / "no_folder" / "cache", warnings, jobs=jobs)


def test_a_cache_that_cannot_be_read_costs_one_warning(music, warnings, monkeypatch):
    read_bytes = Path.read_bytes

    def denied(path):
        if path.suffix == ".song":
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    check_songs_without_cache(music, music / ".cache", warnings)


@quiet_fork
def test_a_full_disk_costs_only_the_cache(music):
    first = load_song(music / "track.wav", music / "cache")

    def limited():
        full_disk(1000)
        song = load_song(music / "track.wav", music / "full")
        np.testing.assert_array_equal(song.features, first.features)

    assert told_by_a_child(limited) == "no error"
    assert not list((music / "full").iterdir())


@quiet_fork
def test_a_read_only_cache_costs_only_the_cache():
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        folder.chmod(0o755)
        track = write(folder / "track.wav", click_track())
        cache = folder / "cache"
        for _ in range(2):  # imports what reading the cache needs
            load_song(track, cache)
        for closed in (0o555, 0o000):  # readable, and not even that
            cache.chmod(closed)
            other = write(folder / f"other{closed}.wav", click_track(seed=1 + closed))

            def without_rights(other=other):
                no_permissions()
                songs, skipped = load_songs(folder, cache_dir=cache)
                assert other in [song.path for song in songs] and not skipped

            assert told_by_a_child(without_rights) == "no error"
    finally:
        cache.chmod(0o755)
        shutil.rmtree(folder)
