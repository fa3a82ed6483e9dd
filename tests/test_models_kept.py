"""Models already in models/: reused when they are the same, kept when they are replaced."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.errors import InputError
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.learning.reward.model import RewardConfig
from rlhf_lib.learning.reward.pretraining import Pretraining
from rlhf_lib.steps import train_reward_model as training
from rlhf_lib.steps.checkpoints import load_reward_model, save_model
from rlhf_lib.steps.lineage import set_aside, song_list

SHORT = Pretraining(groups_per_song=1, group=2, epochs=1)


@pytest.fixture
def songs():
    return [toy_song(40, seed=s) for s in range(4)]


def test_the_same_model_is_the_same_file(tmp_path, songs):
    weights = np.append(DENSE_WEIGHTS, np.zeros(N_DESCRIPTORS - len(DENSE_WEIGHTS)))
    policy = Policy(PolicyConfig(hidden=4), weights)
    facts = {"name": "policy_v14", "songs": song_list(songs), "held_out": []}
    one, two = (save_model(tmp_path / name, policy, **facts) for name in ("one.pt", "two.pt"))
    assert one.read_bytes() == two.read_bytes()


def test_a_lineage_has_no_folder_names(tmp_path, songs, monkeypatch):
    monkeypatch.setenv("RLHF_WORKSPACE", str(tmp_path))
    inside = replace(songs[0], path=tmp_path.resolve() / "data" / "a.flac")
    outside = replace(songs[1], path=Path("/somewhere/else/b.flac"))
    assert [song["path"] for song in song_list([inside, outside])] == ["data/a.flac", "b.flac"]


def test_a_replaced_model_is_kept_under_its_hash(tmp_path, capsys):
    set_aside(tmp_path / "model.pt")
    assert capsys.readouterr().out == ""
    for content in (b"first", b"second", b"first"):
        (tmp_path / "model.pt").write_bytes(content)
        set_aside(tmp_path / "model.pt")
    said = capsys.readouterr().out.splitlines()
    kept = sorted((tmp_path / "earlier").iterdir())
    assert {path.read_bytes() for path in kept} == {b"first", b"second"}
    assert len(kept) == 2 and len(said) == 3
    assert all(any(path.name in line for path in kept) for line in said)


def test_a_first_model_is_reused_for_its_songs_in_any_folder(tmp_path, songs, monkeypatch):
    small = RewardConfig(
        width=8, heads=1, layers=1, feedforward=8, members=2, head=4, auxiliary_tasks=2
    )
    monkeypatch.setattr(training, "RewardConfig", lambda: small)
    path = tmp_path / "reward_model_v8.pt"
    training.train_initial_reward_model(songs, path, SHORT)
    made = path.read_bytes()

    def refuse(*args):
        raise AssertionError("trained again")

    moved = [replace(song, path=Path("/elsewhere") / song.path) for song in songs]
    with monkeypatch.context() as patch:
        patch.setattr(training, "pretrain", refuse)
        training.train_initial_reward_model(moved, path, SHORT)
        with pytest.raises(AssertionError, match="trained again"):
            training.train_initial_reward_model(songs[:3], path, SHORT)
    assert path.read_bytes() == made
    training.train_initial_reward_model(songs, path, SHORT, seed=1)
    assert path.read_bytes() != made
    assert [kept.read_bytes() for kept in (tmp_path / "earlier").iterdir()] == [made]
    assert load_reward_model(path)[1]["seed"] == 1


def test_no_answers_are_refused(tmp_path):
    with pytest.raises(InputError, match="no answers in"):
        training.train_from_feedback(tmp_path, "v8.pt", tmp_path, tmp_path)
