"""Shared by the record types: strict validation, field types, and errors with a remedy."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)

from rlhf_lib.errors import InputError, quote


class Record(BaseModel):
    """Base of the records in feedback files: frozen, strict, finite, without unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def _check_timestamp(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not an ISO 8601 time; write 2026-01-31T12:00:00Z") from None
    if "T" not in text or moment.utcoffset() != timedelta(0):
        raise ValueError("is not in UTC; write it as 2026-01-31T12:00:00Z")
    return text


def _check_relative_path(text: str) -> str:
    windows = PureWindowsPath(text)
    if "\\" in text or "\0" in text:
        raise ValueError("holds a backslash or a null character; separate folders by /")
    if PurePosixPath(text).is_absolute() or windows.drive or windows.root:
        raise ValueError("is absolute; give it relative to the manifest's folder")
    if ".." in PurePosixPath(text).parts or not PurePosixPath(text).parts:
        raise ValueError("leaves the manifest's folder; give a path below it, without '..'")
    return text


def _check_differs(edit_b_id: str, info: ValidationInfo) -> str:
    if edit_b_id == info.data.get("edit_a_id"):
        raise ValueError("is the same as edit_a_id; name two different edits")
    return edit_b_id


# Printable, no space at either end; \p{C} are control and other invisible characters.
Id = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[^\s\p{C}]([^\p{C}]*[^\s\p{C}])?$"),
]
#: The field after an ``edit_a_id``; it must name another edit.
OtherEdit = Annotated[Id, AfterValidator(_check_differs)]
Seconds = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Timestamp = Annotated[str, AfterValidator(_check_timestamp)]
RelativePath = Annotated[
    str, StringConstraints(max_length=1000), AfterValidator(_check_relative_path)
]


def repeated(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time, None when there is none."""
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def refuse_repeats(names: list[str], what: str) -> None:
    """Raise ValueError, for use in a validator, when a name occurs twice."""
    name = repeated(names)
    if name is not None:
        raise ValueError(f"{what} {name!r} occurs twice; give each its own")


def utc_now() -> str:
    """Return the current time as ISO 8601 UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def inside(folder: str | Path, relative: str) -> Path:
    """Return the file `relative` below `folder`, following links.

    Raises
    ------
    InputError
        When the path leads out of the folder.
    """
    folder = Path(folder).resolve()
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder):
        raise InputError(
            f"{relative!r} leads out of {folder}; put the file itself into that folder"
        )
    return path


def describe(error: ValidationError, model: type[BaseModel]) -> tuple[str, Any, str]:
    """Return (field, bad value, what is wrong and how to fix it) of the first problem.

    Parameters
    ----------
    error : pydantic.ValidationError
        From validating one `model`.
    model : type
        Its field descriptions become part of the remedy.
    """
    problem = error.errors(include_url=False)[0]
    names = [part for part in problem["loc"] if not str(part).startswith("function-")]
    field = ".".join(map(str, names))
    kind, value = problem["type"], problem["input"]
    if kind == "missing":
        what, value = "is missing", None
    elif kind == "extra_forbidden":
        return field, value, "is not a known field; remove it or correct its name"
    elif kind == "value_error":
        return field, value, str(problem["ctx"]["error"])
    elif kind == "string_pattern_mismatch":
        what = "has the wrong form (ids and tags: no blanks at the ends, no invisible characters)"
    else:
        what = re.sub(r"^(Input|[A-Z][a-z]+) should", "is refused: it should", problem["msg"])
    wanted = _description(model, names)
    return field, value, f"{what}; give {wanted}" if wanted else what


def _description(model: Any, names: list) -> str | None:
    """Follow the field names into the nested models and return the innermost description."""
    found = None
    for name in names:
        fields = getattr(model, "model_fields", {})
        if name in fields:
            found = fields[name].description
            model = _record_in(fields[name].annotation)
    return found


def _record_in(annotation: Any) -> Any:
    """Return the model inside list[Model], Model | None or Model itself."""
    inner = [_record_in(part) for part in getattr(annotation, "__args__", ())]
    return next((part for part in inner if hasattr(part, "model_fields")), annotation)


def _is_large(value: Any) -> bool:
    return isinstance(value, dict | bytes | BaseModel)


def as_input_error(error: ValidationError, where: str, model: type[BaseModel]) -> InputError:
    """Return the pydantic error as one line: where, field, bad value, remedy."""
    field, value, remedy = describe(error, model)
    more = error.error_count() - 1
    place = f"{where}, field {quote(field)}" if field else where
    # A whole file or record is not quoted; the message names the part of it.
    got = "" if remedy.startswith("is missing") or _is_large(value) else f" {quote(value)}"
    also = f" ({more} more problem{'s' if more > 1 else ''})" if more else ""
    return InputError(f"{place}:{got} {remedy}{also}")
