"""Import and export feedback; records that cannot be mapped are refused, never repaired."""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from rlhf_lib.errors import InputError, quote
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.history import History
from rlhf_lib.feedback.manifest import Manifest, Task
from rlhf_lib.feedback.mapping import Mapped, Refused
from rlhf_lib.feedback.shapes import answers_in, read_records, to_csv_text
from rlhf_lib.feedback.validation import describe
from rlhf_lib.paths import atomic_path, resolve

# Any fixed value will do: ids made from the content must be the same on every machine.
_NAMESPACE = uuid.UUID("6f0c2c52-6e0b-5b9e-9d0a-6f2f3a3e7b11")
_LISTED = 5


@dataclass(frozen=True)
class Refusal:
    """One record that was not imported.

    Attributes
    ----------
    index : int
        Its place among the records of the file, from 0.
    field : str
        Name of the field in the file; '' for the whole record.
    value : object
        The value of that field.
    remedy : str
        What is wrong and how to fix it.
    """

    index: int
    field: str
    value: Any
    remedy: str

    def __str__(self) -> str:
        place = f"record {self.index}" + (f", field {quote(self.field)}" if self.field else "")
        got = "" if self.remedy.startswith("is missing") else f" {quote(self.value)}"
        return f"{place}:{got} {self.remedy}"


@dataclass(frozen=True)
class ImportResult:
    """The result of importing a feedback file.

    Attributes
    ----------
    annotations : tuple of Annotation
        The accepted records; store them with `PreferenceStore.add`.
    refused : tuple of Refusal
        The refused records.
    left_out : dict of str to int
        Names in the file that an annotation has no field for (descriptions of edits and
        raters, times without a time zone), each with the number of records that have it.
    """

    annotations: tuple[Annotation, ...]
    refused: tuple[Refusal, ...]
    left_out: dict[str, int]


def import_feedback(
    path: str | Path,
    manifest: Manifest | Sequence[Manifest] | None = None,
    strict: bool = False,
    rater_id: str | None = None,
    rater_kind: Literal["human", "simulated"] | None = None,
    stored: Sequence[Annotation] | None = None,
) -> ImportResult:
    """Read a feedback file of any accepted shape (see feedback/FEEDBACK_DATA_FORMAT.md).

    Records without an `annotation_id` get one made from their content, so that importing a
    file twice adds nothing to a store.

    Parameters
    ----------
    path : str or Path
        A ``.json`` list (flat, nested, wrapped, or exported from Label Studio), ``.jsonl``,
        ``.csv`` or ``.tsv`` file.
    manifest : Manifest or sequence of Manifest, optional
        The manifest that was rated. Records about songs or edits that it lacks are refused;
        the others get its id. With several manifests, a record belongs to the one that it
        names, or to the first when it names none.
    strict : bool
        Refuse the whole file when any record is refused.
    rater_id, rater_kind : str, optional
        Filled in where a record does not name them; without them such records are refused.
    stored : sequence of Annotation, optional
        The answers already stored. A record that contradicts one of them (the same
        annotation_id with different content, a `supersedes` that names no current answer) is
        refused alone; the store would refuse all records.

    Raises
    ------
    InputError
        When the file as a whole cannot be read, or with `strict` any record of it.
    """
    path = resolve(path)
    if rater_kind not in (None, "human", "simulated"):
        raise InputError(f"rater_kind is {rater_kind!r}; give 'human' or 'simulated'")
    records, left_out = read_records(path)
    manifests = [manifest] if isinstance(manifest, Manifest) else list(manifest or ())
    given = {"rater_id": rater_id, "rater_kind": rater_kind}
    history = None if stored is None else History(stored)
    accepted: dict[str, int] = {}
    annotations, refused = [], []
    for index, record in enumerate(records):
        for answer in answers_in(record, left_out):
            try:
                if isinstance(answer, Refused):
                    raise answer
                annotation = _annotation(answer, manifests, given)
                _refuse_repeat(annotation, accepted)
                _refuse_contradiction(annotation, history)
            except Refused as problem:
                refused.append(Refusal(index, problem.field, problem.value, problem.remedy))
                continue
            accepted[annotation.annotation_id] = index
            annotations.append(annotation)
            left_out.update(answer.left_out)
    if strict and refused:
        listed = "\n  ".join(str(refusal) for refusal in refused[:_LISTED])
        more = f"\n  … and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
        total = len(annotations) + len(refused)
        raise InputError(
            f"{path}: {len(refused)} of {total} records cannot be imported, so the file "
            f"is refused; fix them or import without strict:\n  {listed}{more}"
        )
    return ImportResult(tuple(annotations), tuple(refused), dict(left_out))


