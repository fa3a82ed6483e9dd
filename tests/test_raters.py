"""Simulated raters: hand-computed utilities, the Bradley–Terry rule, reproducible votes."""

import math

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.raters import TASTES, Answer, Rater, SimulatedRater
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.measures import DIRECTION, MEASURES

SONG = toy_song(40, seed=3)


def cut(*spans: tuple[int, int]) -> Edit:
    """Return the edit of SONG that cuts the [start, stop) spans of beats."""
    actions = np.zeros(SONG.n_beats, dtype=int)
    for start, stop in spans:
        actions[start:stop] = 1
    return Edit(SONG, actions, 1 - actions.mean())


WHOLE = cut()
ONE_SEAM = cut((10, 20))  # 3/4 of the song
TWO_SEAMS = cut((8, 13), (24, 29))  # the same length


def test_utility_is_the_weighted_sum_of_measures():
    rater = SimulatedRater("r", {"length": 8.0, "seams": -0.5})
    assert rater.utility(WHOLE) == pytest.approx(8.0, abs=1e-6)
    assert rater.utility(ONE_SEAM) == pytest.approx(8.0 * 0.75 - 0.5, abs=1e-6)
    assert rater.utility(TWO_SEAMS) == pytest.approx(8.0 * 0.75 - 1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "preference", "strength"),
    [(-0.05, "tie", 0), (-0.3, "a", 1), (-1.2, "a", 2), (-5.0, "a", 3), (5.0, "b", 3)],
)
def test_without_noise_the_utility_decides_choice_and_strength(weight, preference, strength):
    # The two edits differ by one seam and, in what this taste weighs, by nothing else.
    rater = SimulatedRater("r", {"seams": weight}, noise=0.0, tie_margin=0.1)
    answer = rater.compare(SONG, ONE_SEAM, TWO_SEAMS)
    assert (answer.preference, answer.strength) == (preference, strength)
    assert answer.confidence == pytest.approx(1 / (1 + math.exp(-2 * abs(weight))), abs=1e-3)


def test_the_reason_names_the_measure_that_decided():
    rater = SimulatedRater("r", {"seams": -1.0, "length": 0.1}, noise=0.0)
    answer = rater.compare(SONG, TWO_SEAMS, ONE_SEAM)
    assert (answer.preference, answer.reasoning) == ("b", "simulated: fewer audible seams")
    longer = SimulatedRater("r", {"length": 4.0}, noise=0.0).compare(SONG, WHOLE, ONE_SEAM)
    assert longer.reasoning == "simulated: a longer edit"
    tie = SimulatedRater("r", {"length": 4.0}, noise=0.0).compare(SONG, ONE_SEAM, TWO_SEAMS)
    assert (tie.preference, tie.reasoning) == ("tie", "simulated: too close to call")


def test_votes_follow_bradley_and_terry():
    # One seam apart at weight 0.6 and noise 0.5: P(fewer seams) = 1 / (1 + exp(-1.2)).
    expected, n = 1 / (1 + math.exp(-1.2)), 600
    raters = [
        SimulatedRater("r", {"seams": -0.6}, noise=0.5, tie_margin=0.0, seed=s) for s in range(n)
    ]
    wins = sum(r.compare(SONG, ONE_SEAM, TWO_SEAMS).preference == "a" for r in raters)
    assert abs(wins / n - expected) < 4 * math.sqrt(expected * (1 - expected) / n)


def test_ties_are_as_frequent_as_the_margin_says():
    # Equal utilities, |logistic noise of scale 1| <= 0.5: tanh(0.25).
    n, expected = 600, math.tanh(0.25)
    taste = {"length": 1.0}
    raters = [SimulatedRater("r", taste, noise=1.0, tie_margin=0.5, seed=s) for s in range(n)]
    ties = sum(r.compare(SONG, ONE_SEAM, TWO_SEAMS).preference == "tie" for r in raters)
    assert abs(ties / n - expected) < 4 * math.sqrt(expected * (1 - expected) / n)


def test_answers_do_not_depend_on_order_or_sides():
    edits = [cut((start, start + 8)) for start in range(2, 30, 5)]
    pairs = [(a, b) for a in edits for b in edits if a is not b]
    taste = {"transition": -1.0, "hook": 2.0}
    forward = [SimulatedRater("r", taste, noise=2.0).compare(SONG, a, b) for a, b in pairs]
    rater = SimulatedRater("r", taste, noise=2.0)
    backward = [rater.compare(SONG, a, b) for a, b in reversed(pairs)][::-1]
    assert forward == backward
    mirror = {"a": "b", "b": "a", "tie": "tie"}
    for answer, (a, b) in zip(forward, pairs, strict=True):
        swapped = rater.compare(SONG, b, a)
        assert swapped.preference == mirror[answer.preference]
        assert swapped.strength == answer.strength
    # Another seed, rater or song draws other noise.
    for other in (
        [SimulatedRater("r", taste, noise=2.0, seed=1).compare(SONG, a, b) for a, b in pairs],
        [SimulatedRater("s", taste, noise=2.0).compare(SONG, a, b) for a, b in pairs],
        [rater.compare(toy_song(40, seed=4), a, b) for a, b in pairs],
    ):
        changed = np.mean(
            [x.preference != y.preference for x, y in zip(forward, other, strict=True)]
        )
        assert 0.1 < changed < 0.9


def test_side_bias_favours_the_edit_shown_first():
    biased = SimulatedRater("r", {"length": 1.0}, noise=0.0, side_bias=0.5)
    assert biased.compare(SONG, ONE_SEAM, TWO_SEAMS).preference == "a"
    assert biased.compare(SONG, TWO_SEAMS, ONE_SEAM).preference == "a"


def test_an_edit_ties_with_itself():
    rater = SimulatedRater("r", "smooth", noise=5.0)
    assert rater.compare(SONG, ONE_SEAM, cut((10, 20))).preference == "tie"


def test_the_named_tastes_like_what_is_good():
    for name, taste in TASTES.items():
        rater = SimulatedRater("r", name)
        assert isinstance(rater, Rater)
        assert rater.rater_kind == "simulated"
        for measure, weight in taste.items():
            direction = DIRECTION[MEASURES.index(measure)]
            assert weight * direction > 0 or measure == "length", (name, measure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"taste": "loud"}, "unknown taste 'loud'; the tastes are smooth"),
        ({"taste": {"swing": 1.0}}, "unknown measure 'swing'"),
        ({"taste": {}}, "at least one of them not 0"),
        ({"taste": {"hook": math.nan}}, "finite"),
        ({"taste": "smooth", "noise": -1.0}, "noise of rater 'r' is -1.0"),
        ({"taste": "smooth", "tie_margin": math.inf}, "tie_margin"),
    ],
)
def test_impossible_raters_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SimulatedRater("r", **arguments)


@pytest.mark.parametrize("values", [("a", 0, 0.5), ("tie", 1, 0.5), ("c", 1, 0.5), ("b", 2, 1.5)])
def test_impossible_answers_are_refused(values):
    with pytest.raises(InputError):
        Answer(*values)
