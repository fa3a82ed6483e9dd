"""Sections: read from ``song.sections`` and placed on bar lines."""

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlhf_lib.analysis.beat_files import NUMBER, is_frequencies, refuse_decimal_commas, text_lines
from rlhf_lib.errors import InputError

_LONGEST_LABEL = 80
_COLUMNS = ("label", "start", "end")
_SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")
#: An end may lie this many s after the song's: other copies of a recording end later.
_AFTER_THE_END = 1.0
_REMEDY = "write start, end and label, or label, start and end, or start and label"


class Section(NamedTuple):
    """A given section of a song.

    Attributes
    ----------
    label : str
        Its name.
    start, stop : int
        Its beats, from `start` to before `stop`. Sections begin at bar lines or at beat 0.
    moved : float
        By how many s its start was moved to the nearest bar line; negative: to an earlier one.
    """

    label: str
    start: int
    stop: int
    moved: float


class Span(NamedTuple):
    """A line of a section file: where it stands, label, start and end in s; end None: the next."""

    where: str
    label: str
    start: float
    end: float | None


def read_sections(path: str | Path, duration: float) -> list[Span]:
    """Read a section file.

    One section a line, in one of four layouts: start, end and label, as Audacity writes labels;
    label, start and end; start and label, where a section ends at the next one and a last line
    ``end`` marks the end, as Harmonix writes them; or CSV with the names label, start and end in
    its first line, in any order. Where labels begin with numbers, the rising times decide; a file
    that fits two layouts is refused. Times are in s. Columns are separated by tab, space, comma
    or semicolon; labels may hold spaces. Lines that begin with # are skipped. Labels at a point
    (start equal to end) last until the next one.

    Parameters
    ----------
    path : path of the text file, UTF-8
    duration : float
        Length of the song in s.

    Raises
    ------
    InputError
        When the file is missing, is not text, has no section, a line is not as described, or
        two layouts fit.
    """
    path = Path(path)
    lines = [
        (where, text)
        for where, text in text_lines(path, "with one section a line")
        if not (text.startswith("#") or is_frequencies(text))
    ]
    refuse_decimal_commas(lines)
    spans = [_checked(span, duration) for span in _spans(lines)]
    if spans and spans[-1].end is None and spans[-1].label.lower() == "end":
        *spans, last = spans
        if spans:
            spans[-1] = spans[-1]._replace(end=last.start)
    if not spans:
        raise InputError(f"{path} holds no section; {_REMEDY}")
    for earlier, later in pairwise(spans):
        if later.start <= earlier.start:
            raise InputError(f"{later.where} does not start after {earlier.start}; sort them")
    return spans


def _spans(lines: list[tuple[str, str]]) -> list[Span]:
    separator = next((s for s in "\t;," if lines and s in lines[0][1]), None)
    names = [name.strip().lower() for name in lines[0][1].split(separator)] if separator else []
    if "label" in names or "start" in names:
        return _from_table(lines, names, separator)
    rows = [_columns(text, separator) for _, text in lines]
    if _label_comes_first(lines, rows):
        return [_label_first(where, row) for (where, _), row in zip(lines, rows, strict=True)]
    found = [(where, *_fields(where, text)) for where, text in lines]
    for where, _, _, end in found:
        if (end is None) != (found[0][3] is None):
            raise InputError(f"{where} has other columns than the first section; {_REMEDY}")
    return [Span(where, label, start, end) for where, label, start, end in found]


def _from_table(lines: list[tuple[str, str]], names: list[str], separator: str) -> list[Span]:
    where = lines[0][0]
    if sorted(names) != sorted(_COLUMNS):
        raise InputError(f"{where} names other columns than label, start and end; name these")
    out = []
    for (where, _), row in zip(
        lines[1:], csv.reader((text for _, text in lines[1:]), delimiter=separator), strict=False
    ):
        if len(row) != len(names):
            raise InputError(f"{where} has {len(row)} columns; expected {', '.join(names)}")
        label, start, end = (row[names.index(name)].strip() for name in _COLUMNS)
        out.append(Span(where, label, _time(where, start), _time(where, end)))
    return out


def _columns(text: str, separator: str | None) -> list[str]:
    """Return the columns of label, start, end; a label may hold spaces."""
    quoted = csv.reader([text], delimiter=separator or "\t", skipinitialspace=True)
    columns = next(quoted, []) if separator else text.rsplit(maxsplit=2)
    return [column.strip() for column in columns]


