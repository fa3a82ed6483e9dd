"""Simulated raters: hand-computed utilities, the Bradley–Terry rule, reproducible votes."""

import math

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, DIRECTION
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.raters.criteria import crowding, excess_seams
from rlhf_lib.raters.rater import Answer, Rater
from rlhf_lib.raters.simulated import SimulatedRater, noise_ceiling, noise_for_agreement
from rlhf_lib.raters.tastes import TASTES

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


def test_utility_is_the_weighted_sum_of_descriptors():
    rater = SimulatedRater("r", {"length": 8.0, "seams": -0.5})
    assert rater.utility(WHOLE) == pytest.approx(8.0, abs=1e-6)
    assert rater.utility(ONE_SEAM) == pytest.approx(8.0 * 0.75 - 0.5, abs=1e-6)
    assert rater.utility(TWO_SEAMS) == pytest.approx(8.0 * 0.75 - 1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "preference", "strength"),
    [(-0.05, "tie", 0), (-0.3, "a", 1), (-1.2, "a", 2), (-5.0, "a", 3), (5.0, "b", 3)],
)
def test_without_noise_the_utility_decides_choice_and_strength(weight, preference, strength):
    # In the descriptors of this taste, the two edits differ by one seam only.
    rater = SimulatedRater("r", {"seams": weight}, noise=0.0, tie_margin=0.1)
    answer = rater.compare(SONG, ONE_SEAM, TWO_SEAMS)
    assert (answer.preference, answer.strength) == (preference, strength)
    assert answer.confidence == pytest.approx(1 / (1 + math.exp(-2 * abs(weight))), abs=1e-3)


def test_the_reason_names_the_decisive_descriptor():
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
        SimulatedRater("r", {"leaps": -0.6}, noise=0.5, tie_margin=0.0, seed=s) for s in range(n)
    ]
    wins = sum(r.compare(SONG, ONE_SEAM, TWO_SEAMS).preference == "a" for r in raters)
    assert abs(wins / n - expected) < 4 * math.sqrt(expected * (1 - expected) / n)


def test_the_margin_sets_the_frequency_of_ties():
    # Equal utilities, |logistic noise of scale 1| <= 0.5: tanh(0.25).
    n, expected = 600, math.tanh(0.25)
    taste = {"shuffling": 1.0}
    raters = [SimulatedRater("r", taste, noise=1.0, tie_margin=0.5, seed=s) for s in range(n)]
    ties = sum(r.compare(SONG, ONE_SEAM, TWO_SEAMS).preference == "tie" for r in raters)
    assert abs(ties / n - expected) < 4 * math.sqrt(expected * (1 - expected) / n)


PAIRS = [
    (a, b)
    for a in [cut((start, start + 8)) for start in range(2, 30, 5)]
    for b in [cut((start, start + 8)) for start in range(2, 30, 5)]
    if not np.array_equal(a.actions, b.actions)
]
GUESS = {"leaps": 1.0}  # one leap in each edit of PAIRS: only the noise decides
MIRROR = {"a": "b", "b": "a", "tie": "tie"}


def test_answers_do_not_depend_on_the_order_of_the_tasks():
    forward = [SimulatedRater("r", GUESS).compare(SONG, a, b) for a, b in PAIRS]
    rater = SimulatedRater("r", GUESS)
    assert [rater.compare(SONG, a, b) for a, b in reversed(PAIRS)][::-1] == forward


@pytest.mark.parametrize("other", ["seed", "rater", "song", "occasion", "swapped"])
def test_another_seed_rater_song_occasion_or_side_draws_other_noise(other):
    """When only noise decides, two answers with independent noise agree half of the time."""

    def answer(a, b, changed):
        rater = SimulatedRater(
            "s" if changed == "rater" else "r", GUESS, tie_margin=0.0, seed=int(changed == "seed")
        )
        song = toy_song(40, seed=4) if changed == "song" else SONG
        if changed == "swapped":
            return MIRROR[rater.compare(song, b, a).preference]
        return rater.compare(song, a, b, occasion=int(changed == "occasion")).preference

    # Both directions of a pair are in PAIRS, so for "swapped" only half of it is independent.
    same = [answer(a, b, None) == answer(a, b, other) for a, b in PAIRS]
    assert 0.5 - 4 * 0.5 / math.sqrt(15) < np.mean(same) < 1.0
    assert len(same) == 30


def test_swapped_repeats_agree_as_often_as_two_independent_answers():
    # One seam apart at weight 0.6 and noise 0.5: p² + (1 − p)² with p = 1 / (1 + exp(−1.2)).
    p, n = 1 / (1 + math.exp(-1.2)), 800
    expected, same = p**2 + (1 - p) ** 2, 0
    for seed in range(n):
        rater = SimulatedRater("r", {"leaps": -0.6}, noise=0.5, tie_margin=0.0, seed=seed)
        once = rater.compare(SONG, ONE_SEAM, TWO_SEAMS).preference
        same += MIRROR[rater.compare(SONG, TWO_SEAMS, ONE_SEAM).preference] == once
    assert abs(same / n - expected) < 4 * math.sqrt(expected * (1 - expected) / n)


