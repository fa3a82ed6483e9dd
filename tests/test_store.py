"""Nothing that was acknowledged is lost, and nothing unreadable is written over."""

import errno
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from feedback_examples import answer, manifest

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.records import Listening
from rlhf_lib.feedback.store import PreferenceStore


@pytest.fixture
def store(tmp_path):
    return PreferenceStore(tmp_path / "feedback")


def test_an_empty_store_has_no_annotations(store):
    assert store.load() == []
    assert not store.folder.exists()


def test_what_is_added_is_loaded_in_order(store):
    first = answer(reasoning='ünïcode, "quotes"\nand lines', listening=Listening(seams_heard=2))
    more = [answer(preference="tie", strength=0), answer(preference="b")]
    assert store.add(first) == 1
    assert store.add(more) == 2
    assert PreferenceStore(store.folder).load() == [first, *more]
    assert PreferenceStore(store.path).load() == [first, *more]
    plain = json.loads(store.path.read_text())
    assert [entry["preference"] for entry in plain] == ["a", "tie", "b"]


def test_a_relative_place_lies_in_the_workspace(monkeypatch, tmp_path):
    monkeypatch.setenv("RLHF_WORKSPACE", str(tmp_path))
    assert PreferenceStore("feedback").path == tmp_path / "feedback" / "preferences.json"


def test_the_same_annotation_is_stored_once(store):
    annotation = answer()
    assert store.add([annotation, annotation]) == 1
    before = store.path.read_bytes()
    assert store.add(annotation) == 0
    assert store.path.read_bytes() == before


def test_an_answer_is_never_changed(store):
    annotation = answer()
    store.add(annotation)
    with pytest.raises(InputError, match="another content"):
        store.add(answer(annotation_id=annotation.annotation_id, strength=3))
    assert store.load() == [annotation]


def test_undo_supersedes_and_never_deletes(store):
    first = answer()
    second = answer(preference="b", supersedes=first.annotation_id)
    store.add(first)
    store.add(second)
    assert store.load() == [first, second]
    assert store.current() == [second]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"supersedes": "nobody"}, "no earlier annotation"),
        ({"rater_id": "bob", "supersedes": "first"}, "another rater"),
        ({"edit_b_id": "temp_0.5", "supersedes": "first"}, "another pair"),
        ({"annotation_id": "me", "supersedes": "me"}, "no earlier annotation"),
        ({"supersedes": "replaced"}, "already replaced"),
    ],
)
def test_only_an_own_standing_answer_can_be_superseded(store, fields, message):
    store.add(answer(annotation_id="first"))
    store.add(answer(annotation_id="replaced"))
    store.add(answer(supersedes="replaced"))
    before = store.path.read_bytes()
    with pytest.raises(InputError, match=message):
        store.add([answer(), answer(**fields)])
    assert store.path.read_bytes() == before  # all or none


def test_sides_may_be_swapped_when_superseding(store):
    store.add(answer(annotation_id="first"))
    store.add(answer(edit_a_id="temp_0.9", edit_b_id="temp_0.1", supersedes="first"))
    assert len(store.current()) == 1


@pytest.mark.parametrize(
    "text", [b"", b"[", b"{}", b"null", b"\xff", b"[{}]", b"[NaN]", b"[" * 100_000]
)
def test_an_unreadable_file_is_refused_and_left_as_it_is(store, text):
    store.folder.mkdir()
    store.path.write_bytes(text)
    for attempt in (store.load, lambda: store.add(answer())):
        with pytest.raises(InputError, match=r"preferences\.json.*left as it is"):
            attempt()
    assert store.path.read_bytes() == text


def test_a_bad_record_is_named_by_index_field_and_value(store):
    store.add([answer(), answer(), answer(reasoning="HERE")])
    text = store.path.read_text()
    last = text.splitlines()[3].replace('"strength":2', '"strength":7')
    store.path.write_text("\n".join([*text.splitlines()[:3], last, "]"]))
    with pytest.raises(InputError, match=r"'2\.strength': 7 .*3 strong"):
        store.load()


def test_repeated_ids_in_the_file_are_refused(store):
    store.add(answer(annotation_id="x"))
    line = store.path.read_text().splitlines()[1]
    store.path.write_text(f"[{line},{line}]")
    with pytest.raises(InputError, match=r"record 1 .*'x'.*occurs twice"):
        store.load()


def test_a_hand_formatted_file_is_appended_to(store):
    store.add(answer())
    store.path.write_text(json.dumps(json.loads(store.path.read_text()), indent=4) + "\n\n")
    store.add(answer())
    assert len(store.load()) == 2


def test_changes_by_others_are_seen(store):
    other = PreferenceStore(store.folder)
    store.add(answer())
    other.add(answer())
    store.add(answer())
    assert len(other.load()) == len(store.load()) == 3


def test_what_is_no_annotation_is_refused(store):
    with pytest.raises(InputError, match="cannot store dict"):
        store.add([{"song_id": "x"}])


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
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "preferences.json",
        "preferences.json.lock",
    ]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        PreferenceStore(tmp_path / "file" / "preferences.json").add(answer())


def _add_many(folder, rater, n):
    store = PreferenceStore(folder)
    for _ in range(n):
        store.add(answer(rater_id=rater))


# Forking spares the import of the package in every process; the children use no threads.
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


@quiet_fork
def test_a_killed_writer_loses_no_acknowledged_answer(store):
    acknowledged, chance = set(), random.Random(0)
    for _ in range(50):
        reading, writing = os.pipe()
        writer = forking.Process(target=_add_until_killed, args=(store.folder, writing))
        writer.start()
        os.close(writing)
        with os.fdopen(reading) as pipe:
            acknowledged.add(pipe.readline().strip())
            time.sleep(chance.uniform(0, 0.02))
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged |= {line.strip() for line in pipe if line.endswith("\n")}
        writer.join()
        assert acknowledged <= {annotation.annotation_id for annotation in store.load()}
    store.add(answer())
    names = {path.name for path in store.folder.iterdir()}
    assert names == {"preferences.json", "preferences.json.lock"}  # no parts left behind


def test_twenty_thousand_annotations_stay_quick(store):
    store.add([answer(reasoning="some words about the chorus " * 3) for _ in range(20_000)])
    start = time.process_time()
    assert len(PreferenceStore(store.folder).load()) == 20_000
    assert time.process_time() - start < 2.0
    # A working session adds again and again; the quickest of three is free of other load.
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        store.add(answer())
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def test_manifests_are_kept_beside_the_preferences(store):
    path = store.keep_manifest(manifest())
    assert path == store.folder / "manifests" / f"{manifest().manifest_id}.json"
    assert store.keep_manifest(manifest()) == path
    assert store.load_manifest(manifest().manifest_id) == manifest()


def test_unknown_or_changed_manifests_are_refused(store):
    with pytest.raises(InputError, match="No such file"):
        store.load_manifest("0" * 64)
    with pytest.raises(InputError, match="not a manifest_id"):
        store.load_manifest("../../etc/passwd")
    path = store.keep_manifest(manifest())
    path.rename(path.with_name(f"{'0' * 64}.json"))
    with pytest.raises(InputError, match="name the file after that"):
        store.load_manifest("0" * 64)
