"""Fitting a reward model to answers: closed forms, signs, priors, held-out songs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize
from scipy.stats import logistic
from toy import toy_song

from rlhf_lib.editing.descriptors import (
    DIRECTION,
    N_DESCRIPTORS,
    describe,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.comparisons import Comparison, split_by_song
from rlhf_lib.learning.reward.fit import (
    RewardTraining,
    fit,
    loss_and_accuracy,
)
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.posterior import SHAPE_MEAN, SHAPE_SD
from rlhf_lib.learning.reward.synthetic import (
    SYNTHETIC_WEIGHTS,
    descriptor_scale,
    synthetic_comparisons,
)

SMALL = RewardConfig(
    width=8, heads=1, layers=1, feedforward=8, members=3, head=4, auxiliary_tasks=2
)
NO_MIX = {"mix_prior_sd": 0.0}


def gaussian(sd):
    """Settings of a Gaussian prior on the descriptor weights, for closed forms."""
    return {"prior_scale": sd, "prior_degrees": math.inf}


@pytest.fixture(scope="module")
def songs():
    return [toy_song(96, seed=s) for s in range(8)]


@pytest.fixture(scope="module")
def pairs(songs):
    return synthetic_comparisons(songs, pairs_per_song=13, seed=0)


@pytest.fixture(scope="module")
def scale(songs):
    return descriptor_scale(songs, 0)


@pytest.fixture
def one_pair(songs):
    """The whole song and one with three loops: they differ in costs and in matters of taste."""
    looped = np.zeros(96, int)
    looped[60] = Action.LOOP_4
    return Edit(songs[0], np.zeros(96, int), 1.0), Edit(songs[0], looped, 1.0)


def new_model(songs, scale=None, weights=None, members=3):
    torch.manual_seed(0)
    config = RewardConfig(**{**SMALL.__dict__, "members": members})
    scale = np.ones(N_DESCRIPTORS) if scale is None else scale
    return RewardModel(config, FeatureScale.fit(songs), scale, weights)


def strengths(gaps):
    """1, 2 or 3 by the thresholds of the ordinal likelihood, without ties."""
    return 1 + (np.abs(gaps) > 1.5).astype(int) + (np.abs(gaps) > 3.5)


def answered(pairs, weights, scale):
    """Comparisons answered by a linear taste in units of typical differences."""
    gaps = np.stack([describe(c.a) - describe(c.b) for c in pairs]) / scale @ weights
    return [
        Comparison(c.a, c.b, float(gap > 0), 1.0, strength)
        for c, gap, strength in zip(pairs, gaps, strengths(gaps), strict=True)
    ]


def difference(model, pair):
    """The ensemble mean's score difference of one pair."""
    return float(model.score_differences([pair]).mean())


def linear_of(model):
    return model.linear.detach().double().numpy()


def test_a_single_wide_answer_gives_its_log_odds(songs, one_pair):
    """Three of four answers for a: P(a) = ¾, from any combination of descriptors."""
    model = new_model(songs)
    config = RewardTraining(likelihood="plain", prior_scale=1e3, **NO_MIX)
    fit(model, [Comparison(*one_pair, 0.75)], [], replace(config, seed=1))
    gap = difference(model, one_pair)
    assert gap == pytest.approx(math.log(3), abs=1e-3)


@pytest.mark.parametrize("answer, bounded", [(1.0, False), (0.0, True)])
@pytest.mark.parametrize("mix_prior", [0.0, 0.7])
def test_least_squares_has_its_closed_form(songs, one_pair, answer, bounded, mix_prior):
    """(x·w − m)² / 4 + |w|² / 2s² has its minimum at x·w = m Q / (2 + Q), Q = Σ (s x)².

    When the costly edit is preferred, costs cannot change sign: only matters of taste fit it.
    """
    model = new_model(songs, members=1)
    x = describe(one_pair[0]) - describe(one_pair[1])
    assert (x * DIRECTION >= -1e-6).all()
    wide = 0.4 * x
    scores = model.auxiliary_scores(list(one_pair)).detach().double().numpy()[:, 0]
    wide_mix = mix_prior / math.sqrt(2) * (scores[0] - scores[1])
    wide[(DIRECTION != 0) & bounded] = 0.0
    q = (wide**2).sum() + (wide_mix**2).sum()
    config = RewardTraining(likelihood="squared", mix_prior_sd=mix_prior, **gaussian(0.4))
    history = fit(model, [Comparison(*one_pair, answer, strength=2)], [], config)
    gap = difference(model, one_pair)
    margin = 2.25 * (2 * answer - 1)
    assert gap == pytest.approx(margin * q / (2 + q), abs=1e-4)
    if mix_prior == 0:
        assert (model.mix == 0).all()
        expected = (margin - gap) / 2 * 0.4 * wide
        np.testing.assert_allclose(linear_of(model)[0], expected, atol=1e-4)
    assert history.best_epoch == len(history.epochs) - 1  # nothing held out: the optimum


