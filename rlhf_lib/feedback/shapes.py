"""Map feedback files of several shapes to the field names of `Annotation`.

Only names and nesting are mapped; `Annotation` validates the values.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlhf_lib.errors import InputError, quote
from rlhf_lib.feedback import label_studio
from rlhf_lib.feedback.annotation import Annotation, Listening
from rlhf_lib.feedback.mapping import Mapped, Refused, items
from rlhf_lib.feedback.validation import repeated
from rlhf_lib.spreadsheet import defused, quoted, restored

#: Other names of our fields in flat records.
ALIASES = {
    "candidate_a_id": "edit_a_id",
    "candidate_b_id": "edit_b_id",
    "notes": "reasoning",
}
#: The columns of a CSV file in the order of export; `listening` is spread over four.
CSV_COLUMNS = (
    *(name for name in Annotation.model_fields if name != "listening"),
    *Listening.model_fields,
)
#: Blocks of the nested form and our fields in them. Their other fields describe the edits and
#: the rater, and are left out.
_BLOCKS = {
    "comparison": ("preference", "strength", "reasoning", "confidence"),
    "rater_info": ("rater_id", "rater_kind"),
    "metadata": ("timestamp", "confidence", "notes"),
}
_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")


def read_records(path: Path) -> tuple[list[Any], Counter]:
    """Read a feedback file of any accepted shape.

    Returns
    -------
    list
        One entry per record: a dict, or a `Refused` for a line that cannot be read.
    Counter
        The other names in the wrapper around the records.

    Raises
    ------
    InputError
        When the file as a whole cannot be read.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{path}: feedback is read from {', '.join(_SUFFIXES)} files; convert it")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text"
        ) from error
    match path.suffix.lower():
        case ".json":
            return _json_list(_json(text, str(path)), path)
        case ".jsonl":
            return [_json_line(line) for line in text.split("\n") if line.strip()], Counter()
        case _:
            return _csv_records(text, path), Counter()


def answers_in(record: Any, left_out: Counter) -> Iterable[Mapped | Refused]:
    """Yield the answers in a record: any number for a Label Studio task, else one.

    Parts of a task that are not answers are counted in `left_out`.
    """
    if label_studio.is_task(record):
        yield from label_studio.answers_of(record, left_out)
        return
    try:
        yield _to_our_names(record)
    except Refused as problem:
        yield problem


def _to_our_names(record: Any) -> Mapped:
    if isinstance(record, Refused):
        raise record
    mapped = Mapped()
    for name, value in items(record, ""):
        if name in ("edit_a", "edit_b"):
            _map_edit(mapped, name, value)
        elif name in _BLOCKS:
            _map_block(mapped, name, value)
        else:
            mapped.put(ALIASES.get(name, name), name, value)
    return mapped


def _map_edit(mapped: Mapped, name: str, edit: Any) -> None:
    for key, value in items(edit, name):
        if key == "id":
            mapped.put(f"{name}_id", f"{name}.id", value)
        elif key == "beat_actions":
            mapped.actions[f"{name}_id"] = value
            mapped.left_out.append(f"{name}.{key}")
        else:
            mapped.left_out.append(f"{name}.{key}")


def _map_block(mapped: Mapped, name: str, block: Any) -> None:
    for key, value in items(block, name):
        if key in _BLOCKS[name]:
            mapped.put(ALIASES.get(key, key), f"{name}.{key}", value)
        elif name == "comparison":
            raise Refused(f"{name}.{key}", value, "is not a known field; remove it")
        else:
            mapped.left_out.append(f"{name}.{key}")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not valid JSON ({error}); correct it there") from error


def _json_line(line: str) -> Any:
    try:
        return _json(line, "line")
    except InputError as error:
        return Refused("", line, str(error))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict:
    name = repeated(key for key, _ in pairs)
    if name is not None:
        raise ValueError(f"the name {name!r} occurs twice in one object")
    return dict(pairs)


def _json_list(content: Any, path: Path) -> tuple[list[Any], Counter]:
    left_out = Counter()
    if isinstance(content, dict) and "preferences" in content:
        left_out.update(name for name in content if name != "preferences")
        content = content["preferences"]
    if not isinstance(content, list):
        raise InputError(
            f'{path}: holds no list of records; give [{{…}}, …] or {{"preferences": [{{…}}, …]}}'
        )
    return content, left_out


def _csv_records(text: str, path: Path) -> list[Any]:
    header = text.split("\n", 1)[0].rstrip("\r")
    known = {*CSV_COLUMNS, *ALIASES}
    names = {mark: {name.strip('"') for name in header.split(mark)} for mark in ",;\t"}
    delimiter = max(names, key=lambda mark: len(known & names[mark]))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = next(rows, [])
        if not known & set(columns):
            raise InputError(
                f"{path}: its first line {quote(header)} names no known column; start the file "
                "with song_id,edit_a_id,edit_b_id,preference,strength,notes,rater_id"
            )
        name = repeated(filter(None, columns))  # spreadsheets add empty columns without a name
        if name is not None:
            raise InputError(f"{path}: column {name!r} occurs twice; keep one of the two")
        return [_csv_record(columns, row) for row in rows if any(row)]
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: {error}; correct the quotes") from error


def _csv_record(columns: list[str], row: list[str]) -> Any:
    record, listening = {}, {}
    for place, cell in enumerate(row):
        if cell == "":
            continue  # an empty cell means not given
        name = columns[place] if place < len(columns) else ""
        if not name:
            return Refused(
                f"column {place + 1}",
                cell,
                "is in no named column; name the column, or put text with separators in quotes",
            )
        value = _cell_value(ALIASES.get(name, name), cell)
        (listening if name in Listening.model_fields else record)[name] = value
    return record | ({"listening": listening} if listening else {})


def _cell_value(name: str, cell: str) -> Any:
    """Return a cell as the type of its column (number, truth value, list), or as text."""
    if name in ("strength", "seams_heard"):
        return int(cell) if re.fullmatch(r"-?[0-9]{1,4300}", cell) else cell
    if name in ("confidence", "seconds_spent", *Listening.model_fields):
        return float(cell) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", cell) else cell
    if name == "cant_tell":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    text = restored(cell)
    return [tag.strip() for tag in text.split(";")] if name == "tags" else text


def to_csv_text(annotations: Iterable[Annotation]) -> str:
    """Return annotations as CSV with `CSV_COLUMNS`; they can be read back unchanged."""
    lines = [",".join(CSV_COLUMNS)]
    for annotation in annotations:
        values = annotation.model_dump(mode="json")
        values |= values.pop("listening") or {}
        values["tags"] = "; ".join(values["tags"])
        lines.append(",".join(quoted(_cell(values.get(name))) for name in CSV_COLUMNS))
    return "".join(f"{line}\n" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return defused(value)
    return repr(value)
