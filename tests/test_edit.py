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
