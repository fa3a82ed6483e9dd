"""Local changes of edits: their lengths, their size, and what they depend on."""

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.moves import proposals
from rlhf_lib.learning.planning.plans import PlanWeights, plans
from rlhf_lib.learning.planning.stretch import stretches

TARGETS = (1.0, 0.93, 0.73, 0.5)


def rng(seed):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module", params=["bars", "changing bars", "beats"])
def stretch(request):
    changing = np.cumsum([2, *[5, 7, 4, 2, 6] * 8])
    song = {
        "bars": toy_song(160, seed=1),
        "changing bars": toy_song(int(changing[-1]) + 3, seed=2, downbeats=changing),
        "beats": toy_song(24, seed=3),
    }[request.param]
    (only,) = stretches(song)
    return only


@pytest.fixture(scope="module")
def edits(stretch):
    """Three plans for each length, one with loops and moved beats: choices and budgets."""
    weights, counts = rng(0).normal(size=(3, 19)), np.array([0, 0, 3])
    made = plans(stretch, PlanWeights(weights, np.zeros((3, 8)), counts, counts), TARGETS)
    budgets = np.array([stretch.budget(target) for target in TARGETS])
    return made.swapaxes(0, 1).reshape(12, -1), budgets.repeat(3)


def test_every_change_keeps_the_length(stretch, edits):
    choices, budgets = edits
    changed = proposals(stretch, choices, budgets, 400, rng(1))
    assert changed.shape == (12, 400, len(stretch.edges) - 1)
    unit, n = np.median(np.diff(stretch.edges)), stretch.n  # a usual unit, in beats
    for rows, target in zip(changed, np.repeat(TARGETS, 3), strict=True):
        for row in np.unique(rows, axis=0):
            edit = Edit(stretch.song, stretch.actions(row), target)
            longest = min(n, target * n + unit / 2)  # no edit is longer than its song
            assert longest - unit < len(edit.order) <= longest + 1e-6


def test_changes_are_local_and_many_are_made(stretch, edits):
    """A cut is moved, or a run of at most 8 units changes; at most 3 more repair the length."""
    choices, budgets = edits
    changed = proposals(stretch, choices, budgets, 400, rng(2))
    for before, rows in zip(choices, changed, strict=True):
        differ = (rows != before).sum(axis=1)
        is_cut = np.concatenate([[0], before == Action.CUT, [0]]).astype(int)
        edges = np.flatnonzero(np.diff(is_cut)).reshape(-1, 2)
        longest = max((stop - start for start, stop in edges), default=0)
        assert differ.max() <= max(8, 2 * longest) + 3
    shares = (changed != choices[:, None]).any(axis=2).reshape(4, -1).mean(axis=1)
    assert (shares[1:] > 0.25).all()  # of the whole song little can be changed
    assert all(len(np.unique(rows, axis=0)) > 20 for rows in changed[3:])


def test_all_nine_actions_come_and_go(stretch, edits):
    choices, budgets = edits
    changed = proposals(stretch, choices, budgets, 1500, rng(3))
    assert set(np.unique(changed)) == set(Action)
    rare = choices >= Action.LOOP_2
    assert rare.any()
    assert (changed[:, :, rare.any(axis=0)] < Action.LOOP_2).any()


def test_changes_depend_on_the_draws_and_nothing_else(stretch, edits):
    """Not on the other edits of the batch; and the edits that are given stay as they are."""
    choices, budgets = edits
    given = choices.copy()
    together = proposals(stretch, choices, budgets, 50, rng(4))
    np.testing.assert_array_equal(choices, given)
    np.testing.assert_array_equal(together, proposals(stretch, choices, budgets, 50, rng(4)))
    for place in (0, 5, 11):
        one = proposals(stretch, choices[place : place + 1], budgets[place : place + 1], 50, rng(4))
        np.testing.assert_array_equal(one[0], together[place])
    other = proposals(stretch, choices, budgets, 50, rng(5))
    assert (other != together).any()


def test_a_change_that_misses_the_length_is_not_made(stretch):
    """A single unit is played: most changes would be too long, or would play nothing."""
    one = np.full((1, len(stretch.edges) - 1), Action.CUT, dtype=np.int8)
    one[0, 0] = Action.KEEP
    budgets = stretch.lengths(one)
    changed = proposals(stretch, one, budgets, 200, rng(6))
    lengths = stretch.lengths(changed)
    assert (lengths > budgets - stretch.window).all() and (lengths <= budgets).all()
    assert (changed == one).all(axis=2).any()
