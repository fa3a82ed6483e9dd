"""The form of the notebooks: short cells, no functions, every section ends with an output."""

import ast
import base64
import io
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
MAX_LINES, MEDIAN_LINES = 12, 6
MAX_BYTES = 6_000_000
#: Tag of the cells whose output is compared in the smoke profile; each notebook has at least two.
COMPARED, LEAST_COMPARED = "nbval-check-output", 2
#: Metadata of a folded cell in JupyterLab.
FOLDED = {"outputs_hidden": True, "source_hidden": True}
#: What a learner need not know: it belongs into the library, behind a plain name.
INTERNALS = re.compile(r"einsum|state_dict|detach\(|set_parameters|\b_[a-z]\w*\.|\.\s*_[a-z]")
#: The largest plot, in inches at the resolution of `plots.style`: it fits a screen.
WIDEST, HIGHEST, DOTS_PER_INCH = 10.5, 6, 110
#: Output that depends on the machine: its folders, progress bars, sound.
FOREIGN = re.compile(
    r"/tmp/|/home/|/root/|\[\d+:\d\d<|it/s\]|audio/|application/vnd.jupyter.widget-view|\(free: "
)


def cells(notebook, kind: str) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem[:2])
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_nine_in_order_and_they_are_light():
    assert [path.name[:2] for path in PATHS] == [f"{number:02d}" for number in range(9)]
    assert sum(path.stat().st_size for path in PATHS) < MAX_BYTES


def test_code_cells_are_short_and_define_nothing(notebook):
    sources = [cell.source for cell in cells(notebook, "code")]
    lengths = [sum(bool(line.strip()) for line in source.splitlines()) for source in sources]
    assert statistics.median(lengths) <= MEDIAN_LINES
    assert max(lengths) <= MAX_LINES
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not [
        node.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, kinds)
    ]


def test_it_opens_with_the_question_and_one_cell_of_parameters(notebook):
    opening = notebook.cells[0]
    assert opening.cell_type == "markdown"
    for part in (r"# \d\d · ", r"\*\*Question\.\*\*", r"\*\*What goes in\.\*\*", r"\*\*What comes"):
        assert re.search(part, opening.source)
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [cells(notebook, "code")[0]]
    assert re.search(r"^#+ Limits", cells(notebook, "markdown")[-1].source, re.M)


def test_parameters_are_read(notebook):
    first, *others = (cell.source for cell in cells(notebook, "code"))
    names = [
        name.id
        for node in ast.parse(first).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    assert names
    assert [name for name in names if not re.search(rf"\b{name}\b", "\n".join(others))] == []


def test_cells_use_no_internals(notebook):
    for cell in cells(notebook, "code"):
        assert not INTERNALS.search(cell.source), cell.source


def test_one_exercise_with_a_folded_solution_before_the_limits(notebook):
    *_, exercise, solution, limits = notebook.cells
    headings = [c for c in cells(notebook, "markdown") if re.search("^## Exercise", c.source, re.M)]
    tagged = [c for c in cells(notebook, "code") if "solution" in c.metadata.get("tags", [])]
    assert headings == [exercise] and tagged == [solution]
    assert exercise.source.startswith("## Exercise\n") and "?" in exercise.source
    assert limits.source.startswith("## Limits")
    assert solution.metadata["jupyter"] == FOLDED
    assert any(output.output_type != "stream" for output in solution.outputs)


def test_plots_fit_a_screen(notebook):
    for cell in cells(notebook, "code"):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as image:
                    inches = [side / DOTS_PER_INCH for side in image.size]
                assert inches[0] <= WIDEST and inches[1] <= HIGHEST, cell.source


def test_every_section_ends_with_an_output_or_an_assertion(notebook):
    sections: list[tuple[str, list]] = []
    for cell in notebook.cells:
        heading = re.search(r"^## (.*)", cell.source, re.M)
        if cell.cell_type == "markdown" and heading:
            sections.append((heading[1], []))
        elif sections and cell.cell_type == "code":
            sections[-1][1].append(cell)
    assert len(sections) >= 4
    for name, code in sections[:-1]:  # the last one is about limits
        assert code, f"section {name!r} has no code"
        assert any(cell.outputs or "assert" in cell.source for cell in code[-2:]), name


def test_outputs_do_not_depend_on_the_machine(notebook):
    for cell in cells(notebook, "code"):
        assert not FOREIGN.search(str(cell.outputs)), cell.source[:80]
        assert not any(output.output_type == "error" for output in cell.outputs), cell.source[:80]
    compared = [
        cell for cell in cells(notebook, "code") if COMPARED in cell.metadata.get("tags", [])
    ]
    assert len(compared) >= LEAST_COMPARED
    assert all(cell.outputs for cell in compared)


def test_an_input_error_shows_its_message_and_no_traceback():
    shell = InteractiveShell()
    shown = []
    shell._showtraceback = lambda kind, error, lines: shown.extend(lines)
    shell.run_cell("from rlhf_lib.errors import InputError; raise InputError('no song here')")
    assert shown == ["InputError: no song here"]
