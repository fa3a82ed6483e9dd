"""The likelihoods against scipy's logistic distribution and numerical derivatives."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import logistic

from rlhf_lib.learning.reward.likelihood import (
    LIKELIHOODS,
    margin,
    ordinal,
    plain,
    seven_answers,
    squared,
    weighted,
)

#: The seven answers: strongly a … slightly a, tie, slightly b … strongly b.
ANSWERS = np.array([1, 1, 1, 0.5, 0, 0, 0])
STRENGTHS = np.array([3, 2, 1, 0, 1, 2, 3])
NONE = np.zeros(3)


def one(likelihood, gap, answer, strength, shape=NONE):
    """Loss, slope, derivative by the shape and curvature of a single answer."""
    found = likelihood(np.array([gap]), np.array([answer]), np.array([strength]), np.asarray(shape))
    return tuple(each[0] for each in found)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("gap", [-3.1, -0.2, 0.4, 6.0])
def test_derivatives_are_the_numerical_ones(likelihood, gap):
    shape = np.array([0.2, -0.3, 0.1])
    cases = [*zip(ANSWERS, STRENGTHS, strict=True), (1.0, 0), (0.0, 0), (0.7, 2)]
    for answer, strength in cases:

        def loss(values, answer=answer, strength=strength):
            return one(likelihood, values[0], answer, strength, values[1:])[0]

        found = one(likelihood, gap, answer, strength, shape)
        expected = approx_fprime(np.append(gap, shape), loss, 1e-7)
        np.testing.assert_allclose([found[1], *found[2]], expected, atol=2e-6)
        slopes = [one(likelihood, gap + h, answer, strength, shape)[1] for h in (-1e-5, 1e-5)]
        assert found[3] == pytest.approx(np.diff(slopes)[0] / 2e-5, abs=1e-8)


@pytest.mark.parametrize("gap", [-40.0, -2.0, 0.0, 0.7, 5.0])
def test_the_probabilities_of_the_seven_answers_add_up_to_one(gap):
    loss, *_ = ordinal(np.full(7, gap), ANSWERS, STRENGTHS, np.array([0.5, -0.4, 0.3]))
    assert np.exp(-loss).sum() == pytest.approx(1)


def test_ordinal_by_hand():
    """Thresholds at 0.25, 1.5, 3.5 on either side of 0, logistic noise around the gap."""
    gap, cdf = 0.9, logistic(loc=0.9).cdf
    expected = {
        (1.0, 3): 1 - cdf(3.5),
        (1.0, 2): cdf(3.5) - cdf(1.5),
        (1.0, 1): cdf(1.5) - cdf(0.25),
        (0.5, 0): cdf(0.25) - cdf(-0.25),
        (0.0, 1): cdf(-0.25) - cdf(-1.5),
        (0.0, 2): cdf(-1.5) - cdf(-3.5),
        (0.0, 3): cdf(-3.5),
        (1.0, 0): 1 - cdf(0.25),  # no strength given: above the threshold of a tie
        (0.0, 0): cdf(-0.25),
    }
    for (answer, strength), p in expected.items():
        assert np.exp(-one(ordinal, gap, answer, strength)[0]) == pytest.approx(p)


def test_shape_numbers_stretch_the_gaps_between_thresholds():
    """Gaps 0.25, 1.25, 2 times 2, 1, ½: thresholds 0.5, 1.75, 2.75."""
    shape = np.log([2.0, 1.0, 0.5])
    p = np.exp(-one(ordinal, 0.0, 1.0, 2, shape)[0])
    assert p == pytest.approx(logistic.cdf(2.75) - logistic.cdf(1.75))


def test_ordinal_does_not_vanish_far_from_the_answer():
    """P(strongly a) at a gap of −1000 is e^−1003.5, and the slope is still −1."""
    loss, slope, _, bend = one(ordinal, -1000.0, 1.0, 3)
    assert loss == pytest.approx(1003.5)
    assert slope == pytest.approx(-1)
    assert bend == 0
    loss, slope, by_shape, _ = one(ordinal, 1000.0, 0.5, 0)
    assert loss == pytest.approx(999.75 - np.log1p(-np.exp(-0.5)))
    assert slope == pytest.approx(1)
    assert np.isfinite(by_shape).all()


def test_bradley_terry_and_its_variants_by_hand():
    gap = np.log(3.0)  # P(a) = ¾
    assert one(plain, gap, 1.0, 3)[0] == pytest.approx(-np.log(0.75))
    assert one(plain, gap, 0.5, 0)[0] == pytest.approx(-0.5 * np.log(0.75 * 0.25))
    assert one(weighted, gap, 0.0, 1)[0] == pytest.approx(-0.5 * np.log(0.25))
    assert one(weighted, gap, 0.0, 3)[0] == pytest.approx(-1.5 * np.log(0.25))
    # strength 2 indicates 2.25 logits; half of it is the margin
    assert one(margin, gap, 1.0, 2)[0] == pytest.approx(-logistic.logcdf(gap - 1.125))
    assert one(margin, gap, 0.0, 2)[0] == pytest.approx(-logistic.logcdf(-gap - 1.125))
    assert one(margin, gap, 0.5, 0)[0] == pytest.approx(one(plain, gap, 0.5, 0)[0])
    assert one(squared, 1.25, 1.0, 2)[0] == pytest.approx(0.25)  # a logit off: ¼
    assert one(squared, 1.0, 0.0, 3)[0] == pytest.approx(25 / 4)
    assert one(squared, 1.0, 0.5, 0)[0] == pytest.approx(0.25)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_sides_may_be_swapped(likelihood):
    """P(answer | gap) = P(swapped answer | −gap)."""
    gaps = np.linspace(-2, 5, 7)
    shape = np.array([0.1, 0.2, -0.3])
    here = likelihood(gaps, ANSWERS, STRENGTHS, shape)
    there = likelihood(-gaps, 1 - ANSWERS, STRENGTHS, shape)
    np.testing.assert_allclose(here[0], there[0])
    np.testing.assert_allclose(here[1], -there[1])
    np.testing.assert_allclose(here[2], there[2])
    np.testing.assert_allclose(here[3], there[3])


def test_the_table_of_the_seven_answers():
    """At difference 0 a tie lies between −0.25 and 0.25, a slight preference from there to 1.5."""
    table = seven_answers(0.0)
    cdf = logistic.cdf
    assert list(table.index)[::6] == ["b strongly", "a strongly"]
    assert table["P"].sum() == pytest.approx(1)
    assert table.loc["tie", "P"] == pytest.approx(cdf(0.25) - cdf(-0.25))
    assert table.loc["a slightly", "P"] == pytest.approx(cdf(1.5) - cdf(0.25))
    assert table.loc["b slightly", "slope"] == pytest.approx(-table.loc["a slightly", "slope"])
    assert table.loc["tie", "slope"] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(table["loss"], -np.log(table["P"]))
    assert seven_answers(5.0)["P"].idxmax() == "a strongly"
