"""Edits of a wanted length, and variants that differ."""

import re

import numpy as np
import pytest
from toy import toy_song, with_network

from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    N_ADDITIVE,
    describe,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.policy import shorten as module
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.policy.shorten import (
    LEAST_DIFFERENCE,
    MOST_LOSS,
    difference,
    shorten,
    sparing_singing,
)
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS


@pytest.fixture(scope="module")
def song():
    return toy_song(200, seed=5)  # bars of 2 s


@pytest.fixture(scope="module")
def policy():
    return Policy(PolicyConfig(hidden=8), SYNTHETIC_WEIGHTS)


def part(song, *kept):
    actions = np.full(song.n_beats, Action.CUT)
    for start, stop in kept:
        actions[start:stop] = Action.KEEP
    return Edit(song, actions, 0.5)


@pytest.mark.parametrize("keep", [0.2, 0.35, 0.5, 0.77, 0.95, 1.0])
def test_lengths_are_reached_within_half_a_bar(policy, song, keep):
    (edit,) = shorten(policy, Constraints(song, [(30, 40)], True, True), keep)
    assert abs(edit.duration - 100 * keep) <= 1.0
    assert edit.order[0] == 0 and edit.order[-1] == 199
    assert set(range(60, 80)) <= set(edit.order.tolist())


def test_without_constraints_it_is_the_edit_of_the_policy(policy, song):
    (edit,) = shorten(policy, Constraints(song), 0.73)
    (own,) = policy.edits([song], (0.73,))
    assert (edit.actions == own.actions).all()


def test_difference_of_edits_by_hand(song):
    one = part(song, (0, 100))
    assert difference(one, one) == 0
    assert difference(one, part(song, (100, 200))) == 1
    assert difference(one, part(song, (0, 80), (100, 120))) == pytest.approx(0.2)
    long = part(song, (0, 180))  # at most 20 beats can be exchanged
    assert difference(long, part(song, (10, 190))) == pytest.approx(0.5)
    looped = np.array(one.actions)
    looped[0] = Action.LOOP_4
    assert difference(one, Edit(song, looped, 0.5)) == pytest.approx(3 / (2 * 97))


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_variants_differ_and_the_first_is_the_best(policy, song, keep):
    constraints = Constraints(song, [(30, 40)], True, True)
    edits = shorten(policy, constraints, keep, 4)
    assert len(edits) == 4
    for place, edit in enumerate(edits):
        assert constraints.allows(edit) and abs(edit.duration - 100 * keep) <= 1.0
        assert all(difference(edit, other) >= LEAST_DIFFERENCE for other in edits[:place])
    weights = policy.weights
    rewards = [describe(edit) @ weights for edit in edits]
    assert rewards[0] == max(rewards)
    # Nothing random is as good: whole bars drawn at random, of the same length.
    rng, bars = np.random.default_rng(0), np.arange(0, 200, 4)
    drawn = []
    for _ in range(50):
        kept = rng.choice(bars, round(50 * keep), replace=False)
        drawn.append(describe(part(song, *((bar, bar + 4) for bar in kept))) @ weights)
    assert min(rewards) > max(drawn)


def test_fewer_variants_where_no_more_differ(policy, song):
    """Nine of ten bars are protected: the one cut of ten bars can only lie in the rest."""
    edits = shorten(policy, Constraints(song, [(0, 80)]), 0.81, 9)
    assert 1 <= len(edits) < 9


@pytest.mark.parametrize("search", [True, False])
def test_plans_that_were_learned_keep_to_the_constraints(song, search):
    """A policy that has learned to loop, to move and to leave out the hook."""
    policy = Policy(PolicyConfig(hidden=8, search=search), SYNTHETIC_WEIGHTS)
    bias = with_network(policy).last.network["net.2.bias"]
    bias[-2:] = 4.0
    bias[[ADDITIVE_NAMES.index(name) for name in ("hook", "intro")]] = -4.0
    constraints = Constraints(song, [(30, 40)], True, True)
    (own,) = policy.edits([song], (0.5,))
    assert not constraints.allows(own)
    (edit,) = shorten(policy, constraints, 0.5)
    assert constraints.allows(edit) and abs(edit.duration - 50) <= 1.0


