"""Candidates from songs to manifest, with real audio."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from feedback_examples import answer
from toy import toy_song

from rlhf_lib.analysis.song import load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.editing.edit import TEMPERATURES, target_keep_ratio
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.carry_over import answers_to
from rlhf_lib.feedback.manifest import Manifest, PolicyRef
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps.candidate_files import MANIFEST_NAME, load_manifest_songs, load_rated_songs
from rlhf_lib.steps.candidate_names import song_ids
from rlhf_lib.steps.candidates import (
    candidate_edits,
    comparison_tasks,
    generate_candidates,
    n_checks,
    select_tasks,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("candidates")
    compose_songs(folder / "songs", 2, seed=3, seconds=30.0)
    songs, _ = load_songs(folder / "songs", cache_dir=folder / "cache")
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    ref = PolicyRef(name="policy_v14", sha256="0" * 64)
    manifest = generate_candidates(songs, policy, ref, folder / "out", per_song=7, seed=1)
    return folder, songs, policy, manifest


def test_manifest_is_as_written_and_lengths_fall(made):
    folder, songs, _, manifest = made
    assert Manifest.load(folder / "out" / MANIFEST_NAME) == manifest
    (checked,) = {task.song_id for task in manifest.tasks if task.check}
    for entry, song in zip(manifest.songs, songs, strict=True):
        assert [c.id for c in entry.candidates] == [f"temp_{t}" for t in TEMPERATURES] + [
            "temp_0.1_v2",
            "temp_0.3_v2",
        ] + ["check"] * (entry.id == checked)
        ratios = [c.keep_ratio for c in entry.candidates[:5]]
        assert all(np.diff(ratios) < 0)
        for c in entry.candidates:
            assert c.target_keep_ratio == target_keep_ratio(c.temperature)
            assert abs(c.keep_ratio - c.target_keep_ratio) <= 0.03
            info = soundfile.info(str(folder / "out" / c.path))
            assert (info.samplerate, info.channels) == (song.sample_rate, 2)
            assert info.duration == pytest.approx(c.duration, abs=0.03)


def test_the_folder_is_self_contained(made):
    folder, songs, _, manifest = made
    loaded = load_manifest_songs(manifest, folder / "out", folder / "cache")
    assert [s.sha256 for s in loaded.values()] == [s.sha256 for s in songs]


def test_a_changed_original_is_noticed(made, tmp_path):
    folder, _, _, manifest = made
    other = folder / "out" / manifest.songs[1].path
    (tmp_path / manifest.songs[0].path).parent.mkdir()
    (tmp_path / manifest.songs[0].path).write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="not the song"):
        load_manifest_songs(manifest, tmp_path, folder / "cache")


def test_a_song_keeps_its_id_and_its_audio_when_others_come_and_go(made, tmp_path, monkeypatch):
    folder, songs, policy, _ = made
    files = sorted((folder / "songs").glob("*.flac"))
    ids = [f"song_{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}" for path in files]
    last_folder = f"song_002_{ids[1].removeprefix('song_')}"
    ref = PolicyRef(name="policy_v14", sha256="0" * 64)

    def written(manifest):
        sounds = [path for path in tmp_path.rglob("*.wav") if path.parent.name == last_folder]
        return {path: path.stat().st_mtime_ns for path in sounds}

    # Without checks, which are drawn among the songs and may change a song's candidates.
    monkeypatch.setattr("rlhf_lib.steps.candidates.n_checks", lambda n: 0)
    last = generate_candidates(songs[1:], policy, ref, tmp_path, per_song=2)
    before = written(last)
    both = generate_candidates(songs, policy, ref, tmp_path, per_song=2)
    assert [entry.id for entry in last.songs] == ids[1:]
    assert [entry.id for entry in both.songs] == ids
    assert all(one.path.startswith(f"{last_folder}/") for one in both.songs[1].candidates)
    assert len(before) == 2 and written(both) == before, "rendered again"
    first = generate_candidates(songs[:1], policy, ref, tmp_path, per_song=2)
    assert [entry.id for entry in first.songs] == ids[:1]
    assert written(both) == before, "the folder of a song that is gone was touched"
    # An answer under the first manifest is found in the second one, and not in the third.
    rated = answer(song_id=ids[1], edit_b_id="temp_0.3", manifest_id=last.manifest_id)
    kept = {last.manifest_id: last}.get
    assert [one.task_id for one in answers_to(both, [rated], kept)] == [last.tasks[0].task_id]
    assert answers_to(first, [rated], kept) == []


def test_songs_that_share_the_short_id_get_the_long_one():
    alike, other = "ab" * 4, "cd" * 32
    hashes = [alike + "0" * 56, other, alike + "1" * 56]
    songs = [replace(toy_song(40), song_id=name, sha256=name) for name in hashes]
    assert song_ids(songs) == [f"song_{hashes[0]}", "song_cdcdcdcd", f"song_{hashes[2]}"]
    assert song_ids(songs[:2]) == ["song_abababab", "song_cdcdcdcd"]
    with pytest.raises(InputError, match=r"'x' and 'y' have the same content"):
        song_ids([replace(songs[0], song_id="x"), replace(songs[0], song_id="y")])


def test_tasks_compare_different_edits(made):
    _, songs, policy, manifest = made
    ids = {(t.song_id, t.edit_a_id, t.edit_b_id) for t in manifest.tasks}
    assert (manifest.songs[0].id, "temp_0.1", "temp_0.9") in ids
    for song_id, a, b in ids:
        one, other = (manifest.candidate(song_id, name) for name in (a, b))
        assert one.actions != other.actions
    assert len(ids) == len(manifest.tasks)
    (edits,) = candidate_edits(policy, songs[:1], 5, seed=0)
    assert len(comparison_tasks("song_001", edits)) == 10


def test_originals_of_several_cycles_are_found_by_their_content(made, tmp_path):
    """Two manifests whose folders and names differ; one folder above both is enough."""
    folder, songs, policy, first = made
    ref = PolicyRef(name="policy_v15", sha256="1" * 64)
    second = generate_candidates(songs[1:], policy, ref, tmp_path / "second", per_song=2)
    (folder / "out").rename(tmp_path / "first")
    try:
        manifests = {one.manifest_id: one for one in (first, second)}
        rated = [
            answer(song_id=first.songs[0].id, manifest_id=first.manifest_id),
            answer(song_id=second.songs[0].id, manifest_id=second.manifest_id),
        ]
        loaded = load_rated_songs(rated, manifests, tmp_path, folder / "cache")
        assert set(loaded) == {song.sha256 for song in songs}
        only = load_rated_songs(rated[1:], manifests, tmp_path / "second", folder / "cache")
        assert set(only) == {songs[1].sha256}
        both = [tmp_path / "second", folder / "songs"]
        assert set(load_rated_songs(rated, manifests, both, folder / "cache")) == set(loaded)
        missing = r"original of song 'song_001' .*give the folder"
        with pytest.raises(InputError, match=missing):
            load_rated_songs(rated, manifests, tmp_path / "second", folder / "cache")
    finally:
        (tmp_path / "first").rename(folder / "out")


def test_selected_pairs_have_the_most_disagreement(made):
    folder, songs, _, manifest = made
    config = RewardConfig(width=16, heads=2, layers=1, feedforward=32, members=3, head=8)
    torch.manual_seed(0)
    model = RewardModel(config, FeatureScale.fit(songs), np.ones(N_DESCRIPTORS))
    with torch.no_grad():
        model.linear.normal_(0, 3.0)
    n_questions = sum(task.check is None for task in manifest.tasks)
    everything, pairs = select_tasks(
        manifest, folder / "out", model, n_questions, "disagreement", 0.0
    )
    assert len(pairs) == n_questions
    ranked = pairs.sort_values("chosen")
    assert list(ranked["chosen"]) == list(range(1, n_questions + 1))
    assert all(np.diff(ranked["disagreement"]) <= 0)
    names = manifest.song_names()
    for task, row in zip(everything.tasks, ranked.itertuples(), strict=False):
        assert (names[task.song_id], task.edit_a_id, task.edit_b_id) == row[1:4]
    assert [task.check is None for task in everything.tasks] == [True] * n_questions + [False]
    chosen, again = select_tasks(manifest, folder / "out", model, 3, "disagreement", 0.0)
    assert list(chosen.tasks) == list(everything.tasks[:3])
    assert list(again["chosen"]) == [rank if rank <= 3 else 0 for rank in pairs["chosen"]]


def test_some_tasks_are_obvious_checks(made):
    folder, songs, _, manifest = made
    (task,) = [task for task in manifest.tasks if task.check]
    named = {"a": task.edit_a_id, "b": task.edit_b_id}
    better = manifest.candidate(task.song_id, named.pop(task.check))
    (worse,) = named.values()
    chop = manifest.candidate(task.song_id, worse)
    assert (better.id, chop.id) == ("temp_0.9", "check")
    assert abs(chop.keep_ratio - better.keep_ratio) <= 0.03
    song = songs[[entry.id for entry in manifest.songs].index(task.song_id)]
    # Half the beats drawn at random: a seam at about every fourth beat of the song.
    assert len(chop.edit(song).seams) > song.n_beats / 6
    assert len(chop.edit(song).seams) > 4 * len(better.edit(song).seams)
    assert (folder / "out" / chop.path).is_file()


@pytest.mark.parametrize(
    ("n_tasks", "n"), [(0, 0), (9, 0), (10, 1), (19, 1), (28, 1), (38, 2), (100, 5), (190, 10)]
)
def test_one_task_in_twenty_is_a_check(n_tasks, n):
    assert n_checks(n_tasks) == n


def test_one_candidate_is_not_enough(made):
    _, songs, policy, _ = made
    with pytest.raises(InputError, match="at least 2"):
        candidate_edits(policy, songs, 1, seed=0)
