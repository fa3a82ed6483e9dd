"""Climbing a learned reward: gains, recorded utility, and the lower confidence bound."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from artists import line
from toy import toy_song

from rlhf_lib import plots
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, weight_vector
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.steps.climb import climb


def model_of(*members: dict[str, float]):
    """A reward model that has only these linear heads."""
    weights = torch.tensor(np.stack([weight_vector(one) for one in members]))
    return SimpleNamespace(descriptor_weights=lambda: weights)


JUDGE = SimpleNamespace(utility=lambda edit: -float(len(edit.seams)))


@pytest.fixture(scope="module")
def start():
    return Edit(toy_song(48), np.zeros(48, int), 0.73)


def test_the_learned_reward_rises_at_the_expense_of_the_true_one(start):
    course = climb(model_of({"seams": 1.0}), JUDGE, [start], steps=15)
    assert course["step"].tolist() == list(range(16))
    assert (course["learned"].diff().dropna() >= 0).all()
    assert course["learned"].iloc[-1] > 5
    assert course["gold"].tolist() == (-course["learned"]).tolist()  # more seams, nothing else
    assert (course["sd"] == 0).all()


def test_a_lower_bound_makes_no_change_that_members_disagree_on(start):
    split = model_of({"seams": 2.0}, {"seams": -1.0})  # mean 0.5 a seam, spread 1.5
    mean, bound = (climb(split, JUDGE, [start], 10, k=k) for k in (0.0, 1.0))
    assert mean["learned"].iloc[-1] > 0
    assert (bound["learned"] == 0).all()


def test_at_least_one_beat_is_played(start):
    course = climb(model_of({"length": -1.0}), JUDGE, [start], steps=40)
    assert np.isfinite(course["learned"]).all()
    kept = start.actions == Action.KEEP
    assert kept.all()  # the start itself is not changed
    assert "length" in DESCRIPTOR_NAMES


def test_the_same_seed_climbs_the_same_way(start):
    model = model_of({"hook": 1.0})
    first, again = (climb(model, JUDGE, [start, start], 5, seed=3) for _ in range(2))
    assert first.equals(again)
    assert first["start"].tolist() == [0] * 6 + [1] * 6


def test_no_start_is_refused(start):
    with pytest.raises(InputError, match="0 starts"):
        climb(model_of({"hook": 1.0}), JUDGE, [])
    with pytest.raises(InputError, match="k -1"):
        climb(model_of({"hook": 1.0}), JUDGE, [start], k=-1)


def test_the_plot_shows_means_over_starts(start):
    course = climb(model_of({"seams": 1.0}), JUDGE, [start, start], steps=3)
    figure = plots.climbs({"hasty": course})
    left, right = figure.axes
    mean = course.groupby("step")["learned"].mean()
    assert line(left, "hasty").get_ydata().tolist() == pytest.approx(mean.tolist())
    assert right.get_ylabel() == "gain since the start (utility)"
    with pytest.raises(InputError, match="no course"):
        plots.climbs({})