def test_the_ordinal_fit_is_the_optimum_of_its_objective(songs, one_pair):
    """ "Strongly a" once: the same objective in the gap and three shape numbers, by simplex."""
    x = describe(one_pair[0]) - describe(one_pair[1])
    q = ((0.4 * x) ** 2).sum()

    def objective(values):
        bounds = np.cumsum(np.array([0.25, 1.25, 2.0]) * np.exp(values[1:]))
        loss = -logistic.logsf(bounds[2] - values[0])
        return loss + values[0] ** 2 / (2 * q) + (values[1:] ** 2).sum() / (2 * 0.5**2)

    options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 10_000}
    best = minimize(objective, np.zeros(4), method="Nelder-Mead", options=options)
    model = new_model(songs, members=1)
    config = RewardTraining(**gaussian(0.4), **NO_MIX)
    fit(model, [Comparison(*one_pair, 1.0, strength=3)], [], config)
    gap = difference(model, one_pair)
    assert gap == pytest.approx(best.x[0], abs=1e-3)


def test_costs_stay_costs(songs, pairs, scale):
    """Even when every answer is reversed."""
    turned = [Comparison(c.a, c.b, 1 - c.preference, strength=c.strength) for c in pairs]
    model = new_model(songs, scale, SYNTHETIC_WEIGHTS)
    fit(model, turned, [], RewardTraining(prior_scale=10.0, seed=0))
    weights = model.descriptor_weights().detach().numpy()
    assert (weights[:, DIRECTION == -1] <= 0).all()
    assert (weights[:, DIRECTION == 1] >= 0).all()
    assert (weights == 0).any()


def test_few_pairs_and_a_narrow_prior_stay_near_the_prior_mean(songs, pairs, scale):
    """More pairs and a wider prior give a larger distance; with sd 0 nothing moves."""
    taste = answered(pairs, weight_vector({"level": 2.0, "again_64": -2.0}), scale)
    prior_mean = SYNTHETIC_WEIGHTS * scale

    def away(n_pairs, prior):
        """Distance from the direction of the prior mean."""
        model = new_model(songs, scale, SYNTHETIC_WEIGHTS)
        fit(model, taste[:n_pairs], [], RewardTraining(**gaussian(prior), **NO_MIX, seed=0))
        found = linear_of(model).mean(axis=0)
        return float(
            np.linalg.norm(found - found @ prior_mean / (prior_mean @ prior_mean) * prior_mean)
        )

    few, many, narrow = away(3, 1.0), away(100, 1.0), away(100, 0.05)
    assert few < 0.6 * many
    assert narrow < 0.2 * many
    model = new_model(songs, scale, SYNTHETIC_WEIGHTS)
    fit(model, taste[:20], [], RewardTraining(prior_scale=0.0, **NO_MIX, seed=0))
    np.testing.assert_allclose(linear_of(model), np.tile(prior_mean, (3, 1)), rtol=1e-6)


def test_the_prior_scale_is_fitted(songs, pairs, scale):
    """Raters with the taste of the prior mean and more or less noise: only the scale differs.

    One logistic regression along the prior mean, with the prior of the scale, by bisection.
    """
    prior_mean = SYNTHETIC_WEIGHTS * scale
    gaps = np.stack([describe(c.a) - describe(c.b) for c in pairs]) / scale @ prior_mean
    rng = np.random.default_rng(0)
    for size in (0.05, 0.5):
        said = (size * gaps + rng.logistic(size=len(gaps)) > 0).astype(float)
        answers = [Comparison(c.a, c.b, a) for c, a in zip(pairs, said, strict=True)]
        model = new_model(songs, scale, SYNTHETIC_WEIGHTS, members=1)
        config = RewardTraining(likelihood="plain", prior_scale=0.01, epochs=10_000, **NO_MIX)
        fit(model, answers, [], config)
        found = float(linear_of(model)[0] @ prior_mean / (prior_mean @ prior_mean))

        def slope(log_size, gaps=gaps, said=said):
            gap = np.exp(log_size) * gaps
            pull = (log_size - SHAPE_MEAN[0]) / SHAPE_SD[0] ** 2
            return (logistic.cdf(gap) - said) @ gap + pull

        assert found == pytest.approx(np.exp(brentq(slope, -6, 3)), rel=0.1)


def test_a_later_version_is_fitted_around_the_same_prior_mean(songs, pairs, scale):
    """Old answers are not counted twice when they are read again."""
    answers = answered(pairs, weight_vector({"level": 2.0, "hook": 2.0}), scale)
    config = RewardTraining(epochs=1000)
    once, twice = (new_model(songs, scale, SYNTHETIC_WEIGHTS) for _ in range(2))
    fit(once, answers, [], config)
    fit(twice, answers[:40], [], replace(config, seed=1))
    fit(twice, answers, [], config)
    gaps = [
        model.score_differences([c.edits for c in pairs]).mean(axis=1) for model in (once, twice)
    ]
    np.testing.assert_allclose(gaps[0], gaps[1], atol=0.02 * np.abs(gaps[0]).max())


