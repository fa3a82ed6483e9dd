"""Label Studio's SDK accepts the exported tasks; imported answers keep their meaning."""

import json
import re
from collections import Counter

import pytest
from feedback_examples import manifest
from label_studio_sdk.label_interface import LabelInterface

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.exchange import import_feedback
from rlhf_lib.feedback.label_studio import ROW, labelling_config, to_tasks
from rlhf_lib.feedback.manifest import Manifest, Task
from rlhf_lib.feedback.store import PreferenceStore


@pytest.fixture(scope="module")
def interface() -> LabelInterface:
    return LabelInterface(labelling_config())


def _task(first: str, **changes) -> dict:
    plain = manifest()
    data = {
        "audio_original": "o.flac",
        "audio_left": "l.wav",
        "audio_right": "r.wav",
        "manifest_id": plain.manifest_id,
        "task_id": "task_1",
        "song_id": "song_001",
        "edit_a_id": "temp_0.1",
        "edit_b_id": "temp_0.9",
        "shown_first": first,
    }
    return {"id": 7, "data": data, "annotations": [], "predictions": [], "drafts": []} | changes


def _annotation(choice: str, number: int = 0, **changes) -> dict:
    """Return a completed annotation as Label Studio exports it."""
    result = [_region("preference", "choices", [choice])]
    return {
        "id": 11 + number,
        "completed_by": 3,
        "result": result,
        "was_cancelled": False,
        "created_at": "2026-01-31T12:00:00.000000Z",
        "lead_time": 41.5,
        "unique_id": f"9c1f2d1e-0000-4000-8000-00000000000{number}",
    } | changes


def _region(name: str, kind: str, values: list[str]) -> dict:
    return {
        "id": f"r_{name}",
        "from_name": name,
        "to_name": "left",
        "type": {"choices": "choices", "text": "textarea"}[kind],
        "value": {kind: values},
    }


def _imported(folder, tasks, **options):
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return import_feedback(path, manifest(), rater_kind="human", **options)


def test_the_sdk_accepts_the_labelling_configuration(interface):
    interface.validate()  # raises on any fault
    assert {obj.value_name for obj in interface.objects} == {
        "audio_original",
        "audio_left",
        "audio_right",
    }
    assert set(interface.get_control("preference").labels) == set(ROW)


def test_the_sdk_accepts_the_tasks(interface):
    for task in to_tasks(manifest()):
        assert interface.validate_task(task)


def test_the_sdk_would_refuse_what_does_not_fit(interface):
    assert not interface.validate_annotation(_annotation("A enormously"))
    task = to_tasks(manifest())[0]
    del task["data"]["audio_left"]
    assert not interface.validate_task(task)


def test_tasks_are_blind_and_their_sides_are_balanced():
    plain = manifest()
    tasks = [Task(**plain.tasks[0].model_dump() | {"task_id": f"t{n}"}) for n in range(20)]
    made = to_tasks(Manifest.create(plain.policy, plain.songs, tasks), "http://x/", seed=1)
    sides = Counter(task["data"]["shown_first"] for task in made)
    assert sides == {"a": 10, "b": 10}
    assert [task["data"]["task_id"] for task in made] != [task.task_id for task in tasks]
    # One address for each sound, from which nothing can be read.
    sounds = {"O": set(), "a": set(), "b": set()}
    for task in made:
        first, second = ("a", "b") if task["data"]["shown_first"] == "a" else ("b", "a")
        for side, name in (("O", "original"), (first, "left"), (second, "right")):
            sounds[side].add(task["data"][f"audio_{name}"])
    assert [len(addresses) for addresses in sounds.values()] == [1, 1, 1]
    addresses = set.union(*sounds.values())
    assert len(addresses) == 3
    assert all(re.fullmatch(r"http://x/audio/[0-9a-f]{16}\.flac", one) for one in addresses)
    for shown in ("edit", "temperature", "manifest", "task_id", "shown_first"):
        assert f"${shown}" not in labelling_config()


