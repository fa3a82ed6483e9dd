"""The environment against the score of the finished edit."""

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.editing_env import N_STATE, EditingEnv
from rlhf_lib.learning.planning.planner import NEVER, Plan
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward


@pytest.fixture(scope="module")
def plan():
    songs = [toy_song(130, seed=4), toy_song(150, seed=5, beats_per_bar=3), toy_song(40, seed=6)]
    changing = np.cumsum([2, *[5, 7, 4, 2, 1, 6] * 6])
    songs.append(toy_song(int(changing[-1]) + 3, seed=7, downbeats=changing))
    return Plan.build(SongTensors.build(songs, FeatureScale.fit(songs)), DENSE_WEIGHTS)


def random_walk(plan, seed, episodes=60, only=None):
    generator = torch.Generator().manual_seed(seed)
    song = torch.arange(episodes) % len(plan.tensors.songs)
    target = torch.tensor([1.0, 0.93, 0.83, 0.73, 0.5])[torch.arange(episodes) // 3 % 5]
    env = EditingEnv(plan, song, target)
    total = torch.zeros(episodes)
    while env.unit < env.horizon:
        slots, values = env.observe()
        assert torch.isfinite(slots).all()
        allowed = (values > NEVER).float()
        assert (allowed.sum(1) > 0).all(), "some episode has no allowed action left"
        if only is not None:
            weights = torch.full((9,), 1e-9)
            weights[only] = 1.0
            allowed = allowed * weights
        total += env.step(torch.multinomial(allowed, 1, generator=generator).squeeze(1))
    return env, total


@pytest.mark.parametrize("seed", range(5))
def test_step_rewards_add_up_to_the_score_of_the_edit(plan, seed):
    env, total = random_walk(plan, seed)
    scores = [dense_reward(edit) for edit in env.edits()]
    np.testing.assert_allclose(total.numpy(), scores, atol=1e-3)


def test_all_nine_actions_occur(plan):
    env, _ = random_walk(plan, 0)
    assert set(np.concatenate([edit.actions for edit in env.edits()]).tolist()) == set(range(9))


@pytest.mark.parametrize("only", [None, [Action.KEEP, Action.CUT]])
def test_any_actions_reach_the_length(plan, only):
    for seed in range(3):
        env, _ = random_walk(plan, seed, only=only)
        for edit in env.edits():
            assert abs(edit.keep_ratio - edit.target) <= 0.0301


def test_state_has_889_numbers(plan):
    env = EditingEnv(plan, torch.tensor([0, 1]), torch.tensor([0.5, 0.7]))
    assert env.state().shape == (2, N_STATE) == (2, 889)


@pytest.mark.parametrize("action", [a for a in Action if a <= Action.LOOP_4])
def test_planned_value_of_an_action_is_earned_by_planning_on(plan, action):
    env = EditingEnv(plan, torch.tensor([0]), torch.tensor([0.73]))
    env.step(torch.tensor([Action.KEEP]))
    promised = env.observe()[1][0, action].item()
    earned = env.step(torch.tensor([action])).item()
    while env.unit < env.horizon:
        keep, cut = env.observe()[1][0, :2].tolist()
        earned += env.step(torch.tensor([Action.KEEP if keep >= cut else Action.CUT])).item()
    assert earned == pytest.approx(promised, abs=1e-3)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_planned_value_of_reorder_is_earned_by_keeping_the_bar(plan, k):
    env = EditingEnv(plan, torch.tensor([0]), torch.tensor([1.0]))
    env.step(torch.tensor([Action.KEEP]))
    gain = env.observe()[1][0, Action.LOOP_4 + k] - env.observe()[1][0, Action.KEEP]
    kept, moved = np.zeros(130, dtype=int), np.zeros(130, dtype=int)
    moved[env.tensors.first[0, 1]] = Action.LOOP_4 + k
    song = plan.tensors.songs[0]
    difference = dense_reward(Edit(song, moved, 1.0)) - dense_reward(Edit(song, kept, 1.0))
    assert gain.item() == pytest.approx(difference, abs=1e-3)
