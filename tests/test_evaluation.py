"""Rates, intervals and comparisons against closed forms."""

import numpy as np
import pytest
import torch
from toy import toy_song, with_network

from rlhf_lib.editing.descriptors import N_ADDITIVE, N_DESCRIPTORS, weight_vector
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy, PolicyConfig
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
    optimal_edits,
    wins,
)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(120, seed=s) for s in range(3)]


def policy_planning(weights, **config):
    torch.manual_seed(0)
    small = {"hidden": 8, "draws": 3, "own_plans": 6, "dense_plans": 6, "climb": 60}
    return Policy(PolicyConfig(**small | config), weights)


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


def test_a_policy_that_plans_with_the_taste_wins(songs):
    taste = {"hook": 8.0, "seams": -0.2}
    judge = SimulatedRater("judge", taste, noise=0.1)
    new = policy_planning(weight_vector(taste))
    old = policy_planning(SYNTHETIC_WEIGHTS)
    table = compare_policies(new, old, songs, judge).set_index(["line", "mode"])
    ours = table.loc[("new policy", "greedy")]
    assert ours.win_rate > 0.8 and ours.gain > 0 and ours.votes > 0.8
    # The policy may use LOOP and REORDER, the optimum of KEEP and CUT may not.
    optimum = table.loc[("optimum of the taste's additive part", "greedy")]
    assert ours.gain >= optimum.gain - 1e-6
    assert (ours.n, ours.n_songs) == (12, 3)
    itself = compare_policies(old, old, songs, judge).set_index(["line", "mode"])
    even = itself.loc[("new policy", "greedy")]
    assert (even.win_rate, even.gain, even.votes) == (0.5, 0, 0.5)


def loops(edits):
    return [float((edit.actions == Action.LOOP_2).sum()) for edit in edits]


def test_any_reward_judges_two_policies(songs):
    """A function and a linear reward; the gain is the mean difference of the scores."""
    new, old = policy_planning(weight_vector({"hook": 8.0})), policy_planning(SYNTHETIC_WEIGHTS)
    hook = Reward(weights=weight_vector({"hook": 1.0}))
    for judge in (hook, hook.scores):
        table = compare_policies(new, old, songs, judge).set_index(["line", "mode"])
        gaps = hook.scores(new.edits(songs)) - hook.scores(old.edits(songs))
        ours = table.loc[("new policy", "greedy")]
        assert ours.gain == pytest.approx(gaps.mean())
        assert ours.win_rate == pytest.approx(np.mean(np.where(abs(gaps) < 1e-6, 0.5, gaps > 0)))
        assert "votes" not in table and len(table) == 4
    with pytest.raises(InputError, match=r"returned shape \(\) for"):
        compare_policies(new, old, songs, lambda edits: 1.0)
    with pytest.raises(InputError, match="the reward is a str; give a function"):
        compare_policies(new, old, songs, "hooks")


def test_optimal_edits_are_the_best_plans_of_every_length(songs):
    """No plan under another reward is better by the dense reward."""
    optimal = optimal_edits(DENSE_WEIGHTS, songs)
    assert [edit.target for edit in optimal] == list(CUTTING_TARGETS) * 3
    assert [edit.song for edit in optimal] == [song for song in songs for _ in range(4)]
    best = np.array([dense_reward(edit) for edit in optimal])
    rng = np.random.default_rng(0)
    for _ in range(10):
        other = optimal_edits(DENSE_WEIGHTS * np.exp(rng.normal(size=N_ADDITIVE)), songs)
        assert (np.array([dense_reward(edit) for edit in other]) <= best + 1e-4).all()
    assert all(abs(edit.keep_ratio - edit.target) <= 0.03 for edit in optimal)


def test_each_part_of_a_policy_is_reported_alone():
    """A taste for a few loops: the plan alone, in which each loop costs, makes none."""
    songs = [toy_song(64, seed=1)]
    taste = {"seams": -0.1, "hook": 1.0, "loops": -0.5, "looped": 8.0}
    judge = SimulatedRater("judge", taste, noise=0.1)
    new = policy_planning(weight_vector(taste), own_plans=12)
    table = compare_policies(new, policy_planning(SYNTHETIC_WEIGHTS), songs, judge)
    table = table.set_index(["line", "mode"])
    gain = table.xs("greedy", level="mode").gain
    assert gain["new, mean plan"] + 0.5 < gain["new, best plan"] <= gain["new policy"]
    before = policy_planning(SYNTHETIC_WEIGHTS).edits(songs)
    for line, part in (("mean", {"search": False}), ("best", {"climb": 0})):
        gaps = [
            judge.utility(ours) - judge.utility(theirs)
            for ours, theirs in zip(new.only(**part).edits(songs), before, strict=True)
        ]
        assert gain[f"new, {line} plan"] == pytest.approx(np.mean(gaps))


class DenseScore:
    """Replaces a reward model; scores by the dense reward."""

    def score(self, edits):
        return np.array([[dense_reward(edit)] for edit in edits])


def test_best_of_n_is_the_best_of_the_samples(songs):
    policy = policy_planning(SYNTHETIC_WEIGHTS, draws=1, climb=0)  # varied samples
    best = best_of(DenseScore(), policy, songs, 8, seed=1)
    samples = [edit for k in range(8) for edit in policy.edits(songs, greedy=False, seed=1 + k)]
    scores = np.array([dense_reward(edit) for edit in samples]).reshape(8, -1)
    np.testing.assert_allclose([dense_reward(edit) for edit in best], scores.max(0))
    assert [(e.song, e.target) for e in best] == [(e.song, e.target) for e in samples[:12]]
    assert scores.std(0).max() > 0
    model = policy_planning(SYNTHETIC_WEIGHTS)
    table = compare_policies(model, policy, songs, SimulatedRater("j", "hooks"), DenseScore())
    assert ("best of 16 old edits", "sampled") in table.set_index(["line", "mode"]).index


def test_the_course_is_the_gain_over_the_first_snapshot(songs):
    """A taste against loops: the first snapshot's plans loop up to eight bars."""
    looping, plain = policy_planning(SYNTHETIC_WEIGHTS), policy_planning(SYNTHETIC_WEIGHTS)
    for policy in (looping, plain):
        with_network(policy).last.network["log_sd"][:] = -2.0
    looping.last.network["net.2.bias"][-2] = 4.0
    judge = SimulatedRater("judge", {"loops": -1.0})
    course = gold_course([(0, looping), (50, plain), (100, plain)], songs, judge, DenseScore())
    assert course.episode.tolist() == [0, 50, 100]
    assert (course.loc[0, ["learned", "gold", "low", "high"]] == 0).all()
    counts = [
        np.mean(
            [
                loops(policy.only(draws=1, climb=0).edits(songs, greedy=False, seed=k))
                for k in range(4)
            ]
        )
        for policy in (looping, plain)
    ]
    assert course.gold[1] == pytest.approx(counts[0] - counts[1]) and course.gold[1] > 3
    assert course.learned[1] > 0
    assert course.low[1] <= course.gold[1] <= course.high[1]
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
