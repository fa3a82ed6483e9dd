"""Edits against playing orders written by hand."""

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.edit import (
    Action,
    Edit,
    output_order,
    seam_places,
    segments,
    target_keep_ratio,
    temperature_of,
)
from rlhf_lib.errors import InputError

K, C = Action.KEEP, Action.CUT


@pytest.mark.parametrize(
    "actions, order",
    [
        ([K, K, K, K], [0, 1, 2, 3]),
        ([K, C, C, K], [0, 3]),
        ([K, Action.LOOP_2, K], [0, 1, 1, 2]),
        ([Action.LOOP_4, C, Action.LOOP_3], [0, 0, 0, 0, 2, 2, 2]),
        # beat 0 right after the place of beat 1, 2, 3, 4
        ([Action.REORDER_1, K, K, K, K], [1, 0, 2, 3, 4]),
        ([Action.REORDER_2, K, K, K, K], [1, 2, 0, 3, 4]),
        ([Action.REORDER_4, K, K, K, K], [1, 2, 3, 4, 0]),
        # after the place of a beat that is cut itself
        ([Action.REORDER_2, K, C, K], [1, 0, 3]),
        # two beats moved to the same place keep their order: keys 2½ and 2½
        ([Action.REORDER_2, Action.REORDER_1, K, K], [2, 0, 1, 3]),
        # beyond the end: keys 2½ (beat 1 by 1), 3½ (beat 2 by 1)
        ([K, Action.REORDER_1, Action.REORDER_1], [0, 1, 2]),
    ],
)
def test_output_order(actions, order):
    assert output_order(np.array(actions)).tolist() == order


def test_segments_and_seams():
    order = np.array([0, 1, 4, 5, 5, 2])
    assert seam_places(order).tolist() == [2, 4, 5]
    assert segments(order).tolist() == [[0, 2], [4, 6], [5, 6], [2, 3]]


def test_duration_and_keep_ratio():
    song = toy_song(16, period=0.5)
    actions = np.full(16, C)
    actions[[0, 1, 2, 3]] = K
    actions[4] = Action.LOOP_3
    edit = Edit(song, actions, 0.5)
    assert edit.duration == pytest.approx(7 * 0.5)
    assert edit.keep_ratio == pytest.approx(7 / 16)


@pytest.mark.parametrize(
    "temperature, ratio",
    [(0.1, 1.0), (0.3, 0.93), (0.5, 0.83), (0.7, 0.73), (0.9, 0.5), (0.2, 0.965), (0.8, 0.615)],
)
def test_target_keep_ratio(temperature, ratio):
    assert target_keep_ratio(temperature) == pytest.approx(ratio)


@pytest.mark.parametrize("temperature", [0.0, 1.0, float("nan")])
def test_wrong_temperature(temperature):
    with pytest.raises(InputError, match="temperature"):
        target_keep_ratio(temperature)


@pytest.mark.parametrize(
    "actions, message",
    [
        (np.zeros(15, int), "15"),
        (np.full(16, 9), "action 9 at beat 0"),
        (np.full(16, -1), "action -1"),
        (np.full(16, 1), "every beat is cut"),
        (np.zeros(16), "whole numbers"),
    ],
)
def test_wrong_actions(actions, message):
    with pytest.raises(InputError, match=message):
        Edit(toy_song(16), actions, 1.0)


def test_actions_are_not_changed_from_outside():
    mine = np.zeros(16, int)
    edit = Edit(toy_song(16), mine, 1.0)
    mine[3] = 1
    assert edit.actions[3] == 0
    with pytest.raises(ValueError, match="read-only"):
        edit.actions[0] = 1


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 0.9])
def test_temperature_of_a_keep_ratio(temperature):
    assert temperature_of(target_keep_ratio(temperature)) == pytest.approx(temperature)


def test_no_temperature_aims_at_less_than_half():
    with pytest.raises(InputError, match=r"keep ratio 0\.4; they reach from 0\.5 to 1"):
        temperature_of(0.4)


def test_an_edit_without_spans():
    edit = Edit.without(toy_song(16), (2, 4), (10, 16))
    assert edit.order.tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
    assert edit.target == edit.keep_ratio == 0.5
    assert Edit.without(toy_song(16), (2, 4), target=0.9).target == 0.9
    for span in [(-1, 3), (4, 4), (10, 17)]:
        with pytest.raises(InputError, match=f"beats {span[0]} to {span[1]} are no span"):
            Edit.without(toy_song(16), span)
    with pytest.raises(InputError, match="every beat is cut"):
        Edit.without(toy_song(16), (0, 16))


def test_times_of_beats_and_seams():
    """Beats 0–3, then 8–15, of half a second each."""
    edit = Edit.without(toy_song(16), (4, 8))
    assert edit.times.tolist() == [0.5 * place for place in range(13)]
    assert edit.seam_times.tolist() == [2.0]