def test_a_song_of_more_beats_than_one_stretch_has_variants():
    song = toy_song(1200, seed=1)
    policy = Policy(PolicyConfig(hidden=8), weight_vector({"seams": -1.0, "hook": 5.0}))
    edits = shorten(policy, Constraints(song), 0.5, 2)
    assert len(edits) == 2 and difference(*edits) >= LEAST_DIFFERENCE
    assert all(abs(edit.duration - 300) <= 1.0 for edit in edits)  # half a bar


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (0.1, r"lasts 100\.0 s; an edit of 10\.0 s .* ask for 20\.0 s or more"),
        (1.2, r"an edit of 120\.0 s would be longer; ask for at most 100\.0 s"),
        (float("nan"), "nan"),
    ],
)
def test_impossible_lengths_are_refused(policy, song, keep, message):
    with pytest.raises(InputError, match=message):
        shorten(policy, Constraints(song), keep)


@pytest.mark.parametrize("seed", range(4))
def test_lengths_that_a_refusal_names_are_possible(policy, seed):
    """As they are printed, to a tenth of a second: the least, the most, and the nearest."""
    song = toy_song(83 + 10 * seed, seed, period=0.4873 + 0.013 * seed)
    for constraints, keep in (
        (Constraints(song), 0.1),
        (Constraints(song), 1.1),
        (Constraints(song, [(5, 25)]), 0.3),
        (Constraints(song, [(3, 0.9 * song.duration)]), 0.5),
    ):
        with pytest.raises(InputError) as refused:
            shorten(policy, constraints, keep)
        named = float(re.findall(r"(\d+\.\d) s", str(refused.value))[-1])
        (edit,) = shorten(policy, constraints, named / song.duration)
        assert abs(edit.duration - named) <= 2 * song.beat_durations.max() + 0.1


def test_a_plan_that_loses_much_is_no_variant(policy, song, monkeypatch):
    """Among the plans: one that plays every other beat, unlike all others."""
    stutter = np.full(song.n_beats, Action.CUT)
    stutter[::2] = Action.KEEP
    bad = Edit(song, stutter, 0.5)
    constraints = Constraints(song)
    edits = shorten(policy, constraints, 0.5, 3)
    plans = module._plans
    monkeypatch.setattr(module, "_plans", lambda *given: [bad, *plans(*given)][: 1 + len(edits)])
    few = shorten(policy, constraints, 0.5, 99)
    assert all((edit.actions != stutter).any() for edit in few)
    rewards = np.array([describe(edit) @ policy.weights for edit in few])
    assert (rewards >= rewards[0] - MOST_LOSS).all()
    assert describe(bad) @ policy.weights < rewards[0] - MOST_LOSS


def test_no_edits_are_refused(policy, song):
    with pytest.raises(InputError, match="variants is 0"):
        shorten(policy, Constraints(song), 0.5, 0)


def test_sparing_singing_adds_a_cost_on_the_policys_own_scale():
    sung = DESCRIPTOR_NAMES.index("sung")
    for scale in (1.0, 7.0):
        dense = scale * np.pad(DENSE_WEIGHTS, (0, len(DESCRIPTOR_NAMES) - N_ADDITIVE))
        spared = sparing_singing(Policy(PolicyConfig(hidden=8), dense)).weights
        assert spared[sung] == pytest.approx(-scale / 2)  # −½ where it is the dense reward
        assert np.delete(spared - dense, sung) == pytest.approx(0)


def test_a_policy_that_follows_a_function_has_no_weights_to_add_to(policy):
    other = policy.child(Reward(lambda edits: [-len(edit.seams) for edit in edits]))
    assert sparing_singing(other) is other
