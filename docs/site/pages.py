"""Hooks of mkdocs: pages from all over the repository, notebooks as pages, formulas as MathML.

A page keeps the path that it has in the repository, so one relative link serves both places.
"""

import html
import logging
import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "*.md",
    "docs/*.md",
    "docs/reference/*.md",
    "docs/images/*.png",
    "data/README.md",
    "feedback/FEEDBACK_DATA_FORMAT.md",
    "models/README.md",
)
#: Files that pages link to; a browser shows them as text.
TEXTS = ("LICENSE", "CITATION.cff", "rlhf_lib/web/example_study.yaml")
log = logging.getLogger("mkdocs.hooks")


class Notebook(File):
    """A notebook that mkdocs takes for a page."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    place = {"dest_dir": config.site_dir, "use_directory_urls": config.use_directory_urls}
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        files.append(File(path.relative_to(ROOT).as_posix(), str(ROOT), **place))
    for name in TEXTS:
        files.append(File(name, str(ROOT), **place, dest_uri=f"{name}.txt"))
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        page = Notebook(path.relative_to(ROOT).as_posix(), str(ROOT), **place)
        page.content_string, images = notebook_page(path)
        files.append(page)
        for name, image in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=image))
    return files


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook with its stored outputs as Markdown, and its pictures by file name."""
    names = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    text, made = MarkdownExporter().from_notebook_node(nbformat.read(path, 4), resources=names)
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.DOTALL)
    text = text.replace('<table border="1" class="dataframe">', "<table>")
    return f'{text}\n<div class="notebook"></div>\n', made["outputs"]


def on_page_content(text: str, **_) -> str:
    """Write formulas as MathML, which browsers draw without a script."""
    inline = r'<span class="arithmatex">\\\((.*?)\\\)</span>'
    text = re.sub(inline, lambda found: _mathml(found[1], "inline"), text, flags=re.DOTALL)
    block = r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>'
    return re.sub(block, lambda found: _mathml(found[1], "block"), text, flags=re.DOTALL)


def _mathml(formula: str, display: str) -> str:
    return convert(html.unescape(formula), display=display)


def on_post_page(output: str, page, **_) -> str:
    """Warn of what a browser would load from another host."""
    for tag in re.findall(r"<(?:script|link|img|iframe|audio|source)\b[^>]*>", output):
        if re.search(r'(?:src|href)="(?:https?:)?//', tag) and 'rel="canonical"' not in tag:
            log.warning("%s loads from another host: %s", page.file.src_uri, tag)
    return output
