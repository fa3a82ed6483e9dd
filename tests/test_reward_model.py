"""Reward model and its training, against closed forms and held-out songs."""

import math

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.errors import InputError
from rlhf_lib.learning.combined_reward import CombinedReward
from rlhf_lib.learning.comparisons import (
    SYNTHETIC_WEIGHTS,
    Comparison,
    random_cuts,
    split_by_song,
    synthetic_comparisons,
)
from rlhf_lib.learning.dense_reward import dense_reward
from rlhf_lib.learning.reward_model import N_TOKEN, RewardConfig, RewardModel, edit_tokens
from rlhf_lib.learning.reward_training import (
    RewardTraining,
    bradley_terry_loss,
    fit,
    judge,
    measure_scale,
)
from rlhf_lib.learning.song_tensors import FeatureScale
from rlhf_lib.music.edit import Action, Edit
from rlhf_lib.music.measures import DIRECTION, MEASURES, measure, weight_vector

SMALL = RewardConfig(width=16, heads=2, layers=1, feedforward=32, members=3, head=8, window=32)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(128, seed=s) for s in range(6)]


@pytest.fixture(scope="module")
def pairs(songs):
    return synthetic_comparisons(songs, pairs_per_song=20, seed=0)


def small_model(songs, seed=0, prior=None):
    torch.manual_seed(seed)
    return RewardModel(SMALL, FeatureScale.fit(songs), np.ones(len(MEASURES)), prior)


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
    model = RewardModel(RewardConfig(), FeatureScale.fit(songs), np.ones(len(MEASURES)))
    assert abs(model.n_parameters - 2_630_000) <= 0.02 * 2_630_000
    lengths = [toy_song(n, seed=n) for n in (16, 96, 97, 700)]
    edits = [Edit(song, np.zeros(song.n_beats, int), 1.0) for song in lengths]
    assert model.score(edits).shape == (4, 5)
    assert np.isfinite(model.score(edits)).all()


def test_scores_do_not_depend_on_company_or_batch(songs):
    model = small_model(songs)
    with torch.no_grad():
        model.head_out.normal_()
    edits = [random_cuts(song, 0.7, 2, np.random.default_rng(0)) for song in songs]
    together = model.score(edits)
    alone = np.concatenate([model.score([edit]) for edit in edits])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    parts = model.score_parts(edits, batch=1)
    np.testing.assert_allclose(sum(parts), together, atol=1e-4)


def test_tokens(songs):
    edit = Edit(songs[0], np.zeros(128, int), 1.0)
    tokens = edit_tokens(edit, FeatureScale.fit(songs))
    assert tokens.shape == (128, N_TOKEN)
    assert np.isfinite(tokens).all()


def test_costs_stay_costs(songs, pairs):
    model = small_model(songs)
    reversed_pairs = [Comparison(c.a, c.b, 1 - c.preference) for c in pairs]
    fit(model, reversed_pairs, [], RewardTraining(epochs=1), seed=0)
    weights = model.weights().detach().numpy()
    assert (weights[:, DIRECTION == -1] <= 0).all()
    assert (weights[:, DIRECTION == 1] >= 0).all()


def test_linear_head_starts_where_it_is_told(songs):
    model = small_model(songs, prior=SYNTHETIC_WEIGHTS)
    given = SYNTHETIC_WEIGHTS != 0
    found = model.weights().detach().numpy()
    np.testing.assert_allclose(
        found[:, given], np.tile(SYNTHETIC_WEIGHTS[given], (3, 1)), rtol=1e-4
    )


def judged_by(pairs, taste):
    weights = weight_vector(taste)
    gaps = [float((measure(c.a) - measure(c.b)) @ weights) for c in pairs]
    return [Comparison(c.a, c.b, float(g > 0)) for c, g in zip(pairs, gaps, strict=True) if g]


