"""The compiled descriptors against plain Python, for edits of all nine actions."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from slow_descriptors import played, slow_descriptors
from toy import toy_song

from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, choruses, describe
from rlhf_lib.editing.edit import N_ACTIONS, Action, Edit, output_order
from rlhf_lib.editing.whole_edit import played_order, step_sums
from rlhf_lib.learning.planning.stretch import stretches


@pytest.fixture(scope="module")
def songs():
    """Songs whose tempo and level change; the longer ones have hook passages."""
    out = []
    for n_beats, seed in ((9, 1), (64, 6), (200, 4)):
        song, rng = toy_song(n_beats, seed=seed), np.random.default_rng(seed)
        times = np.cumsum(rng.uniform(0.4, 0.6, n_beats)) - 0.4
        samples = round((times[-1] + 0.5) * song.sample_rate)
        out.append(replace(song, features=6 * song.features, beat_times=times, n_samples=samples))
    assert all(len(choruses(song)) for song in out[1:])
    return out


def random_actions(n_beats, rng):
    """Actions of one edit: mostly KEEP and CUT, or any of the nine in equal shares."""
    even = np.full(N_ACTIONS, 1 / N_ACTIONS)
    few = np.array([0.7, 0.16, *[0.02] * 7])
    actions = rng.choice(N_ACTIONS, n_beats, p=even if rng.random() < 0.5 else few)
    if rng.random() < 0.5:  # whole passages are cut, so that others are long
        start = rng.integers(n_beats)
        actions[start : start + n_beats // 3] = Action.CUT
        actions[rng.integers(n_beats)] = Action.KEEP
    return actions.astype(np.int8)


def order_of(actions):
    order = np.empty(4 * len(actions), dtype=np.int64)
    return order[: played_order(actions, order)]


def test_playing_order_by_hand():
    """Beat 0 moves after beat 2; 3 is cut; 4 plays twice; 5 and 6 move past the end."""
    actions = np.array([6, 0, 0, 1, 2, 8, 5], dtype=np.int8)
    assert order_of(actions).tolist() == [1, 2, 0, 4, 4, 6, 5]
    assert order_of(np.full(3, Action.LOOP_4, np.int8)).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert order_of(np.full(3, Action.CUT, np.int8)).tolist() == []


@pytest.mark.parametrize("n_beats", [1, 2, 5, 64])
def test_playing_order_is_that_of_an_edit(n_beats):
    rng = np.random.default_rng(n_beats)
    for _ in range(200):
        actions = rng.integers(0, N_ACTIONS, n_beats).astype(np.int8)
        assert order_of(actions).tolist() == output_order(actions).tolist() == played(actions)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_descriptors_of_many_edits_are_those_in_the_words_of_the_table(songs, number):
    song = songs[number]
    (stretch,) = stretches(song)
    rng = np.random.default_rng(number)
    actions = np.stack([random_actions(song.n_beats, rng) for _ in range(40)])
    actions[0] = Action.KEEP
    actions[1, :-1], actions[1, -1] = Action.CUT, Action.LOOP_4  # one beat is played
    actions[2, -5:] = [8, 7, 6, 5, 8]  # all of them move past the end
    targets = rng.uniform(0.3, 1.0, 40)
    found = stretch.describe(actions, targets)
    assert found.shape == (40, len(DESCRIPTOR_NAMES))
    for row, each, target in zip(found, actions, targets, strict=True):
        expected = slow_descriptors(song, each, target)
        one = describe(Edit(song, each, target))
        for values in (row, one):
            off = np.abs(values - expected)
            worst = off.argmax()
            assert off[worst] < 2e-4, (DESCRIPTOR_NAMES[worst], values[worst], expected[worst])


def test_every_descriptor_takes_part(songs):
    """The comparison above would not notice a descriptor that is always 0."""
    song, rng = songs[2], np.random.default_rng(0)
    (stretch,) = stretches(song)
    actions = np.stack([random_actions(song.n_beats, rng) for _ in range(40)])
    assert (stretch.describe(actions, np.full(40, 0.5)).std(axis=0) > 1e-3).all()


def test_sums_of_a_table_of_steps(songs):
    """Any table, added up step by step; rows and columns of the start and the end too."""
    rng = np.random.default_rng(5)
    for song in songs:
        n = song.n_beats
        table = rng.normal(size=(n + 1, n + 1))
        actions = np.stack([random_actions(n, rng) for _ in range(20)])
        by_hand = [sum(table[step] for step in pairwise([n, *played(each), n])) for each in actions]
        np.testing.assert_allclose(step_sums(table, actions), by_hand, atol=1e-9)
