"""A checkpoint as safetensors with a card: the same model, and the same refusals."""

import json
import random
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from mutations import damaged, odd_json, read_or_refuse
from test_damaged_models import SMALL, _is_whole
from toy import toy_song

from rlhf_lib.app.cli import main
from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.errors import InputError
from rlhf_lib.learning import archive
from rlhf_lib.learning.archive import archive_sha256, load_archive, save_archive
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import TARGETS, Policy, PolicyConfig
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.paths import BOX, file_sha256
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model, save_model
from rlhf_lib.steps.cycle import PRETRAINED, needed
from rlhf_lib.steps.export_model import export_model
from rlhf_lib.steps.lineage import Parent, lineage

LOAD = {"reward": load_reward_model, "policy": load_policy}
FACTS = {"songs": [{"sha256": "0" * 64, "path": "müsik\udc80.flac"}], "held_out": []}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """v8 on synthetic pairs, v9 on simulated answers, v14 on v8 and v15 on v9, all small."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    scale = FeatureScale.fit([toy_song(40)])
    model = RewardModel(RewardConfig(**SMALL), scale, np.ones(N_DESCRIPTORS))
    policy = Policy(PolicyConfig(hidden=8), np.ones(N_DESCRIPTORS))
    made = {}

    def save(model, name, parents, **about):
        about = (
            FACTS | {"name": name, "parents": {p: file_sha256(made[p]) for p in parents}} | about
        )
        made[name] = save_model(folder / f"{name}.pt", model, **about)

    accuracy = {"held_out": {"accuracy": 0.75}}
    save(model, "reward_model_v8", [], training={"pairs_from": "synthetic"}, metrics=accuracy)
    answers = {"pairs_from": "simulated", "pairs": 40, "answers": 44}
    save(
        model, "reward_model_v9", ["reward_model_v8"],
        training=answers, metrics=accuracy, feedback_sha256="f" * 64,
    )  # fmt: skip
    save(policy, "policy_v14", ["reward_model_v8"], training={"episodes": 50})
    save(policy, "policy_v15", ["policy_v14", "reward_model_v9"], training={"episodes": 50})
    return made


@pytest.fixture
def exported(checkpoints, tmp_path):
    """A policy and a reward model as folders."""
    return {
        kind: export_model(checkpoints[name], tmp_path / name, "mit")
        for kind, name in (("policy", "policy_v15"), ("reward", "reward_model_v9"))
    }


def _front(folder):
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def _equal(one, other):
    (a, about_a), (b, about_b) = one, other
    assert about_a == about_b
    assert a.config == b.config
    states = a.state_dict(), b.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert value.dtype == states[1][name].dtype
        np.testing.assert_array_equal(value, states[1][name], name)


@pytest.mark.parametrize(("name", "kind"), [*zip(PRETRAINED, LOAD, strict=True)])
def test_the_shipped_models_are_the_same_bit_for_bit(tmp_path, name, kind):
    folder, song = export_model(BOX / name, tmp_path / "out", "mit"), toy_song(80)
    before, load = LOAD[kind](BOX / name), LOAD[kind]
    for place in (folder, folder / "model.safetensors"):
        after = load(place)
        _equal(before, after)
        if kind == "policy":
            edits = [each[0].edits([song], TARGETS) for each in (before, after)]
            assert [e.actions.tolist() for e in edits[0]] == [e.actions.tolist() for e in edits[1]]
        else:
            edits = load_policy(BOX / PRETRAINED[1])[0].edits([song], TARGETS)
            scores = [each[0].score(edits) for each in (before, after)]
            assert scores[0].tobytes() == scores[1].tobytes()


def test_others_read_the_weights_without_this_library(checkpoints, exported):
    tensors = safetensors.torch.load_file(exported["reward"] / "model.safetensors")
    state = load_archive(checkpoints["reward_model_v9"])["state"]
    assert tensors.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(tensors[name], value, name)
    config = json.loads((exported["reward"] / "config.json").read_text())
    assert (config["kind"], config["config"]["width"]) == ("RewardModel", SMALL["width"])


def test_a_folder_is_accepted_where_a_checkpoint_is(checkpoints, exported, workspace, capsys):
    assert needed(exported["policy"]) == exported["policy"]
    with pytest.raises(InputError, match="not a RewardModel"):
        load_reward_model(exported["policy"])
    sha256 = file_sha256(checkpoints["policy_v15"])
    assert archive_sha256(exported["policy"]) == sha256
    _, about = load_policy(exported["policy"])
    descent = lineage([Parent(exported["policy"], about)], [], [])
    assert descent["parents"] == {"policy_v15": sha256}, "lineages name the same checkpoint"
    again = export_model(exported["policy"], exported["policy"].with_name("again"), "mit")
    assert (again / "config.json").read_bytes() == (exported["policy"] / "config.json").read_bytes()
    assert main(["export_model", "--model", str(exported["policy"]), "--license", "mit"]) == 0
    written = exported["policy"].with_name("policy_v15_export")
    assert capsys.readouterr().out.strip() == str(written)
    _equal(load_policy(written), load_policy(checkpoints["policy_v15"]))


@pytest.mark.parametrize("kind", LOAD)
@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_damaged_bytes(exported, kind, file):
    path = exported[kind] / file
    data, loaded = path.read_bytes(), 0
    for seed in range(100):
        path.write_bytes(damaged(data, random.Random(seed)))
        loaded += read_or_refuse(path, lambda path: LOAD[kind](path.parent), _is_whole)
    assert loaded < 15  # spaces in JSON are harmless, and damage that changes nothing


def _sealed(folder, **changed):
    """Write `config.json` with other values and the hash that fits them."""
    values = json.loads((folder / "config.json").read_text()) | changed
    values.pop("sha256")
    values["sha256"] = archive._seal((folder / "model.safetensors").read_bytes(), values)
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("kind", LOAD)
@pytest.mark.parametrize("part", ["kind", "config", "descriptors", "features", "about", "format"])
def test_odd_content_with_a_right_hash(exported, kind, part):
    for odd in (None, 3, "x", [], {}, [1], {"a": 1}, [{"sha256": 3}], float("nan")):
        _sealed(exported[kind], **{part: odd})
        config = exported[kind] / "config.json"
        with pytest.raises(InputError):
            LOAD[kind](config.parent)


def test_odd_values_anywhere_are_refused(exported):
    config = exported["policy"] / "config.json"
    content = json.loads(config.read_text())
    for seed in range(100):
        config.write_text(odd_json(content, random.Random(seed)))
        read_or_refuse(config, lambda path: load_policy(path.parent), _is_whole)


def test_a_header_that_declares_more_than_the_file_holds_takes_no_memory(exported):
    weights = exported["policy"] / "model.safetensors"
    for header in (
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F8", "shape": [4], "data_offsets": [0, 4]}},
    ):
        text = json.dumps(header).encode()
        weights.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
        _sealed(exported["policy"])
        with pytest.raises(InputError, match=r"model\.safetensors is not a readable safetensors"):
            load_policy(exported["policy"])
    weights.write_bytes(struct.pack("<Q", 1 << 62))
    _sealed(exported["policy"])
    with pytest.raises(InputError, match="not a readable safetensors"):
        load_policy(exported["policy"])


def test_weights_of_another_export_are_refused(checkpoints, exported, tmp_path):
    other = export_model(checkpoints["policy_v14"], tmp_path / "other", "mit")
    (exported["policy"] / "config.json").write_bytes((other / "config.json").read_bytes())
    load_policy(other)
    (other / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="do not fit each other"):
        load_policy(other)


def test_what_is_missing_is_named(exported, tmp_path):
    for path, name in ((tmp_path, "config.json"), (tmp_path / "x.safetensors", "config.json")):
        with pytest.raises(InputError, match=rf"no checkpoint at {path}: {name} is missing"):
            load_policy(path)
    (exported["policy"] / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        load_policy(exported["policy"])


@pytest.mark.parametrize("kind", LOAD)
def test_the_front_matter_is_that_of_the_hub(exported, kind):
    """Keys and values of https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    front, text = _front(exported[kind])
    policy = kind == "policy"
    assert front.keys() - {"pipeline_tag", "metrics"} == {"license", "library_name", "tags"}
    assert (front["license"], front["library_name"]) == ("mit", "rlhf_lib")
    assert front.get("pipeline_tag") == ("audio-to-audio" if policy else None)
    assert front.get("metrics") == (None if policy else ["accuracy"])
    assert "simulated-raters" in front["tags"]
    assert text.count("# ") >= 5 and "{" not in text


