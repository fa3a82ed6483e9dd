"""The map of join costs shows what each join costs in the dense reward."""

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, descriptors_by_name
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward
from rlhf_lib.plots.joins import join_map


def test_the_cost_of_a_jump_is_the_loss_of_dense_reward():
    """An edit with one jump loses its cost; the other terms of the reward are added back."""
    song = toy_song(64, period=0.5)  # decision points every two beats
    (mesh,) = (c for c in join_map(song).axes[0].collections if c.get_array() is not None)
    cost = np.asarray(mesh.get_array()).reshape(32, 31)
    assert np.abs(np.diag(cost, -1)).max() == 0  # playing on is free
    assert cost.min() >= 0
    actions = np.zeros(64, dtype=int)
    actions[20:40] = 1  # leave after unit 9, resume at unit 20
    edit = Edit(song, actions, 1.0)
    rest = descriptors_by_name(edit)
    assert rest["sung"] > 0  # a part of the cost of a jump
    others = sum(
        DENSE_WEIGHTS[ADDITIVE_NAMES.index(name)] * rest[name]
        for name in ("loops", "returns", "intro", "ending", "lost_ends", "hook", "oddity", "length")
    )
    assert cost[20, 9] == pytest.approx(others - dense_reward(edit), abs=1e-5)


def test_joins_of_an_edit_are_marked_where_they_are():
    song = toy_song(64, period=0.5)
    actions = np.zeros(64, dtype=int)
    actions[20:40] = 1
    ax = join_map(song, Edit(song, actions, 0.7)).axes[0]
    marks = next(line for line in ax.lines if line.get_label() == "joins of the edit")
    assert marks.get_xydata().tolist() == [[10.0, 20.0]]
