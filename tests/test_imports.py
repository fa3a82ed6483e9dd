"""Imports run one way between the rooms of the package; heavy libraries stay in their rooms."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rlhf_lib"
#: Rooms that may import a library.
CONFINED = {
    "torch": {
        "learning",
        "learning.planning",
        "learning.reward",
        "learning.policy",
        "steps",
        "plots",
        "app",
    },
    "tensorboard": {"learning.policy"},
    "matplotlib": {"plots"},
    "ipywidgets": {"studio"},
    "anywidget": {"studio"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "httpx": {"web"},
    "yaml": {"base", "web"},
    "safetensors": {"learning"},
    "av": {"analysis"},
    "mutagen": {"analysis"},
    "opentimelineio": {"editing"},
    "numba": {"editing", "learning.planning"},  # compiling takes seconds
    "librosa": set(),  # importing takes a second; only tests compare with it
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def imported_by(name: str, path: Path) -> set[str]:
    """Return the dotted names that a module imports, in functions and for types too."""
    found = set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    """Return the room of a module, its folder; the top folder's modules are the room ``base``."""
    if name == "rlhf_lib.__main__":
        return "__main__"
    package = name if name in PACKAGES else name.rpartition(".")[0]
    return package.removeprefix("rlhf_lib").removeprefix(".") or "base"


def rooms() -> dict[str, set[str]]:
    """Return the rooms that each room imports from."""
    graph: dict[str, set[str]] = {}
    for name, targets in IMPORTS.items():
        inside = {room_of(target) for target in targets if target in MODULES}
        graph.setdefault(room_of(name), set()).update(inside - {room_of(name)})
    return {
        room: targets - ({"base"} if room == "base" else set()) for room, targets in graph.items()
    }


def levels() -> list[list[str]]:
    """Return the rooms by level; a level imports only from the levels before it."""
    sorter = TopologicalSorter(rooms())
    sorter.prepare()  # raises CycleError, which lists the cycle
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found.append(ready)
        sorter.done(*ready)
    return found


def test_relative_and_function_level_imports_are_read(tmp_path):
    source = tmp_path / "probe.py"
    source.write_text(
        "from . import edit\nfrom .. import paths\nfrom ..errors import InputError\n"
        "def f():\n    import torch.nn\n    from librosa import load\n"
        "if TYPE_CHECKING:\n    from rlhf_lib.analysis.song import Song\n"
    )
    assert imported_by("rlhf_lib.editing.probe", source) == {
        "rlhf_lib.editing.edit",
        "rlhf_lib.paths",
        "rlhf_lib.errors",
        "rlhf_lib.analysis.song",
        "torch.nn",
        "librosa",
    }


def test_rooms_import_one_way(capsys):
    order = levels()
    with capsys.disabled():
        print("\nrooms, each line importing only from lines before it:")
        for level in order:
            print("  " + ", ".join(level))
    assert order[0] == ["base"] and order[-1] == ["__main__"]
    assert {room for level in order for room in level} == {room_of(name) for name in MODULES}


def test_no_two_modules_import_each_other():
    graph = {name: targets & set(MODULES) - {name} for name, targets in IMPORTS.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which lists the cycle


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_stay_in_their_rooms(name):
    for target in IMPORTS[name]:
        allowed = CONFINED.get(target.split(".")[0])
        assert allowed is None or room_of(name) in allowed, f"{name} imports {target}"


@pytest.mark.parametrize(
    "code", ["import rlhf_lib", "from rlhf_lib.app import cli; cli.main(['--help'])"]
)
def test_the_package_and_its_help_load_no_heavy_library(code):
    heavy = {
        "torch",
        "librosa",
        "numba",
        "matplotlib",
        "pandas",
        "scipy",
        "dask",
        "gymnasium",
        "av",
        "opentimelineio",
    }
    code = f"""if True:
        import atexit, sys
        atexit.register(lambda: print("loaded:", *sorted({heavy} & set(sys.modules))))
        {code}"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]


@pytest.mark.parametrize("module", ["edit_song", "candidates", "checkpoints"])
def test_editing_with_a_policy_does_not_wait_for_pytorch(module):
    code = f"import sys, rlhf_lib.steps.{module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
