"""The values of actions in the environment, against every KEEP/CUT edit of short songs."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, N_ADDITIVE, describe
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import Plan
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward


@pytest.fixture(scope="module")
def songs():
    return [toy_song(13, seed=1), toy_song(11, seed=2, beats_per_bar=3), toy_song(9, seed=3)]


@pytest.fixture(scope="module")
def plan(songs):
    tensors = SongTensors.build(songs, FeatureScale.fit(songs))
    return Plan.build(tensors, DENSE_WEIGHTS)


def value_at_the_start(plan, index, target):
    """The value of the whole edit of a song in the plan's tables, before the first beat."""
    song = torch.tensor([index])
    left = plan.tensors.budget(song, torch.tensor([target]))
    start = torch.full_like(song, plan.steps.shape[1] - 1)
    return float(torch.maximum(*plan.keep_and_cut(song, start, 0, left)))


def walked(plan, index, target):
    """Return the edit of a walk that takes KEEP or CUT, whichever is worth more."""
    env = EditingEnv(plan, torch.tensor([index]), torch.tensor([target], dtype=torch.float64))
    env.walk(lambda slots, values: values[:, : Action.CUT + 1].argmax(dim=1))
    return env.edits()[0]


def every_edit(song, target):
    """All KEEP/CUT edits whose length is the closest whole number of beats to the target."""
    exact = target * song.n_beats
    for kept in itertools.product((Action.KEEP, Action.CUT), repeat=song.n_beats):
        n_kept = kept.count(Action.KEEP)
        if n_kept and -0.5 <= exact - n_kept < 0.5:
            yield Edit(song, np.array(kept), target)


@pytest.mark.parametrize("target", [0.5, 0.73, 0.93])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_best_values_lead_to_the_best_of_all_edits(plan, songs, index, target):
    best = max(dense_reward(edit) for edit in every_edit(songs[index], target))
    planned = walked(plan, index, target)
    assert dense_reward(planned) == pytest.approx(best, abs=1e-4)
    assert value_at_the_start(plan, index, target) == pytest.approx(best, abs=1e-4)


def test_padding_changes_nothing(songs):
    alone = [
        Plan.build(SongTensors.build([s], FeatureScale.fit(songs)), DENSE_WEIGHTS) for s in songs
    ]
    together = Plan.build(SongTensors.build(songs, FeatureScale.fit(songs)), DENSE_WEIGHTS)
    for index, single in enumerate(alone):
        np.testing.assert_array_equal(
            walked(single, 0, 0.6).actions, walked(together, index, 0.6).actions
        )


def test_taken_songs_are_as_if_built_alone(songs):
    scale = FeatureScale.fit(songs)
    for places in ([1, 2], [2, 0, 2], [1]):
        taken = SongTensors.build(songs, scale).take(places)
        alone = SongTensors.build([songs[place] for place in places], scale)
        assert (taken.songs, taken.extra) == (alone.songs, alone.extra)
        for field in fields(SongTensors)[2:]:
            assert torch.equal(getattr(taken, field.name), getattr(alone, field.name)), field.name


def test_a_repeated_song_has_one_context(songs):
    taken = SongTensors.build(songs, FeatureScale.fit(songs)).take([2, 0, 2])
    context, which = taken.distinct
    assert len(context) == 2
    assert which.tolist() == [0, 1, 0]
    assert torch.equal(context[which], taken.context)


def test_each_song_may_be_planned_under_weights_of_its_own(songs):
    """The same song twice: each plan is optimal under its weights, compared with all edits."""
    sets = np.stack([DENSE_WEIGHTS, np.zeros(N_ADDITIVE)])
    sets[1, ADDITIVE_NAMES.index("level")] = 3.0
    sets[1, ADDITIVE_NAMES.index("seams")] = -0.1
    tensors = SongTensors.build(songs, FeatureScale.fit(songs)).take([2, 2])
    plan = Plan.build(tensors, sets)
    planned = [walked(plan, index, 0.6) for index in (0, 1)]
    values = [value_at_the_start(plan, index, 0.6) for index in (0, 1)]
    every = np.stack([describe(e)[:N_ADDITIVE] for e in every_edit(songs[2], 0.6)])
    for edit, value, weights in zip(planned, values, sets, strict=True):
        best = (every @ weights).max()
        assert describe(edit)[:N_ADDITIVE] @ weights == pytest.approx(best, abs=1e-4)
        assert value == pytest.approx(best, abs=1e-4)
    assert (planned[0].actions != planned[1].actions).any()


def test_extra_rewards_of_steps_are_planned_exactly(songs):
    """Random rewards for every step, alone and beside the weights, compared with all edits."""
    rng = np.random.default_rng(5)
    extra = [rng.normal(size=(song.n_beats + 1,) * 2) for song in songs]
    tensors = SongTensors.build(songs, FeatureScale.fit(songs), extra=extra)
    for weights in (np.zeros(N_ADDITIVE), DENSE_WEIGHTS):
        plan = Plan.build(tensors, weights)
        for index, song in enumerate(songs):
            n, table = song.n_beats, extra[index]

            def worth(edit, n=n, table=table, weights=weights):
                steps = np.append(n, edit.order), np.append(edit.order, n)
                return describe(edit)[:N_ADDITIVE] @ weights + table[steps].sum()

            best = max(map(worth, every_edit(song, 0.6)))
            planned = walked(plan, index, 0.6)
            assert worth(planned) == pytest.approx(best, abs=1e-4)
            assert value_at_the_start(plan, index, 0.6) == pytest.approx(best, abs=1e-4)


def test_a_song_that_occurs_twice_has_extra_rewards_of_its_own(songs):
    rng = np.random.default_rng(6)
    extra = [rng.normal(size=(songs[2].n_beats + 1,) * 2) for _ in range(2)]
    tensors = SongTensors.build(songs, FeatureScale.fit(songs)).take([2, 2])
    both = Plan.build(replace(tensors, extra=tuple(extra)), DENSE_WEIGHTS)
    for index in (0, 1):
        one = replace(tensors.take([index]), extra=(extra[index],))
        alone = Plan.build(one, DENSE_WEIGHTS)
        np.testing.assert_allclose(both.steps[index], alone.steps[0], atol=1e-6)
