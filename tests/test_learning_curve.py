"""Fits under other likelihoods and to fewer pairs; the parent stays as it was."""

import copy

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.comparisons import Comparison, split_by_song
from rlhf_lib.learning.reward.fit import RewardTraining, fit, loss_and_accuracy, parameters
from rlhf_lib.learning.reward.likelihood import LIKELIHOODS
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import descriptor_scale, synthetic_comparisons
from rlhf_lib.steps.evaluation import accuracy
from rlhf_lib.steps.learning_curve import fits_by_likelihood, fits_by_pairs

SMALL = RewardConfig(
    width=8, heads=1, layers=1, feedforward=8, members=3, head=4, auxiliary_tasks=2
)


@pytest.fixture(scope="module")
def parts():
    songs = [toy_song(96, seed=s) for s in range(6)]
    pairs = synthetic_comparisons(songs, pairs_per_song=6, seed=0)
    torch.manual_seed(0)
    parent = RewardModel(SMALL, FeatureScale.fit(songs), descriptor_scale(songs, 0))
    assert parent.linear.shape == (3, N_DESCRIPTORS)
    return parent, *split_by_song(pairs, 0.25, 0)


def test_each_likelihood_is_fitted_as_fit_does(parts):
    parent, train, held_out = parts
    before = parameters(parent)
    table = fits_by_likelihood(parent, train, held_out, seed=2)
    assert list(table.index) == list(LIKELIHOODS)
    np.testing.assert_array_equal(parameters(parent), before)
    alone = copy.deepcopy(parent)
    fit(alone, train, held_out, RewardTraining(likelihood="margin", seed=2))
    found = loss_and_accuracy(alone, held_out)
    assert table.loc["margin", "valid_loss"] == pytest.approx(found["loss"], rel=1e-4)
    assert table.loc["margin", "valid_accuracy"] == pytest.approx(found["accuracy"])


def test_the_curve_begins_at_the_parent_and_ends_with_all_pairs(parts):
    parent, train, held_out = parts
    before = parameters(parent)
    table = fits_by_pairs(parent, train, held_out, orders=2, seed=1)
    np.testing.assert_array_equal(parameters(parent), before)
    assert len(train) == 24  # 20 would be nearly all
    assert table["pairs"].tolist() == [0, 5, 10, 24]
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    chance = accuracy(lambda edits: parent.score(edits).mean(1), held_out)
    assert table["value"].iloc[0] == pytest.approx(chance.value)
    alone = copy.deepcopy(parent)
    fit(alone, train, [], RewardTraining(seed=1))
    all_of_them = accuracy(lambda edits: alone.score(edits).mean(1), held_out)
    assert table["value"].iloc[-1] == pytest.approx(all_of_them.value)
    assert table["value"].iloc[-1] > table["value"].iloc[0]


def test_nothing_held_out_is_refused(parts):
    parent, train, _ = parts
    with pytest.raises(InputError, match="no comparisons"):
        fits_by_pairs(parent, train, [])
    ties = [Comparison(train[0].a, train[0].b, 0.5)]
    with pytest.raises(InputError, match="no comparisons"):
        fits_by_pairs(parent, train, ties)
