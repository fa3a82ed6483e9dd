"""README and docs agree with the code: links, commands, flags, files, rooms, messages."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from test_imports import MODULES, levels

from rlhf_lib.app.cli import COMMANDS, parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in (".", "docs", "docs/reference", "data", "feedback", "models", "benchmarks")
    for path in sorted((ROOT / folder).glob("*.md"))
}
CODE = "".join(
    path.read_text(encoding="utf-8")
    for kind in ("*.py", "*.js", "*.json")
    for path in sorted((ROOT / "rlhf_lib").rglob(kind))
)


def _prose(text: str) -> str:
    """The text without fenced and indented code."""
    return re.sub(r"^```.*?^```|^    .*?$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_have_a_target(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(PAGES[page])):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page):
    """The command line accepts every `python -m rlhf_lib …` line."""
    text = re.sub(r"\\\n\s*", "", PAGES[page])
    lines = re.findall(r"python -m rlhf_lib (?!--help)([^\n`#|…]+)", text)
    for line in lines:
        words = shlex.split(line.rstrip(". "))
        try:
            parser().parse_args(words)
        except SystemExit:
            # In prose a command may be named without its required flags.
            assert len(words) == 1 and words[0] in _commands(), f"{page}: {line}"


def _commands() -> dict[str, set[str]]:
    return {
        command.run.__name__: {"--help", *(f"--{flag}" for flag in command.flags)}
        for command in COMMANDS
    }


@pytest.mark.parametrize("page", PAGES)
def test_flags_and_targets_exist(page):
    """Flags in backticks belong to some command, `make` targets to the Makefile."""
    flags = set().union(*_commands().values())
    scripts = "".join(path.read_text("utf-8") for path in (ROOT / "benchmarks").rglob("*.py"))
    for span in re.findall(r"`([^`\n]+)`", _prose(PAGES[page])):
        for flag in re.findall(r"(?<![\w-])--[a-z_]+", span):
            if not re.search("python -m|pip|dask", span):
                assert flag in flags or f'"{flag}"' in scripts, f"{page}: {span}"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for target in re.findall(r"(?:`|^    )(?:\w+=\S+ )?make ([a-z-]+)", PAGES[page], re.MULTILINE):
        assert target in targets, f"{page}: make {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_backticks_exist(page):
    """Paths of this repository; files that commands write are in other folders."""
    for name in re.findall(
        r"`((?:rlhf_lib|tests|docs|benchmarks|notebooks)/[\w./-]*\w)`", PAGES[page]
    ):
        assert (ROOT / name).exists(), f"{page}: {name}"


def test_the_file_map_is_that_of_the_repository():
    (block,) = re.findall(
        r"^## Where things are\n\n((?:    .*\n)+)", PAGES["README.md"], re.MULTILINE
    )
    rows = [line[4:] for line in block.splitlines()]
    inside = [row.strip() for row in rows if row.startswith("  ")]
    named = [(ROOT, row.split("    ")[0]) for row in rows if not row.startswith("  ")]
    named += [(ROOT / "rlhf_lib", row.split("  ")[0]) for row in inside]
    written = ("eval_outputs/", "runs/")
    for folder, names in named:
        for name in re.findall(r"[\w./]+", names):
            assert name in written or (folder / name).exists(), name


def test_the_picture_of_the_rooms_is_that_of_the_imports():
    (drawn,) = re.findall(
        r"^    __main__\n(?:    .+\n)+", PAGES["docs/architecture.md"], re.MULTILINE
    )
    rows = [sorted(row.strip().split(" · ")) for row in drawn.splitlines()]
    assert rows[::-1] == levels()


def test_every_module_is_listed():
    _, rooms = re.split(r"^## Where things are$", PAGES["docs/architecture.md"], flags=re.MULTILINE)
    for name in MODULES:
        module = name.rpartition(".")[2]
        assert re.search(rf"\b{module}\b", rooms), f"docs/architecture.md does not list {name}"


def test_the_page_of_descriptors_is_that_of_the_table():
    """If this fails, write the page with .venv/bin/python docs/descriptors.py."""
    source = importlib.util.spec_from_file_location("page", ROOT / "docs/descriptors.py")
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    assert PAGES["docs/descriptors.md"] == module.page()


def test_quoted_messages_are_those_of_the_code():
    """Messages in troubleshooting.md, cut at … and at inserted values, are in the code."""
    code = re.sub(r'"\s*\n\s*(?:\+ )?f?"', "", CODE)  # strings that continue on the next line
    quoted = re.findall(r"^(?:\| |- )`([^`]+)`", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    assert len(quoted) > 15
    for message in quoted:
        for part in re.split(
            r"…|\([^)]*\)|'[^']*'|\d[\d.]*|\w+_manifest\.json|preferences\.json|\bA\b", message
        ):
            part = part.strip(" .,:;")
            assert part in code or len(part) < 5, f"{message!r}: {part!r}"


def test_the_figures_of_the_readme_are_those_of_the_results():
    (table,) = re.findall(
        r"^## What works.*?^Sources", PAGES["README.md"], re.MULTILINE | re.DOTALL
    )
    results = PAGES["docs/results.md"].replace("%", " %")
    figures = re.findall(r"\d\.\d+\**(?: \[.*?\])?|\d+ %(?= intervals|;| \|)", table)
    assert len(figures) > 20
    for figure in figures:
        assert figure.replace("*", "") in results, figure


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["title"].startswith(project["name"] + ":")
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    holder = re.search(r"Copyright \(c\) \d+ (.*)", (ROOT / "LICENSE").read_text("utf-8"))[1]
    assert citation["authors"] == [{"name": holder}]
