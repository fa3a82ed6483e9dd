"""The HTML report: the content of the page, and that it loads nothing else."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import toy_song

from rlhf_lib import plots
from rlhf_lib.app.report import Section, write_report
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError


class Page(HTMLParser):
    """Elements as (tag, attributes), and text by the tag around it."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and data.strip():
            self.texts.setdefault(self._open[-1], []).append(data.strip())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def edit_map():
    return plots.edit_map(Edit(toy_song(16), [0, 0, 1, 0] * 4, 1.0))


def test_text_is_escaped_and_cut_into_paragraphs(tmp_path):
    text = "one <b>bold</b> & more\n\n\n\ntwo\nlines"
    page = Page(write_report(tmp_path / "r.html", "A <title>", [Section("Head & shoulders", text)]))
    assert page.texts["title"] == ["A <title>"]
    assert page.texts["h2"] == ["Head & shoulders"]
    assert page.texts["p"] == ["one <b>bold</b> & more", "two\nlines"]
    assert not page.all("b")


def test_tables_show_index_and_rounded_numbers(tmp_path):
    table = pd.DataFrame(
        {"rate": [0.12345, np.nan], "n": [3, 40], "big": [12345.6, 1.0], "note": ["<i>", None]},
        index=pd.Index(["x", "y"], name="line"),
    )
    page = Page(write_report(tmp_path / "r.html", "t", [Section("h", table=table)]))
    assert page.texts["th"] == ["line", "rate", "n", "big", "note"]
    assert page.texts["td"] == ["x", "0.123", "3", "12,346", "<i>", "y", "–", "40", "1.000", "–"]
    assert [cell.get("class") for cell in page.all("th")] == [None, *["number"] * 3, None]


def test_a_plain_count_is_not_a_column(tmp_path):
    table = pd.DataFrame({"a": [1]})
    page = Page(write_report(tmp_path / "r.html", "t", [Section("h", table=table)]))
    assert page.texts["th"] == ["a"]


def test_figures_are_part_of_the_page(tmp_path):
    page = Page(write_report(tmp_path / "r.html", "t", [Section("Map", figure=edit_map())]))
    (image,) = page.all("img")
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert b"<svg" in base64.b64decode(data)
    assert image["alt"] == "Plot: Map"


def test_sounds_are_relative_links(tmp_path):
    inside, outside = tmp_path / "run" / "a b#1.wav", tmp_path / "other.flac"
    for sound in (inside, outside):
        sound.parent.mkdir(exist_ok=True)
        sound.write_bytes(b"RIFF")
    sections = [Section("h", audio=[("old <1>", "a b#1.wav"), ("new", outside)])]
    page = Page(write_report(tmp_path / "run" / "r.html", "t", sections))
    assert [player["src"] for player in page.all("audio")] == ["a%20b%231.wav", "../other.flac"]
    assert all(p["preload"] == "none" and "controls" in p for p in page.all("audio"))
    assert page.texts["span"] == ["old <1>", "new"]


def test_the_page_loads_nothing_else(tmp_path):
    path = write_report(tmp_path / "r.html", "t", [Section("h", "text", figure=edit_map())] * 3)
    page = Page(path)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page.source)
    assert "@import" not in page.source and "url(" not in page.source
    assert "prefers-color-scheme: dark" in page.source
    assert [link["href"] for link in page.all("a")] == ["#section-1", "#section-2", "#section-3"]
    assert [part["id"] for part in page.all("section")] == ["section-1", "section-2", "section-3"]


def test_equal_content_is_an_equal_file(tmp_path):
    first, second = (
        write_report(tmp_path / name, "t", [Section("h", figure=edit_map())]).read_bytes()
        for name in ("a.html", "b.html")
    )
    assert first == second


def test_a_failed_report_leaves_the_old_one(tmp_path):
    path = write_report(tmp_path / "r.html", "old", [Section("h")])
    with pytest.raises(InputError, match=r"no audio file at .*gone\.wav"):
        write_report(path, "new", [Section("h", audio=[("x", "gone.wav")])])
    with pytest.raises(InputError, match="at least one section"):
        write_report(path, "new", [])
    assert Page(path).texts["title"] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
