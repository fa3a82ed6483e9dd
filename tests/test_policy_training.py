"""Policy training: resumable, stopped when it goes wrong, logged."""

import csv

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.edit import Action
from rlhf_lib.errors import InputError
from rlhf_lib.learning.archive import save_archive
from rlhf_lib.learning.planning.search import greedy_edits
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy import training as policy_training
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig, every_target
from rlhf_lib.learning.policy.ppo import PPOConfig
from rlhf_lib.learning.policy.training import PolicyTraining, forget_state, train_policy
from rlhf_lib.learning.reward.combined import CombinedReward
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.paths import file_sha256
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model, save_model
from rlhf_lib.steps.evaluation import part_of, policy_edits

CONFIG = PolicyTraining(
    episodes=80, ppo=PPOConfig(episodes_per_update=20, lr=1e-3), checkpoint_every=20
)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=s) for s in range(3)]


@pytest.fixture
def policy(songs):
    torch.manual_seed(0)
    config = PolicyConfig(hidden=32, search=2)
    return Policy(config, SYNTHETIC_WEIGHTS, FeatureScale.fit(songs))


@pytest.fixture
def reward(songs, policy):
    return CombinedReward(None, greedy_edits(every_target(policy, songs)))


class Killed(Exception):
    pass


def test_an_interrupted_run_ends_like_an_uninterrupted_one(songs, reward, tmp_path, policy):
    start = {name: value.clone() for name, value in policy.state_dict().items()}
    whole = train_policy(policy, reward, songs[:2], songs[2:], CONFIG, tmp_path / "whole")
    expected = {name: value.clone() for name, value in policy.state_dict().items()}

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
        assert torch.equal(value, expected[name]), name
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


def test_divergence_stops_training_and_the_best_policy_is_kept(
    songs, reward, tmp_path, policy, monkeypatch
):
    rewards = iter([0.0, 0.5, 0.1, 0.0, -0.1, -0.2])
    monkeypatch.setattr(policy_training, "_rewards", lambda *_: np.full(4, next(rewards)))
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
    monkeypatch.setattr(policy_training, "_rewards", lambda *_: next(rewards))
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


def test_checkpoint_round_trip_and_lineage(tmp_path, policy):
    facts = {"name": "policy_v14", "parents": {"x": "0" * 64}, "songs": [], "held_out": []}
    path = save_model(tmp_path / "p.pt", policy, **facts)
    loaded, about = load_policy(path)
    assert about == facts
    for name, value in policy.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
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
    content["state"]["actor.3.bias"][0] = np.nan
    save_archive(tmp_path / "nan.pt", content)
    with pytest.raises(InputError, match="not numbers"):
        load_policy(tmp_path / "nan.pt")
    content["descriptors"] = ["seams"]
    save_archive(tmp_path / "other.pt", content)
    with pytest.raises(InputError, match="other descriptors"):
        load_policy(tmp_path / "other.pt")


def test_under_a_new_reward_the_policy_starts_as_its_plan(songs, reward, policy):
    with torch.no_grad():  # learned under an old reward: to cut everywhere
        policy.weights.mul_(0.5)
        policy.actor[-1].bias[Action.CUT] = 5.0
    plan = part_of(policy, "planner and search")
    plan.follow(reward.weights)
    expected = [edit.actions.tolist() for edit in policy_edits(plan, songs, greedy=True)]
    before = [edit.actions.tolist() for edit in policy_edits(policy, songs, greedy=True)]
    assert before != expected
    policy.follow(reward.weights)
    assert [e.actions.tolist() for e in policy_edits(policy, songs, greedy=True)] == expected
    assert not any(p.any() for head in (policy.actor, policy.critic) for p in head[-1].parameters())


def test_under_the_same_reward_the_network_is_kept(reward, policy):
    policy.follow(reward.weights)
    with torch.no_grad():
        policy.actor[-1].bias[Action.CUT] = 5.0
    policy.follow(reward.weights)
    assert policy.actor[-1].bias[Action.CUT] == 5.0
