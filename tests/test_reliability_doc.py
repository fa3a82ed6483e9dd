"""docs/reliability.md names tests that exist, and every promise names one."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs/reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEXT)))
ROWS = [
    line for line in TEXT.splitlines() if line.startswith("| ") and "| checked by |" not in line
]


def _tree(name: str) -> ast.Module:
    return ast.parse((TESTS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_named_test_exists(file, test):
    functions = [node for node in _tree(file).body if isinstance(node, ast.FunctionDef)]
    assert test in [function.name for function in functions]


def test_every_promise_names_its_test():
    assert len(ROWS) > 30
    for row in ROWS:
        promise, held_by = (cell.strip() for cell in row.strip("|").split(" | "))
        assert promise
        assert re.fullmatch(r"`[\w.:]+`(, `[\w.:]+`)*", held_by), row


def test_slow_tests_are_called_slow():
    for row in ROWS:
        for file, test in re.findall(r"`(test_\w+\.py)::(test_\w+)`", row):
            source = (TESTS / file).read_text(encoding="utf-8")
            marked = "pytestmark = [pytest.mark.slow" in source or re.search(
                rf"@pytest\.mark\.slow\n(@.*\n)*def {test}\(", source
            )
            assert bool(marked) == ("(*slow*)" in row), row


def test_slow_tests_are_part_of_every_full_run():
    settings = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["pytest"]["ini_options"]["addopts"] == "-q --strict-markers"
    for name in ("Makefile", ".ci/run"):
        assert "slow" not in (TESTS.parent / name).read_text(encoding="utf-8")