@pytest.mark.parametrize(
    ("choice", "first", "preference", "strength", "cant_tell"),
    [
        ("A strongly", "a", "a", 3, False),
        ("A strongly", "b", "b", 3, False),
        ("A", "b", "b", 2, False),
        ("A slightly", "a", "a", 1, False),
        ("B slightly", "a", "b", 1, False),
        ("B", "b", "a", 2, False),
        ("B strongly", "a", "b", 3, False),
        ("tie", "b", "tie", 0, False),
        ("can't tell", "a", "tie", 0, True),
    ],
)
def test_an_answer_keeps_its_meaning(
    tmp_path, interface, choice, first, preference, strength, cant_tell
):
    given = _annotation(choice)
    given["result"] += [
        _region("tags", "choices", ["audible cut", "lost hook"]),
        _region("reasoning", "text", ["keeps the hook", "second line"]),
    ]
    assert interface.validate_annotation(given)
    result = _imported(tmp_path, [_task(first, annotations=[given])])
    assert result.refused == ()
    (taken,) = result.annotations
    assert (taken.preference, taken.strength, taken.cant_tell) == (preference, strength, cant_tell)
    assert (taken.edit_a_id, taken.edit_b_id, taken.task_id) == ("temp_0.1", "temp_0.9", "task_1")
    assert (taken.shown_first, taken.seconds_spent) == (first, 41.5)
    assert (taken.rater_id, taken.rater_kind) == ("label_studio_3", "human")
    assert taken.tags == ["audible cut", "lost hook"]
    assert taken.reasoning == "keeps the hook\nsecond line"
    assert taken.timestamp == "2026-01-31T12:00:00.000000Z"
    assert taken.manifest_id == manifest().manifest_id


def test_several_raters_of_a_task_and_an_import_twice(tmp_path):
    annotations = [_annotation("A"), _annotation("B", 1, completed_by={"id": 4, "email": "x@y"})]
    tasks = [_task("a", annotations=annotations), _task("b")]
    result = _imported(tmp_path, tasks)
    assert [one.rater_id for one in result.annotations] == ["label_studio_3", "label_studio_4"]
    assert result.left_out == {"tasks without an answer": 1}
    store = PreferenceStore(tmp_path / "feedback")
    assert store.add(result.annotations) == 2
    assert store.add(_imported(tmp_path, tasks, stored=store.load()).annotations) == 0
    changed = _annotation("A slightly")
    again = _imported(tmp_path, [_task("a", annotations=[changed])], stored=store.load())
    assert "different content" in again.refused[0].remedy


def test_skipped_tasks_are_counted_and_no_answer(tmp_path):
    result = _imported(
        tmp_path, [_task("a", annotations=[_annotation("A", was_cancelled=True, result=[])])]
    )
    assert result.annotations == result.refused == ()
    assert result.left_out == {"skipped tasks": 1}


@pytest.mark.parametrize(
    ("changes", "field", "word"),
    [
        ({"result": []}, "result.preference", "choose one"),
        (
            {"result": [_region("preference", "choices", ["A", "B"])]},
            "result.preference",
            "choose one",
        ),
        ({"result": [_region("preference", "choices", ["left"])]}, "result.preference", "strongly"),
        ({"result": [_region("preference", "choices", [["A"]])]}, "result.preference", "strongly"),
        ({"result": [{"from_name": "mood", "value": {}}]}, "result.0", "the exported one"),
        ({"result": [{"from_name": "preference", "value": 3}]}, "result.0.value", "not an object"),
        ({"result": None}, "result", "export the project as JSON"),
        ({"completed_by": "ann@example.org"}, "completed_by", "account number"),
        ({"lead_time": -1}, "lead_time", "how long"),
        ({"created_at": "yesterday"}, "created_at", "ISO 8601"),
    ],
)
def test_a_bad_annotation_is_refused_by_itself(tmp_path, changes, field, word):
    tasks = [
        _task("a", annotations=[_annotation("A")]),
        _task("a", annotations=[_annotation("B", 1), _annotation("B", 2, **changes)]),
    ]
    result = _imported(tmp_path, tasks)
    assert len(result.annotations) == 2
    (refusal,) = result.refused
    assert (refusal.index, refusal.field) == (1, f"annotations.1.{field}")
    assert word in str(refusal)
    with pytest.raises(InputError, match="1 of 3 records"):
        _imported(tmp_path, tasks, strict=True)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"shown_first": "left"}, "data.shown_first"),
        ({"song_id": "song_9"}, "data.song_id"),
        ({"edit_a_id": 3}, "data.edit_a_id"),
        ({"task_id": "task_2"}, "data.task_id"),
        ({"manifest_id": "0" * 64}, "data.manifest_id"),
    ],
)
def test_a_task_that_was_changed_is_refused(tmp_path, data, field):
    task = _task("a", annotations=[_annotation("A")])
    task["data"] |= data
    (refusal,) = _imported(tmp_path, [task]).refused
    assert refusal.field == field
