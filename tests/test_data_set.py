"""Answers as a data set: rows by hand, counts of the card, nothing that names a rater."""

import json

import pandas as pd
import pytest
import yaml
from feedback_examples import HASH, answer, candidate, song

from rlhf_lib.app.cli import main
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.data_set import data_set, export_data_set
from rlhf_lib.feedback.manifest import CHECK_ID, Candidate, Manifest, PolicyRef, SongEntry, Task
from rlhf_lib.feedback.store import PreferenceStore

#: The keys of https://github.com/huggingface/hub-docs/blob/main/datasetcard.md that are used.
KEYS = ["pretty_name", "license", "task_categories", "tags", "size_categories", "configs"]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """One song of four beats, at 0.1, 0.5, 1 and 1.5 s of 2 s, with odd edits."""
    edits = [
        candidate("temp_0.1", [0, 0, 0, 0]),
        candidate("temp_0.9", [0, 1, 2, 0]),  # beats 0 2 2 3
        candidate("moved", [5, 0, 0, 1], keep_ratio=0.75),  # beats 1 0 2
        candidate(CHECK_ID, [1, 0, 1, 0], keep_ratio=0.5),
    ]
    entry = SongEntry(**song(candidates=[Candidate(**one) for one in edits]))
    pairs = [("temp_0.1", "temp_0.9"), ("moved", CHECK_ID), ("temp_0.1", "moved")]
    tasks = [
        Task(
            task_id=f"task_{n}", song_id=entry.id, edit_a_id=a, edit_b_id=b,
            check="a" if b == CHECK_ID else None,
        )
        for n, (a, b) in enumerate(pairs)
    ]  # fmt: skip
    return Manifest.create(PolicyRef(name="policy_v14", sha256=HASH), [entry], tasks)


@pytest.fixture(scope="module")
def answers(manifest):
    """Ann, a person, and a program; one answer has a manifest that is not kept."""
    about = {"manifest_id": manifest.manifest_id}
    check = about | {"edit_a_id": "moved", "edit_b_id": CHECK_ID}
    program = {"rater_id": "zoe_program", "rater_kind": "simulated"}
    return [
        answer(**about, preference="b", strength=2, reasoning="keeps\nthe hook", confidence=0.8),
        answer(**about, preference="tie", strength=0, cant_tell=True),
        answer(**check, preference="a", strength=1),
        answer(**check, **program, preference="tie", strength=0),
        answer(**about, **program, preference="tie", strength=0, tags=["audible cut"]),
        answer(manifest_id="f" * 64, preference="a", strength=3),
    ]


@pytest.fixture
def folder(answers, manifest, tmp_path):
    find = {manifest.manifest_id: manifest}.get
    return export_data_set(answers, find, tmp_path / "out", "cc-by-4.0")


