"""Climbing a learned reward: it gains, the taste is only watched, caution holds it back."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from artists import line
from toy import toy_song

from rlhf_lib import plots
from rlhf_lib.climb import climb
from rlhf_lib.errors import InputError
from rlhf_lib.music.edit import Action, Edit
from rlhf_lib.music.measures import MEASURES, weight_vector


def model_of(*members: dict[str, float]):
    """A reward model with nothing but these linear heads."""
    weights = torch.tensor(np.stack([weight_vector(one) for one in members]))
    return SimpleNamespace(weights=lambda: weights)


JUDGE = SimpleNamespace(utility=lambda edit: -float(len(edit.seams)))


@pytest.fixture(scope="module")
def start():
    return Edit(toy_song(48), np.zeros(48, int), 0.73)


def test_what_the_model_likes_rises_and_what_it_does_not_see_is_spent(start):
    course = climb(model_of({"seams": 1.0}), JUDGE, [start], steps=15)
    assert course["step"].tolist() == list(range(16))
    assert (course["learned"].diff().dropna() >= 0).all()
    assert course["learned"].iloc[-1] > 5
    assert course["gold"].tolist() == (-course["learned"]).tolist()  # more seams, nothing else
    assert (course["doubt"] == 0).all()


def test_caution_makes_no_change_that_members_quarrel_over(start):
    quarrel = model_of({"seams": 2.0}, {"seams": -1.0})  # mean 0.5 a seam, spread 1.5
    bold, careful = (climb(quarrel, JUDGE, [start], 10, caution=c) for c in (0.0, 1.0))
    assert bold["learned"].iloc[-1] > 0
    assert (careful["learned"] == 0).all()


def test_it_leaves_something_to_hear(start):
    course = climb(model_of({"length": -1.0}), JUDGE, [start], steps=40)
    assert np.isfinite(course["learned"]).all()
    kept = start.actions == Action.KEEP
    assert kept.all()  # the start itself is left alone
    assert "length" in MEASURES


def test_the_same_seed_climbs_the_same_way(start):
    model = model_of({"hook": 1.0})
    first, again = (climb(model, JUDGE, [start, start], 5, seed=3) for _ in range(2))
    assert first.equals(again)
    assert first["start"].tolist() == [0] * 6 + [1] * 6


def test_nothing_to_climb_from_is_told(start):
    with pytest.raises(InputError, match="0 starts"):
        climb(model_of({"hook": 1.0}), JUDGE, [])
    with pytest.raises(InputError, match="caution -1"):
        climb(model_of({"hook": 1.0}), JUDGE, [start], caution=-1)


def test_the_plot_shows_means_over_starts(start):
    course = climb(model_of({"seams": 1.0}), JUDGE, [start, start], steps=3)
    figure = plots.climbs({"hasty": course})
    left, right = figure.axes
    mean = course.groupby("step")["learned"].mean()
    assert line(left, "hasty").get_ydata().tolist() == pytest.approx(mean.tolist())
    assert right.get_ylabel() == "gain since the start (utility)"
    with pytest.raises(InputError, match="no course"):
        plots.climbs({})
