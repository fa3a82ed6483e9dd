"""The source archive and the wheel: what they hold, and that the wheel works by itself."""

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rlhf_lib
from rlhf_lib.composer.compose import compose_songs

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.slow]
if not (ROOT / ".git").exists():
    pytest.skip("not a git checkout", allow_module_level=True)
#: What commands write, and what must stay out.
WRITTEN = (
    *("data/mine/song.flac", "feedback/preferences.json", "feedback/study/secret"),
    *("models/policy_v15.pt", "models/earlier/policy_v14_0123abcd.pt", "runs/policy_v15/x.csv"),
    *("eval_outputs/evaluation_manifest.json", ".cache/songs/x.song", ".venv/pyvenv.cfg"),
    *("rlhf_lib/__pycache__/cli.pyc", "tests/.pytest_cache/x", "notebooks/.ipynb_checkpoints/x"),
)


def _run(*command, **options) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    return set(_run("git", "ls-files", "-z", cwd=ROOT).split("\0")) - {""}


@pytest.fixture(scope="module")
def dist(tmp_path_factory, tracked):
    """The two files, as `make dist` builds them in a folder in which one has worked."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in tracked:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    for name in WRITTEN:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes(b"x")
    _run(sys.executable, "-m", "build", "--no-isolation", cwd=checkout)
    (source,) = (checkout / "dist").glob("*.tar.gz")
    (wheel,) = (checkout / "dist").glob("*.whl")
    return source, wheel


def test_the_source_archive_holds_the_repository_and_nothing_else(dist, tracked):
    version = rlhf_lib.__version__
    with tarfile.open(dist[0]) as archive:
        names = {member.name for member in archive.getmembers() if member.isfile()}
    inside = {name.removeprefix(f"rlhf_lib-{version}/") for name in names}
    made = {name for name in inside if name.startswith("rlhf_lib.egg-info/")}
    assert inside - made - {"PKG-INFO", "setup.cfg"} == tracked


def test_the_wheel_holds_the_package_and_its_models(dist, tracked):
    with zipfile.ZipFile(dist[1]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {name for name in tracked if name.startswith("rlhf_lib/")}
    models = {f"rlhf_lib/{name}" for name in tracked if name.startswith("models/")}
    assert names == package | models


def test_twine_accepts_both(dist):
    _run(sys.executable, "-m", "twine", "check", "--strict", *dist)


def _declared(wheel: Path) -> set[str]:
    """Return the distributions that installing a wheel brings along: declared, and theirs."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().split("\n\n")[0].splitlines()
    waiting = [
        (Requirement(line.removeprefix("Requires-Dist: ")), "")
        for line in lines
        if line.startswith("Requires-Dist: ")
    ]
    found: dict[str, set[str]] = {}
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras} - found.setdefault(name, set()):
            found[name].add(wanted)
            theirs = importlib.metadata.requires(name) or []
            waiting += [(Requirement(line), wanted) for line in theirs]
    return set(found)


@pytest.fixture(scope="module")
def environment(dist, tmp_path_factory):
    """A new environment with the wheel and links to what it declares, and nothing else.

    Downloading PyTorch again would take minutes; the linked packages are the locked ones.
    """
    place = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", "--without-pip", place)
    python = place / "bin/python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    _run(*pip, "install", "--no-deps", "--no-index", dist[1])
    (packages,) = place.glob("lib/python*/site-packages")
    for name in _declared(dist[1]):
        for file in importlib.metadata.files(name):
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(file.locate()).parents[len(file.parts) - 1] / top)
    return place, pip


def test_every_declared_dependency_is_satisfied(environment):
    _, pip = environment
    loud = os.environ | {"PIP_QUIET": "0"}  # the environment may ask pip to print nothing
    assert "No broken requirements found" in _run(*pip, "check", env=loud)


def test_the_wheel_works_in_an_empty_environment(environment, tmp_path):
    place, _ = environment
    (song,) = compose_songs(tmp_path / "music", 1, 4, 60.0)
    empty = tmp_path / "empty"
    empty.mkdir()
    hidden = ("RLHF_WORKSPACE", "PYTHONPATH")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    here = {"cwd": empty, "env": env | {"XDG_CACHE_HOME": str(tmp_path / "cache")}}
    python, edit_song = place / "bin/python", place / "bin/edit_song"
    version = f"rlhf_lib {rlhf_lib.__version__}\n"
    assert _run(edit_song, "--version", **here) == version
    assert _run(python, "-m", "rlhf_lib", "--version", **here) == version
    script = (
        "import importlib.metadata as m, rlhf_lib\n"
        "assert m.version('rlhf_lib') == rlhf_lib.__version__\n"
        "print(rlhf_lib.__file__)"
    )
    assert _run(python, "-c", script, **here).startswith(str(place))
    assert "train_from_feedback" in _run(python, "-m", "rlhf_lib", "--help", **here)
    _run(edit_song, song, "--seconds", "30", **here)
    assert [path.name for path in empty.iterdir()] == [f"{song.stem}_short.flac"]
    assert list((tmp_path / "cache/rlhf_lib").rglob("*.song"))


def test_no_package_is_imported_that_is_not_declared(environment, dist):
    """Every module of the package is imported where only declared packages are installed."""
    place, _ = environment
    names = [
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for name in zipfile.ZipFile(dist[1]).namelist()
        if name.endswith(".py") and "__main__" not in name
    ]
    script = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    _run(place / "bin/python", "-c", script, cwd=place)
