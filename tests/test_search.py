"""The search for rewards that are not additive, against a choice by hand among the same plans."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from toy import toy_song
from tqdm import tqdm

from rlhf_lib import parallel
from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, N_ADDITIVE, describe, weight_vector
from rlhf_lib.editing.edit import Action
from rlhf_lib.learning.planning import search as plan_search
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import Plan
from rlhf_lib.learning.planning.search import alternatives, greedy_edits, planned_env, reweighted
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS

TRIES = 5
#: A few loops are rewarded; the plan alone, in which each loop costs, makes none.
FEW_LOOPS = weight_vector({"seams": -0.1, "hook": 1.0, "loops": -0.5, "looped": 8.0})
LOOPS, RETURNS = ADDITIVE_NAMES.index("loops"), ADDITIVE_NAMES.index("returns")


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=1), toy_song(96, seed=2, beats_per_bar=3)]


@pytest.fixture(scope="module")
def tensors(songs):
    return SongTensors.build(songs, FeatureScale.fit(songs))


@pytest.fixture(scope="module")
def where():
    """Song and target of each episode; songs alternate."""
    song = torch.tensor([0, 1, 0, 1, 0, 1])
    return song, torch.tensor([0.83, 0.83, 0.73, 0.73, 0.5, 0.5], dtype=torch.float64)


def rewards(edits, weights):
    return np.stack([describe(edit) for edit in edits]) @ weights


def test_one_try_is_the_plain_plan(tensors, where):
    plain = EditingEnv(Plan.build(tensors, DENSE_WEIGHTS), *where)
    env = planned_env(tensors, SYNTHETIC_WEIGHTS, *where, tries=1)
    assert torch.equal(env.plan.steps, plain.plan.steps)
    assert torch.equal(env.plan.value, plain.plan.value)
    for ours, other in zip(greedy_edits(env), greedy_edits(plain), strict=True):
        assert (ours.actions == other.actions).all()


def test_the_bar_of_the_search_moves_song_by_song(tensors, where, monkeypatch, capsys):
    monkeypatch.setattr(plan_search, "tqdm", partial(tqdm, mininterval=0))
    planned_env(tensors, FEW_LOOPS, *where, tries=2)
    shown = capsys.readouterr().err
    assert all(f"plans: {share} {at}/2" in _without_bars(shown) for share, at in BAR_OF_TWO)


#: Share and place of a bar of two songs.
BAR_OF_TWO = (("0%", 0), ("50%", 1), ("100%", 2))


def _without_bars(text: str) -> str:
    return " ".join(re.sub(r"\|[^|]*\|", " ", text).split())


def test_processes_draw_no_bars_over_each_other(capfd):
    songs = [toy_song(64, seed=1), toy_song(64, seed=2)]
    parallel.run(_plan_one, songs, jobs=2)
    assert "plans" not in capfd.readouterr().err


def _plan_one(song):
    where = torch.tensor([0]), torch.tensor([0.5], dtype=torch.float64)
    planned_env(SongTensors.build([song], FeatureScale.fit([song])), FEW_LOOPS, *where, tries=2)


def test_the_search_takes_the_best_of_its_plans(tensors, songs, where):
    """Each tried plan is made and carried out alone, for each song and length."""
    found = greedy_edits(planned_env(tensors, FEW_LOOPS, *where, tries=TRIES))
    additive = FEW_LOOPS[:N_ADDITIVE]
    best = np.full(6, -np.inf)
    for number in (0, 1):
        rng = np.random.default_rng(0)
        sets, invited = reweighted(songs[number], additive, TRIES - 1, 1.0, rng)
        places = np.flatnonzero(where[0].numpy() == number)
        alone = SongTensors.build([songs[number]], FeatureScale.fit(songs))
        plans = [Plan.build(alone, additive)]
        plans += [Plan.build(alone, w, i[None]) for w, i in zip(sets, invited, strict=True)]
        for plan in plans:
            env = EditingEnv(plan, 0 * where[0][places], where[1][places])
            best[places] = np.maximum(best[places], rewards(greedy_edits(env), FEW_LOOPS))
    np.testing.assert_allclose(rewards(found, FEW_LOOPS), best, atol=1e-3)
    plain = greedy_edits(planned_env(tensors, FEW_LOOPS, *where, tries=1))
    gain = rewards(found, FEW_LOOPS) - rewards(plain, FEW_LOOPS)
    assert (gain >= -1e-4).all()
    assert gain.mean() > 1.0
    for edit, song, target in zip(found, where[0], where[1], strict=True):
        assert edit.song is songs[song]
        assert edit.target == float(target)
        assert abs(edit.keep_ratio - edit.target) <= 0.0301


def test_the_search_does_not_depend_on_other_songs(tensors, songs, where):
    together = greedy_edits(planned_env(tensors, FEW_LOOPS, *where, tries=TRIES))
    alone = SongTensors.build(songs[1:], FeatureScale.fit(songs))
    song, target = torch.tensor([0]), where[1][3:4]
    (edit,) = greedy_edits(planned_env(alone, FEW_LOOPS, song, target, tries=TRIES))
    np.testing.assert_array_equal(edit.actions, together[3].actions)


def test_a_long_song_is_planned_plainly_and_others_are_still_searched(
    tensors, songs, where, monkeypatch
):
    searched = greedy_edits(planned_env(tensors, FEW_LOOPS, *where, tries=TRIES))
    plain = greedy_edits(planned_env(tensors, FEW_LOOPS, *where, tries=1))
    monkeypatch.setattr(plan_search, "LONGEST_SEARCHED", 64)
    mixed = greedy_edits(planned_env(tensors, FEW_LOOPS, *where, tries=TRIES))
    for place, number in enumerate(where[0].tolist()):
        expected = (searched, plain)[number][place]
        np.testing.assert_array_equal(mixed[place].actions, expected.actions)


def test_reweighted_sets(songs):
    """Log-normal factors; level and activity up or down; loops and returns expensive."""
    sets, invited = reweighted(songs[1], DENSE_WEIGHTS, 3000, 0.5, np.random.default_rng(0))
    kept = [k for k, name in enumerate(ADDITIVE_NAMES) if DENSE_WEIGHTS[k] != 0]
    kept = [k for k in kept if k not in (LOOPS, RETURNS)]
    factors = np.log(sets[:, kept] / DENSE_WEIGHTS[kept])
    assert factors.mean() == pytest.approx(0, abs=0.02)
    assert factors.std() == pytest.approx(0.5, rel=0.03)
    content = sets[:, [ADDITIVE_NAMES.index("level"), ADDITIVE_NAMES.index("activity")]]
    assert content.mean() == pytest.approx(0, abs=0.05)
    assert content.std() == pytest.approx(0.5 * np.sqrt(np.mean(DENSE_WEIGHTS**2)), rel=0.05)
    assert (sets[:, ADDITIVE_NAMES.index("length")] == 0).all()
    refused = -10 * np.sqrt(np.mean(DENSE_WEIGHTS**2))
    np.testing.assert_allclose(sets[:, [LOOPS, RETURNS]], refused)
    # two of three sets give no bonus for loops, the others one to three
    for actions in ([Action.LOOP_2], range(Action.REORDER_1, Action.REORDER_4 + 1)):
        counts = (invited[:, :, list(actions)] > 0).sum(axis=(1, 2))
        assert np.mean(counts == 0) == pytest.approx(6 / 9, abs=0.04)
        assert set(counts.tolist()) == {0, 1, 2, 3}
    few, their_invitations = reweighted(songs[1], DENSE_WEIGHTS, 7, 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(few, sets[:7])
    np.testing.assert_array_equal(their_invitations, invited[:7])


def test_no_sets_and_too_short_a_song(songs):
    nothing = reweighted(songs[0], DENSE_WEIGHTS, 0, 1.0, np.random.default_rng(0))
    assert nothing[0].shape == (0, N_ADDITIVE)
    short, _ = reweighted(toy_song(6), DENSE_WEIGHTS, 20, 1.0, np.random.default_rng(0))
    assert np.isfinite(short).all()


def test_only_bars_with_a_bonus_are_looped_and_reordered(songs):
    sets, invited = reweighted(songs[0], DENSE_WEIGHTS, 40, 0.3, np.random.default_rng(0))
    alone = SongTensors.build(songs[:1], FeatureScale.fit(songs[:1]))
    plan = Plan.build(alone.take([0] * 40), sets, invited)
    env = EditingEnv(plan, torch.arange(40), torch.full((40,), 0.9, dtype=torch.float64))
    points, loops = songs[0].decision_points, 0
    for edit, wished in zip(greedy_edits(env), invited, strict=True):
        actions, likes = edit.actions[points], wished.argmax(axis=1)
        moved = (likes >= Action.REORDER_1) & (actions != Action.CUT)
        np.testing.assert_array_equal(actions >= Action.REORDER_1, moved)
        looped = actions == Action.LOOP_2
        assert (likes[looped] == Action.LOOP_2).all()
        loops += looped.sum()
    assert loops > 5


def test_alternatives_are_good_edits_that_differ(songs):
    rng = np.random.default_rng(0)
    found = alternatives(songs, DENSE_WEIGHTS, (0.83, 0.5), 12, 1.0, rng)
    assert set(found) == {song.sha256 for song in songs}
    for song in songs:
        for target, edits in found[song.sha256].items():
            assert len(edits) == 12
            assert len({edit.actions.tobytes() for edit in edits}) >= 3
            for edit in edits:
                assert edit.song is song and edit.target == target
                assert abs(edit.keep_ratio - target) <= 0.0301
                assert (edit.actions >= Action.REORDER_1).sum() <= 3
    assert alternatives(songs, DENSE_WEIGHTS, (0.5,), 0, 1.0, rng)[songs[0].sha256] == {0.5: []}
