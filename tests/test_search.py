"""The search among plans and around them: weights, the lower confidence bound, small optima."""

from itertools import product

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    N_ADDITIVE,
    N_DESCRIPTORS,
    describe,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.plans import PlanWeights, plans
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import (
    K_CHANGES,
    K_PLANS,
    Climb,
    alternatives,
    member_scores,
    own_weights,
    reweighted,
    whole_edits,
)
from rlhf_lib.learning.planning.stretch import stretches
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS

TARGETS = (0.83, 0.5)
DENSE = np.pad(DENSE_WEIGHTS, (0, N_DESCRIPTORS - N_ADDITIVE))
#: What a plan cannot weigh: pieces, a whole hook passage, the arc of the level.
WHOLE = weight_vector(
    {
        "seams": -0.2,
        "loops": -20.0,
        "returns": -20.0,
        "close_seams": -0.5,
        "short_pieces": -1.0,
        "again_16": -3.0,
        "energy_arc": 6.0,
        "worst_seam": -1.0,
    }
)


def rng(seed):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=1), toy_song(160, seed=2)]


@pytest.fixture(scope="module")
def stretch(songs):
    (only,) = stretches(songs[1])
    return only


def random_plans(stretch, targets, count, seed=0):
    """Plans under random rewards, (T, C, U)."""
    made = plans(stretch, PlanWeights.plain(rng(seed).normal(size=(count, N_ADDITIVE))), targets)
    return made.swapaxes(0, 1)


# --- weights


def test_own_weights_are_those_that_can_be_planned():
    weights = np.arange(1.0, N_DESCRIPTORS + 1)
    own = own_weights(weights)
    np.testing.assert_array_equal(own.additive, [weights[:N_ADDITIVE]])
    named = dict(zip(DESCRIPTOR_NAMES, weights, strict=True))
    np.testing.assert_array_equal(own.eighths, [[named[f"level_{k}"] for k in range(1, 9)]])
    assert len(own) == 1 and not own.loops.any() and not own.reorders.any()


def test_reweighted_sets():
    """Log-normal factors; level and activity up or down; few loops and moves."""
    weights = DENSE + weight_vector({f"level_{k}": k / 10 for k in range(1, 9)})
    sets = reweighted(weights, 3000, 0.5, rng(0))
    content = [ADDITIVE_NAMES.index("level"), ADDITIVE_NAMES.index("activity")]
    kept = [k for k in np.flatnonzero(DENSE_WEIGHTS) if k not in content]
    factors = np.log(sets.additive[:, kept] / DENSE_WEIGHTS[kept])
    tilts = np.log(sets.eighths / (np.arange(1, 9) / 10))
    for drawn in (factors, tilts):
        assert drawn.mean() == pytest.approx(0, abs=0.02)
        assert drawn.std() == pytest.approx(0.5, rel=0.03)
    shifts = sets.additive[:, content]
    assert shifts.mean() == pytest.approx(0, abs=0.05)
    assert shifts.std() == pytest.approx(0.5 * np.sqrt(np.mean(DENSE_WEIGHTS**2)), rel=0.05)
    assert (sets.additive[:, ADDITIVE_NAMES.index("length")] == 0).all()
    for counts in (sets.loops, sets.reorders):  # none in two of three sets, else one to three
        assert np.mean(counts == 0) == pytest.approx(6 / 9, abs=0.04)
        assert set(counts.tolist()) == {0, 1, 2, 3}


def test_fewer_sets_are_the_first_of_more():
    many, few = (reweighted(SYNTHETIC_WEIGHTS, count, 1.0, rng(3)) for count in (20, 7))
    for name in ("additive", "eighths", "loops", "reorders"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:7])
    assert len(reweighted(SYNTHETIC_WEIGHTS, 0, 1.0, rng(3))) == 0
    both = few + reweighted(DENSE, 2, 1.0, rng(3))
    assert len(both) == 9 and both.additive.shape == (9, N_ADDITIVE)


def test_alternatives_are_good_edits_that_differ(songs):
    found = alternatives(songs, DENSE, TARGETS, 12, 1.0, rng(0))
    assert set(found) == {song.sha256 for song in songs}
    for song in songs:
        (best,), scores = whole_edits(song, own_weights(DENSE), 0.5), []
        for target, edits in found[song.sha256].items():
            assert len(edits) == 12
            assert len({edit.actions.tobytes() for edit in edits}) >= 3
            for edit in edits:
                assert edit.song is song and edit.target == target
                assert abs(edit.keep_ratio - target) <= 0.0301
                assert (edit.actions >= Action.LOOP_2).sum() <= 6
            scores = [describe(edit) @ DENSE for edit in edits]
        assert np.mean(scores) < describe(best) @ DENSE + 1e-4
        noise = random_plans(stretches(song)[0], [0.5], 12)[0]
        drawn = [Edit(song, row, 0.5) for row in stretches(song)[0].actions(noise)]
        assert np.mean(scores) > np.mean([describe(edit) @ DENSE for edit in drawn])
    nothing = alternatives(songs, DENSE, (0.5,), 0, 1.0, rng(0))
    assert nothing[songs[0].sha256] == {0.5: []}