def test_a_careless_rater_answers_a_share_at_random():
    n = 700
    answers = [
        SimulatedRater("r", {"leaps": -9.0}, noise=0.0, carelessness=0.3, seed=s).compare(
            SONG, ONE_SEAM, TWO_SEAMS
        )
        for s in range(n)
    ]
    # The careful answer is "a, strongly". A random answer is that once in seven.
    signed = [{"a": 1, "b": -1, "tie": 0}[x.preference] * x.strength for x in answers]
    for value in range(-3, 3):
        assert abs(signed.count(value) / n - 0.3 / 7) < 4 * math.sqrt(0.3 / 7 / n)
    careful = SimulatedRater("r", GUESS, carelessness=0.0)
    assert [careful.compare(SONG, a, b) for a, b in PAIRS] == [
        SimulatedRater("r", GUESS).compare(SONG, a, b) for a, b in PAIRS
    ]


@pytest.mark.parametrize("agreement", [0.6, 0.78, 0.95])
def test_noise_for_one_gap_has_a_closed_form(agreement):
    # p² + (1 − p)² = A solves to p = (1 + √(2A − 1)) / 2, and gap / noise = log(p / (1 − p)).
    p = (1 + math.sqrt(2 * agreement - 1)) / 2
    noise = noise_for_agreement(np.array([1.3, -1.3]), agreement, tie_margin=0.0)
    assert noise == pytest.approx(1.3 / math.log(p / (1 - p)), rel=1e-6)
    assert noise_ceiling(np.array([1.3]), noise, tie_margin=0.0) == pytest.approx(p, rel=1e-6)


def test_two_simulated_raters_reach_the_given_agreement():
    # Three pairs, each one leap apart; with a margin, so that there are ties.
    weights, n = [-0.2, -0.7, -1.5], 400
    noise = noise_for_agreement(np.array(weights), 0.78, tie_margin=0.15)
    same, decided, best = 0, 0, []
    for weight in weights:
        for seed in range(n):
            one, two = (
                SimulatedRater(name, {"leaps": weight}, noise, tie_margin=0.15, seed=seed)
                .compare(SONG, ONE_SEAM, TWO_SEAMS)
                .preference
                for name in ("r", "s")
            )
            if one != "tie":
                best.append(one == "a")
            if "tie" not in (one, two):
                decided, same = decided + 1, same + (one == two)
    assert same / decided == pytest.approx(0.78, abs=4 * math.sqrt(0.78 * 0.22 / decided))
    ceiling = noise_ceiling(np.array(weights), noise, tie_margin=0.15)
    assert np.mean(best) == pytest.approx(ceiling, abs=4 * math.sqrt(0.25 / len(best)))


def test_ceilings_at_the_extremes():
    gaps = np.array([-2.0, 0.5, 0.05])
    assert noise_ceiling(gaps, 0.0) == 1.0
    assert noise_ceiling(gaps, 1e6) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("gaps", "agreement"), [([], 0.78), ([0.0], 0.78), ([1.0], 0.5), ([1.0], 1.1), ([np.nan], 0.7)]
)
def test_an_impossible_agreement_is_refused(gaps, agreement):
    with pytest.raises(InputError):
        noise_for_agreement(np.array(gaps), agreement)


def test_side_bias_favours_the_edit_shown_first():
    biased = SimulatedRater("r", {"length": 1.0}, noise=0.0, side_bias=0.5)
    assert biased.compare(SONG, ONE_SEAM, TWO_SEAMS).preference == "a"
    assert biased.compare(SONG, TWO_SEAMS, ONE_SEAM).preference == "a"


def test_an_edit_ties_with_itself():
    rater = SimulatedRater("r", "smooth", noise=5.0)
    assert rater.compare(SONG, ONE_SEAM, cut((10, 20))).preference == "tie"


def test_the_named_tastes_agree_with_the_directions_of_descriptors():
    for name, taste in TASTES.items():
        rater = SimulatedRater("r", name)
        assert isinstance(rater, Rater)
        assert rater.rater_kind == "simulated"
        for descriptor in taste.keys() & set(DESCRIPTOR_NAMES):
            direction = DIRECTION[DESCRIPTOR_NAMES.index(descriptor)]
            assert taste[descriptor] * direction > 0 or descriptor == "length", (name, descriptor)


def test_a_taste_may_combine_criteria_and_descriptors():
    rater = SimulatedRater("r", {"seams": -0.5, "crowding": -2.0, "excess_seams": -1.0}, noise=0.0)
    expected = -0.5 * 2 - 2.0 * crowding(TWO_SEAMS) - excess_seams(TWO_SEAMS)
    assert rater.utility(TWO_SEAMS) == pytest.approx(expected)
    assert rater.descriptor_weights[DESCRIPTOR_NAMES.index("seams")] == -0.5
    assert np.count_nonzero(rater.descriptor_weights) == 1
    answer = rater.compare(SONG, ONE_SEAM, TWO_SEAMS)
    assert (answer.preference, answer.reasoning) == ("a", "simulated: no more cuts than it bears")


def test_a_taste_of_criteria_alone_has_no_descriptor_weights():
    assert not SimulatedRater("r", "ear").descriptor_weights.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"taste": "loud"}, "unknown taste 'loud'; the tastes are smooth"),
        ({"taste": {"swing": 1.0}}, "unknown name 'swing'"),
        ({"taste": {}}, "a weight that is not 0"),
        ({"taste": {"hook": math.nan}}, "finite"),
        ({"taste": {"crowding": math.inf}}, "finite"),
        ({"taste": "smooth", "carelessness": 1.5}, "carelessness of rater 'r' is 1.5"),
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
