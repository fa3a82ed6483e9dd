"""The store under failures: killed writers, a full disk, no permissions, many writers at once."""

import errno
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from children import full_disk, no_permissions, told_by_a_child
from feedback_examples import answer

from rlhf_lib import paths
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore

FILES = {"preferences.json", "preferences.json.lock", "preferences.json.seal"}


@pytest.fixture
def store(tmp_path):
    return PreferenceStore(tmp_path / "feedback")


def test_a_full_disk_leaves_the_old_file_whole(store, monkeypatch):
    store.add(answer())
    before = store.path.read_bytes()

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match=r"No space left on device.*Free disk space"):
            store.add(answer())
    assert store.path.read_bytes() == before
    assert store.add(answer()) == 1
    assert {path.name for path in store.folder.iterdir()} == FILES


def _add_many(folder, rater, n):
    store = PreferenceStore(folder)
    for _ in range(n):
        store.add(answer(rater_id=rater))


# Forking avoids importing the package in every process; the children use no threads.
forking = multiprocessing.get_context("fork")
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@quiet_fork
def test_processes_adding_at_once_lose_nothing(store):
    names = [f"rater_{i}" for i in range(8)]
    workers = [forking.Process(target=_add_many, args=(store.folder, n, 10)) for n in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    raters = [annotation.rater_id for annotation in store.load()]
    assert {name: raters.count(name) for name in names} == dict.fromkeys(names, 10)


def _add_until_killed(folder, pipe):
    store = PreferenceStore(folder)
    while True:
        annotation = answer()
        store.add(annotation)
        os.write(pipe, f"{annotation.annotation_id}\n".encode())


@pytest.mark.slow
@quiet_fork
def test_two_hundred_killed_writers_lose_no_acknowledged_answer(store):
    acknowledged, chance, killed, torn = set(), random.Random(0), 0, 0
    for attempt in range(200):
        reading, writing = os.pipe()
        writer = forking.Process(target=_add_until_killed, args=(store.folder, writing))
        writer.start()
        os.close(writing)
        with os.fdopen(reading) as pipe:
            if attempt % 2:  # killed after the first answer; else right from the start
                acknowledged.add(pipe.readline().strip())
            time.sleep(chance.uniform(0, 0.02))
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged |= {line.strip() for line in pipe if line.endswith("\n")}
        writer.join()
        killed += writer.exitcode == -signal.SIGKILL
        torn += any(store.folder.glob(".preferences.*"))
        assert acknowledged <= {annotation.annotation_id for annotation in store.load()}
    print(f"{len(acknowledged)} answers acknowledged; {torn} of 200 kills fell into a write")
    assert killed == 200
    assert len(acknowledged) >= 100
    assert torn > 0
    store.add(answer())
    assert {path.name for path in store.folder.iterdir()} == FILES  # no parts left behind


def test_twenty_thousand_annotations_stay_quick(store):
    store.add([answer(reasoning="some words about the chorus " * 3) for _ in range(20_000)])
    start = time.process_time()
    assert len(PreferenceStore(store.folder).load()) == 20_000
    assert time.process_time() - start < 2.0
    # The first answer of a program that has read nothing yet. The quickest of three tries counts,
    # because other load slows some of them.
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        PreferenceStore(store.folder).add(answer())
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_an_answer_is_on_disk_before_it_is_acknowledged(store, monkeypatch):
    """Flush the file, rename it, flush the folder: in this order answers survive a power cut."""
    store.folder.mkdir()
    steps = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle):
        steps.append(("flush", Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def noted_replace(self, target):
        steps.append(("rename", Path(target)))
        return replace(self, target)

    monkeypatch.setattr(paths.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    store.add(answer())
    (first, part), rename, folder = steps
    assert first == "flush" and part.parent == store.folder and part != store.path
    assert (rename, folder) == (("rename", store.path), ("flush", store.folder))


@quiet_fork
def test_a_file_size_limit_leaves_the_old_file_whole(store):
    """The system fails in the middle of the write; the failure is not simulated."""
    store.add([answer(reasoning="x" * 1000) for _ in range(10)])
    before = store.path.read_bytes()

    def limited():
        full_disk(8000)
        store.add(answer())

    error = told_by_a_child(limited)
    assert error.startswith("InputError") and "cannot be written" in error
    assert "Free disk" in error
    assert store.path.read_bytes() == before
    assert store.add(answer()) == 1
    assert {path.name for path in store.folder.iterdir()} == FILES


@quiet_fork
@pytest.mark.parametrize("lockable", [True, False])
def test_a_read_only_folder_is_a_clear_error(lockable):
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        folder.chmod(0o755)
        store = PreferenceStore(folder / "feedback")
        store.add(answer())
        before = store.path.read_bytes()
        if lockable:
            Path(f"{store.path}.lock").chmod(0o666)
        store.folder.chmod(0o555)

        def without_permissions():
            no_permissions()
            store.add(answer())

        error = told_by_a_child(without_permissions)
        assert error.startswith("InputError") and "make the folder writable" in error
        assert store.path.read_bytes() == before
    finally:
        (folder / "feedback").chmod(0o755)
        shutil.rmtree(folder)
