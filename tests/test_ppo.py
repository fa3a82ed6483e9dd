"""The parts of PPO against numbers computed by hand."""

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS, describe
from rlhf_lib.editing.edit import Action
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import NEVER, Plan
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig, every_target, rollout
from rlhf_lib.learning.policy.ppo import (
    PPOConfig,
    clipped_loss,
    collect,
    generalised_advantages,
    update,
)
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS


def test_gae_by_hand():
    # γ = 0.9, λ = 0.5: δ2 = 3 − 0.3 = 2.7; δ1 = 2 + 0.9·0.3 − 0.2 = 2.07;
    # δ0 = 1 + 0.9·0.2 − 0.1 = 1.08; A2 = 2.7; A1 = 2.07 + 0.45·2.7; A0 = 1.08 + 0.45·A1
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    values = torch.tensor([[0.1], [0.2], [0.3]])
    mask = torch.ones(3, 1, dtype=torch.bool)
    found = generalised_advantages(rewards, values, mask, 0.9, 0.5).squeeze(1)
    torch.testing.assert_close(found, torch.tensor([2.55825, 3.285, 2.7]))


def test_gae_stops_at_the_end_of_a_shorter_song():
    rewards = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 99.0]])
    values = torch.tensor([[0.1, 0.1], [0.2, 0.2], [0.3, 99.0]])
    mask = torch.tensor([[True, True], [True, True], [True, False]])
    found = generalised_advantages(rewards, values, mask, 1.0, 1.0)
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
    return Policy(PolicyConfig(**config), SYNTHETIC_WEIGHTS, FeatureScale.fit(songs))


def grid(plan):
    song = torch.arange(3).repeat_interleave(4)
    return EditingEnv(plan, song, torch.tensor([0.93, 0.83, 0.73, 0.5] * 3))


def test_an_untrained_policy_with_planner_is_the_planner(songs, plan):
    env = grid(plan)
    edits = rollout(new_policy(songs), env, greedy=True)
    best = [dense_reward(edit) for edit in plan.best_edits(env.song, env.target)]
    found = [dense_reward(edit) for edit in edits]
    # it may be better, because it may use LOOP and REORDER
    assert all(f >= b - 1e-3 for f, b in zip(found, best, strict=True))


def test_policy_does_not_change_the_weights_it_was_given(songs):
    before = SYNTHETIC_WEIGHTS.copy()
    policy = new_policy(songs)
    policy.weights.copy_(torch.ones(N_DESCRIPTORS))
    np.testing.assert_array_equal(before, SYNTHETIC_WEIGHTS)


def test_the_rewards_add_up_to_the_dense_reward(songs, plan):
    generator = torch.Generator().manual_seed(0)
    batch = collect(new_policy(songs), grid(plan), None, generator, tau=1.0)
    scores = torch.tensor([dense_reward(edit) for edit in batch.edits])
    torch.testing.assert_close(batch.rewards.sum(0), scores.float(), atol=1e-3, rtol=0)


def test_the_rest_of_the_whole_reward_is_given_at_the_end(songs):
    """Songs of different length: the rest is given at the last decision of each."""
    mixed = [songs[0], toy_song(60, seed=4)]
    policy = new_policy(songs)
    env = every_target(policy, mixed, (0.83, 0.5))
    given = np.array([3.0, -2.0, 0.5, 7.0])
    step_by_step, whole = (
        collect(policy, env, reward, torch.Generator().manual_seed(0), tau=1.0)
        for reward in (None, lambda edits: given)
    )
    assert torch.equal(whole.actions, step_by_step.actions)
    np.testing.assert_allclose(whole.rewards.sum(0), given, atol=1e-4)
    last = mixed[0].decision_points.size - 1, mixed[1].decision_points.size - 1
    changed = (whole.rewards != step_by_step.rewards).nonzero().tolist()
    assert sorted(changed) == sorted([[last[0], 0], [last[0], 1], [last[1], 2], [last[1], 3]])


@pytest.mark.parametrize("tau", [0.03, 0.2, None])
def test_logits_are_rewards_over_tau(songs, tau):
    """log p(x) − log p(y) = (Q(x) + network(x) − Q(y) − network(y)) / τ."""
    policy = new_policy(songs, tau=0.05)
    network = torch.tensor([0.0, 0.1, 0, 0, 0, 0, 0, 0, -0.2])
    with torch.no_grad():
        policy.actor[-1].bias += network
    values = torch.tensor([[1.0, 1.02, 0.9, 0.8, NEVER, NEVER, NEVER, NEVER, 1.1]])
    inputs = torch.zeros(1, 2 * policy.config.hidden), torch.zeros(1, 14), values
    log_p, value = policy(*inputs, tau)
    allowed = values[0] > NEVER
    wanted = (values[0] + network)[allowed] / (tau or 0.05)
    found = log_p[0][allowed]
    torch.testing.assert_close(found - found[0], wanted - wanted[0], atol=1e-4, rtol=1e-5)
    assert log_p.exp().sum().item() == pytest.approx(1)
    assert (log_p[0][~allowed] == NEVER).all()
    assert value.item() == pytest.approx(1.1)  # an untrained critic predicts the plan's value


