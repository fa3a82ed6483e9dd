"""Rewards of any kind: what they return, and what is refused."""

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS, describe, weight_vector
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.dense import dense_reward
from rlhf_lib.learning.reward.model import within_song_std


@pytest.fixture(scope="module")
def edits():
    song, rng = toy_song(48), np.random.default_rng(0)
    return [Edit(song, rng.integers(0, 2, 48), 0.5) for _ in range(5)]


def seconds(edits):
    return [edit.duration for edit in edits]


def test_a_linear_reward_is_weights_times_descriptors(edits):
    members = np.random.default_rng(1).normal(size=(3, N_DESCRIPTORS))
    reward = Reward(weights=members)
    by_hand = np.array([[one @ describe(edit) for one in members] for edit in edits])
    np.testing.assert_allclose(reward.members(edits), by_hand)
    np.testing.assert_allclose(reward.scores(edits), by_hand.mean(axis=1))
    np.testing.assert_allclose(reward.weights, members.mean(axis=0))
    assert reward.linear
    one = Reward(weights=members[0])
    np.testing.assert_allclose(one.members(edits), by_hand[:, :1])


def test_a_function_is_a_reward(edits):
    """A list is as good as an array; linear weights beside it are only planned by."""
    for reward in (Reward.of(seconds), Reward(seconds, np.ones(N_DESCRIPTORS))):
        np.testing.assert_allclose(reward.scores(edits), seconds(edits))
        np.testing.assert_allclose(reward.members(edits), np.transpose([seconds(edits)]))
        np.testing.assert_allclose(reward.parts(edits)["combined"], seconds(edits))
        assert not reward.linear
    assert Reward.of(seconds).weights is None
    assert Reward.of(reward) is reward


def test_a_class_that_computes_scores_is_a_reward(edits):
    class Shorter:
        def __call__(self, edits):
            return -np.array(seconds(edits), dtype=np.float32)

    np.testing.assert_allclose(Reward.of(Shorter()).scores(edits), [-s for s in seconds(edits)])


def test_rewards_are_told_apart_by_their_weights_and_functions():
    weights = np.eye(2, N_DESCRIPTORS)
    names = [Reward(weights=weights[0]).name, Reward(weights=weights[1]).name]
    names += [Reward(seconds).name, Reward(len).name, Reward(seconds, weights).name]
    assert len(set(names)) == 5
    assert Reward(weights=weights[0]).name == names[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda edits: 1.0, r"shape \(\) for 5 edits; .* one score for each"),
        (lambda edits: np.ones((5, 1)), r"shape \(5, 1\) for 5 edits"),
        (lambda edits: np.ones(4), r"shape \(4,\) for 5 edits"),
        (lambda edits: [], r"shape \(0,\) for 5 edits"),
        (lambda edits: [1, 2, float("nan"), 3, 4], r"Edit\('toy_0', .* is nan; .* finite"),
        (lambda edits: [1, 2, 3, 4, -np.inf], "is -inf"),
        (lambda edits: ["a"] * 5, "a list that holds no numbers"),
        (lambda edits: "good", "a str that holds no numbers"),
        (lambda edits: [None] * 5, "is nan|no numbers"),
        (lambda edits: None, r"shape \(\)|no numbers"),
        (lambda edits: {"a": 1}, "a dict that holds no numbers"),
        (lambda edits: [[1], [1, 2], 3, 4, 5], "a list that holds no numbers"),
        (lambda edits: [1j] * 5, "a list that holds no numbers"),
    ],
)
def test_what_is_no_score_for_each_edit_is_refused(edits, function, message):
    for act in (Reward(function).scores, Reward(function).members, Reward(function).parts):
        with pytest.raises(InputError, match=rf"the reward (returned|of) .*({message})"):
            act(edits)


def test_an_error_in_the_function_is_not_hidden(edits):
    def broken(edits):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Reward(broken).scores(edits)


@pytest.mark.parametrize("given", [3.0, "reward", np.ones(N_DESCRIPTORS)])
def test_what_is_no_function_is_refused(given):
    with pytest.raises(InputError, match=rf"the reward is a {type(given).__name__}; give a func"):
        Reward.of(given)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"shape \(3,\); give 40, one for each descriptor, or rows of these"),
        (np.ones((2, 2, N_DESCRIPTORS)), r"shape \(2, 2, 40\)"),
        (1.0, r"shape \(\)"),
        (np.full(N_DESCRIPTORS, np.nan), "not a finite number"),
        (np.zeros((0, N_DESCRIPTORS)), r"shape \(0, 40\)"),
        (["a"] * N_DESCRIPTORS, "no numbers"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        Reward(weights=weights)


def test_neither_function_nor_weights_is_refused():
    with pytest.raises(InputError, match="needs a function of edits, or weights"):
        Reward()


# --- the combined reward


class Model:
    """Stands in for a reward model of two members that count seams; `mix` as given."""

    def __init__(self, mix):
        self.mix = np.array(mix)
        self.mean, self.std = 0.0, 1.0

    def set_normal(self, reference):
        raw = np.array([-len(edit.seams) for edit in reference], dtype=float)
        self.mean, self.std = raw.mean(), within_song_std(raw, reference)

    def linear_weights(self):
        return np.stack([weight_vector({"seams": -k / self.std}) for k in (0.5, 1.5)])

    def score(self, edits):
        raw = np.array([[-k * len(edit.seams) for k in (0.5, 1.5)] for edit in edits])
        bend = np.array([[float(len(edit.seams) > 3)] for edit in edits]) * self.mix.any()
        return (raw - self.mean) / self.std - bend


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_the_combined_reward_is_its_parts(edits, mix):
    """0.8 · learned + 0.2 · dense; differences between edits of one song count."""
    reward = CombinedReward(Model([mix]), edits, 0.8)
    parts = reward.parts(edits)
    dense = np.array([dense_reward(edit) for edit in edits])
    np.testing.assert_allclose(parts["dense"], (dense - dense.mean()) / dense.std(), atol=1e-6)
    learned = reward.model.score(edits).mean(axis=1)
    np.testing.assert_allclose(parts["learned"], learned)
    combined = 0.8 * parts["learned"] + 0.2 * parts["dense"]
    np.testing.assert_allclose(parts["combined"], combined)
    assert reward.linear == (mix == 0)
    scores = reward.scores(edits)
    np.testing.assert_allclose(scores - scores[0], combined - combined[0], atol=1e-5)
    assert reward.member_weights.shape == (2, N_DESCRIPTORS)
    spread = reward.members(edits).std(axis=1)
    assert (spread.max() > 0) == (mix == 0)


def test_without_a_model_the_combined_reward_is_the_dense_one(edits):
    reward = CombinedReward(None, edits)
    dense = np.array([dense_reward(edit) for edit in edits])
    scores = reward.scores(edits)
    np.testing.assert_allclose(scores - scores[0], (dense - dense[0]) / dense.std(), atol=1e-5)
    assert not reward.parts(edits)["learned"].any()
