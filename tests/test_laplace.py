"""The posterior around its mode: numerical derivatives, closed forms, a grid."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit
from scipy.stats import t as student_t

from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, DIRECTION, N_DESCRIPTORS
from rlhf_lib.learning.reward.laplace import around, covariance, descend, draws, sparse
from rlhf_lib.learning.reward.likelihood import LIKELIHOODS
from rlhf_lib.learning.reward.posterior import NegativeLogPosterior, Prior, split

N_MIX = 3
LEVEL = DESCRIPTOR_NAMES.index("level")
STRENGTHS = np.array([0, 1, 2, 3])


def random_data(n_pairs=40, members=2, seed=0):
    rng = np.random.default_rng(seed)
    strengths = rng.choice(STRENGTHS, n_pairs)
    answers = np.where(strengths == 0, 0.5, rng.integers(0, 2, n_pairs))
    return SimpleNamespace(
        inputs=rng.normal(size=(n_pairs, members, N_DESCRIPTORS + N_MIX)),
        answers=answers,
        strengths=strengths,
        weights=rng.uniform(0.5, 2.0, n_pairs),
    )


def objective(data, scale=0.3, likelihood="ordinal", seed=1):
    mean = DIRECTION * np.abs(np.random.default_rng(seed).normal(size=N_DESCRIPTORS))
    prior = Prior.of(mean, N_DESCRIPTORS + N_MIX, scale, 1.0, 0.6)
    start = np.append(mean, np.zeros(N_MIX))
    return NegativeLogPosterior(data, start, prior, LIKELIHOODS[likelihood])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_hessian_is_the_numerical_one(likelihood):
    """By free parameters and prior scale; some descriptors are not fitted, some fitted widely."""
    scale = np.linspace(0.1, 1.0, N_DESCRIPTORS)
    scale[3] = 0.0
    posterior = objective(random_data(), scale, likelihood)
    n = N_DESCRIPTORS + N_MIX - 1
    expected = np.exp(0.2) * posterior.prior.mean[posterior.free]
    # Beyond the prior mean, the one by the prior scale twice is below its Gauss–Newton part.
    for further in (0.7, 1.3):
        values = np.append(further * expected, [0.2, 0.1, -0.2, 0.3])
        numerical = approx_fprime(values, lambda v: posterior(v)[1], 1e-7)[: n + 1, : n + 1]
        found = posterior.hessian(values)
        np.testing.assert_allclose(found[:n], numerical[:n], atol=1e-4)
        if further < 1:
            assert found[n, n] == pytest.approx(numerical[n, n], rel=1e-4)
        else:
            assert found[n, n] > numerical[n, n]
        assert np.linalg.eigvalsh(found).min() > 0


def test_the_covariance_holds_what_is_at_its_bound():
    """Elsewhere it inverts the second derivatives, with the prior scale integrated out."""
    posterior = objective(random_data())
    mode = descend(posterior, posterior.begin(), 1000)[-1]
    at_bound = np.append(mode[:-4] == 0, False)
    assert 0 < at_bound.sum() < N_DESCRIPTORS
    found = covariance(posterior, mode)
    assert (found[at_bound[:-1]] == 0).all() and (found[:, at_bound[:-1]] == 0).all()
    moves = ~at_bound
    inverse = np.linalg.inv(posterior.hessian(mode)[np.ix_(moves, moves)])
    np.testing.assert_allclose(
        found[np.ix_(moves[:-1], moves[:-1])], inverse[:-1, :-1], rtol=1e-6, atol=1e-9
    )


def test_the_variance_of_a_normal_mean_is_exact():
    """Least squares: n answers of curvature ½ and a prior of precision 1 / s²."""
    data = random_data(n_pairs=8, members=1)
    data.inputs[:] = 0
    data.inputs[:, :, LEVEL], data.weights[:] = 2.0, 1.0
    prior = Prior.of(np.zeros(N_DESCRIPTORS), N_DESCRIPTORS + N_MIX, 0.5, math.inf, 0.0)
    start = np.zeros(N_DESCRIPTORS + N_MIX)
    posterior = NegativeLogPosterior(data, start, prior, LIKELIHOODS["squared"])
    variance = covariance(posterior, posterior.begin()).diagonal()
    assert variance[LEVEL] == pytest.approx(1 / (8 * 2.0**2 / 2 + 1 / 0.5**2))


def test_a_gaussian_prior_keeps_its_variances():
    prior = Prior.of(np.ones(N_DESCRIPTORS), N_DESCRIPTORS + N_MIX, 0.4, math.inf, 0.6)
    n = N_DESCRIPTORS + N_MIX
    wider = prior.reestimated(np.full(n, 9.0), np.zeros(4), np.ones(n))
    np.testing.assert_allclose(wider.sd, prior.sd)
    assert prior.sd[0] == 0.4 and prior.sd[-1] == pytest.approx(0.6 / math.sqrt(3))


def test_variances_by_hand():
    """(ν τ² + (w − e^s m)² + V) / (ν + 1), with a scale of its own for each descriptor."""
    scale = np.full(N_DESCRIPTORS, 0.25)
    scale[1] = 0.15
    prior = Prior.of(np.ones(N_DESCRIPTORS), N_DESCRIPTORS + N_MIX, scale, 2.0, 0.6)
    n = N_DESCRIPTORS + N_MIX
    weights, variance = np.full(n, 2.5), np.full(n, 0.1)
    wider = prior.reestimated(weights, np.log([2.0, 1.0, 1.0, 1.0]), variance)
    assert wider.sd[0] ** 2 == pytest.approx((2 * 0.25**2 + 0.5**2 + 0.1) / 3)
    assert wider.sd[1] ** 2 == pytest.approx((2 * 0.15**2 + 0.5**2 + 0.1) / 3)
    np.testing.assert_allclose(wider.sd[N_DESCRIPTORS:], prior.sd[N_DESCRIPTORS:])


def test_draws_have_their_mean_and_covariance():
    wanted = np.array([[2.0, 0.6, 0.0], [0.6, 0.5, 0.0], [0.0, 0.0, 0.0]])
    found = draws(wanted, 5, np.random.default_rng(0))
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    assert (found[:, 2] == 0).all()
    rng = np.random.default_rng(1)
    every = np.concatenate([draws(wanted, 5, rng) for _ in range(4000)])
    np.testing.assert_allclose(every.T @ every / len(every), wanted, atol=0.05)
    assert (draws(wanted, 1, rng) == 0).all()


def test_moves_stay_within_bounds_and_keep_their_mean():
    values = np.array([-0.5, 0.0, -3.0, 7.0])
    moves = np.array([[1.0, 0.0, 1.0, 5.0], [-2.0, 0.0, 1.0, -5.0], [1.0, 0.0, -2.0, 0.0]])
    bounds = np.array([[-np.inf, 0.0]] * 3 + [[-np.inf, np.inf]])
    found = around(values, moves, bounds)
    expected = values + moves * [0.5, 1, 1, 1]
    np.testing.assert_allclose(found, expected)
    assert (found[:, :3] <= 0).all()
    np.testing.assert_allclose(found.mean(axis=0), values)


@pytest.mark.parametrize("effect", [0.5, 1.5, 3.0])
def test_one_weight_is_near_its_mean_under_a_student_t(effect):
    """The mean on a grid; a Gaussian of the same scale is farther from it."""
    data = random_data(n_pairs=60, members=1)
    data.inputs[:], data.weights[:] = 0, 1.0
    data.inputs[:, :, LEVEL], data.answers[:] = 1.0, expit(effect)
    w = np.linspace(-3, 12, 20_001)
    loss, *_ = LIKELIHOODS["plain"](w, np.full(len(w), expit(effect)), None, None)
    posterior = student_t.pdf(w, df=1, scale=0.25) * np.exp(-60 * (loss - loss.min()))
    expected = w @ posterior / posterior.sum()
    found = []
    for degrees in (1.0, math.inf):
        none = np.zeros(N_DESCRIPTORS + N_MIX)
        prior = Prior.of(none[:N_DESCRIPTORS], len(none), 0.25, degrees, 0.0)
        one = sparse(NegativeLogPosterior(data, none, prior, LIKELIHOODS["plain"]), 100)
        found.append(descend(one, one.begin(), 100)[-1][LEVEL])
    assert found[0] == pytest.approx(expected, rel=0.11)
    assert abs(found[1] - expected) > 2 * abs(found[0] - expected)


def test_a_taste_in_few_weights_is_found_from_fewer_answers_than_by_a_gaussian():
    """Three weights of 35, 60 noisy answers: the loss on new pairs, over ten tastes."""
    losses = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        truth = np.zeros(N_DESCRIPTORS + N_MIX)
        truth[rng.choice(np.flatnonzero(DIRECTION == 0), 3, replace=False)] = [3.0, -3.0, 2.0]
        data, new = random_data(60, 1, seed), random_data(2000, 1, seed + 100)
        for each in (data, new):
            gaps = each.inputs[:, 0] @ truth + rng.logistic(size=len(each.inputs))
            each.answers = (gaps > 0).astype(float)
        data.weights[:] = 1.0
        for scale, degrees in ((0.2, 1.0), (0.5, math.inf)):
            prior = Prior.of(np.zeros(N_DESCRIPTORS), len(truth), scale, degrees, 0.0)
            one = sparse(NegativeLogPosterior(data, truth * 0, prior, LIKELIHOODS["plain"]), 100)
            mode, _ = split(descend(one, one.begin(), 100)[-1])
            gaps = new.inputs[:, 0, prior.free] @ mode
            losses.append((np.logaddexp(0, gaps) - new.answers * gaps).mean())
    student, gauss = np.mean(np.reshape(losses, (-1, 2)), axis=0)
    assert student < gauss - 0.03