def test_the_card_names_the_lineage_and_labels_simulated_raters(checkpoints, exported, tmp_path):
    _, text = _front(exported["policy"])
    for name, source in (
        ("policy_v15", "the rewards of its parents"),
        ("policy_v14", "the rewards of its parents"),
        ("reward_model_v9", "simulated raters (programs with a hidden taste)"),
        ("reward_model_v8", "synthetic raters (programs, for pretraining)"),
    ):
        assert f"| `{name}` | `{file_sha256(checkpoints[name])}` | {source} |" in text
    assert "**No person was asked**" in text
    _, text = _front(exported["reward"])
    assert "simulated raters (programs with a hidden taste): 40 comparisons from 44 answers" in text
    assert f"sha256 `{'f' * 64}`" in text
    assert "held_out.accuracy       0.75" in text
    content = load_archive(checkpoints["reward_model_v9"])
    content["about"]["training"]["pairs_from"] = "human"
    save_archive(tmp_path / "people.pt", content)
    front, text = _front(export_model(tmp_path / "people.pt", tmp_path / "people", "mit"))
    assert "simulated-raters" not in front["tags"]
    assert "No person" not in text and "Preferences** of people: 40" in text


def test_parents_that_are_not_there_are_not_guessed(checkpoints, tmp_path):
    alone = tmp_path / "alone.pt"
    alone.write_bytes(checkpoints["policy_v15"].read_bytes())
    front, text = _front(export_model(alone, tmp_path / "out", "mit"))
    assert text.count("not known: its file is not beside this one") == 2
    assert "No person" not in text and "simulated-raters" not in front["tags"]


@pytest.mark.parametrize("license", [None, "", "MIT License", "mit\nlicense: x", "../mit"])
def test_a_licence_must_be_given(checkpoints, tmp_path, license):
    with pytest.raises(InputError, match="--license"):
        export_model(checkpoints["policy_v14"], tmp_path / "out", license)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(checkpoints, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match="has files already"):
        export_model(checkpoints["policy_v14"], tmp_path, "mit")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_what_is_no_model_is_refused(tmp_path):
    save_archive(tmp_path / "state.pt", {"episode": 3})
    with pytest.raises(InputError, match="neither a reward model nor a policy"):
        export_model(tmp_path / "state.pt", tmp_path / "out", "mit")