def _label_comes_first(lines: list[tuple[str, str]], rows: list[list[str]]) -> bool:
    """Return whether the lines are label, start, end; refuse what fits another layout as well."""
    if not lines:
        return False
    words = [_SEPARATOR.split(text) for _, text in lines]
    if not NUMBER.fullmatch(words[0][0]):
        return len(rows[0]) == 3 and rows[0][2][:1].isdigit()
    if not all(len(row) == 3 and all(map(NUMBER.fullmatch, row[1:])) for row in rows):
        return False
    if not _rises([row[1:] for row in rows]):
        return False
    if all(NUMBER.fullmatch(line[0]) for line in words) and _rises(
        [line[:2] if NUMBER.fullmatch(line[1]) else line[:1] for line in words]
    ):
        raise InputError(
            f"{lines[0][0]}: label, start, end or start, end, label? Both fit every line; name "
            "the columns in a first line, as in label,start,end"
        )
    return True


def _rises(times: list[list[str]]) -> bool:
    """Return whether no section ends before it starts, and each starts after the one before."""
    return all(float(row[0]) <= float(row[-1]) for row in times) and all(
        float(earlier[0]) < float(later[0]) for earlier, later in pairwise(times)
    )


def _label_first(where: str, row: list[str]) -> Span:
    if len(row) != 3:
        raise InputError(f"{where} has other columns than the first section; {_REMEDY}")
    return Span(where, row[0], _time(where, row[1]), _time(where, row[2]))


def _fields(where: str, text: str) -> tuple[str, float, float | None]:
    """Return label, start and end of a line without names."""
    start, *rest = _SEPARATOR.split(text, maxsplit=1)
    second, *label = _SEPARATOR.split(rest[0], maxsplit=1) if rest else [""]
    if label and NUMBER.fullmatch(second):
        return label[0], _time(where, start), _time(where, second)
    if not rest or NUMBER.fullmatch(rest[0]):
        raise InputError(f"{where} has no label; {_REMEDY}")
    return rest[0], _time(where, start), None


def _time(where: str, text: str) -> float:
    if not NUMBER.fullmatch(text):
        raise InputError(f"{where}: {text[:40]!r} is not a time in s, as in 12.34; {_REMEDY}")
    return float(text)


def _checked(span: Span, duration: float) -> Span:
    label = " ".join(re.sub('^"(.*)"$', r"\1", span.label).split())
    if not label or len(label) > _LONGEST_LABEL or not label.isprintable():
        raise InputError(f"{span.where}: give a label of 1 to {_LONGEST_LABEL} letters")
    end = None if span.end == span.start else span.end
    is_end = label.lower() == "end" and end is None
    latest = duration + _AFTER_THE_END
    if not 0 <= span.start < (latest if is_end else duration) or (end is not None and end > latest):
        raise InputError(f"{span.where} is not within the song, 0 … {duration:.3f} s; use seconds")
    if end is not None and end < span.start:
        raise InputError(f"{span.where} ends before it starts; give the start first")
    return span._replace(label=label, end=end)


def placed(
    spans: Sequence[Span], beat_times: np.ndarray, downbeats: np.ndarray, duration: float
) -> tuple[Section, ...]:
    """Return sections whose starts and ends are moved to the nearest bar lines.

    The start of the song counts as a bar line, and what is before the first beat belongs to it.
    A section before the first bar line (silence before the music) is left out.

    Parameters
    ----------
    spans : sequence of Span
    beat_times : (n_beats,) float array
        s.
    downbeats : (n_bars,) int array
        The beats that begin a bar.
    duration : float
        Of the song in s.

    Raises
    ------
    InputError
        When two sections begin at the same bar line, or overlap.
    """
    n_beats = len(beat_times)
    lines = np.union1d([0], downbeats)
    stops = np.append(lines[1:], n_beats)
    stop_times = np.append(beat_times[lines[1:]], duration)
    out: list[Section] = []
    for number, span in enumerate(spans):
        following = spans[number + 1].start if number + 1 < len(spans) else duration
        end = following if span.end is None else span.end
        start, first_after = (
            int(lines[np.abs(beat_times[lines] - time).argmin()]) for time in (span.start, end)
        )
        if first_after == 0:  # silence before the music
            continue
        stop = int(stops[np.abs(stop_times - end).argmin()])
        place = f"{span.where}: section {span.label!r}"
        if stop <= start:
            raise InputError(
                f"{place} is shorter than half a bar; merge it with its neighbour, or correct the "
                "bars in the beat file"
            )
        if out and start < out[-1].stop:
            raise InputError(
                f"{place} begins at {beat_times[start]:.3f} s, the bar line nearest to "
                f"{span.start} s, before section {out[-1].label!r} has ended; give one section at "
                "a time, each of a bar or more"
            )
        moved = 0.0 if start == 0 else float(beat_times[start] - span.start)
        out.append(Section(span.label, start, stop, moved))
    return tuple(out)
