"""Exports are read back unchanged; records are checked against the store and its manifests."""

import csv
import json

import pytest
from feedback_examples import HASH, answer, manifest

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Listening
from rlhf_lib.feedback.exchange import export_feedback, import_feedback
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.store import PreferenceStore

SIX = {
    "song_id": "song_001",
    "edit_a_id": "temp_0.1",
    "edit_b_id": "temp_0.9",
    "preference": "b",
    "strength": 3,
    "reasoning": "keeps the hook",
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_an_export_is_read_back_unchanged(tmp_path, suffix):
    first = answer(reasoning='=1+2, "quoted";\r\nnext line', tags=["audible cut", "x, y"])
    annotations = [
        first,
        answer(preference="tie", strength=0, cant_tell=True, reasoning="'=x"),
        answer(
            preference="b",
            confidence=1e-7,
            seconds_spent=1e17,
            shown_first="b",
            manifest_id=HASH,
            listening=Listening(seconds_a=0.1 + 0.2, seams_heard=3),
            supersedes=first.annotation_id,
            song_id="-Ω",
        ),
    ]
    path = export_feedback(annotations, tmp_path / f"out{suffix}")
    assert list(import_feedback(path, strict=True).annotations) == annotations
    if suffix != ".csv":
        return
    with path.open(encoding="utf-8-sig", newline="") as handle:
        row = next(csv.DictReader(handle))
    assert row["reasoning"].startswith("'=")  # a spreadsheet must not run it
    assert (row["preference"], row["strength"], row["confidence"]) == ("a", "2", "")


def test_an_unknown_kind_of_export_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"out\.xlsx.*\.csv, \.jsonl or \.json"):
        export_feedback([answer()], tmp_path / "out.xlsx")
    assert not list(tmp_path.iterdir())


def test_a_record_that_contradicts_the_store_is_refused_by_itself(tmp_path):
    first = answer(annotation_id="first")
    records = [
        first,
        answer(annotation_id="second", supersedes="first"),
        answer(annotation_id="third", supersedes="first"),
        answer(annotation_id="fourth", supersedes="nobody"),
    ]
    changed = first.model_copy(update={"strength": 3})
    path = export_feedback([changed, *records[1:]], tmp_path / "f.jsonl")
    result = import_feedback(path, stored=[first])
    assert [taken.annotation_id for taken in result.annotations] == ["second"]
    assert [(one.index, one.field, one.value) for one in result.refused] == [
        (0, "annotation_id", "first"),
        (2, "annotation_id", "third"),
        (3, "annotation_id", "fourth"),
    ]
    for refusal, word in zip(
        result.refused, ("different content", "already replaced", "not an earlier"), strict=True
    ):
        assert word in refusal.remedy
    store = PreferenceStore(tmp_path / "feedback")
    store.add(first)
    assert store.add(result.annotations) == 1


def test_of_several_manifests_a_record_names_its_own(tmp_path):
    first = manifest()
    second = Manifest.create(first.policy, first.songs, first.tasks[:1])
    path = tmp_path / "feedback.json"
    path.write_text(
        json.dumps(
            [
                SIX,
                SIX | {"preference": "a", "manifest_id": second.manifest_id},
                SIX | {"preference": "a", "manifest_id": HASH},
                SIX | {"manifest_id": second.manifest_id, "task_id": "task_2"},
                SIX | {"manifest_id": first.manifest_id, "task_id": "task_1", "strength": 1},
            ]
        )
    )
    result = import_feedback(path, [first, second], rater_id="ann", rater_kind="human")
    ids = [first.manifest_id, second.manifest_id, first.manifest_id]
    assert [taken.manifest_id for taken in result.annotations] == ids
    assert [(one.index, one.field) for one in result.refused] == [
        (2, "manifest_id"),
        (3, "task_id"),
    ]
