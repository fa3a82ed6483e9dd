"""The docs site (mkdocs.yml): what its strict build, `make docs`, does not check."""

import html
import importlib
import importlib.util
import inspect
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from rlhf_lib.feedback.manifest import Manifest

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
REFERENCE = {path.name: path.read_text("utf-8") for path in (ROOT / "docs/reference").glob("*.md")}
DIRECTIVE = re.compile(r"^::: ([\w.]+)\n    options:\n      members: \[(.+)\]$", re.MULTILINE)


@pytest.fixture(scope="module")
def pages():
    source = importlib.util.spec_from_file_location("pages", ROOT / "docs/site/pages.py")
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    return module


def _listed(part) -> list[str]:
    """The pages of a part of the navigation, in order."""
    if isinstance(part, str):
        return [part]
    parts = part.values() if isinstance(part, dict) else part
    return [page for one in parts for page in _listed(one)]


def test_the_navigation_lists_every_page_and_notebook_once():
    patterns = ("*.md", "docs/**/*.md", "notebooks/*.ipynb", "[!.]*/README.md", "feedback/F*.md")
    written = {path.relative_to(ROOT).as_posix() for one in patterns for path in ROOT.glob(one)}
    assert sorted(_listed(SETTINGS["nav"])) == sorted(written)


@pytest.mark.parametrize("page", REFERENCE)
def test_the_reference_names_public_things_with_a_docstring(page):
    named = DIRECTIVE.findall(REFERENCE[page])
    assert len(named) == REFERENCE[page].count("\n::: ") > 0
    for module, members in named:
        for member in members.split(", "):
            found = getattr(importlib.import_module(module), member)
            assert found.__module__ == module, f"{member} is defined in {found.__module__}"
            assert not member.startswith("_") and inspect.getdoc(found), f"{module}.{member}"


def test_a_notebook_becomes_a_page(pages, tmp_path):
    v4, picture = nbformat.v4, "iVBORw0KGgo="
    table = (
        "<div>\n<style scoped>\n    .dataframe td { top: 0 }\n</style>\n"
        '<table border="1" class="dataframe"><tr><td>7</td></tr></table>\n</div>'
    )
    shown = ({"text/html": table}, {"image/png": picture})
    outputs = [v4.new_output("display_data", data) for data in shown]
    cells = [
        v4.new_markdown_cell("# Title\n\n[next](other.ipynb#part)"),
        v4.new_code_cell("table", outputs=outputs),
    ]
    made = v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    nbformat.write(made, tmp_path / "one.ipynb")
    text, images = pages.notebook_page(tmp_path / "one.ipynb")
    assert "# Title\n\n[next](other.ipynb#part)" in text
    assert "```python\ntable\n```" in text
    assert "<table><tr><td>7</td></tr></table>" in text and "<style" not in text
    ((name, content),) = images.items()
    assert content == b"\x89PNG\r\n\x1a\n" and f"]({name})" in text


def test_formulas_become_mathml(pages):
    text = pages.on_page_content(
        r'<p><span class="arithmatex">\(a &lt; b\)</span></p>'
        r'<div class="arithmatex">\[\frac{1}{2}\]</div>'
    )
    assert "arithmatex" not in text
    inline, block = re.findall(r"<math.*?</math>", text)
    assert html.unescape(re.sub("<.*?>", "", inline)) == "a<b"
    assert 'display="block"' in block and "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in re.sub(
        "</?mrow>", "", block
    )


@pytest.mark.parametrize(
    ("tag", "warned"),
    [
        ('<script src="https://cdn.example.org/x.js">', True),
        ('<img alt="" src="//example.org/x.png">', True),
        ('<link rel="stylesheet" href="http://example.org/x.css">', True),
        ('<script src="../assets/x.js">', False),
        ('<a href="https://example.org/">', False),
    ],
)
def test_files_of_other_hosts_are_warned_of(pages, caplog, tag, warned):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="docs/x.md"))
    with caplog.at_level(logging.WARNING):
        assert pages.on_post_page(tag, page=page) == tag
    assert bool(caplog.records) is warned


def test_the_script_of_the_pictures_makes_its_candidates(tmp_path):
    """Only its first part: the pictures themselves take a minute of JupyterLab."""
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs/screenshots.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.candidates(tmp_path)
    manifest = Manifest.load(tmp_path / "eval_outputs/evaluation_manifest.json")
    assert all((tmp_path / "eval_outputs" / c.path).is_file() for c in manifest.songs[0].candidates)