# --- scores


def test_scores_of_members_are_weights_times_descriptors(stretch):
    members, song = rng(1).normal(size=(3, N_DESCRIPTORS)), stretch.song
    choices = random_plans(stretch, TARGETS, 4).reshape(8, -1)
    targets = np.repeat(TARGETS, 4)
    extra = rng(2).normal(size=(song.n_beats + 1,) * 2)
    edits = [
        Edit(song, *each) for each in zip(stretch.actions(choices), targets.tolist(), strict=True)
    ]
    n = song.n_beats
    paths = [np.concatenate([[n], edit.order, [n]]) for edit in edits]
    more = np.array([extra[path[:-1], path[1:]].sum() for path in paths])
    by_hand = np.stack([describe(edit) for edit in edits]) @ members.T
    linear = Reward(weights=members)
    np.testing.assert_allclose(member_scores(stretch, linear, choices, targets), by_hand, atol=1e-5)
    found = member_scores(stretch, linear, choices, targets, extra)
    np.testing.assert_allclose(found, by_hand + more[:, None], atol=1e-5)
    beats = Reward(lambda edits: np.array([len(edit.order) for edit in edits]))
    found = member_scores(stretch, beats, choices, targets, extra)
    np.testing.assert_allclose(found[:, 0], [len(e.order) for e in edits] + more, atol=1e-6)


# --- climb


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_it_never_goes_below_the_parent_by_its_own_bound(stretch, spread):
    """Members that disagree little or much, and a parent that is the plan under one of them."""
    targets, gains = np.array(TARGETS), []
    for seed in range(8):
        members = WHOLE + spread * rng(seed).normal(size=(4, N_DESCRIPTORS))
        reward = Reward(weights=members)
        parent = plans(stretch, own_weights(members[0]), TARGETS)[0]
        before = member_scores(stretch, reward, parent, targets)
        climb = Climb(stretch, reward, TARGETS, random_plans(stretch, TARGETS, 12, seed), parent)
        for evaluations in (0, 60, 300):
            climb.climb(evaluations, rng(seed))
            after = member_scores(stretch, reward, climb.choices, targets)
            np.testing.assert_allclose(climb.scores, after, atol=1e-9)
            gain = after - before
            assert (gain.mean(axis=1) - K_PLANS * gain.std(axis=1) >= -1e-9).all()
        gains.append(gain.mean())
    assert np.mean(gains) > 0.3


def test_the_best_candidate_is_taken_by_the_bound_of_its_gain_over_the_parent(stretch):
    members = rng(1).normal(size=(3, N_DESCRIPTORS))
    candidates, parent = random_plans(stretch, TARGETS, 30), random_plans(stretch, TARGETS, 1, 9)
    parent = parent[:, 0]
    reward, targets = Reward(weights=members), np.array(TARGETS)
    for k in (0.0, 1.0, 50.0):
        climb = Climb(stretch, reward, TARGETS, candidates, parent, k_plans=k)
        for place in range(2):
            goal = targets[place].repeat(31)
            rows = np.concatenate([parent[place][None], candidates[place]])
            gains = member_scores(stretch, reward, rows, goal)
            gains = gains - gains[0]
            best = (gains.mean(axis=1) - k * gains.std(axis=1)).argmax()
            np.testing.assert_array_equal(climb.choices[place], rows[best])
    np.testing.assert_array_equal(climb.choices, parent)  # nothing is that certain


def test_changes_that_members_disagree_on_are_not_made(stretch):
    """A seam is worth 2 to one member and costs the other 1: 0.5 ± 1.5."""
    members = np.stack([weight_vector({"seams": 2.0}), weight_vector({"seams": -1.0})])
    start = random_plans(stretch, TARGETS, 1)
    made = []
    for k in (0.0, K_CHANGES):
        climb = Climb(stretch, Reward(weights=members), TARGETS, start, k_changes=k)
        climb.climb(300, rng(0))
        made.append(climb.choices)
    np.testing.assert_array_equal(made[1], start[:, 0])
    assert (made[0] != start[:, 0]).any(axis=1).all()


