"""Exports are read back unchanged; records are checked against the store and its manifests."""

import csv
import json
import re

import pytest
from feedback_examples import HASH, answer, manifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Listening, Tag
from rlhf_lib.feedback.exchange import export_feedback, import_feedback
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import Id

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


def _text(size: int, **options) -> st.SearchStrategy[str]:
    """Any text that a record may hold; the marks that matter in a CSV file often."""
    marks = st.sampled_from("=+-@＝＋－＠'\";, \t\r\n\0\ufeff\u2028|")
    return st.text(st.one_of(marks, st.characters(**options)), max_size=size)


def _valid(kind) -> st.SearchStrategy[str]:
    def is_valid(text):
        try:
            TypeAdapter(kind).validate_python(text)
        except ValidationError:
            return False
        return True

    return _text(8, exclude_categories=["C", "Z"]).map(str.strip).filter(is_valid)


IDS, TIMES = _valid(Id), st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+00:00"])
ANSWERS = st.fixed_dictionaries(
    {
        "reasoning": _text(30, codec="utf-8"),
        "song_id": IDS,
        "rater_id": IDS,
        "tags": st.lists(_valid(Tag)),
    },
    optional={
        "task_id": IDS,
        "supersedes": IDS,
        "timestamp": TIMES,
        "confidence": st.floats(0, 1),
        "seconds_spent": st.floats(0, 1e300),
        "listening": st.builds(Listening, seconds_a=st.floats(0, 1e6), seams_heard=st.integers(0)),
    },
)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(fields=st.lists(ANSWERS, min_size=1, max_size=4))
def test_any_text_is_read_back_unchanged(tmp_path, suffix, fields):
    annotations = [answer(**each) for each in fields]
    path = export_feedback(annotations, tmp_path / f"out{suffix}")
    assert list(import_feedback(path, strict=True).annotations) == annotations


def test_a_lone_carriage_return_is_one_record(tmp_path):
    annotations = [answer(reasoning="first\rsecond"), answer(reasoning="\r")]
    path = export_feedback(annotations, tmp_path / "out.csv")
    assert list(import_feedback(path, strict=True).annotations) == annotations
    with path.open(encoding="utf-8-sig", newline="") as handle:
        assert len(list(csv.reader(handle))) == 3


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *((f"{mark}1+1", f"'{mark}1+1") for mark in "=+-@＝＋－＠"),
        ("'=1", "''=1"),
        ("\t=1", "'\t'=1"),
        ("\rtext", "'\rtext"),
        ("\ntext", "'\ntext"),
        ("fine;=1+1", "fine;'=1+1"),  # a cell of its own where ; separates the columns
        ("fine; =1+1", "fine; '=1+1"),
        ('fine;"=1+1"', 'fine;"\'=1+1"'),
        ("fine\n@x", "fine\n'@x"),
        ("1 + 1 = 2, it's fine", "1 + 1 = 2, it's fine"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_no_text_runs_as_a_formula(tmp_path, text, cell):
    written = answer(reasoning=text)
    path = export_feedback([written], tmp_path / "out.csv")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert row["reasoning"] == cell
    # Where another mark separates the cells, and quotes in a line mean nothing: no cell runs.
    body = path.read_text(encoding="utf-8-sig").split("\n", 1)[1]
    cells = [part.strip(' "') for part in re.split(r"[;\t\r\n]", body)]
    assert not [part for part in cells if part[:1] in set("=+-@＝＋－＠")]
    assert list(import_feedback(path, strict=True).annotations) == [written]


def test_tags_that_look_like_formulas_are_read_back_unchanged(tmp_path):
    written = answer(tags=["+energy", "=x", "'-", "too short", "＝1"])
    path = export_feedback([written], tmp_path / "out.csv")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert row["tags"] == "'+energy; '=x; ''-; too short; '＝1"
    assert list(import_feedback(path, strict=True).annotations) == [written]


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
