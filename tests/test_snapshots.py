"""The snapshots of a training run are loaded as policies, in order."""

import pytest
from toy import with_network

from rlhf_lib.errors import InputError
from rlhf_lib.learning.archive import save_archive
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.policy.training import load_snapshots
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS


def policy_of(hidden: int, bias: float = 0.0) -> Policy:
    policy = with_network(Policy(PolicyConfig(hidden=hidden), SYNTHETIC_WEIGHTS))
    policy.last.network["net.2.bias"][:] = bias
    return policy


def keep(folder, episode: int, policy: Policy) -> None:
    content = {"format": 1, "episode": episode, "state": policy.state_dict()}
    save_archive(folder / f"policy_episode_{episode}.pt", content)


def test_snapshots_are_ordered_by_episode_and_the_policy_is_unchanged(tmp_path):
    for episode in (100, 50, 1000):
        keep(tmp_path, episode, policy_of(8, bias=float(episode)))
    policy = policy_of(8)
    snapshots = load_snapshots(tmp_path, policy)
    assert [episode for episode, _ in snapshots] == [50, 100, 1000]
    assert [then.last.network["net.2.bias"][0] for _, then in snapshots] == [50.0, 100.0, 1000.0]
    assert policy.last.network["net.2.bias"][0] == 0.0


def test_missing_or_misfitting_snapshots_are_refused(tmp_path):
    with pytest.raises(InputError, match="train the policy first"):
        load_snapshots(tmp_path, policy_of(8))
    keep(tmp_path, 50, policy_of(16))
    with pytest.raises(InputError, match="does not fit the policy"):
        load_snapshots(tmp_path, policy_of(8))
    for odd in ({"a": 1}, {3: 1}, [], None):
        save_archive(tmp_path / "policy_episode_50.pt", {"episode": 50, "state": odd})
        with pytest.raises(InputError, match="does not fit the policy"):
            load_snapshots(tmp_path, policy_of(8))
