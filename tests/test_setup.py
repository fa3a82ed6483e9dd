"""The files that describe the environment agree with each other."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rlhf_lib.app.profiles import PROFILES
from rlhf_lib.steps.cycle import PRETRAINED

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def locked() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def versions(locked: list[Requirement]) -> dict[str, str]:
    return {canonicalize_name(r.name): next(iter(r.specifier)).version for r in locked}


def test_environment_yml_lists_the_dependencies_of_pyproject(project):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "rlhf"
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": [*project["dependencies"], "-e ."]}


def test_lock_pins_one_public_version_of_each_package(locked):
    names = [canonicalize_name(r.name) for r in locked]
    assert sorted(set(names)) == sorted(names)
    for requirement in locked:
        (pin,) = requirement.specifier
        assert pin.operator == "==" and "*" not in pin.version, requirement
        assert "+" not in pin.version, f"{requirement}: a local build no registry has"
        assert requirement.url is None and requirement.marker is None


def test_lock_satisfies_pyproject(project, locked):
    pinned = versions(locked)
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["dev"], *extras["docs"]]:
        wanted = Requirement(line)
        version = pinned.get(canonicalize_name(wanted.name))
        assert version is not None, f"requirements.lock lacks {wanted}"
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted}: {version}"


def test_lock_holds_everything_its_packages_need(locked):
    pinned = versions(locked)
    for name in pinned:
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker and not needed.marker.evaluate({"extra": ""}):
                continue
            if name == "torch" and "platform" in str(needed.marker):
                continue  # packages of the GPU build, which the CPU build does not need
            version = pinned.get(canonicalize_name(needed.name))
            assert version is not None, f"requirements.lock lacks {needed}, needed by {name}"
            assert needed.specifier.contains(version, prereleases=True), f"{name}: {needed}"


def test_what_the_package_imports_is_declared(project):
    """By us, or by a package that we declare; what only the tests bring, a wheel lacks."""
    declared = project["dependencies"] + [
        line for extra, lines in project["optional-dependencies"].items() for line in lines
        if extra not in ("dev", "docs")
    ]  # fmt: skip
    wanted = [Requirement(line) for line in declared]
    wanted += [
        needed
        for one in wanted
        if one.name not in ("beat_this", "wandb", "trackio")  # extras, not in the lock
        for needed in map(Requirement, importlib.metadata.requires(one.name) or [])
        if not needed.marker or needed.marker.evaluate({"extra": ""})
    ]
    names = {canonicalize_name(name) for one in wanted for name in (one.name, *one.extras)}
    providers = importlib.metadata.packages_distributions()
    for path in (ROOT / "rlhf_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            for top in {target.partition(".")[0] for target in targets}:
                if top in sys.stdlib_module_names or top == "rlhf_lib":
                    continue
                found = {canonicalize_name(name) for name in providers.get(top, [top])}
                assert found & names, f"{path.name}: declare {top} in pyproject.toml"


def test_no_audio_or_cache_is_tracked_and_two_models_are():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    unwanted = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".pt", ".npz", ".pyc"}
    found = {path for path in listing if Path(path).suffix.lower() in unwanted}
    assert found == {f"models/{name}" for name in PRETRAINED}


def test_binder_installs_the_lock_and_runs_the_short_profile():
    folder = ROOT / ".binder"
    python = (folder / "runtime.txt").read_text().strip().removeprefix("python-")
    assert (
        f"python={python}" in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    )
    lines = (folder / "requirements.txt").read_text().splitlines()
    files = [line.removeprefix("-r ") for line in lines if line.startswith("-r ")]
    assert [(folder / file).resolve() for file in files] == [ROOT / "requirements.lock"]
    for script in ("postBuild", "start"):
        assert os.access(folder / script, os.X_OK), f"{script} is not executable"
    command = [folder / "start", "printenv", "RLHF_PROFILE"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in PROFILES
