"""Damaged or malicious checkpoints: valid content is loaded, other files are refused by name."""

import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from mutations import damaged, read_or_refuse
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.errors import InputError
from rlhf_lib.learning.archive import load_archive, save_archive
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model, save_model

SMALL = {"width": 16, "heads": 2, "layers": 1, "feedforward": 32, "members": 2, "head": 8}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small policy and a small reward model as files, with their loaders."""
    folder = tmp_path_factory.mktemp("models")
    scale = FeatureScale.fit([toy_song(40)])
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(hidden=8), np.ones(N_DESCRIPTORS), scale)
    model = RewardModel(RewardConfig(**SMALL), scale, np.ones(N_DESCRIPTORS))
    facts = {"songs": [{"sha256": "0" * 64}], "held_out": []}
    return {
        "policy": (save_model(folder / "p.pt", policy, name="policy_v14", **facts), load_policy),
        "reward": (
            save_model(folder / "r.pt", model, name="reward_model_v8", **facts),
            load_reward_model,
        ),
    }


def _is_whole(loaded):
    model, about = loaded
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert isinstance(about["name"], str)


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_damaged_bytes(saved, tmp_path, kind):
    path, load = saved[kind]
    data, target, loaded = path.read_bytes(), tmp_path / "damaged.pt", 0
    _is_whole(load(path))
    for seed in range(120):
        target.write_bytes(damaged(data, random.Random(seed)))
        loaded += read_or_refuse(target, load, _is_whole)
    assert loaded < 60  # only changes between the parts of the archive are harmless


#: Key of a checkpoint → invalid values for it.
ODD = {
    "format": [None, 1, 3, "2", [2]],
    "kind": [None, "RewardModel_", ["Policy"], 3],
    "descriptors": [None, [], "seams", [1, 2], {"a": 1}],
    "features": [None, [], ["f"] * 125],
    "config": [None, {}, [], {"hidden": 8}, "x"],
    "state": [None, {}, [], {"a": 1}, {1: torch.zeros(3)}, {"weights": torch.zeros(3)}],
    "about": [None, [], {}, {"name": 3}, {"name": "x", "songs": 3}, {"name": "x", "songs": [3]}],
}


@pytest.mark.parametrize("kind", ["policy", "reward"])
@pytest.mark.parametrize("part", ODD)
def test_odd_content(saved, tmp_path, kind, part):
    path, load = saved[kind]
    content = load_archive(path)
    for odd in ODD[part]:
        torch.save(content | {part: odd}, tmp_path / "odd.pt")
        assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), odd
    torch.save({key: value for key, value in content.items() if key != part}, tmp_path / "less.pt")
    assert not read_or_refuse(tmp_path / "less.pt", load, _is_whole)


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_odd_configurations_take_no_memory(saved, tmp_path, kind):
    path, load = saved[kind]
    content = load_archive(path)
    for name in content["config"]:
        for odd in (None, -1, 10**9, float("nan"), "8", [8]):
            save_archive(tmp_path / "odd.pt", content | {"config": content["config"] | {name: odd}})
            assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), (name, odd)
        if name in ("hidden", "width", "feedforward", "head"):  # in range, but with other shapes
            save_archive(
                tmp_path / "odd.pt", content | {"config": content["config"] | {name: 4095}}
            )
            assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), name


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_odd_weights(saved, tmp_path, kind):
    path, load = saved[kind]
    content = load_archive(path)
    for name, value in content["state"].items():
        for odd in (value.double() * float("nan"), value[..., :-1], torch.zeros(7, 7, 7, 7), None):
            state = content["state"] | {name: odd}
            save_archive(tmp_path / "odd.pt", content | {"state": state})
            assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), name


def test_a_checkpoint_of_an_earlier_version_is_refused_by_that_name(saved, tmp_path):
    path, load = saved["policy"]
    torch.save(load_archive(path) | {"format": 1}, tmp_path / "old.pt")
    with pytest.raises(InputError, match=r"old\.pt was written by an earlier version \(format 1"):
        load(tmp_path / "old.pt")


class _Trap:
    """Writes a file when it is unpickled without protection."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return open, (self.target, "w")


def test_code_in_a_checkpoint_does_not_run(saved, tmp_path):
    path, _ = saved["policy"]
    target = tmp_path / "proof"
    torch.save({"format": 2, "state": _Trap(target)}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Trap(target)))
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "mixed.pt", "w") as mixed:
        for name in archive.namelist():
            trap = pickle.dumps(_Trap(target), 2) if name.endswith("data.pkl") else None
            mixed.writestr(name, trap or archive.read(name))
    for name in ("evil", "plain", "mixed"):
        for load in (load_policy, load_reward_model, load_archive):
            with pytest.raises(InputError, match=rf"{name}\.pt"):
                load(tmp_path / f"{name}.pt")
    assert not target.exists()
    assert pickle.loads(pickle.dumps(_Trap(target))) is not None
    assert target.exists()  # the trap works
