"""Imports run one way, heavy libraries stay in their rooms, files stay short."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rlhf_lib"
MAX_LINES = 330

# A module may import from its own layer and from those before it.
LAYERS = (
    {"errors", "parallel", "paths", "profiles"},
    {"music"},
    {"feedback"},
    {"learning"},
    {
        "blind_test",
        "calibration",
        "candidate_files",
        "candidates",
        "climb",
        "cycle",
        "demo_songs",
        "evaluation",
        "lineage",
        "training",
    },
    {"studio", "plots", "report", "demo", "commands", "cli"},
    {"__main__"},
)
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
LEARNING_AND_ABOVE = {room for room, rank in RANK.items() if rank >= RANK["learning"]}
# library -> rooms that may import it
CONFINED = {
    "torch": LEARNING_AND_ABOVE,
    "tensorboard": LEARNING_AND_ABOVE,
    "matplotlib": {"plots"},
    "ipywidgets": {"studio"},
    "anywidget": {"studio"},
    "librosa": set(),  # it takes a second, and two processes that compile it at once break it
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class WithoutTypeChecking(ast.NodeTransformer):
    """Drop what stands under ``if TYPE_CHECKING:``, which never runs."""

    def visit_If(self, node: ast.If) -> ast.AST:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        return self.generic_visit(node)


def imported_by(name: str, path: Path, for_types: bool = True) -> set[str]:
    """Return the dotted names a module imports anywhere, inside functions too.

    Without `for_types` imports under ``if TYPE_CHECKING:`` are left out.
    """
    found = set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if for_types else WithoutTypeChecking().visit(tree)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*outer, base] if base else outer)
            # `from package import module` imports the module, `from module import name` does not
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
                for alias in node.names
            }
    return found


IMPORTS = {name: imported_by(name, path) for name, path in MODULES.items()}


def room_of(name: str) -> str:
    """Return the room of a module: the part after ``rlhf_lib.``, empty for the package itself."""
    return name.split(".")[1] if "." in name else ""


def test_relative_and_function_level_imports_are_read(tmp_path):
    source = tmp_path / "probe.py"
    source.write_text(
        "from . import edit\nfrom .. import paths\nfrom ..errors import InputError\n"
        "def f():\n    import torch.nn\n    from librosa import load\n"
        "if TYPE_CHECKING:\n    from rlhf_lib.music.song import Song\n"
    )
    running = {
        "rlhf_lib.music.edit",
        "rlhf_lib.paths",
        "rlhf_lib.errors",
        "torch.nn",
        "librosa",
    }
    assert imported_by("rlhf_lib.music.probe", source, for_types=False) == running
    assert imported_by("rlhf_lib.music.probe", source) == running | {"rlhf_lib.music.song"}


def test_every_room_has_its_place():
    unplaced = {room_of(name) for name in MODULES} - set(RANK) - {""}
    assert not unplaced, f"give {unplaced} a place in LAYERS"


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    for target in IMPORTS[name]:
        if target.split(".")[0] != "rlhf_lib" or not room_of(target):
            continue
        assert room_of(name), f"rlhf_lib/__init__.py imports {target}"
        assert RANK[room_of(target)] <= RANK[room_of(name)], f"{name} imports {target}"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_stay_in_their_rooms(name):
    for target in IMPORTS[name]:
        rooms = CONFINED.get(target.split(".")[0])
        assert rooms is None or room_of(name) in rooms, f"{name} imports {target}"


def test_no_two_modules_import_each_other():
    graph = {
        name: imported_by(name, path, for_types=False) & set(MODULES)
        for name, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError and names the cycle


@pytest.mark.parametrize(
    "code", ["import rlhf_lib", "from rlhf_lib import cli; cli.main(['--help'])"]
)
def test_the_package_and_its_help_load_no_heavy_library(code):
    heavy = {"torch", "librosa", "numba", "matplotlib", "pandas", "scipy", "dask", "gymnasium"}
    code = f"""if True:
        import atexit, sys
        atexit.register(lambda: print("loaded:", *sorted({heavy} & set(sys.modules))))
        {code}"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]


@pytest.mark.parametrize(
    "path",
    sorted(
        path for room in ("rlhf_lib", "tests", "benchmarks") for path in (ROOT / room).rglob("*.py")
    ),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_file_is_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: one file, one concept; cut it in two"
