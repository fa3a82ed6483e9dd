"""The tables and examples of feedback/FEEDBACK_DATA_FORMAT.md agree with the code."""

import re
from pathlib import Path

import pytest

from rlhf_lib.app.cli import parser
from rlhf_lib.feedback.annotation import TAGS, Annotation, Listening
from rlhf_lib.feedback.exchange import import_feedback
from rlhf_lib.feedback.manifest import Candidate, Manifest, PolicyRef, SongEntry, Task
from rlhf_lib.feedback.quality.report import quality_report
from rlhf_lib.feedback.store import PreferenceStore

TEXT = (Path(__file__).parent.parent / "feedback/FEEDBACK_DATA_FORMAT.md").read_text("utf-8")
#: Fenced examples by the file name in the line above the fence, written as `name`:
EXAMPLES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
MODELS = (Annotation, Listening, Manifest, PolicyRef, SongEntry, Candidate, Task)
_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "null": "null",
}


def _kind(schema: dict) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    return _KINDS[schema["type"]] if "type" in schema else "object"


def _table(title: str) -> list[list[str]]:
    (section,) = re.findall(rf"^### {title}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


@pytest.mark.parametrize("model", MODELS)
def test_the_field_tables_are_those_of_the_code(model):
    schema = model.model_json_schema()["properties"]
    rows = []
    for name, field in model.model_fields.items():
        required = "yes" if field.is_required() else "no"
        rows.append([f"`{name}`", _kind(schema[name]), required, field.description])
    assert _table(model.__name__) == rows


def test_the_offered_tags_are_listed():
    for tag in TAGS:
        assert f"`{tag}`" in TEXT


def _example(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(EXAMPLES[name], encoding="utf-8")
    return path


def test_the_example_of_our_own_file_loads(tmp_path):
    _example(tmp_path, "preferences.json")
    annotations = PreferenceStore(tmp_path).load()
    assert {name for one in annotations for name in one.model_fields_set} == set(
        Annotation.model_fields
    )
    assert any(annotation.cant_tell for annotation in annotations)


def test_the_example_of_a_manifest_loads(tmp_path):
    Manifest.load(_example(tmp_path, "evaluation_manifest.json"))


IMPORTS = sorted(set(EXAMPLES) - {"preferences.json", "evaluation_manifest.json", "refused.json"})


def test_every_shape_has_an_example():
    assert IMPORTS == [
        "flat.json",
        "label_studio.json",
        "lines.jsonl",
        "nested.json",
        "sheet.csv",
        "wrapped.json",
    ]


@pytest.mark.parametrize("name", IMPORTS)
def test_the_examples_of_other_shapes_mean_the_same(tmp_path, name):
    result = import_feedback(
        _example(tmp_path, name), strict=True, rater_id="ann", rater_kind="human"
    )
    first = result.annotations[0]
    assert (first.song_id, first.edit_a_id, first.edit_b_id) == ("song_001", "temp_0.3", "temp_0.7")
    assert (first.preference, first.strength) == ("b", 2)
    assert first.rater_id == ("label_studio_3" if name == "label_studio.json" else "ann")
    assert first.reasoning.startswith("keeps the hook")


def test_the_commands_are_those_of_the_command_line():
    lines = re.findall(r"^    python -m rlhf_lib (.*)$", TEXT, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {
        "import_feedback",
        "export_feedback",
        "export_tasks",
    }
    for line in lines:
        parser().parse_args(line.split())  # exits when a flag is unknown


def test_the_example_of_a_refusal_reads_as_printed(tmp_path):
    path = _example(tmp_path, "refused.json")
    (refusal,) = import_feedback(path, rater_id="ann", rater_kind="human").refused
    assert f"    {refusal}\n" in TEXT


def test_the_parts_of_the_quality_report_are_listed():
    section = TEXT[TEXT.index("## Quality report") :]
    listed = re.findall(r"`(\w+)`", section.partition("A figure is")[0])
    assert listed == list(quality_report([]))
