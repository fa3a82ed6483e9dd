"""The two models that come with the repository fit the code and have their lineage."""

from pathlib import Path

import pytest
from toy import toy_song

from rlhf_lib.learning.policy.policy import TARGETS
from rlhf_lib.paths import file_sha256
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model
from rlhf_lib.steps.cycle import PRETRAINED

BOX = Path(__file__).resolve().parent.parent / "models"


def test_they_are_light_and_made_of_composed_songs():
    paths = [BOX / name for name in PRETRAINED]
    assert sum(path.stat().st_size for path in paths) <= 15_000_000
    reward, policy = load_reward_model(paths[0])[1], load_policy(paths[1])[1]
    assert policy["parents"] == {"reward_model_v8": file_sha256(paths[0])}
    for about in (reward, policy):
        assert {song["path"].rsplit("/", 1)[0] for song in about["songs"]} == {"data/train_songs"}
        assert about["held_out"]


def test_the_reward_model_has_its_size_and_the_dense_reward():
    model, about = load_reward_model(BOX / PRETRAINED[0])
    assert model.n_parameters == pytest.approx(2_630_000, rel=0.02)
    assert about["metrics"]["held_out"]["accuracy"] > 0.95  # the dense reward is its linear part


def test_the_policy_reaches_every_length_on_a_new_song():
    policy, _ = load_policy(BOX / PRETRAINED[1])
    song = toy_song(160, seed=3)
    edits = policy.edits([song], TARGETS)
    ratios = [edit.keep_ratio for edit in edits]
    assert ratios == pytest.approx(list(TARGETS), abs=0.03)
    assert sorted(ratios, reverse=True) == ratios