def test_it_learns_a_taste_and_knows_it_on_other_songs(songs, pairs):
    """On held-out songs each of two models knows its own taste, and better than the other."""
    tastes = [{"energy": -5.0, "transition": -1.0}, {"hook": 8.0, "seams": -0.1}]
    train, held_out = split_by_song(pairs, 0.34, seed=0)
    accuracies = np.zeros((2, 2))
    for row, taste in enumerate(tastes):
        torch.manual_seed(0)
        model = RewardModel(SMALL, FeatureScale.fit(songs), measure_scale(train))
        fit(model, judged_by(train, taste), [], RewardTraining(epochs=1), seed=0)
        for column, other in enumerate(tastes):
            accuracies[row, column] = judge(model, judged_by(held_out, other))["accuracy"]
    assert (np.diag(accuracies) > 0.8).all()
    assert np.diag(accuracies).mean() > np.diag(accuracies[::-1]).mean() + 0.1


def test_linear_head_finds_the_closed_form_optimum():
    """One measure, no transformer signal: the weight is the empirical log-odds."""
    song = toy_song(128, seed=3)
    whole = Edit(song, np.zeros(128, int), 1.0)
    looped = np.zeros(128, int)
    looped[60] = Action.LOOP_2
    other = Edit(song, looped, 1.0)
    train = [Comparison(whole, other, float(k < 30)) for k in range(40)]
    torch.manual_seed(0)
    model = RewardModel(SMALL, FeatureScale.fit([song]), np.ones(len(MEASURES)))
    config = RewardTraining(epochs=1, lr=0.0, linear_steps=3000, linear_lr=0.05, prior=1e3)
    fit(model, train, [], config, seed=1)
    gap = measure(whole) - measure(other)
    found = (model.weights().detach().numpy() @ gap).mean()
    # members see bootstraps of 40 answers, 30 of them for a: their mean log-odds is near log 3
    assert found == pytest.approx(math.log(3), abs=0.45)


def test_training_is_reproducible(songs, pairs):
    states = []
    for _ in range(2):
        model = small_model(songs)
        fit(model, pairs[:30], [], RewardTraining(epochs=1), seed=5)
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_no_pairs_is_an_error(songs):
    with pytest.raises(InputError, match="no comparisons"):
        fit(small_model(songs), [], [], RewardTraining(), seed=0)


def test_no_song_on_both_sides(pairs):
    train, held_out = split_by_song(pairs, 0.25, seed=3)
    assert {c.a.song.sha256 for c in train}.isdisjoint(c.a.song.sha256 for c in held_out)
    assert len(train) + len(held_out) == len(pairs)
    assert train and held_out


def test_synthetic_answers_follow_the_dense_reward_and_length(pairs):
    for c in pairs:
        gap = dense_reward(c.a) - dense_reward(c.b)
        place = MEASURES.index("length_error")
        gap -= 0.5 * (measure(c.a)[place] - measure(c.b)[place])
        assert c.preference == (0.5 if abs(gap) < 0.05 else float(gap > 0))
        assert c.a.target == c.b.target


@pytest.mark.parametrize("n_cuts", [1, 2, 5])
def test_random_cuts(songs, n_cuts):
    for seed in range(20):
        edit = random_cuts(songs[0], 0.7, n_cuts, np.random.default_rng(seed))
        assert len(edit.seams) <= n_cuts
        assert abs(edit.keep_ratio - 0.7) < 0.04


def test_combined_reward_adds_up(songs):
    """Additive part by its weights plus remainder is 80 % learned + 20 % dense."""
    model = small_model(songs)
    with torch.no_grad():
        model.head_out.normal_()
    rng = np.random.default_rng(0)
    edits = [random_cuts(song, 0.7, 1 + k, rng) for song in songs for k in range(3)]
    reward = CombinedReward(model, edits)
    parts = reward.parts(edits)
    np.testing.assert_allclose(
        parts["combined"], 0.8 * parts["learned"] + 0.2 * parts["dense"], atol=1e-6
    )
    additive = np.stack([measure(e)[: len(reward.weights)] for e in edits]) @ reward.weights
    np.testing.assert_allclose(reward.remainder(parts, edits) + additive, parts["combined"])
    for name in ("learned", "dense"):  # renormalised on the reference, within songs
        values = parts[name].reshape(6, 3)
        assert abs(values.mean()) < 1e-3
        assert np.mean((values - values.mean(1, keepdims=True)) ** 2) == pytest.approx(1, rel=1e-3)