def _rows(folder):
    text = (folder / "data/train.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_rows_by_hand(folder, manifest):
    rows = _rows(folder)
    assert rows[0] == {
        "song_id": "song_001",
        "song_sha256": HASH,
        "original": "song_001/song_001.flac",
        "edit_a": {
            "id": "temp_0.1",
            "path": "song_001/song_001_temp_0.1.wav",
            "temperature": 0.5,
            "keep_ratio": 1.0,
            "duration": 2.0,
            "actions": [0, 0, 0, 0],
            "plays": [[0.0, 2.0]],
        },
        "edit_b": {
            "id": "temp_0.9",
            "path": "song_001/song_001_temp_0.9.wav",
            "temperature": 0.5,
            "keep_ratio": 1.0,
            "duration": 2.0,
            "actions": [0, 1, 2, 0],
            "plays": [[0.0, 0.5], [1.0, 1.5], [1.0, 2.0]],
        },
        "preference": "b",
        "strength": 2,
        "cant_tell": False,
        "check": None,
        "confidence": 0.8,
        "tags": [],
        "notes": "keeps\nthe hook",
        "shown_first": None,
        "seconds_spent": None,
        "rater": 1,
        "simulated": False,
        "rater_failed_checks": 0,
        "manifest_id": manifest.manifest_id,
    }
    assert rows[2]["edit_a"]["plays"] == [[0.5, 1.0], [0.0, 0.5], [1.0, 1.5]]
    assert [row["check"] for row in rows] == [None, None, "passed", "failed", None, None]
    assert [row["rater"] for row in rows] == [1, 1, 1, 2, 2, 1]
    assert [row["simulated"] for row in rows] == [False] * 3 + [True] * 2 + [False]
    assert [row["rater_failed_checks"] for row in rows] == [0, 0, 0, 1, 1, 0]
    lost = rows[5]["edit_b"]
    assert lost["id"] == "temp_0.9" and {lost[name] for name in lost.keys() - {"id"}} == {None}
    assert all(row.keys() == rows[0].keys() for row in rows)


def test_pandas_reads_it(folder):
    table = pd.read_json(folder / "data/train.jsonl", lines=True)
    assert len(table) == 6
    assert table["preference"].value_counts().to_dict() == {"tie": 3, "a": 2, "b": 1}
    assert table["simulated"].sum() == 2


def test_nobody_is_named(folder):
    for path in folder.rglob("*"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert "ann" not in text.replace("cannot", "").split() and '"ann"' not in text, path
        assert "zoe" not in text and "timestamp" not in text, path


def test_the_card_counts(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    _, front, text = card.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert list(fields) == KEYS
    assert fields["license"] == "cc-by-4.0"
    assert fields["size_categories"] == ["n<1K"]
    assert "simulated-raters" in fields["tags"]
    (config,) = fields["configs"]
    (file,) = config["data_files"]
    assert (file["split"], file["path"]) == ("train", "data/train.jsonl")
    text = " ".join(text.split())
    for said in (
        '**Answers**: 6. 2 prefer edit a, 1 edit b, 2 are ties, 1 "can\'t tell".',
        "**Checks**: 2 of these",
        "1 failed.",
        "**Raters**: 1 human, 1 simulated",
        "failed at least one check: 1.",
        "by: `policy_v14`. Answers whose edits are not known (null), without their manifest: 1.",
    ):
        assert said in text, said
    assert "Licence" not in text


def test_every_column_is_described(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    row = _rows(folder)[0]
    for name in [*row, *row["edit_a"]]:
        assert f"`{name}`" in card, name


def test_the_mapping_to_preferences_runs(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    space = {}
    exec(card.split("```python\n")[1].split("```")[0], space)
    pairs = [space["as_preference"](row) for row in _rows(folder) if space["is_preference"](row)]
    (expected,) = pairs  # the others are ties, checks, or have no manifest
    assert expected == {
        "prompt": "song_001/song_001.flac",
        "chosen": "song_001/song_001_temp_0.9.wav",
        "rejected": "song_001/song_001_temp_0.1.wav",
    }


@pytest.mark.parametrize(
    ("count", "size"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K")]
)
def test_the_size_category(answers, count, size):
    card = data_set([answers[5]] * count, {}.get, "a: title", None)["README.md"]
    fields = yaml.safe_load(card.split("---\n")[1])
    assert (fields["size_categories"], fields["pretty_name"]) == ([size], "a: title")
    assert "license" not in fields and "**Licence**: none is stated" in card


def test_the_command_writes_the_current_answers(answers, manifest, workspace, capsys):
    store = PreferenceStore(workspace / "feedback")
    store.keep_manifest(manifest)
    first = answers[0]
    again = answer(manifest_id=manifest.manifest_id, preference="a", supersedes=first.annotation_id)
    store.add([first, again])
    command = ["export_feedback", "--output", "published"]
    assert main(command) == 2
    assert "needs a licence, which only its owners can choose" in capsys.readouterr().err
    assert not (workspace / "published").exists()
    assert main([*command, "--license", "cc-by-4.0"]) == 0
    assert "1 answers in" in capsys.readouterr().out
    assert [row["preference"] for row in _rows(workspace / "published")] == ["a"]
    assert main([*command, "--license", "cc-by-4.0"]) == 2
    assert "has files already; give another --output" in capsys.readouterr().err


def test_no_answers_are_no_data_set(tmp_path):
    with pytest.raises(InputError, match="no answers to export"):
        export_data_set([], {}.get, tmp_path / "out", "mit")
    assert not (tmp_path / "out").exists()
