"""PPO's pieces against numbers computed by hand."""

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.learning.dense_reward import DENSE_WEIGHTS, dense_reward
from rlhf_lib.learning.editing_env import EditingEnv
from rlhf_lib.learning.planner import Plan
from rlhf_lib.learning.policy import Policy, PolicyConfig, rollout
from rlhf_lib.learning.ppo import PPOConfig, advantages, clipped_loss, collect, update
from rlhf_lib.learning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.music.measures import ADDITIVE


def test_gae_by_hand():
    # γ = 0.9, λ = 0.5: δ2 = 3 − 0.3 = 2.7; δ1 = 2 + 0.9·0.3 − 0.2 = 2.07;
    # δ0 = 1 + 0.9·0.2 − 0.1 = 1.08; A2 = 2.7; A1 = 2.07 + 0.45·2.7; A0 = 1.08 + 0.45·A1
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    judged = torch.tensor([[0.1], [0.2], [0.3]])
    real = torch.ones(3, 1, dtype=torch.bool)
    found = advantages(rewards, judged, real, 0.9, 0.5).squeeze(1)
    torch.testing.assert_close(found, torch.tensor([2.55825, 3.285, 2.7]))


def test_gae_stops_at_the_end_of_a_shorter_song():
    rewards = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 99.0]])
    judged = torch.tensor([[0.1, 0.1], [0.2, 0.2], [0.3, 99.0]])
    real = torch.tensor([[True, True], [True, True], [True, False]])
    found = advantages(rewards, judged, real, 1.0, 1.0)
    torch.testing.assert_close(found[:, 1], torch.tensor([2.9, 1.8, 0.0]))
    torch.testing.assert_close(found[:, 0], torch.tensor([5.9, 4.8, 2.7]))


@pytest.mark.parametrize(
    "ratio, advantage, loss",
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -2.4),  # clipped at 1.2
        (0.5, 2.0, -1.0),
        (1.5, -1.0, 1.5),  # the worse of both
        (0.5, -1.0, 0.8),  # clipped at 0.8
    ],
)
def test_clipped_loss_by_hand(ratio, advantage, loss):
    found = clipped_loss(
        torch.tensor([ratio]).log(), torch.zeros(1), torch.tensor([advantage]), 0.2
    )
    assert found.item() == pytest.approx(loss)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(140, seed=s) for s in (1, 2, 3)]


@pytest.fixture(scope="module")
def plan(songs):
    return Plan.build(SongTensors.build(songs, FeatureScale.fit(songs)), DENSE_WEIGHTS)


def new_policy(songs, **config):
    torch.manual_seed(0)
    return Policy(PolicyConfig(**config), DENSE_WEIGHTS, FeatureScale.fit(songs))


def grid(plan):
    song = torch.arange(3).repeat_interleave(4)
    return EditingEnv(plan, song, torch.tensor([0.93, 0.83, 0.73, 0.5] * 3))


def test_an_untrained_policy_with_planner_is_the_planner(songs, plan):
    env = grid(plan)
    edits = rollout(new_policy(songs), env, greedy=True)
    best = plan.best_values(env.song, env.target).tolist()
    found = [dense_reward(edit) for edit in edits]
    # it may even be better: LOOP and REORDER are open to it
    assert all(f >= b - 1e-3 for f, b in zip(found, best, strict=True))


def test_policy_does_not_touch_the_weights_it_was_given(songs):
    before = DENSE_WEIGHTS.copy()
    policy = new_policy(songs)
    policy.weights.copy_(torch.ones(len(ADDITIVE)))
    np.testing.assert_array_equal(before, DENSE_WEIGHTS)


def test_collected_rewards_are_the_scores_of_the_edits(songs, plan):
    generator = torch.Generator().manual_seed(0)
    batch = collect(new_policy(songs, tau=1.0), grid(plan), lambda e: np.ones(len(e)), generator)
    scores = torch.tensor([dense_reward(edit) + 1.0 for edit in batch.edits])
    torch.testing.assert_close(batch.rewards.sum(0), scores.float(), atol=1e-3, rtol=0)


def test_ppo_without_a_planner_learns(songs, plan):
    """From scratch: the held-in return after training beats the start by a wide margin."""
    policy = new_policy(songs, planner=False)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    config = PPOConfig(kl=0.0)
    returns = []
    for _ in range(12):
        batch = collect(policy, grid(plan), None, generator)
        returns.append(float(batch.rewards.sum(0).mean()))
        numbers = update(policy, None, optimizer, grid(plan), batch, config, generator)
        assert all(np.isfinite(list(numbers.values())))
    assert np.mean(returns[-3:]) > np.mean(returns[:3]) + 1.0


def test_the_leash_pulls_back_to_the_reference(songs, plan):
    """With a heavy leash and no advantage to gain, KL to the reference falls."""
    reference = new_policy(songs, planner=False).requires_grad_(False)
    policy = new_policy(songs, planner=False)
    with torch.no_grad():
        policy.actor[-1].bias += torch.tensor([0.0, 3.0, 0, 0, 0, 0, 0, 0, 0])
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    config = PPOConfig(kl=100.0)
    batch = collect(policy, grid(plan), None, generator)
    first = update(policy, reference, optimizer, grid(plan), batch, config, generator)["kl"]
    last = update(policy, reference, optimizer, grid(plan), batch, config, generator)["kl"]
    assert first > 0
    assert last < 0.5 * first
