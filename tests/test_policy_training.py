"""Policy training: resumable, stopped when it goes wrong, logged."""

import copy
import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import toy_song, with_network

from rlhf_lib.errors import InputError
from rlhf_lib.learning.archive import save_archive
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.policy import training as policy_training
from rlhf_lib.learning.policy.policy import TARGETS, Policy, PolicyConfig
from rlhf_lib.learning.policy.ppo import PPOConfig, collect
from rlhf_lib.learning.policy.training import PolicyTraining, forget_state, train_policy
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.paths import file_sha256
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model, save_model

CONFIG = PolicyTraining(
    episodes=80, ppo=PPOConfig(episodes_per_update=20, lr=1e-2), checkpoint_every=20
)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=s) for s in range(3)]


@pytest.fixture
def policy():
    config = PolicyConfig(hidden=8, draws=2, own_plans=4, dense_plans=4, climb=12)
    return Policy(config, SYNTHETIC_WEIGHTS)


@pytest.fixture
def reward(songs, policy):
    return CombinedReward(None, policy.edits(songs, TARGETS))


class Killed(Exception):
    pass


def test_an_interrupted_run_ends_like_an_uninterrupted_one(songs, reward, tmp_path, policy):
    start = copy.deepcopy(policy.state_dict())
    whole = train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path / "whole")
    expected = copy.deepcopy(policy.state_dict())

    def kill(row):
        if row["episode"] == 50:  # within the third update
            raise Killed

    policy.load_state_dict(start)
    with pytest.raises(Killed):
        train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path / "cut", kill)
    policy.load_state_dict(start)
    seen = []
    resumed = train_policy(
        policy, reward, songs[:2], songs[2:], CONFIG, tmp_path / "cut", seen.append
    )
    assert seen[0]["episode"] == 50, "it resumed instead of starting again"
    assert resumed == whole
    for name, value in policy.state_dict().items():
        np.testing.assert_array_equal(value, expected[name], name)
    rows = [(tmp_path / run / "metrics.csv").read_text() for run in ("whole", "cut")]
    assert rows[0] == rows[1]


def test_log_lines_and_checkpoints(songs, reward, tmp_path, policy):
    history = train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path)
    assert [row["episode"] for row in history.rows] == list(range(10, 81, 10))
    with (tmp_path / "metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 8
    assert {"dense", "learned", "combined", "loss", "kl", "held_out"} <= set(rows[0])
    names = sorted(path.name for path in tmp_path.glob("policy_episode_*.pt"))
    assert names == [f"policy_episode_{k}.pt" for k in (20, 40, 60, 80)]
    assert list(tmp_path.glob("tensorboard/events*"))
    assert list(tmp_path.glob("state_*")), "a finished run is not run again"
    forget_state(tmp_path)
    assert not list(tmp_path.glob("state_*"))


def seams_and_song(edits):
    """A reward that differs more between songs and lengths than between edits."""
    songs = [100.0 * int(edit.song.sha256, 16) - 50.0 * edit.target for edit in edits]
    return np.array(songs) + [float(len(edit.seams)) for edit in edits]


def test_rows_are_gains_over_the_mean_plan_at_the_start(songs, policy, monkeypatch):
    """For the same song and length; on held-out songs the mean over four draws of each."""
    batches = []
    monkeypatch.setattr(
        policy_training, "collect", lambda *args: batches.append(collect(*args)) or batches[-1]
    )
    start = policy.only(search=False)
    before = {(e.song, e.target): len(e.seams) for e in start.edits(songs)}
    config = replace(CONFIG, episodes=40, ppo=PPOConfig(20, lr=0.0))
    history = train_policy(policy, seams_and_song, songs[:2], songs[2:], config)
    drawn = [edit for batch in batches for edit in batch.edits]
    gains = np.array([len(edit.seams) - before[edit.song, edit.target] for edit in drawn])
    assert gains.any()
    found = [row["combined"] for row in history.rows]
    np.testing.assert_allclose(found, gains.reshape(4, 10).mean(axis=1), atol=1e-6)
    held_out = [e for seed in range(4) for e in start.edits(songs[2:], greedy=False, seed=seed)]
    expected = np.mean([len(e.seams) - before[e.song, e.target] for e in held_out])
    assert [row["held_out"] for row in history.rows] == pytest.approx([expected] * 4)
    assert history.best_episode == 0, "nothing was learned"


def test_divergence_stops_training_and_the_best_policy_is_kept(
    songs, reward, tmp_path, policy, monkeypatch
):
    rewards = iter([0.0, 0.5, 0.1, 0.0, -0.1, -0.2])
    monkeypatch.setattr(policy_training, "_held_out_gains", lambda *_: np.full(4, next(rewards)))
    history = train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path)
    assert "held-out reward fell" in history.stopped
    assert history.best_episode == 20
    assert history.rows[-1]["episode"] == 80


@pytest.mark.parametrize("fourth, kept", [(1.4, 20), (-0.6, 0)])
def test_a_policy_is_kept_only_when_clearly_better(
    songs, reward, tmp_path, policy, monkeypatch, fourth, kept
):
    """Edits gain 1, 0.2, 1 and a fourth: 0.9 ± 2 · 0.22 is kept, 0.4 ± 2 · 0.33 is not."""
    rewards = iter([np.zeros(4), np.array([1.0, 0.2, 1.0, fourth]), *3 * [np.zeros(4)]])
    monkeypatch.setattr(policy_training, "_held_out_gains", lambda *_: next(rewards))
    history = train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path)
    assert history.best_episode == kept


