"""The gymnasium environment against gymnasium's own checker and the batched environment."""

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from sb3_contrib import MaskablePPO
from toy import toy_song

from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, N_ADDITIVE, describe, weight_vector
from rlhf_lib.editing.edit import Action
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import NEVER
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.policy.gym_env import SongEditing
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward

DENSE = np.pad(DENSE_WEIGHTS, (0, len(DESCRIPTOR_NAMES) - N_ADDITIVE))
#: Two members of a linear reward for the edit as a whole, which no step pays.
WHOLE = np.stack([DENSE, DENSE + weight_vector({"energy_arc": 6.0, "close_seams": -2.0})])


@pytest.fixture(scope="module")
def songs():
    return [toy_song(40, seed=4), toy_song(70, seed=5, beats_per_bar=3), toy_song(64, seed=6)]


@pytest.fixture(scope="module")
def env(songs):
    return SongEditing(songs, Reward(weights=DENSE))


def walk(env, seed=0, **options):
    """Take random allowed actions to the end; return actions, rewards and the last info."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed, options=options)
    actions, rewards, done = [], [], False
    while not done:
        actions.append(int(rng.choice(np.flatnonzero(env.action_masks()))))
        _, reward, done, _, info = env.step(actions[-1])
        rewards.append(reward)
    return actions, rewards, info


def count_seams(edits):
    return [float(len(edit.seams)) for edit in edits]


def test_gymnasiums_checker_passes(songs):
    check_env(SongEditing(songs, Reward(weights=DENSE)), skip_render_check=True)
    check_env(SongEditing(songs, count_seams), skip_render_check=True)


@pytest.mark.parametrize("song, target", [(0, 0.83), (1, 0.5), (2, 0.73)])
def test_same_rules_as_the_batched_environment(env, song, target):
    """Among other episodes, with the same actions: same states, masks and rewards."""
    company = EditingEnv(env.plan, torch.tensor([song, 1, 2]), torch.tensor([target, 0.93, 0.5]))
    state, _ = env.reset(options={"song": song, "target": target})
    rng, done = np.random.default_rng(0), False
    while not done:
        _, values = company.observe()
        np.testing.assert_allclose(company.state()[0], state, atol=1e-6)
        np.testing.assert_array_equal(values[0] > NEVER, env.action_masks())
        action = int(rng.choice(np.flatnonzero(env.action_masks())))
        others = values.argmax(dim=1)
        others[0] = action
        state, reward, done, truncated, info = env.step(action)
        assert reward == pytest.approx(float(company.step(others)[0]), abs=1e-4)
        assert not truncated
    assert company.unit == env.plan.tensors.n_units[song]
    while company.unit < company.horizon:
        company.step(company.observe()[1].argmax(dim=1))
    np.testing.assert_array_equal(info["edit"].actions, company.edits()[0].actions)


def test_rewards_add_up_to_the_dense_reward(env):
    """All of it is paid step by step: the last decision gets no more than its own steps."""
    for seed in range(5):
        actions, rewards, info = walk(env, seed)
        assert sum(rewards) == pytest.approx(dense_reward(info["edit"]), abs=1e-3)
        song = env.plan.tensors.songs.index(info["edit"].song)
        alone = EditingEnv(env.plan, torch.tensor([song]), torch.tensor([info["edit"].target]))
        steps = [float(alone.step(torch.tensor([action]))[0]) for action in actions]
        np.testing.assert_allclose(rewards, steps, atol=1e-3)


def test_rewards_add_up_to_a_linear_reward_of_the_whole_edit(songs):
    """Of an ensemble: its mean. The additive weights are paid on the way, the rest at the end."""
    env = SongEditing(songs, Reward(weights=WHOLE))
    for seed in range(5):
        actions, rewards, info = walk(env, seed)
        edit = info["edit"]
        assert sum(rewards) == pytest.approx(describe(edit) @ WHOLE.mean(axis=0), abs=1e-3)
        again = SongEditing(songs, Reward(weights=DENSE))
        again.reset(options={"song": songs.index(edit.song), "target": edit.target})
        dense = [again.step(action)[1] for action in actions]
        np.testing.assert_allclose(rewards[:-1], dense[:-1], atol=1e-4)
        rest = describe(edit) @ (WHOLE.mean(axis=0) - DENSE)
        assert rewards[-1] - dense[-1] == pytest.approx(rest, abs=1e-3)


def test_rewards_add_up_to_a_function(songs):
    env = SongEditing(songs, count_seams)
    for seed in range(3):
        _, rewards, info = walk(env, seed, song=2)
        assert sum(rewards) == pytest.approx(len(info["edit"].seams), abs=1e-4)


def test_the_seed_decides_song_and_length(env):
    drawn = [env.reset(seed=s)[1] for s in (0, 1, 2, 3, 4, 5, 0)]
    assert drawn[0] == drawn[-1]
    assert len({d["song"] for d in drawn}) > 1 and len({d["target"] for d in drawn}) > 1


def test_lengths_are_drawn_from_those_given(songs):
    env = SongEditing(songs, count_seams, targets=(0.6, 0.7))
    assert {env.reset(seed=seed)[1]["target"] for seed in range(12)} == {0.6, 0.7}


def test_what_is_not_allowed_counts_as_keep_or_cut(env):
    env.reset(options={"song": 0, "target": 0.5})
    done = False
    while not done:  # a learner without masks that takes only one action
        _, _, done, _, info = env.step(int(Action.LOOP_4))
    assert abs(info["edit"].keep_ratio - 0.5) <= 0.0301
    assert set(info["edit"].actions.tolist()) >= {Action.CUT, Action.LOOP_4}


def test_a_song_that_does_not_exist(env):
    with pytest.raises(InputError, match="song 7 does not exist; there are 3"):
        env.reset(options={"song": 7})


def test_maskable_ppo_trains_on_it(songs):
    env = SongEditing(songs, Reward(weights=DENSE), targets=(0.5,))
    model = MaskablePPO("MlpPolicy", env, n_steps=64, batch_size=32, seed=0, device="cpu")
    before = model.policy.action_net.weight.clone()
    model.learn(128)
    assert not torch.equal(before, model.policy.action_net.weight)
    state, _ = env.reset(seed=0)
    done = False
    while not done:
        action, _ = model.predict(state, action_masks=env.action_masks())
        assert env.action_masks()[action]
        state, _, done, _, info = env.step(action)
    assert abs(info["edit"].keep_ratio - 0.5) <= 0.0301
