"""Descriptors of edits whose joins are known."""

from dataclasses import replace

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    DIRECTION,
    N_ADDITIVE,
    N_DESCRIPTORS,
    descriptors_by_name,
    step_table,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward, dense_terms


@pytest.fixture(scope="module")
def song():
    return toy_song(64, seed=8)


def edit_of(song, *kept, target=0.5):
    actions = np.full(song.n_beats, Action.CUT)
    for start, stop in kept:
        actions[start:stop] = Action.KEEP
    return Edit(song, actions, target)


def test_the_whole_song_has_no_costs(song):
    whole = descriptors_by_name(edit_of(song, (0, 64), target=1.0))
    full = {"hook": 1.0, "oddity": 1.0, "length": 1.0, "energy_arc": 1.0}
    for name, value in whole.items():
        if not name.startswith(("whole_chorus", "again_", "level_")):
            assert value == pytest.approx(full.get(name, 0.0), abs=1e-5), name


def test_one_cut_by_hand(song):
    values = descriptors_by_name(edit_of(song, (0, 20), (36, 64)))
    costs = song.joins.costs(np.array(19), np.array(36)).astype(float) ** 2
    assert values["seams"] == 1
    for name, cost in zip(("transition", "energy", "phrase", "tempo"), costs, strict=True):
        assert values[name] == pytest.approx(cost, abs=1e-6)
    kept = np.r_[0:20, 36:64]
    assert values["hook"] == pytest.approx(song.hook_values[kept].sum() / song.hook_values.sum())
    assert values["oddity"] == pytest.approx(song.oddity[kept].sum() / song.oddity.sum())
    assert values["length"] == pytest.approx(48 / 64)
    assert values["worst_seam"] == pytest.approx(costs[0], abs=1e-6)
    assert values["length_error"] == pytest.approx(4.0)  # 0.75 instead of 0.5, capped
    assert values["seam_rate"] == pytest.approx(0.25**2)  # 1 in 24 s: 2.5 a minute
    zero = ("intro", "ending", "loops", "returns", "looped", "reordered", "short_pieces")
    assert all(values[name] == 0 for name in zero)


@pytest.mark.parametrize("missing, cost", [(4, 0.25), (16, 1.0), (40, 1.0)])
def test_missing_intro(song, missing, cost):
    assert descriptors_by_name(edit_of(song, (missing, 64)))["intro"] == pytest.approx(cost)


@pytest.mark.parametrize("missing, cost", [(1, 0.53125), (8, 0.75), (16, 1.0), (40, 1.0)])
def test_missing_ending(song, missing, cost):
    assert descriptors_by_name(edit_of(song, (0, 64 - missing)))["ending"] == pytest.approx(cost)


def test_loops_returns_and_close_seams(song):
    actions = np.zeros(64, int)
    actions[8] = Action.LOOP_3  # two steps that stay; seams at 9, 10
    actions[20] = Action.REORDER_2  # 19→21, 22→20 (back), 20→23
    values = descriptors_by_name(Edit(song, actions, 1.0))
    assert values["seams"] == 5
    assert (values["loops"], values["returns"]) == (2, 1)
    # 66 beats of 0.5 s = 0.55 minutes
    assert values["seam_rate"] == pytest.approx((5 / 0.55 / 10) ** 2)
    assert values["looped"] == pytest.approx(2 / 2.55)  # 3.64 a minute: 3.64 / 4.64
    assert values["reordered"] == pytest.approx(1 / 1.55)
    assert values["short_pieces"] == pytest.approx((9 + 1 + 12 + 2 + 1) / 66)
    # places of the seams in the output: 9, 10, 22, 24, 25 → gaps 1, 12, 2, 1
    assert values["close_seams"] == 3
    assert values["hook"] < 1  # the beat that goes back does not count again


def sounding(song, **columns):
    """Return the song with other values in some feature columns."""
    features = song.features.copy()
    for name, values in columns.items():
        features[:, FEATURE_NAMES.index(name)] = values
    return replace(song, features=features)


def test_pieces_of_less_than_sixteen_beats(song):
    values = descriptors_by_name(edit_of(song, (0, 10), (20, 50), (60, 64)))
    assert values["short_pieces"] == pytest.approx(14 / 44)
    assert descriptors_by_name(edit_of(song, (0, 16), (20, 40)))["short_pieces"] == 0