def export_feedback(annotations: Iterable[Annotation], path: str | Path) -> Path:
    """Write annotations in the format of the suffix; `import_feedback` reads them unchanged.

    ``.csv`` is for spreadsheets, ``.jsonl`` (one record per line) for other programs, and
    ``.json`` is a list as in preferences.json. In a CSV, text that a spreadsheet would run as a
    formula (= + - @ where a cell may start) gets an apostrophe in front, which the import removes.

    Raises
    ------
    InputError
        When the suffix is none of these.
    """
    path = resolve(path)
    lines = [] if path.suffix == ".csv" else [one.model_dump_json() for one in annotations]
    match path.suffix:
        case ".csv":
            text = to_csv_text(annotations)
        case ".jsonl":
            text = "".join(f"{line}\n" for line in lines)
        case ".json":
            text = "[\n" + ",\n".join(lines) + "\n]\n"
        case _:
            raise InputError(f"{path}: feedback is written to .csv, .jsonl or .json files")
    with atomic_path(path) as part:
        # Spreadsheets recognise UTF-8 by the byte order mark.
        encoding = "utf-8-sig" if path.suffix == ".csv" else "utf-8"
        part.write_text(text, encoding=encoding, newline="")
    return path


def _annotation(mapped: Mapped, manifests: list[Manifest], given: dict) -> Annotation:
    """Complete and validate one mapped record."""
    fields = mapped.fields
    for name in ("rater_id", "rater_kind"):
        if fields.get(name) is None and given[name] is not None:
            fields[name] = given[name]
        if fields.get(name) is None:
            raise Refused(
                name, None, f"is missing; add it to the record or give {name}=… for all of them"
            )
    if "annotation_id" not in fields:
        fields["annotation_id"] = _content_id(fields)
    _settle_time(mapped)
    try:
        annotation = Annotation.model_validate(fields)
    except ValidationError as error:
        name, value, remedy = describe(error, Annotation)
        raise Refused(mapped.sources.get(name, name), value, remedy) from None
    return _of_manifest(annotation, mapped, manifests) if manifests else annotation


def _content_id(fields: dict) -> str:
    """Return an id made from the answer, without the fields that may be filled in later."""
    later = ("manifest_id", "rater_kind")
    content = {name: value for name, value in fields.items() if name not in later}
    return uuid.uuid5(_NAMESPACE, json.dumps(content, sort_keys=True)).hex


def _settle_time(mapped: Mapped) -> None:
    """Convert a time to UTC; leave it out when it has no time zone."""
    text = mapped.fields.get("timestamp")
    if not isinstance(text, str):
        return
    try:
        moment = datetime.fromisoformat(text)
        utc = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return  # the validation of the record refuses it
    if moment.tzinfo is None:
        del mapped.fields["timestamp"]
        source = mapped.sources.get("timestamp", "timestamp")
        mapped.left_out.append(f"{source} (no time zone)")
    elif moment.utcoffset() or "T" not in text:
        mapped.fields["timestamp"] = utc


def _of_manifest(annotation: Annotation, mapped: Mapped, manifests: list[Manifest]) -> Annotation:
    """Check that the manifest has the song, both edits and the task, and set its id."""
    named = [one for one in manifests if annotation.manifest_id in (None, one.manifest_id)]
    if not named:
        known = ", ".join(one.manifest_id for one in manifests)
        raise Refused(
            mapped.sources.get("manifest_id", "manifest_id"),
            annotation.manifest_id,
            f"is not the manifest given ({known}); give the manifest that was rated",
        )
    manifest = named[0]
    for name in ("song_id", "edit_a_id", "edit_b_id"):
        value = getattr(annotation, name)
        try:
            if name == "song_id":
                manifest.song(value)
                continue
            candidate = manifest.candidate(annotation.song_id, value)
        except InputError as error:
            source = mapped.sources.get(name, name)
            raise Refused(source, value, f"is unknown: {error}; correct it") from None
        actions = mapped.actions.get(name, candidate.actions)
        if actions != candidate.actions:
            raise Refused(
                f"{name.removesuffix('_id')}.beat_actions",
                actions,
                f"are not those of {value!r} in the manifest; give the manifest that was rated",
            )
    if annotation.task_id is not None:
        tasks = [task for task in manifest.tasks if task.task_id == annotation.task_id]
        if not any(_asks_about(task, annotation) for task in tasks):
            raise Refused(
                mapped.sources.get("task_id", "task_id"),
                annotation.task_id,
                "is not a task of the manifest about these two edits; correct it or leave it out",
            )
    return annotation.model_copy(update={"manifest_id": manifest.manifest_id})


def _asks_about(task: Task, annotation: Annotation) -> bool:
    edits = {task.edit_a_id, task.edit_b_id}
    return task.song_id == annotation.song_id and edits == {
        annotation.edit_a_id,
        annotation.edit_b_id,
    }


def _refuse_repeat(annotation: Annotation, accepted: dict[str, int]) -> None:
    earlier = accepted.get(annotation.annotation_id)
    if earlier is not None:
        raise Refused(
            "annotation_id",
            annotation.annotation_id,
            f"repeats record {earlier}; remove one, or give each its own annotation_id or "
            "timestamp when the pair was rated twice",
        )


def _refuse_contradiction(annotation: Annotation, history: History | None) -> None:
    if history is None:
        return
    objection = history.objection(annotation)
    if objection:
        raise Refused("annotation_id", annotation.annotation_id, objection)
    history.admit(annotation, "")
