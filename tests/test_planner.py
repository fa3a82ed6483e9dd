"""The planner against brute force over every KEEP/CUT edit of a short song."""

import itertools
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, N_ADDITIVE, describe, step_table
from rlhf_lib.editing.edit import Action, Edit
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


def every_edit(song, target):
    """All KEEP/CUT edits whose length is the closest whole number of beats to the target."""
    exact = target * song.n_beats
    for kept in itertools.product((Action.KEEP, Action.CUT), repeat=song.n_beats):
        n_kept = kept.count(Action.KEEP)
        if n_kept and -0.5 <= exact - n_kept < 0.5:
            yield Edit(song, np.array(kept), target)


@pytest.mark.parametrize("target", [0.5, 0.73, 0.93])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_best_edit_is_the_best_of_all_edits(plan, songs, index, target):
    best = max(dense_reward(edit) for edit in every_edit(songs[index], target))
    planned = plan.best_edits(torch.tensor([index]), torch.tensor([target]))[0]
    assert dense_reward(planned) == pytest.approx(best, abs=1e-4)
    assert value_at_the_start(plan, index, target) == pytest.approx(best, abs=1e-4)


def test_best_edit_of_bars_of_changing_length_is_the_best_of_all():
    """Bars of 10, 11 and 12 beats, after a pick-up; every choice of bars is tried."""
    lengths = [12, 11, 12, 10, 12, 12, 11, 10, 12, 12, 10, 11, 12, 12, 11, 11]
    downbeats = 11 + np.cumsum([0, *lengths])
    n = int(downbeats[-1]) + 12
    song = toy_song(n, seed=4, downbeats=downbeats)
    edges = np.array([0, *downbeats, n])
    np.testing.assert_array_equal(song.decision_points, edges[:-1])
    plan = Plan.build(SongTensors.build([song], FeatureScale.fit([song])), DENSE_WEIGHTS)
    steps = step_table(song, DENSE_WEIGHTS[None])[0]
    first, last = edges[:-1], edges[1:] - 1
    inside = [sum(steps[b, b + 1] for b in range(f, e)) for f, e in zip(first, last, strict=True)]
    units = len(first)
    kept = (np.arange(1, 2**units)[:, None] >> np.arange(units)) & 1
    total, before = np.zeros(len(kept)), np.full(len(kept), n)
    for unit in range(units):
        on = kept[:, unit] == 1
        total[on] += steps[before[on], first[unit]] + inside[unit]
        before[on] = last[unit]
    total += steps[before, n]
    for target in (0.83, 0.5):
        late = target * n - kept @ np.diff(edges)
        best = total[(late >= -6) & (late < 6)].max()  # 12: the median bar
        edit = plan.best_edits(torch.tensor([0]), torch.tensor([target]))[0]
        assert dense_reward(edit) == pytest.approx(best, abs=1e-4)
        assert value_at_the_start(plan, 0, target) == pytest.approx(best, abs=1e-4)


def random_bars(seed):
    """Downbeats of 51 bars of one to three lengths, in turn or at random; and a number of beats."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(2, 13, rng.integers(1, 4))
    lengths = rng.choice(kinds, 50) if seed % 2 else np.resize(kinds, 50)
    downbeats = rng.integers(0, 4) + np.cumsum([0, *lengths])
    return downbeats, int(downbeats[-1]) + 1


@pytest.mark.parametrize("seed", range(24))
def test_lengths_are_reached_in_any_metre(seed):
    downbeats, n_beats = random_bars(seed)
    song = toy_song(n_beats, seed=seed, downbeats=downbeats)
    check_lengths(song)


@pytest.mark.parametrize("n_beats", [16, 40, 80, 130, 257])
@pytest.mark.parametrize("beats_per_bar", [3, 4, 5, 6, 7, 9, 11, 12])
def test_lengths_are_reached(n_beats, beats_per_bar):
    check_lengths(toy_song(n_beats, seed=n_beats, beats_per_bar=beats_per_bar))


def check_lengths(song):
    plan = Plan.build(SongTensors.build([song], FeatureScale.fit([song])), DENSE_WEIGHTS)
    targets = torch.tensor([1.0, 0.93, 0.83, 0.73, 0.50])
    edits = plan.best_edits(torch.zeros(5, dtype=torch.long), targets)
    for edit in edits:
        assert abs(edit.keep_ratio - edit.target) <= 0.0301
    assert all(np.diff([edit.keep_ratio for edit in edits]) < 0)


def test_padding_changes_nothing(songs):
    alone = [
        Plan.build(SongTensors.build([s], FeatureScale.fit(songs)), DENSE_WEIGHTS) for s in songs
    ]
    together = Plan.build(SongTensors.build(songs, FeatureScale.fit(songs)), DENSE_WEIGHTS)
    for index, single in enumerate(alone):
        np.testing.assert_array_equal(
            single.best_edits(torch.tensor([0]), torch.tensor([0.6]))[0].actions,
            together.best_edits(torch.tensor([index]), torch.tensor([0.6]))[0].actions,
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
    planned = plan.best_edits(torch.tensor([0, 1]), torch.tensor([0.6, 0.6]))
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
            planned = plan.best_edits(torch.tensor([index]), torch.tensor([0.6]))[0]
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
