"""Damaged or malicious checkpoints: valid content is loaded, other files are refused by name."""

import pickle
import random
import zipfile
from functools import reduce

import numpy as np
import pytest
import torch
from mutations import damaged, read_or_refuse
from torch.utils.data import default_convert
from toy import toy_song, with_network

from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.errors import InputError
from rlhf_lib.learning import tensor_file
from rlhf_lib.learning.archive import load_archive, save_archive
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model, save_model
from rlhf_lib.steps.lineage import next_version

SMALL = {"width": 16, "heads": 2, "layers": 1, "feedforward": 32, "members": 2, "head": 8}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small policy and a small reward model as files, with their loaders."""
    folder = tmp_path_factory.mktemp("models")
    scale = FeatureScale.fit([toy_song(40)])
    torch.manual_seed(0)
    policy = with_network(Policy(PolicyConfig(hidden=8), np.ones(N_DESCRIPTORS)))
    model = RewardModel(RewardConfig(**SMALL), scale, np.ones(N_DESCRIPTORS))
    facts = {"songs": [{"sha256": "0" * 64}], "held_out": [], "parents": {}}
    return {
        "policy": (save_model(folder / "p.pt", policy, name="policy_v14", **facts), load_policy),
        "reward": (
            save_model(folder / "r.pt", model, name="reward_model_v8", **facts),
            load_reward_model,
        ),
    }


def _is_whole(loaded):
    model, about = loaded
    assert all(np.isfinite(np.asarray(value)).all() for value in model.state_dict().values())
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


#: More than a message can quote: lists within lists, each held ten times.
NESTED = reduce(lambda inner, _: [inner] * 10, range(30), [])
#: Key of a checkpoint → invalid values for it.
ODD = {
    "format": [None, 1, 3, "2", [2], torch.tensor([2, 2])],
    "kind": [None, "RewardModel_", ["Policy"], 3, torch.zeros(2), NESTED],
    "descriptors": [None, [], "seams", [1, 2], {"a": 1}, torch.zeros(2), [torch.zeros(2)] * 40],
    "features": [None, [], ["f"] * 125],
    "config": [None, {}, [], {"hidden": 8}, "x", torch.zeros(2), {"hidden": NESTED}],
    "state": [None, {}, [], {"a": 1}, {1: torch.zeros(3)}, {"weights": torch.zeros(3)}],
    "about": [None, [], {}, {"name": 3}, torch.zeros(2), {"name": torch.zeros(2)}],
}


@pytest.mark.parametrize("kind", ["policy", "reward"])
@pytest.mark.parametrize("part", ODD)
def test_odd_content(saved, tmp_path, kind, part):
    path, load = saved[kind]
    content = load_archive(path)
    for odd in ODD[part]:
        torch.save(default_convert(content) | {part: odd}, tmp_path / "odd.pt")
        assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), odd
    del content[part]
    torch.save(default_convert(content), tmp_path / "less.pt")
    assert not read_or_refuse(tmp_path / "less.pt", load, _is_whole)


@pytest.mark.parametrize("field", ["name", "songs", "held_out", "parents"])
def test_missing_or_odd_origins_are_refused_by_field(saved, tmp_path, field):
    path, load = saved["policy"]
    content = load_archive(path)
    about = content["about"]
    odd = [about | {field: value} for value in (None, 3, [3], {"a": 3}, [{"sha256": 3}])]
    for origin in [{key: value for key, value in about.items() if key != field}, *odd]:
        save_archive(tmp_path / "odd.pt", content | {"about": origin})
        with pytest.raises(InputError, match=rf"odd\.pt: '{field}'"):
            load(tmp_path / "odd.pt")


#: Names that are no file names, or lead out of a folder.
BAD_NAMES = ("", ".", "..", ".hidden", "../policy_v14", "/tmp/policy_v14", "a/b", "a\\b", "C:x")
BAD_NAMES += ("policy v14", "policy_v14\n", "политика_v14", "policy_v١٤", "x" * 201)
BAD_NAMES += ("policy_v" + "9" * 5000,)


@pytest.mark.parametrize("kind", ["policy", "reward"])
@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_a_name_is_no_path(saved, tmp_path, kind, name):
    path, load = saved[kind]
    content = load_archive(path)
    save_archive(tmp_path / "odd.pt", content | {"about": content["about"] | {"name": name}})
    with pytest.raises(InputError, match=r"odd\.pt: 'name' is .*up to 200"):
        load(tmp_path / "odd.pt")


def test_good_names_are_loaded(saved, tmp_path):
    path, load = saved["policy"]
    content = load_archive(path)
    for name in ("policy_v14", "Policy-2.1_v9", "x" * 200):
        save_archive(tmp_path / "good.pt", content | {"about": content["about"] | {"name": name}})
        assert load(tmp_path / "good.pt")[1]["name"] == name


def test_next_version_converts_no_endless_number():
    assert next_version("policy_v14") == "policy_v15"
    assert next_version("policy_v999999999") == "policy_v1000000000"
    for name in ("policy_v" + "9" * 5000, "policy_v1234567890", "policy_v١٤", "policy"):
        with pytest.raises(InputError, match="version such as _v9"):
            next_version(name)


def test_inflated_archives_are_refused_before_they_are_loaded(saved, tmp_path, monkeypatch):
    """A compressed member, and members that share their bytes, could fill the memory."""
    path, load = saved["policy"]
    with (
        zipfile.ZipFile(path) as archive,
        zipfile.ZipFile(tmp_path / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as deflated,
        zipfile.ZipFile(tmp_path / "shared.pt", "w") as shared,
    ):
        for name in archive.namelist():
            deflated.writestr(name, archive.read(name))
            shared.writestr(name, archive.read(name))
        largest = max(shared.infolist(), key=lambda member: member.file_size)
        shared.filelist += [largest] * 50
    (tmp_path / "legacy.pt").write_bytes(pickle.dumps(1) + path.read_bytes())
    monkeypatch.setattr(tensor_file, "_Reader", lambda *_: pytest.fail("it was loaded"))
    for name, reason in (
        ("deflated", "compressed"),
        ("shared", "declare"),
        ("legacy", "not a zip"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.pt is not a readable.*{reason}"):
            load(tmp_path / f"{name}.pt")


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_odd_configurations_take_no_memory(saved, tmp_path, kind):
    path, load = saved[kind]
    content = load_archive(path)
    for name in content["config"]:
        for odd in (None, -1, 10**9, float("nan"), "8", [8]):
            save_archive(tmp_path / "odd.pt", content | {"config": content["config"] | {name: odd}})
            assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), (name, odd)
        if name in (
            "stages",
            "members",
            "hidden",
            "layers",
            "width",
            "feedforward",
            "head",
        ):  # in range, but with other shapes
            save_archive(
                tmp_path / "odd.pt", content | {"config": content["config"] | {name: 4095}}
            )
            assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), name


@pytest.mark.parametrize(
    ("kind", "name", "part"),
    [
        ("policy", "stages", "rlhf_lib.learning.policy.policy.Stage"),
        ("reward", "layers", "torch.nn.TransformerEncoder"),
    ],
)
def test_parts_that_a_file_does_not_hold_are_not_made(
    saved, tmp_path, monkeypatch, kind, name, part
):
    """Making thousands of them takes a minute, even without memory for them."""
    path, load = saved[kind]
    content = load_archive(path)
    save_archive(tmp_path / "odd.pt", content | {"config": content["config"] | {name: 4095}})
    monkeypatch.setattr(f"{part}.__init__", lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(InputError, match=rf"odd\.pt .*1 of .*{name}.*expected 4095"):
        load(tmp_path / "odd.pt")


@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_odd_weights(saved, tmp_path, kind):
    path, load = saved[kind]
    content = load_archive(path)
    for name in ("other", "stages.9.weights", 3):
        state = content["state"] | {name: np.zeros(2)}
        save_archive(tmp_path / "odd.pt", content | {"state": state})
        assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), name
    for name, value in content["state"].items():
        for odd in (
            value * np.float64("nan"),
            value.flatten()[:-1],
            torch.zeros(7, 7, 7, 7),
            None,
        ):
            state = content["state"] | {name: odd}
            save_archive(tmp_path / "odd.pt", content | {"state": state})
            assert not read_or_refuse(tmp_path / "odd.pt", load, _is_whole), name


def test_a_checkpoint_of_an_earlier_version_is_refused_by_that_name(saved, tmp_path):
    path, load = saved["policy"]
    torch.save(default_convert(load_archive(path) | {"format": 1}), tmp_path / "old.pt")
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
