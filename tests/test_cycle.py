"""The files of a cycle follow from its number; the error for a missing one names its maker."""

import pytest

from rlhf_lib.errors import InputError
from rlhf_lib.steps import cycle
from rlhf_lib.steps.cycle import Cycle, needed, policy_file


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A workspace and a folder of pretrained models, both empty."""
    monkeypatch.setenv("RLHF_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setattr(cycle, "BOX", tmp_path / "box")
    for name in ("work/models", "box"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_names_count_upwards(places):
    parts = ("reward_before", "reward", "policy_before", "policy", "candidates", "run")
    names = {n: [getattr(Cycle(n), part).name for part in parts] for n in (1, 2)}
    v9 = "reward_model_v9_feedback_final.pt"
    assert names[1] == [
        *("reward_model_v8.pt", v9, "policy_v14.pt", "policy_v15.pt"),
        *("eval_outputs", "policy_v15"),
    ]
    assert names[2] == [
        *(v9, "reward_model_v10_feedback_final.pt", "policy_v15.pt", "policy_v16.pt"),
        *("cycle_2", "policy_v16"),
    ]
    assert Cycle(2).blind_test == places / "work/eval_outputs/blind_test_v16"
    assert Cycle(3, models_dir="elsewhere").reward_before.parent == places / "work/elsewhere"
    with pytest.raises(InputError, match="count from 1"):
        Cycle(0)


def test_models_of_the_workspace_come_first(places):
    first = Cycle(1).policy_before
    (places / "box/policy_v14.pt").touch()
    assert needed(first) == places / "box/policy_v14.pt"
    first.touch()
    assert needed(first) == first


def test_the_newest_policy_is_the_pretrained_one_before_any_was_trained(places):
    (places / "box/policy_v14.pt").touch()
    final = places / "work/models/policy_final.pt"
    assert needed("models/policy_final.pt") == places / "box/policy_v14.pt"
    (places / "work/models/policy_v14.pt").touch()
    assert needed("models/policy_final.pt") == places / "work/models/policy_v14.pt"
    final.touch()
    assert needed("models/policy_final.pt") == final


def test_without_the_copy_the_newest_policy_has_the_highest_number(places):
    models = places / "work/models"
    for name in ("policy_v9.pt", "policy_v14.pt", "policy_v101.pt", "policy_v200_old.pt"):
        (models / name).touch()
    assert policy_file() == needed("models/policy_final.pt") == models / "policy_v101.pt"
    assert policy_file("policy_final") == models / "policy_v101.pt"
    (models / "policy_final.pt").touch()
    assert policy_file() == models / "policy_final.pt"


def test_a_policy_is_given_by_path_or_by_name(places, monkeypatch):
    (places / "box/policy_v14.pt").touch()
    (places / "work/models/policy_v15.pt").touch()
    (places / "here/models").mkdir(parents=True)
    (places / "here/models/mine.pt").touch()
    monkeypatch.chdir(places / "here")
    for name in ("models/mine", "models/mine.pt", str(places / "here/models/mine")):
        assert policy_file(name) == places / "here/models/mine.pt"
    assert policy_file("policy_v15") == places / "work/models/policy_v15.pt"
    for name in ("policy_v14", "policy_v14.pt", "models/policy_v14.pt"):
        assert policy_file(name) == places / "box/policy_v14.pt"
    (places / "here/policy_v15").mkdir()  # as export_model writes it
    assert policy_file("policy_v15") == places / "here/policy_v15"
    for name in ("nothing", "models/policy_v15", "policy_v16.pt"):
        with pytest.raises(InputError, match=f"{name} is missing; .*: policy_v14, policy_v15$"):
            policy_file(name)


def test_only_pretrained_models_come_with_the_code(places):
    (places / "box/policy_v15.pt").touch()
    with pytest.raises(InputError, match=r"policy_v15\.pt is missing; run notebook 05 or"):
        needed(Cycle(1).policy)


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("models/reward_model_v8.pt", "notebook 01"),
        ("eval_outputs/evaluation_manifest.json", "notebook 02"),
        ("feedback/preferences.json", "notebook 03"),
        ("models/reward_model_v10_feedback_final.pt", "notebook 04"),
    ],
)
def test_the_error_for_a_missing_file_names_its_maker(name, maker):
    with pytest.raises(InputError, match=f"is missing; run {maker}"):
        needed(name)
