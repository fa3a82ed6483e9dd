"""Rates, intervals and comparisons against closed forms."""

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS, weight_vector
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig, every_target
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.candidate_files import CandidateEdit
from rlhf_lib.steps.evaluation import (
    accuracy,
    accuracy_table,
    best_of,
    clustered_rate,
    compare_policies,
    gold_course,
    judged_comparisons,
    part_of,
    planned_edits,
    policy_edits,
    wins,
)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(120, seed=s) for s in range(3)]


def policy_planning(weights, songs, search=1):
    torch.manual_seed(0)
    return Policy(PolicyConfig(search=search), weights, FeatureScale.fit(songs))


def test_wins():
    assert wins([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).tolist() == [0.0, 0.5, 1.0]


def test_interval_of_independent_songs_is_the_normal_one():
    """One comparison per song: the bootstrap must come near p ± 1.96 √(p (1 − p) / n)."""
    outcome = np.repeat([1.0, 0.0], [300, 100])
    rate = clustered_rate(outcome, [f"song {k}" for k in range(400)])
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert rate.value == 0.75
    assert rate.low == pytest.approx(0.75 - half, abs=0.008)
    assert rate.high == pytest.approx(0.75 + half, abs=0.008)


def test_interval_treats_comparisons_of_a_song_as_dependent():
    """Ten songs with ten equal outcomes each count as ten observations, not a hundred."""
    outcome = np.repeat([1.0, 0.0], [60, 40])
    together = clustered_rate(outcome, np.repeat(np.arange(10), 10).astype(str))
    apart = clustered_rate(outcome, [str(k) for k in range(100)])
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.25)


def test_one_song_gives_no_information_about_others():
    rate = clustered_rate([1.0, 1.0], ["a", "a"])
    assert (rate.value, rate.low, rate.high, rate.n_songs) == (1.0, 0.0, 1.0, 1)


def test_no_comparisons():
    with pytest.raises(InputError, match="no comparisons"):
        clustered_rate([], [])


def test_accuracy_by_hand(songs):
    whole = Edit(songs[0], np.zeros(120, int), 1.0)
    actions = np.zeros(120, int)
    actions[60:] = Action.CUT
    half = Edit(songs[0], actions, 0.5)
    pairs = [
        Comparison(whole, half, 1.0),
        Comparison(half, whole, 1.0),
        Comparison(half, whole, 0.0),
        Comparison(whole, half, 0.5),
    ]
    longer = accuracy(lambda edits: np.array([e.duration for e in edits]), pairs)
    assert (longer.value, longer.n) == (pytest.approx(2 / 3), 3)
    even = accuracy(lambda edits: np.zeros(len(edits)), pairs)
    assert even.value == 0.5


def test_the_accuracy_table_has_the_share_of_a_as_a_baseline(songs):
    config = RewardConfig(width=16, heads=2, layers=1, feedforward=32, members=2, head=8)
    model = RewardModel(config, FeatureScale.fit(songs), np.ones(N_DESCRIPTORS))
    actions = np.zeros(120, int)
    actions[60:] = Action.CUT
    answers = {0: [1, 1, 1, 0.5], 1: [1, 0, 0, 0], 2: [1, 1, 0.5, 0.5]}
    pairs = [
        Comparison(Edit(songs[k], np.zeros(120, int), 1.0), Edit(songs[k], actions, 0.5), one)
        for k, given in answers.items()
        for one in given
    ]
    table = accuracy_table(model, pairs).set_index("scorer")
    always = table.loc["baseline: always a"]
    assert (always.accuracy, always.pairs) == (pytest.approx(6 / 9), 9)
    # The interval draws songs: at worst the second one alone, at best none of it.
    assert (always.low, always.high) == (pytest.approx(0.25), pytest.approx(1.0))
    # Here edit a is always the longer one, of the cooler temperature.
    assert (table.filter(like="baseline", axis=0)["accuracy"] == always.accuracy).all()
    assert len(table) == 6


def test_a_policy_that_plans_with_the_taste_wins_up_to_the_bound(songs):
    taste = {"hook": 8.0, "seams": -0.2}
    judge = SimulatedRater("judge", taste, noise=0.1)
    new = policy_planning(weight_vector(taste), songs)
    old = policy_planning(SYNTHETIC_WEIGHTS, songs)
    table = compare_policies(new, old, songs, judge).set_index(["line", "mode"])
    ours = table.loc[("new policy", "greedy")]
    assert ours.win_rate > 0.8
    # the policy may use LOOP and REORDER, the bound may not
    assert ours.win_rate >= table.loc[("re-plan under the taste", "greedy")].win_rate - 1e-9
    assert ours.gain > 0
    itself = compare_policies(old, old, songs, judge).set_index(["line", "mode"])
    assert itself.loc[("new policy", "greedy")].win_rate == 0.5