def test_level_and_activity_count_standard_deviations_by_time(song):
    """Half of the beats lie one standard deviation above the mean, half one below."""
    halves = np.repeat([-30.0, -10.0], 32)
    loud_end = sounding(song, rms_mean=halves, onset_mean=-halves)
    for kept, level in (((32, 64), 0.5), ((0, 32), -0.5), ((16, 40), -0.125)):
        values = descriptors_by_name(edit_of(loud_end, kept))
        assert values["level"] == pytest.approx(level, abs=1e-5)
        assert values["activity"] == pytest.approx(-level, abs=1e-5)


def test_levels_of_the_eighths(song):
    rising = sounding(song, rms_mean=np.repeat([-30.0, -20.0, -10.0, 0.0], 16))
    names = [f"level_{eighth}" for eighth in range(1, 9)]
    whole = descriptors_by_name(edit_of(rising, (0, 64), target=1.0))
    by_hand = [-1.5, -1.5, -0.5, -0.5, 0.5, 0.5, 1.5, 1.5]
    assert [whole[name] for name in names] == pytest.approx(by_hand)
    # eighths of 4 beats of the second half of the song alone: −10 dB, then 0 dB
    half = descriptors_by_name(edit_of(rising, (32, 64)))
    assert [half[name] for name in names] == pytest.approx([-0.5] * 4 + [0.5] * 4)


def test_again_counts_beats_by_the_distance_to_the_last_similar_beat():
    """The song repeats the same 40 beats five times; the 40 beats are unlike each other."""
    song = toy_song(200, seed=1)
    pattern = np.random.default_rng(0).normal(size=(40, song.features.shape[1]))
    song = replace(song, features=np.tile(pattern, (5, 1)))

    def shares(*kept):
        values = descriptors_by_name(edit_of(song, *kept))
        return [values[f"again_{ago}"] for ago in ("16", "32", "64", "long")]

    assert shares((40, 80)) == [0, 0, 0, 0]
    assert shares((40, 120)) == [0, 0, 0.5, 0]  # all 40 beats, 40 beats later
    assert shares((40, 60), (80, 100)) == [0, 0.5, 0, 0]  # 20 beats, 20 beats later
    assert shares((44, 54), (84, 94)) == [0.5, 0, 0, 0]
    # 30 beats of the second round come 30 beats late, 10 of the last round 70
    assert shares((40, 50), (50, 80), (90, 120), (160, 170)) == pytest.approx(
        [0, 30 / 80, 0, 10 / 80]
    )
    actions = edit_of(song, (40, 60)).actions.copy()
    actions[44] = Action.LOOP_3
    assert descriptors_by_name(Edit(song, actions, 0.5))["again_16"] == pytest.approx(2 / 22)


def test_step_table_gives_the_value_of_any_edit(song):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, N_ADDITIVE))
    tables = step_table(song, weights, block=10)
    actions = rng.integers(0, 9, size=64)
    edit = Edit(song, actions, 0.7)
    path = np.concatenate([[64], edit.order, [64]])
    values = np.array([descriptors_by_name(edit)[name] for name in ADDITIVE_NAMES])
    for table, weight in zip(tables, weights, strict=True):
        assert table[path[:-1], path[1:]].sum() == pytest.approx(values @ weight, abs=1e-3)


def test_dense_reward_is_a_weighted_sum_and_its_terms_lie_in_0_1(song):
    edit = edit_of(song, (0, 20), (30, 40), (50, 64))
    values = descriptors_by_name(edit)
    by_hand = sum(w * values[name] for w, name in zip(DENSE_WEIGHTS, ADDITIVE_NAMES, strict=True))
    assert dense_reward(edit) == pytest.approx(by_hand, abs=1e-5)
    terms = dense_terms(edit)
    assert terms["phrase completeness"] == pytest.approx(1 - values["phrase"] / 2)
    assert all(0 <= value <= 1 for value in terms.values())
    assert all(v == 1 for v in dense_terms(edit_of(song, (0, 64))).values())


def test_directions_cover_all_descriptors():
    assert len(DIRECTION) == N_DESCRIPTORS == len(set(DESCRIPTOR_NAMES)) == 40
    assert N_ADDITIVE == 19
    better = {name for name, sign in zip(DESCRIPTOR_NAMES, DIRECTION, strict=True) if sign == 1}
    either = {name for name, sign in zip(DESCRIPTOR_NAMES, DIRECTION, strict=True) if sign == 0}
    assert better == {"hook", "whole_chorus", "energy_arc"}
    others = {"looped", "reordered", "length", "level", "activity"}
    others |= {f"again_{ago}" for ago in ("16", "32", "64", "long")}
    assert either == others | {f"level_{eighth}" for eighth in range(1, 9)}


def test_unknown_weight_name():
    with pytest.raises(KeyError, match="loudness"):
        weight_vector({"loudness": 1.0})