def test_ppo_without_a_planner_learns(songs, plan):
    """From scratch: the return on the training songs rises by a wide margin."""
    policy = new_policy(songs, planner=False, hidden=64)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    config = PPOConfig(kl_coef=0.0, tau=0.5)
    returns = []
    for _ in range(8):
        batch = collect(policy, grid(plan), None, generator, config.tau)
        returns.append(float(batch.rewards.sum(0).mean()))
        numbers = update(policy, None, optimizer, grid(plan), batch, config, generator)
        assert all(np.isfinite(list(numbers.values())))
    assert np.mean(returns[-2:]) > np.mean(returns[:2]) + 1.0


def test_a_batch_is_learned_from_at_the_temperature_it_was_sampled_at(songs, plan):
    """At learning rate 0 the ratio is 1 everywhere; at another temperature it is not."""
    policy, generator = new_policy(songs), torch.Generator().manual_seed(0)
    still = torch.optim.SGD(policy.parameters(), lr=0.0)
    batch = collect(policy, grid(plan), None, generator, tau=0.2)
    same = update(policy, None, still, grid(plan), batch, PPOConfig(tau=0.2), generator)
    other = update(policy, None, still, grid(plan), batch, PPOConfig(tau=0.4), generator)
    assert abs(same["approx_kl"]) < 1e-5 and same["clip_fraction"] == 0
    assert other["approx_kl"] > 1e-2


def test_a_high_tau_finds_what_a_low_one_never_tries():
    """A bandit: to cut the first bar costs 0.3 in the plan, but gains 1 in the whole reward."""
    song = toy_song(32, seed=5)
    torch.manual_seed(0)
    policy = Policy(
        PolicyConfig(hidden=16, search=1), np.zeros(N_DESCRIPTORS), FeatureScale.fit([song])
    )
    env = every_target(policy, [song], (0.5,) * 32)
    plain = env.observe

    def observe():
        slots, values = plain()
        if env.unit == 0:
            values[:, Action.CUT] -= 0.3
        return slots, values

    env.observe = observe

    def pays(edits):
        return np.array([float(edit.actions[0] == Action.CUT) for edit in edits])

    config, generator = PPOConfig(kl_coef=0.0, tau=0.2), torch.Generator().manual_seed(0)
    assert pays(collect(policy, env, pays, generator).edits).sum() == 0  # at τ 0.03: never
    assert 0 < pays(collect(policy, env, pays, generator, 0.2).edits).mean() < 0.5
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for _ in range(8):
        batch = collect(policy, env, pays, generator, config.tau)
        update(policy, None, optimizer, env, batch, config, generator)
    assert pays(rollout(policy, env, greedy=True)).mean() == 1.0


def test_the_network_learns_a_reward_that_is_not_additive():
    """The reward is highest at exactly six seams, which no weight of seams can express."""
    songs = [toy_song(64, seed=s) for s in (1, 2, 3)]
    weights = 0.2 * SYNTHETIC_WEIGHTS
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(hidden=32, search=1), weights, FeatureScale.fit(songs))

    def whole(edits):
        additive = np.stack([describe(edit) for edit in edits]) @ weights
        return additive - np.array([abs(len(edit.seams) - 6) for edit in edits])

    env = every_target(policy, songs, (0.83, 0.73, 0.6, 0.5) * 4)
    planned = whole(rollout(policy, env, greedy=True)).mean()
    config, generator = PPOConfig(kl_coef=0.0, tau=0.2), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    for _ in range(10):
        batch = collect(policy, env, whole, generator, config.tau)
        update(policy, None, optimizer, env, batch, config, generator)
    assert whole(rollout(policy, env, greedy=True)).mean() > planned + 1.0


def test_the_kl_penalty_pulls_back_to_the_reference(songs, plan):
    """With a heavy KL penalty, the KL to the reference falls."""
    reference = new_policy(songs, planner=False).requires_grad_(False)
    policy = new_policy(songs, planner=False)
    with torch.no_grad():
        policy.actor[-1].bias += torch.tensor([0.0, 3.0, 0, 0, 0, 0, 0, 0, 0])
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    config = PPOConfig(kl_coef=100.0, tau=1.0)
    batch = collect(policy, grid(plan), None, generator, config.tau)
    first = update(policy, reference, optimizer, grid(plan), batch, config, generator)["kl"]
    last = update(policy, reference, optimizer, grid(plan), batch, config, generator)["kl"]
    assert first > 0
    assert last < 0.5 * first
