"""What an edit must keep, against all edits of small songs and against tables made by hand."""

from itertools import product

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, N_ADDITIVE, N_DESCRIPTORS, describe
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.plans import exact
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import Climb, whole_edits
from rlhf_lib.learning.planning.stretch import stretches
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS


def climbed(constraints, keep, weights, evaluations):
    """Return the best plan under additive weights, and the edit after local changes of it."""
    song = constraints.song
    (stretch,) = stretches(song)
    (plan,) = whole_edits(song, exact(weights), keep, constraints)
    reward = Reward(weights=np.pad(weights, (0, N_DESCRIPTORS - N_ADDITIVE)))
    start = stretch.choices(plan.actions)[None, None]
    climb = Climb(stretch, reward, [keep], start, extra=constraints.costs(stretch))
    climb.climb(evaluations, np.random.default_rng(0))
    return plan, Edit(song, stretch.actions(climb.choices)[0], keep)


def keeps(edit, first, last, start, end):
    """Whether beats first … last are played once and in one piece, and the ends are there."""
    order = edit.order.tolist()
    wanted = list(range(first, last + 1))
    at = order.index(first) if first in order else None
    in_one_piece = at is not None and order[at : at + len(wanted)] == wanted
    once = all(order.count(beat) == 1 for beat in wanted)
    ends = (not start or order[0] == 0) and (not end or order[-1] == edit.song.n_beats - 1)
    return in_one_piece and once and ends


@pytest.mark.parametrize(("start", "end"), list(product((False, True), repeat=2)))
def test_the_plan_is_the_best_of_all_edits_that_keep_what_must_stay(start, end):
    song = toy_song(12, seed=3)  # 0.5 s a beat, decisions at every beat
    constraints = Constraints(song, [(2.0, 3.5)], start, end)
    best, after = climbed(constraints, 0.5, DENSE_WEIGHTS, 600)
    every = [
        Edit(song, np.array(actions), 0.5)
        for actions in product((Action.KEEP, Action.CUT), repeat=12)
        if actions.count(Action.KEEP) == 6
    ]
    kept = [edit for edit in every if keeps(edit, 4, 6, start, end)]
    assert 0 < len(kept) < len(every)
    assert [constraints.allows(edit) for edit in every] == [edit in kept for edit in every]
    optimum = max(describe(edit)[:N_ADDITIVE] @ DENSE_WEIGHTS for edit in kept)
    assert constraints.allows(best) and constraints.allows(after)
    assert describe(best)[:N_ADDITIVE] @ DENSE_WEIGHTS == pytest.approx(optimum, abs=1e-5)
    assert describe(after)[:N_ADDITIVE] @ DENSE_WEIGHTS >= optimum - 1e-5  # it may loop and move


def test_forbidden_steps_of_a_small_song():
    """Six beats, the third and fourth protected. Rows: after beats 0 … 5, then at the start."""
    constraints = Constraints(toy_song(6), [(1.0, 2.0)], must_start=True, must_end=True)
    forbidden = constraints.forbidden(*np.ix_(np.arange(7), np.arange(7)))
    allowed = {(i, j) for i in range(7) for j in range(7) if not forbidden[i, j]}
    assert {j for i, j in allowed if i == 6} == {0}  # starts with the first beat
    assert {i for i, j in allowed if j == 6} == {5}  # ends with the last one
    assert {j for i, j in allowed if i == 2} == {3}  # nothing comes in between
    assert {j for i, j in allowed if i == 3} == {4, 5}  # goes on, may leave something out
    assert {i for i, j in allowed if j == 2} == {0, 1}  # reached from before, not again
    assert {i for i, j in allowed if j == 3} == {2}  # not entered in its middle
    assert {j for i, j in allowed if i in (0, 1)} == {0, 1, 2}  # not jumped over
    assert {j for i, j in allowed if i == 4} == {0, 1, 4, 5}


def test_loops_and_moved_beats_stay_out_of_a_protected_passage():
    """Every loop and every move is paid for, so an unconstrained edit is full of them."""
    song = toy_song(60, seed=2)
    weights = np.zeros(N_ADDITIVE)
    weights[[ADDITIVE_NAMES.index("loops"), ADDITIVE_NAMES.index("returns")]] = 1.0
    free = climbed(Constraints(song), 0.8, weights, 1200)[1]
    assert not keeps(free, 20, 31, False, False)
    constraints = Constraints(song, [(10.0, 16.0)], must_start=True)
    edit = climbed(constraints, 0.8, weights, 1200)[1]
    assert (edit.actions > Action.CUT).sum() > 3
    assert keeps(edit, 20, 31, True, False) and constraints.allows(edit)


def test_passages_are_extended_to_whole_bars():
    song = toy_song(120)  # bars of 2 s
    assert Constraints(song, [(3.0, 6.5)]).passages == [(4, 16)]
    assert Constraints(song, [(4.0, 6.0)]).passages == [(8, 12)]
    assert Constraints(song, [(0, 60.2)]).passages == [(0, 120)]
    constraints = Constraints(song, [(3.0, 6.5)], must_start=True, must_end=True)
    assert np.flatnonzero(constraints.required()).tolist() == [0, 1, 2, 3, 29]


@pytest.mark.parametrize("passage", [(5, 5), (7, 5), (-1, 5), (10, 70), (float("nan"), 5)])
def test_a_passage_outside_the_song_is_refused(passage):
    with pytest.raises(InputError, match=r"toy_0: passage .* within 0 … 60\.0 s"):
        Constraints(toy_song(120), [passage])


def test_the_nearest_lengths_are_offered():
    """Thirty bars of 2 s; 20 s in ten bars are protected."""
    constraints = Constraints(toy_song(120), [(20.0, 40.0)])
    for keep in (20 / 60, 19.1 / 60, 22.9 / 60, 1.0):
        constraints.check_length(keep)
    with pytest.raises(InputError, match=r"15\.0 s cannot be .* takes 20\.0 s.* is 20\.0 s"):
        constraints.check_length(15 / 60)


def test_the_stretches_of_a_long_song_have_their_part_of_the_costs():
    """The step into a stretch comes from the beat before it, that out of it goes to the next."""
    song = toy_song(1300, seed=4)
    constraints = Constraints(song, [(300.0, 350.0)], True, True)
    whole = constraints.forbidden(*np.ix_(np.arange(1301), np.arange(1301)))
    first, second = stretches(song)
    beats = np.arange(first.stop)
    before, after = np.append(beats, 1300), np.append(beats, first.stop)
    np.testing.assert_array_equal(constraints.costs(first), -1e4 * whole[np.ix_(before, after)])
    beats = np.arange(first.stop, 1300)
    before, after = np.append(beats, first.stop - 1), np.append(beats, 1300)
    np.testing.assert_array_equal(constraints.costs(second), -1e4 * whole[np.ix_(before, after)])


@pytest.mark.parametrize(
    ("protect", "keep"),
    [
        ([(100, 320)], 0.3),
        ([(20, 330)], 0.35),
        ([(100, 220), (700, 980)], 0.45),
        ([(300, 620)], 0.4),
    ],
)
def test_a_long_song_keeps_passages_longer_than_a_stretchs_share(protect, keep):
    """1,000 s in three stretches; the third passage lies across a bound of two."""
    constraints = Constraints(toy_song(2000, seed=1), protect, True, True)
    for edit in whole_edits(constraints.song, exact(DENSE_WEIGHTS), keep, constraints):
        assert constraints.allows(edit)
        assert abs(edit.duration - 1000 * keep) <= 1.0