def test_kl_limit_stops_training(songs, reward, tmp_path, policy):
    config = PolicyTraining(
        episodes=80,
        ppo=PPOConfig(episodes_per_update=20, lr=0.1, kl_coef=0.0),
        checkpoint_every=20,
        kl_limit=1e-6,
    )
    history = train_policy(policy, reward, songs[:2], songs[2:], config, tmp_path)
    assert "KL" in history.stopped
    assert history.rows[-1]["episode"] < 80


def test_not_a_number_stops_training(songs, reward, tmp_path, policy, monkeypatch):
    monkeypatch.setattr(policy_training, "update", lambda *_: {"loss": float("nan"), "kl": 0.0})
    history = train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path)
    assert history.stopped == "loss is not a number"


def test_wrong_settings():
    with pytest.raises(InputError, match="checkpoint_every is 30"):
        PolicyTraining(checkpoint_every=30)
    with pytest.raises(InputError, match="episodes is 0"):
        PolicyTraining(episodes=0)
    with pytest.raises(InputError, match=r"ppo\.draws is 1; compare at least 2"):
        PolicyTraining(ppo=PPOConfig(draws=1))  # nothing to compare: nothing would be learned
    with pytest.raises(InputError, match=r"episodes_per_update is 50; .* multiple of 20"):
        PolicyTraining(ppo=PPOConfig(draws=20))


def test_checkpoint_round_trip_and_lineage(tmp_path, policy):
    facts = {"name": "policy_v14", "parents": {"x": "0" * 64}, "songs": [], "held_out": []}
    path = save_model(tmp_path / "p.pt", policy, **facts)
    loaded, about = load_policy(path)
    assert about == facts
    for name, value in policy.state_dict().items():
        np.testing.assert_array_equal(value, loaded.state_dict()[name])
    assert loaded.config == policy.config
    assert file_sha256(path) == file_sha256(path)


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_checkpoints_run_no_code(tmp_path):
    trace = tmp_path / "code_ran"
    torch.save({"format": 1, "kind": "Policy", "state": Evil(trace)}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_policy(tmp_path / "evil.pt")
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 truncated"])
def test_broken_checkpoints(tmp_path, content):
    (tmp_path / "broken.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.pt"):
        load_policy(tmp_path / "broken.pt")


def test_wrong_checkpoints(tmp_path, policy):
    path = save_model(tmp_path / "p.pt", policy, name="policy_v14")
    with pytest.raises(InputError, match="not a RewardModel"):
        load_reward_model(path)
    with pytest.raises(InputError, match="no checkpoint at"):
        load_policy(tmp_path / "missing.pt")
    content = torch.load(path, weights_only=True)
    content["state"]["stages.0.weights"][0] = np.nan
    save_archive(tmp_path / "nan.pt", content)
    with pytest.raises(InputError, match="not numbers"):
        load_policy(tmp_path / "nan.pt")
    content["descriptors"] = ["seams"]
    save_archive(tmp_path / "other.pt", content)
    with pytest.raises(InputError, match="other descriptors"):
        load_policy(tmp_path / "other.pt")


def test_a_linear_reward_becomes_that_of_the_stage(songs, reward, policy):
    """Under another reward than before, training starts from the plan under it."""
    with_network(policy).last.network["net.2.bias"][:] = 2.0
    before = copy.deepcopy(policy.state_dict())
    train_policy(policy, reward, songs, config=CONFIG)
    np.testing.assert_allclose(policy.weights, reward.weights)
    assert policy.last.linear
    assert (policy.last.network["net.2.bias"] != before["stages.0.net.2.bias"]).any()
    assert np.abs(policy.last.network["net.2.bias"]).max() < 1


def test_what_was_trained_on_a_function_edits_by_its_mean_plan(songs, policy):
    """Its weights stay, and without the function nothing can be compared."""

    def longest_piece(edits):
        return [float(np.diff(edit.segments).max()) for edit in edits]

    train_policy(policy, longest_piece, songs, config=CONFIG)
    np.testing.assert_array_equal(policy.weights, SYNTHETIC_WEIGHTS)
    assert not policy.last.linear
    mean = [edit.actions.tolist() for edit in policy.only(search=False).edits(songs)]
    assert [edit.actions.tolist() for edit in policy.edits(songs)] == mean


@pytest.mark.parametrize("count", [1, 30])
def test_the_run_ends_with_a_whole_update(songs, reward, policy, count):
    """Fewer episodes than an update, or no multiple of one: the last update is complete."""
    config = PolicyTraining(episodes=count, ppo=PPOConfig(20), checkpoint_every=20)
    history = train_policy(policy, reward, songs, config=config)
    assert history.rows[-1]["episode"] == -(-count // 20) * 20
    assert history.stopped == "all episodes done"


def test_another_run_does_not_resume_the_state(songs, reward, policy, tmp_path):
    """Songs, settings and reward belong to a state."""
    weights = reward.member_weights
    start = copy.deepcopy(policy.state_dict())
    for songs_of_run, config, of_run in (
        (songs, CONFIG, reward),
        (songs[:2], CONFIG, reward),
        (songs, replace(CONFIG, seed=1), reward),
        (songs, CONFIG, Reward(weights=2 * weights)),
        (songs, CONFIG, Reward(len_of_edits)),
    ):
        seen = []
        policy.load_state_dict(start)
        train_policy(policy, of_run, songs_of_run, None, config, tmp_path, seen.append)
        assert seen[0]["episode"] == 10, "it resumed a state of another run"
    assert len(list(tmp_path.glob("state_*.pt"))) == 5


def len_of_edits(edits):
    return [float(len(edit.order)) for edit in edits]
