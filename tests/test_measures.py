"""Measures of edits whose joins are known."""

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.learning.dense_reward import DENSE_WEIGHTS, dense_reward, dense_terms
from rlhf_lib.music.edit import Action, Edit
from rlhf_lib.music.joins import hook_values, join_costs, oddity
from rlhf_lib.music.measures import (
    ADDITIVE,
    DIRECTION,
    MEASURES,
    measures_by_name,
    step_table,
    weight_vector,
)


@pytest.fixture(scope="module")
def song():
    return toy_song(64, seed=8)


def edit_of(song, *kept, target=0.5):
    actions = np.full(song.n_beats, Action.CUT)
    for start, stop in kept:
        actions[start:stop] = Action.KEEP
    return Edit(song, actions, target)


def test_the_whole_song_is_without_fault(song):
    whole = measures_by_name(edit_of(song, (0, 64), target=1.0))
    shares = {"hook": 1.0, "oddity": 1.0, "length": 1.0, "whole_chorus": None, "energy_arc": 1.0}
    for name, value in whole.items():
        if shares.get(name, 0.0) is not None:
            assert value == pytest.approx(shares.get(name, 0.0), abs=1e-5), name


def test_one_cut_by_hand(song):
    values = measures_by_name(edit_of(song, (0, 20), (36, 64)))
    costs = join_costs(song, np.array(19), np.array(36)).astype(float) ** 2
    assert values["seams"] == 1
    for name, cost in zip(("transition", "energy", "phrase", "tempo"), costs, strict=True):
        assert values[name] == pytest.approx(cost, abs=1e-6)
    kept = np.r_[0:20, 36:64]
    assert values["hook"] == pytest.approx(hook_values(song)[kept].sum() / hook_values(song).sum())
    assert values["oddity"] == pytest.approx(oddity(song)[kept].sum() / oddity(song).sum())
    assert values["length"] == pytest.approx(48 / 64)
    assert values["worst_seam"] == pytest.approx(costs[0], abs=1e-6)
    assert values["length_error"] == pytest.approx(4.0)  # 0.75 instead of 0.5, capped
    assert values["intro"] == values["ending"] == values["repeats"] == 0


@pytest.mark.parametrize("missing, cost", [(4, 0.25), (16, 1.0), (40, 1.0)])
def test_missing_intro(song, missing, cost):
    assert measures_by_name(edit_of(song, (missing, 64)))["intro"] == pytest.approx(cost)


@pytest.mark.parametrize("missing, cost", [(1, 0.53125), (8, 0.75), (16, 1.0), (40, 1.0)])
def test_missing_ending(song, missing, cost):
    assert measures_by_name(edit_of(song, (0, 64 - missing)))["ending"] == pytest.approx(cost)


def test_repeats_and_close_seams(song):
    actions = np.zeros(64, int)
    actions[8] = Action.LOOP_3  # two steps that stay; seams at 9, 10
    actions[20] = Action.REORDER_2  # 19→21, 22→20 (back), 20→23
    values = measures_by_name(Edit(song, actions, 1.0))
    assert values["seams"] == 5
    assert values["repeats"] == 3
    # places of the seams in the output: 9, 10, 22, 24, 25 → gaps 1, 12, 2, 1
    assert values["close_seams"] == 3
    assert values["hook"] < 1  # the beat that goes back does not count again


def test_step_table_holds_every_edit(song):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, len(ADDITIVE)))
    tables = step_table(song, weights, block=10)
    actions = rng.integers(0, 9, size=64)
    edit = Edit(song, actions, 0.7)
    path = np.concatenate([[64], edit.order, [64]])
    values = np.array([measures_by_name(edit)[name] for name in ADDITIVE])
    for table, weight in zip(tables, weights, strict=True):
        assert table[path[:-1], path[1:]].sum() == pytest.approx(values @ weight, abs=1e-3)


def test_dense_reward_is_its_weights_and_terms_lie_in_0_1(song):
    edit = edit_of(song, (0, 20), (30, 40), (50, 64))
    values = measures_by_name(edit)
    by_hand = sum(w * values[name] for w, name in zip(DENSE_WEIGHTS, ADDITIVE, strict=True))
    assert dense_reward(edit) == pytest.approx(by_hand, abs=1e-5)
    terms = dense_terms(edit)
    assert terms["phrase completeness"] == pytest.approx(1 - values["phrase"] / 2)
    assert all(0 <= value <= 1 for value in terms.values())
    assert all(v == 1 for v in dense_terms(edit_of(song, (0, 64))).values())


def test_directions_cover_all_measures():
    assert len(DIRECTION) == len(MEASURES) == 16
    assert DIRECTION[MEASURES.index("hook")] == 1
    assert DIRECTION[MEASURES.index("length")] == 0


def test_unknown_weight_name():
    with pytest.raises(KeyError, match="loudness"):
        weight_vector({"loudness": 1.0})