def test_without_a_parent_the_mean_counts(stretch):
    members = rng(5).normal(size=(3, N_DESCRIPTORS))
    candidates = random_plans(stretch, TARGETS, 20)
    climb = Climb(stretch, Reward(weights=members), TARGETS, candidates)
    for place, target in enumerate(TARGETS):
        edits = [Edit(stretch.song, row, target) for row in stretch.actions(candidates[place])]
        scores = np.stack([describe(edit) for edit in edits]) @ members.mean(axis=0)
        np.testing.assert_array_equal(climb.choices[place], candidates[place, scores.argmax()])


def every_edit(song, target):
    """All KEEP/CUT edits of a song that has a decision at each beat."""
    for kept in product((Action.KEEP, Action.CUT), repeat=song.n_beats):
        if -0.5 <= target * song.n_beats - kept.count(Action.KEEP) < 0.5:
            yield Edit(song, np.array(kept), target)


def test_the_best_of_all_edits_of_a_small_song_is_found_most_of_the_time():
    """A reward that no plan can weigh; loops and moved beats cost too much to help."""
    song = toy_song(14, seed=4)
    (stretch,) = stretches(song)
    all_edits = np.stack([describe(edit) for edit in every_edit(song, 0.6)])
    (plan,) = plans(stretch, own_weights(WHOLE), [0.6])[0]
    reward, found, planned = Reward(weights=WHOLE), [], []
    optimum = (all_edits @ WHOLE).max()
    for seed in range(20):
        start = random_plans(stretch, [0.6], 4, seed)
        climb = Climb(stretch, reward, [0.6], start)
        planned.append(climb.scores[0, 0])
        climb.climb(900, rng(seed))
        found.append(climb.scores[0, 0])
        assert found[-1] == pytest.approx(
            describe(Edit(song, stretch.actions(climb.choices)[0], 0.6)) @ WHOLE, abs=1e-4
        )
    reached = np.array(found) >= optimum - 1e-4
    assert max(found) <= optimum + 1e-4
    assert reached.mean() >= 0.8
    assert np.mean(np.array(planned) >= optimum - 1e-4) < 0.3, "the start was good already"
    assert describe(Edit(song, stretch.actions(plan), 0.6)) @ WHOLE < optimum - 0.1


def test_a_function_climbs_like_the_same_linear_reward(songs):
    function = Reward(lambda edits: np.stack([describe(edit) for edit in edits]) @ WHOLE)
    for song in songs:
        (stretch,) = stretches(song)
        start = random_plans(stretch, TARGETS, 6)
        made = []
        for reward in (Reward(weights=WHOLE), function):
            climb = Climb(stretch, reward, TARGETS, start, start[:, 3])
            climb.climb(120, rng(2))
            made.append(climb)
        np.testing.assert_array_equal(made[0].choices, made[1].choices)
        np.testing.assert_allclose(made[0].scores, made[1].scores, atol=1e-4)


def test_an_edit_does_not_depend_on_the_other_lengths(stretch):
    """Together and alone, with the same draws."""
    candidates, reward = random_plans(stretch, (0.93, 0.73, 0.5), 6), Reward(weights=WHOLE)
    together = Climb(stretch, reward, (0.93, 0.73, 0.5), candidates)
    together.climb(120, rng(0))
    for place, target in enumerate((0.93, 0.73, 0.5)):
        alone = Climb(stretch, reward, [target], candidates[place : place + 1])
        alone.climb(120, rng(0))
        np.testing.assert_array_equal(alone.choices[0], together.choices[place])


def test_steps_with_a_cost_are_avoided(stretch):
    """The table that is added to the reward: here it forbids to leave out beats 40 … 79."""
    n = stretch.song.n_beats
    before, after = np.arange(n + 1)[:, None], np.arange(n + 1)
    inside = (before >= 40) & (before < 79)
    over = ((before < 40) | (before == n)) & (after > 40)
    extra = -100.0 * ((inside & (after != before + 1)) | over)
    choices = plans(stretch, own_weights(WHOLE), [0.5], extra)[0]
    climb = Climb(stretch, Reward(weights=WHOLE), [0.5], choices[:, None], extra=extra)
    climb.climb(300, rng(0))
    order = Edit(stretch.song, stretch.actions(climb.choices)[0], 0.5).order.tolist()
    at = order.index(40)
    assert order[at : at + 40] == list(range(40, 80))
    free = Climb(stretch, Reward(weights=WHOLE), [0.5], choices[:, None])
    free.climb(300, rng(0))
    assert not set(range(40, 80)) <= set(np.flatnonzero(stretch.actions(free.choices)[0] == 0))
