"""The reward model and the synthetic pairs, against closed forms."""

import math

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, N_DESCRIPTORS, describe
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.comparisons import split_by_song
from rlhf_lib.learning.reward.dense import dense_reward
from rlhf_lib.learning.reward.fit import probabilities
from rlhf_lib.learning.reward.model import N_TOKEN, RewardConfig, RewardModel, edit_tokens
from rlhf_lib.learning.reward.pretraining import bradley_terry_loss
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS, random_cuts, synthetic_comparisons

SMALL = RewardConfig(
    width=16, heads=2, layers=1, feedforward=32, members=3, head=8, auxiliary_tasks=4, window=32
)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(128, seed=s) for s in range(6)]


@pytest.fixture(scope="module")
def pairs(songs):
    return synthetic_comparisons(songs, pairs_per_song=20, seed=0)


def small_model(songs, seed=0, weights=None):
    torch.manual_seed(seed)
    return RewardModel(SMALL, FeatureScale.fit(songs), np.ones(N_DESCRIPTORS), weights)


def test_bradley_terry_by_hand():
    gap = torch.tensor([math.log(3.0)])  # P(a) = 3/4
    for answer, loss in (
        (1.0, -math.log(0.75)),
        (0.0, -math.log(0.25)),
        (0.5, -0.5 * math.log(0.75) - 0.5 * math.log(0.25)),
    ):
        found = bradley_terry_loss(gap, torch.tensor([answer]))
        assert found.item() == pytest.approx(loss, rel=1e-5)


def test_size_and_any_length(songs):
    model = RewardModel(RewardConfig(), FeatureScale.fit(songs), np.ones(N_DESCRIPTORS))
    assert abs(model.n_parameters - 2_630_000) <= 0.02 * 2_630_000
    lengths = [toy_song(n, seed=n) for n in (16, 96, 97, 700)]
    edits = [Edit(song, np.zeros(song.n_beats, int), 1.0) for song in lengths]
    assert model.score(edits).shape == (4, 5)
    assert np.isfinite(model.score(edits)).all()


def test_scores_do_not_depend_on_other_edits_or_batch(songs):
    model = small_model(songs)
    with torch.no_grad():
        model.mix.normal_()
    edits = [random_cuts(song, 0.7, 2, np.random.default_rng(0)) for song in songs]
    together = model.score(edits)
    alone = np.concatenate([model.score([edit]) for edit in edits])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    one_by_one = model.auxiliary_scores(edits, batch=1)
    torch.testing.assert_close(one_by_one, model.auxiliary_scores(edits), atol=1e-4, rtol=1e-4)
    linear, heard = model.score_parts(edits)
    np.testing.assert_allclose(linear + heard, together, atol=1e-4)
    mixed = torch.einsum("emj,mj->em", one_by_one, model.mix)
    np.testing.assert_allclose(mixed.detach(), heard, atol=1e-4)


def test_tokens(songs):
    edit = Edit(songs[0], np.zeros(128, int), 1.0)
    tokens = edit_tokens(edit, FeatureScale.fit(songs))
    assert tokens.shape == (128, N_TOKEN)
    assert np.isfinite(tokens).all()


def test_linear_head_starts_from_the_given_weights(songs):
    model = small_model(songs, weights=SYNTHETIC_WEIGHTS)
    given = SYNTHETIC_WEIGHTS != 0
    found = model.descriptor_weights().detach().numpy()
    np.testing.assert_allclose(
        found[:, given], np.tile(SYNTHETIC_WEIGHTS[given], (3, 1)), rtol=1e-4
    )


def test_probabilities_are_means_over_the_ensemble(songs, pairs):
    """Members say 3 : 1, even and 1 : 3 in odds of 9: σ(log 9) = 0.9, 0.5, σ(log ⅓) = 0.25."""
    model = small_model(songs)
    (place,) = np.flatnonzero(np.array(DESCRIPTOR_NAMES) == "seams")
    pair = next(c for c in pairs if describe(c.a)[place] - describe(c.b)[place] == 1)
    with torch.no_grad():
        model.linear[:, place] = torch.tensor([9.0, 1.0, 1 / 3]).log()
    assert probabilities(model, [pair])[0] == pytest.approx((0.9 + 0.5 + 0.25) / 3, rel=1e-5)
    assert model.score_differences([pair.edits]).mean() == pytest.approx(math.log(3) / 3, rel=1e-5)


def test_no_song_is_in_both_parts(pairs):
    train, held_out = split_by_song(pairs, 0.25, seed=3)
    assert {c.a.song.sha256 for c in train}.isdisjoint(c.a.song.sha256 for c in held_out)
    assert len(train) + len(held_out) == len(pairs)
    assert train and held_out


def test_synthetic_answers_follow_the_dense_reward_and_length(pairs):
    for c in pairs:
        gap = dense_reward(c.a) - dense_reward(c.b)
        place = DESCRIPTOR_NAMES.index("length_error")
        gap -= 0.5 * (describe(c.a)[place] - describe(c.b)[place])
        assert c.preference == (0.5 if abs(gap) < 0.05 else float(gap > 0))
        assert c.a.target == c.b.target


@pytest.mark.parametrize("n_cuts", [1, 2, 5])
def test_random_cuts(songs, n_cuts):
    for seed in range(20):
        edit = random_cuts(songs[0], 0.7, n_cuts, np.random.default_rng(seed))
        assert len(edit.seams) <= n_cuts
        assert abs(edit.keep_ratio - 0.7) < 0.04


def test_combined_reward_adds_up(songs):
    """80 % learned + 20 % dense: the linear part, the transformer's part and a constant."""
    model = small_model(songs)
    with torch.no_grad():
        model.mix.normal_()
    rng = np.random.default_rng(0)
    edits = [random_cuts(song, 0.7, 1 + k, rng) for song in songs for k in range(3)]
    reward = CombinedReward(model, edits)
    parts = reward.parts(edits)
    np.testing.assert_allclose(
        parts["combined"], 0.8 * parts["learned"] + 0.2 * parts["dense"], atol=1e-6
    )
    linear = np.stack([describe(edit) for edit in edits]) @ reward.weights
    heard = 0.8 * model.score_parts(edits)[1].mean(1) / float(model.normal[1])
    rest = parts["combined"] - linear - heard
    np.testing.assert_allclose(rest, rest[0], atol=1e-3)  # a constant
    for name in ("learned", "dense"):  # renormalised on the reference, within songs
        values = parts[name].reshape(6, 3)
        assert abs(values.mean()) < 1e-3
        assert np.mean((values - values.mean(1, keepdims=True)) ** 2) == pytest.approx(1, rel=1e-3)