def test_it_learns_a_taste_that_holds_on_other_songs(songs, pairs, scale):
    """On held-out songs each of two models predicts its own taste, and better than the other."""
    tastes = [weight_vector({"energy": -3.0, "level": 2.0}), weight_vector({"hook": 3.0})]
    train, held_out = split_by_song(pairs, 0.34, seed=0)
    accuracies = np.zeros((2, 2))
    for row, taste in enumerate(tastes):
        model = new_model(songs, scale)
        fit(model, answered(train, taste, scale), [], RewardTraining(seed=0))
        for column, other in enumerate(tastes):
            accuracies[row, column] = loss_and_accuracy(model, answered(held_out, other, scale))[
                "accuracy"
            ]
    assert (np.diag(accuracies) > 0.8).all()
    assert np.diag(accuracies).mean() > np.diag(accuracies[::-1]).mean() + 0.1


def test_ten_pairs_do_no_harm_and_fifty_help(songs, pairs, scale):
    """Noisy answers; the tastes differ from the parent by once, twice and four times its size."""
    train, held_out = split_by_song(pairs, 0.5, seed=1)
    known, unknown = (
        np.stack([describe(c.a) - describe(c.b) for c in part]) / scale
        for part in (train, held_out)
    )
    parent, rng = SYNTHETIC_WEIGHTS * scale, np.random.default_rng(0)
    right = {0: [], 10: [], 50: []}
    for share in (1.0, 2.0, 4.0) * 3:
        far = share * rng.normal(size=N_DESCRIPTORS) * np.sqrt(np.mean(parent**2))
        taste = parent + np.where(DIRECTION * far < 0, 0.0, far)
        chosen = rng.permutation(len(train))[:50]
        heard = known[chosen] @ taste + rng.logistic(size=50)
        answers = [
            Comparison(train[k].a, train[k].b, float(gap > 0), 1.0, strength)
            for k, gap, strength in zip(chosen, heard, strengths(heard), strict=True)
        ]
        for n_pairs, found in right.items():
            model = new_model(songs, scale, SYNTHETIC_WEIGHTS)
            if n_pairs:
                fit(model, answers[:n_pairs], [], RewardTraining(**NO_MIX, seed=n_pairs))
            guess = unknown @ linear_of(model).mean(axis=0)
            found.append(float((np.sign(guess) == np.sign(unknown @ taste)).mean()))
    before, few, many = (np.mean(found) for found in right.values())
    assert few > before - 0.01
    assert many > before + 0.04


def test_members_differ_and_runs_repeat(songs, pairs, scale):
    states = []
    for seed in (5, 5, 6):
        model = new_model(songs, scale)
        fit(model, pairs[:30], [], RewardTraining(seed=seed))
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    linear = states[0]["linear"]
    assert not torch.equal(linear, states[2]["linear"])
    assert not torch.allclose(linear[0], linear[1], atol=1e-3)


def test_the_members_mean_is_the_fit_without_members(songs, pairs, scale):
    """A single member has no spread. Few passes are made: rounding grows with them."""
    one, five = (new_model(songs, scale, SYNTHETIC_WEIGHTS, members) for members in (1, 5))
    for model, seed in ((one, 0), (five, 3)):
        fit(model, pairs[:40], [], RewardTraining(seed=seed, epochs=20, **NO_MIX))
    np.testing.assert_allclose(linear_of(five).mean(axis=0), linear_of(one)[0], atol=1e-5)
    assert linear_of(five).std(axis=0).max() > 0.1


def test_history_begins_with_the_parent_and_has_the_best_epoch(songs, pairs, scale):
    train, held_out = split_by_song(pairs, 0.25, seed=0)
    model = new_model(songs, scale, SYNTHETIC_WEIGHTS)
    parent = loss_and_accuracy(model, train), loss_and_accuracy(model, held_out)
    seen = []
    history = fit(model, train, held_out, RewardTraining(epochs=7), seen.append)
    assert seen == history.epochs
    first, last = history.epochs[0], history.epochs[-1]
    assert [line["epoch"] for line in history.epochs] == list(range(len(history.epochs)))
    assert len(history.epochs) <= 8
    for name, index in (("train", 0), ("valid", 1)):
        assert first[f"{name}_loss"] == pytest.approx(parent[index]["loss"], rel=1e-4)
        assert first[f"{name}_accuracy"] == pytest.approx(parent[index]["accuracy"])
    assert last["valid_loss"] == pytest.approx(loss_and_accuracy(model, held_out)["loss"], rel=1e-4)
    losses = [line["valid_loss"] for line in history.epochs]
    assert history.best_epoch == int(np.argmin(losses))
    model.load_state_dict(history.best_state)
    assert loss_and_accuracy(model, held_out)["loss"] == pytest.approx(min(losses), rel=1e-4)


def test_wrong_input_is_refused(songs, pairs):
    with pytest.raises(InputError, match="no comparisons"):
        fit(new_model(songs), [], [], RewardTraining(seed=0))
    with pytest.raises(InputError, match="unknown likelihood 'probit'; choose one of plain"):
        fit(new_model(songs), pairs, [], RewardTraining(likelihood="probit", seed=0))