def test_planned_edits_are_optimal_and_lengths_equal(songs):
    policy = policy_planning(SYNTHETIC_WEIGHTS, songs)
    for planned, taken in zip(
        planned_edits(DENSE_WEIGHTS, policy, songs), policy_edits(policy, songs, True), strict=True
    ):
        assert dense_reward(taken) >= dense_reward(planned) - 1e-3
        assert planned.target == taken.target
        assert abs(taken.keep_ratio - taken.target) <= 0.03


def test_each_part_of_a_policy_is_reported_alone():
    """A taste for a few loops: the plan alone, which counts what each costs, makes none."""
    songs = [toy_song(64, seed=1)]
    taste = {"seams": -0.1, "hook": 1.0, "loops": -0.5, "looped": 8.0}
    judge = SimulatedRater("judge", taste, noise=0.1)
    new = policy_planning(weight_vector(taste), songs, search=8)
    with torch.no_grad():  # the network alone prefers CUT
        new.actor[-1].bias[Action.CUT] += 0.05
    old = policy_planning(SYNTHETIC_WEIGHTS, songs)
    table = compare_policies(new, old, songs, judge).set_index(["line", "mode"])
    names = {"planner", "planner and search", "network"}
    assert {f"new, {name} alone" for name in names} <= set(table.index.get_level_values("line"))
    gain = table.xs("greedy", level="mode").gain
    assert gain["new, planner and search alone"] > gain["new, planner alone"] + 1.0
    for part in names:
        alone = part_of(new, part)
        assert alone.config.planner == (part != "network")
        assert alone.config.network == (part == "network")
        assert alone.config.search == (1 if part == "planner" else 8)
    network = policy_edits(part_of(new, "network"), songs[:1], greedy=True)
    for edit in network:  # it cuts from the start for as long as the length allows
        assert (edit.actions[np.argmin(edit.actions == Action.CUT) :] == Action.KEEP).all()


class DenseScore:
    """Replaces a reward model; scores by the dense reward."""

    def score(self, edits):
        return np.array([[dense_reward(edit)] for edit in edits])


def test_best_of_n_is_the_best_of_the_samples(songs):
    policy = policy_planning(SYNTHETIC_WEIGHTS * 0.05, songs)  # weak values: varied samples
    best = best_of(DenseScore(), policy, every_target(policy, songs), 8, seed=1)
    samples = policy_edits(policy, songs, False, seed=1, samples=8)
    scores = np.array([dense_reward(e) for e in samples]).reshape(8, -1)
    np.testing.assert_allclose([dense_reward(e) for e in best], scores.max(0))
    assert scores.std(0).max() > 0


def test_the_course_is_the_gain_over_the_first_snapshot(songs):
    weak, strong = (policy_planning(SYNTHETIC_WEIGHTS * size, songs) for size in (0.02, 1.0))
    judge = SimulatedRater("judge", {"seams": -1.0})
    course = gold_course([(0, weak), (50, strong), (100, strong)], songs, judge, DenseScore())
    assert course.episode.tolist() == [0, 50, 100]
    assert (course.loc[0, ["learned", "gold", "low", "high"]] == 0).all()
    fewer = [
        np.mean([len(e.seams) for e in policy_edits(p, songs, False, samples=4)])
        for p in (weak, strong)
    ]
    assert fewer[0] > fewer[1]  # weak values: sampled nearly at random
    assert course.gold[1] > 0 and course.learned[1] > 0
    assert course.low[1] <= course.gold[1] <= course.high[1] and course.low[1] < course.high[1]
    assert course.drop(columns="episode").iloc[1].equals(course.drop(columns="episode").iloc[2])


def test_judged_comparisons_follow_the_taste(songs):
    judge = SimulatedRater("judge", {"seams": -1.0}, noise=5.0)
    edits = []
    for temperature, target, more in ((0.5, 0.83, 0), (0.9, 0.5, 4)):
        actions = np.zeros(120, int)
        actions[40 : 40 + round(120 * (1 - target))] = Action.CUT
        actions[4 : 4 + more] = Action.CUT
        edit = Edit(songs[0], actions, target)
        edits.append(CandidateEdit(f"temp_{temperature}", temperature, 1, edit))
    (comparison,) = judged_comparisons([edits], judge)
    assert comparison.preference == 1.0
