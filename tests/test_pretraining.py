"""Synthetic raters: what they weigh, and that the transformer learns to predict them."""

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.analysis.feature_table import N_SOUND
from rlhf_lib.editing.descriptors import N_DESCRIPTORS, describe
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.pretraining import (
    AUXILIARY_NAMES,
    Pretraining,
    auxiliary_descriptors,
    pretrain,
    random_tastes,
)
from rlhf_lib.learning.reward.synthetic import synthetic_groups

TINY = RewardConfig(
    width=32, heads=2, layers=1, feedforward=32, members=2, head=16, auxiliary_tasks=6
)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=s) for s in range(5)]


def new_model(songs):
    torch.manual_seed(0)
    return RewardModel(TINY, FeatureScale.fit(songs), np.ones(N_DESCRIPTORS))


def test_a_description_by_hand(songs):
    """Beats 0–15 and 32–35 of 64: pieces of 16 and 4 beats, 16 from the first quarter."""
    actions = np.full(64, Action.CUT)
    actions[:16] = actions[32:36] = Action.KEEP
    edit = Edit(songs[0], actions, 0.5)
    numbers = auxiliary_descriptors(edit)
    n = N_DESCRIPTORS
    assert len(numbers) == len(AUXILIARY_NAMES) == n + N_SOUND + 4 + 8 + 5
    named = dict(zip(AUXILIARY_NAMES, numbers, strict=True))
    assert named["quarter 3 of the song"] == pytest.approx(0.2)
    assert named["pieces up to 16 beats"] == 1 and named["pieces up to 8 beats"] == 0.2
    assert named["sound: mfcc_mean_0"] == numbers[n]
    np.testing.assert_array_equal(numbers[:n], describe(edit))
    sound = songs[0].features[:, :N_SOUND].astype(float)
    kept = np.r_[0:16, 32:36]
    scores = (sound[kept].mean(axis=0) - sound.mean(axis=0)) / sound.std(axis=0)
    np.testing.assert_allclose(numbers[n : n + N_SOUND], scores, atol=1e-5)
    origin, short = numbers[n + N_SOUND : n + N_SOUND + 4], numbers[-5:]
    np.testing.assert_allclose(origin, [0.8, 0, 0.2, 0])
    np.testing.assert_allclose(short, [0.2, 0.2, 1, 1, 1])  # up to 4, 8, 16, 32, 64 beats


def test_tastes_weigh_one_to_four_numbers_and_often_descriptors():
    tastes = random_tastes(4000, 150, np.random.default_rng(0))
    counts = (tastes != 0).sum(axis=1)
    assert counts.min() == 1 and counts.max() == 4
    named = (tastes[:, :N_DESCRIPTORS] != 0).sum() / (tastes != 0).sum()
    assert named == pytest.approx(0.5, abs=0.03)
    assert abs(tastes[tastes != 0].mean()) < 0.05


def test_groups_are_of_one_song_and_length(songs):
    groups = synthetic_groups(songs[:2], groups_per_song=5, size=4, seed=0)
    assert [len(group) for group in groups] == [4] * 10
    for number, group in enumerate(groups):
        assert {edit.song.sha256 for edit in group} == {songs[number // 5].sha256}
        assert len({edit.target for edit in group}) == 1


def test_it_learns_to_predict_synthetic_raters_on_other_songs():
    """On held-out songs the loss falls well below log 2, the loss of a constant ½."""
    songs = [toy_song(48, seed=s) for s in range(8)]
    model, seen = new_model(songs), []
    config = Pretraining(groups_per_song=32, group=4, epochs=4, groups_per_step=4, lr=5e-3)
    history = pretrain(model, songs[:6], songs[6:], config, 1, seen.append)
    assert seen == history.epochs
    assert [line["epoch"] for line in seen] == list(range(1, 5))
    assert seen[-1]["train_loss"] < seen[0]["train_loss"]
    assert seen[-1]["valid_loss"] < np.log(2) - 0.03
    assert seen[-1]["valid_accuracy"] > 0.65
    assert history.best_epoch == 4
    assert (model.mix == 0).all(), "the mix is fitted only to feedback"
    for name, value in model.state_dict().items():
        assert torch.equal(value, history.best_state[name]), name


def test_nothing_held_out_and_any_number_of_steps(songs):
    """With ten steps in all, the learning rate would rise for exactly one step."""
    for epochs, groups in ((5, 2), (1, 1)):
        config = Pretraining(groups_per_song=groups, group=2, epochs=epochs, groups_per_step=1)
        history = pretrain(new_model(songs), songs[:1], [], config, 0)
        assert set(history.epochs[-1]) == {"epoch", "train_loss", "train_accuracy"}
        assert np.isfinite(history.epochs[-1]["train_loss"])


def test_runs_repeat(songs):
    config = Pretraining(groups_per_song=2, group=3, epochs=1)
    states = []
    for _ in range(2):
        model = new_model(songs)
        pretrain(model, songs[:2], [], config, seed=3)
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_no_songs(songs):
    with pytest.raises(InputError, match="no songs"):
        pretrain(new_model(songs), [], songs, Pretraining(), 0)
