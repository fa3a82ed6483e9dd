"""The gymnasium environment against gymnasium's own checker and the batched environment."""

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from sb3_contrib import MaskablePPO
from toy import toy_song

from rlhf_lib.editing.edit import Action
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import NEVER, Plan
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.policy.gym_env import SongEditing
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS, dense_reward


@pytest.fixture(scope="module")
def plan():
    songs = [toy_song(40, seed=4), toy_song(70, seed=5, beats_per_bar=3), toy_song(64, seed=6)]
    return Plan.build(SongTensors.build(songs, FeatureScale.fit(songs)), DENSE_WEIGHTS)


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


def test_gymnasiums_checker_passes(plan):
    check_env(SongEditing(plan), skip_render_check=True)


@pytest.mark.parametrize("song, target", [(0, 0.83), (1, 0.5), (2, 0.73)])
def test_same_rules_as_the_batched_environment(plan, song, target):
    """Among other episodes, with the same actions: same states, masks and rewards."""
    ours = SongEditing(plan)
    company = EditingEnv(plan, torch.tensor([song, 1, 2]), torch.tensor([target, 0.93, 0.5]))
    state, _ = ours.reset(options={"song": song, "target": target})
    rng, done = np.random.default_rng(0), False
    while not done:
        _, values = company.observe()
        np.testing.assert_allclose(company.state()[0], state, atol=1e-6)
        np.testing.assert_array_equal(values[0] > NEVER, ours.action_masks())
        action = int(rng.choice(np.flatnonzero(ours.action_masks())))
        others = values.argmax(dim=1)
        others[0] = action
        state, reward, done, truncated, info = ours.step(action)
        assert reward == pytest.approx(float(company.step(others)[0]), abs=1e-5)
        assert not truncated
    assert company.unit == plan.tensors.n_units[song]
    while company.unit < company.horizon:
        company.step(company.observe()[1].argmax(dim=1))
    np.testing.assert_array_equal(info["edit"].actions, company.edits()[0].actions)


def test_rewards_add_up_to_the_dense_reward(plan):
    env = SongEditing(plan)
    for seed in range(5):
        _, rewards, info = walk(env, seed)
        assert sum(rewards) == pytest.approx(dense_reward(info["edit"]), abs=1e-3)


def test_rewards_add_up_to_a_whole_reward(plan):
    env = SongEditing(plan, whole_reward=lambda edits: np.array([len(e.seams) for e in edits]))
    _, rewards, info = walk(env, song=2)
    assert sum(rewards) == pytest.approx(len(info["edit"].seams), abs=1e-4)


def test_the_seed_decides_song_and_length(plan):
    env = SongEditing(plan)
    drawn = [env.reset(seed=s)[1] for s in (0, 1, 2, 3, 4, 5, 0)]
    assert drawn[0] == drawn[-1]
    assert len({d["song"] for d in drawn}) > 1 and len({d["target"] for d in drawn}) > 1


def test_what_is_not_allowed_counts_as_keep_or_cut(plan):
    env = SongEditing(plan)
    env.reset(options={"song": 0, "target": 0.5})
    done = False
    while not done:  # a learner without masks that takes only one action
        _, _, done, _, info = env.step(int(Action.LOOP_4))
    assert abs(info["edit"].keep_ratio - 0.5) <= 0.0301
    assert set(info["edit"].actions.tolist()) >= {Action.CUT, Action.LOOP_4}


def test_a_song_that_does_not_exist(plan):
    with pytest.raises(InputError, match="song 7 does not exist; there are 3"):
        SongEditing(plan).reset(options={"song": 7})


def test_maskable_ppo_trains_on_it(plan):
    env = SongEditing(plan, targets=(0.5,))
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
