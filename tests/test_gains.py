"""Utilities on one scale, gains with intervals, the best plan so far."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy import TOY_WEIGHTS, toy_song

from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.plans import exact
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import whole_edits
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward
from rlhf_lib.steps.gains import gain_by_plans, gains_with_intervals, on_one_scale


def test_a_scale_by_hand():
    """Utilities: 1 for a random cut of half the song, 2 for three quarters, 3 for the optimum."""
    songs = [toy_song(32, seed) for seed in (0, 1)]
    optimum = [Edit.without(song, (0, 1), target=0.5) for song in songs]
    half = [Edit.without(song, (8, 24)) for song in songs]
    most = [Edit.without(song, (8, 16)) for song in songs]

    def utility(edit):  # by the number of played beats
        return {31: 3.0, 24: 2.0, 16: 1.0}.get(len(edit.order), 1.0)

    table = on_one_scale({"mixed": [most[0], half[1]], "two draws": most + half}, optimum, utility)
    assert list(table.index) == ["random cut", "mixed", "two draws", "optimum"]
    assert table["mean"].tolist() == pytest.approx([0, 0.25, 0.25, 1])
    assert table.loc["mixed", ["lowest", "highest"]].tolist() == [0, 0.5]
    assert table.loc["two draws", ["lowest", "highest"]].tolist() == [0.25, 0.25]
    assert set(table["songs"]) == {2}


def test_the_planner_is_between_random_cuts_and_one():
    songs = [toy_song(96, seed) for seed in (0, 1, 2)]
    optimum = [whole_edits(song, exact(DENSE_WEIGHTS), 0.7)[0] for song in songs]
    table = on_one_scale({"again": optimum}, optimum, dense_reward, seed=1)
    assert table.loc["again"].tolist() == [1, 1, 1, 3]
    assert table.loc["random cut"].tolist() == [0, 0, 0, 3]


def test_songs_without_a_scale_are_left_out():
    songs = [replace(toy_song(32, seed), song_id=name) for seed, name in enumerate("ab")]
    optimum = [Edit.without(song, (0, 16)) for song in songs]

    def utility(edit):  # on song b, the optimum is worse than any cut
        best = edit.actions[:16].all()
        return float(best) if edit.song.song_id == "a" else -float(best)

    table = on_one_scale({}, optimum, utility)
    assert table.loc["optimum"].tolist() == [1, 1, 1, 1]
    with pytest.raises(InputError, match="on no song is the optimum better"):
        on_one_scale({}, optimum[1:], utility)
    with pytest.raises(InputError, match="1 edits of 'few' do not fit 2"):
        on_one_scale({"few": optimum[:1]}, optimum, utility)


def test_gains_are_over_the_first_policy_and_clustered_by_song():
    """Gains of 1 and 3 on two songs: the mean is 2, the bootstrap's extremes are 1 and 3."""
    utilities = {"old": [0.0, 1.0, 5.0, 5.0], "new": [1.0, 2.0, 7.0, 9.0]}
    table = gains_with_intervals(utilities, ["a", "a", "b", "b"])
    assert table.loc["old"].tolist() == [0, 0, 0]
    assert table.loc["new"].tolist() == [2, 1, 3]


def test_the_best_plan_so_far_only_gets_better():
    songs = [toy_song(64, seed) for seed in (0, 1)]
    late = Reward(lambda edits: [float(edit.order.mean()) for edit in edits])
    table = gain_by_plans(late, TOY_WEIGHTS, songs, n_plans=12, targets=(0.7, 0.5))
    assert list(table.columns) == ["keep ratio 0.70", "keep ratio 0.50"]
    assert list(table.index) == list(range(1, 13))
    assert (table.iloc[0] == 0).all()
    assert (table.diff().iloc[1:] >= 0).all(axis=None)
    assert (table.iloc[-1] > 0).any()
    few = gain_by_plans(late, TOY_WEIGHTS, songs, n_plans=5, targets=(0.7, 0.5))
    pd.testing.assert_frame_equal(few, table.head(5), check_index_type=False)
    assert np.isfinite(table.to_numpy()).all()
