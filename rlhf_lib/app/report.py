"""A report: text, tables, plots and sounds on one HTML page that works offline."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from urllib.parse import quote

import jinja2
import pandas as pd

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path
from rlhf_lib.plots.style import Figure, svg


@dataclass(frozen=True, eq=False)
class Section:
    """One part of a report; fields that are None or empty are left out.

    Attributes
    ----------
    heading : str
    text : str
        Plain text; an empty line starts a new paragraph.
    table : DataFrame, optional
        Its index is shown unless it is a plain count.
    figure : Figure, optional
        From `rlhf_lib.plots`; embedded in the page.
    audio : sequence of (label, path)
        Sounds to play; a relative path starts from the report's folder. They remain separate
        files, so move them together with the report.
    """

    heading: str
    text: str = ""
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    audio: Sequence[tuple[str, str | Path]] = ()


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write a report atomically and return its path.

    Raises
    ------
    InputError
        When there are no sections, or a sound does not exist.
    """
    path = Path(path)
    if not sections:
        raise InputError(f"a report needs at least one section; {path.name} got none")
    page = _template().render(title=title, sections=[_content(s, path.parent) for s in sections])
    with atomic_path(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlhf_lib.app", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2")


def _content(section: Section, folder: Path) -> dict:
    figure = section.figure
    return {
        "heading": section.heading,
        "paragraphs": [part.strip() for part in section.text.split("\n\n") if part.strip()],
        "table": None if section.table is None else _table(section.table),
        "figure": None if figure is None else base64.b64encode(svg(figure)).decode("ascii"),
        "audio": [(label, _address(sound, folder)) for label, sound in section.audio],
    }


def _table(table: pd.DataFrame) -> dict:
    """Return the column names, which columns are numeric, and the cells as text."""
    if not isinstance(table.index, pd.RangeIndex):
        table = table.rename_axis(index=[name or "" for name in table.index.names]).reset_index()
    return {
        "columns": [str(name) for name in table.columns],
        "numeric": [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes],
        "rows": [[_cell(value) for value in row] for row in table.itertuples(index=False)],
    }


def _cell(value: object) -> str:
    if not isinstance(value, str) and pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _address(sound: str | Path, folder: Path) -> str:
    """Return a sound's address relative to the report's folder."""
    place = folder / sound
    if not place.is_file():
        raise InputError(f"no audio file at {place}; write the sounds before the report")
    return quote(Path(os.path.relpath(place, folder)).as_posix())
