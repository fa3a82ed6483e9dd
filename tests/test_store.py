"""No acknowledged answer is lost, and no unreadable file is overwritten."""

import json

import pytest
from feedback_examples import answer, manifest

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Listening
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
    with pytest.raises(InputError, match="different content"):
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
        ({"supersedes": "nobody"}, "not an earlier annotation"),
        ({"rater_id": "bob", "supersedes": "first"}, "another rater"),
        ({"edit_b_id": "temp_0.5", "supersedes": "first"}, "another pair"),
        ({"annotation_id": "me", "supersedes": "me"}, "not an earlier annotation"),
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


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"strength":2', '"strength":2,"strength":3', "'strength'"),
        ('"strength":2', '"strength":2,"strength":2', "'strength'"),
        ('"preference":"a"', '"prefer\\u0065nce":"b","preference":"a"', "'preference'"),
        ('"seams_heard":0', '"seams_heard":0,"seams_heard":5', "'seams_heard'"),
    ],
)
def test_a_field_given_twice_is_refused_by_name(store, old, new, field):
    store.add([answer(listening=Listening()) for _ in range(3)])
    lines = store.path.read_text().splitlines()
    assert old in lines[2]
    lines[2] = lines[2].replace(old, new)
    store.path.write_text("\n".join(lines))
    before = store.path.read_bytes()
    other = PreferenceStore(store.folder)  # as a program that has not read the file before
    for attempt in (other.load, lambda: other.add(answer())):
        with pytest.raises(InputError, match=rf"json, record 1: the field {field} occurs twice"):
            attempt()
    assert store.path.read_bytes() == before


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


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        PreferenceStore(tmp_path / "file" / "preferences.json").add(answer())


def test_a_sealed_file_is_added_to_as_a_checked_one_is(store):
    """With the seal, the store must refuse and store exactly what it does without."""
    first = answer(annotation_id="first", reasoning='names "second" and {"a": "third"}')
    store.add([first, answer(annotation_id="second", supersedes="first")])
    cases = [
        first,
        answer(annotation_id="first", strength=3),
        answer(annotation_id="x", supersedes="first"),
        answer(annotation_id="x", supersedes="nobody"),
        answer(annotation_id="x", supersedes="second", rater_id="bob"),
        answer(annotation_id="third", supersedes="second"),
        answer(annotation_id="\u00e9 \\ /", supersedes="third"),
        answer(annotation_id="\u00e9 \\ /"),
    ]
    seal = store.path.with_name("preferences.json.seal")
    for case in cases:
        before, sealed, results = store.path.read_bytes(), seal.read_bytes(), []
        for keep_seal in (False, True):
            store.path.write_bytes(before)
            if keep_seal:
                seal.write_bytes(sealed)
            else:
                seal.unlink()
            try:
                results.append((store.add(case), store.path.read_bytes()))
            except InputError as error:
                results.append((str(error), store.path.read_bytes()))
        assert results[0] == results[1]


def test_a_change_by_hand_breaks_the_seal(store):
    store.add([answer(), answer()])
    damaged = store.path.read_bytes().replace(b'"strength":2', b'"strength":7', 1)
    store.path.write_bytes(damaged)
    with pytest.raises(InputError, match="left as it is"):
        store.add(answer())
    assert store.path.read_bytes() == damaged


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


def test_a_file_that_grew_is_read_like_a_new_one(store):
    reader = PreferenceStore(store.folder)
    answers = []
    for number in range(5):
        added = [answer(reasoning=f'", \n{number}') for _ in range(1 + number % 2)]
        store.add(added)
        answers += added
        assert reader.load() == answers == PreferenceStore(store.folder).load()
    # Grown by hand, without a seal: it is checked as a whole.
    text = store.path.read_text()
    store.path.write_text(text.replace("\n]", ',\n{"no": "answer"}\n]'))
    with pytest.raises(InputError, match="song_id"):
        reader.load()
    store.path.write_text(text)
    assert reader.load() == answers


def test_a_rater_can_be_removed(store):
    kept = answer(rater_id="bert")
    first = answer(rater_id="anna")
    store.add([first, kept])
    store.add(answer(rater_id="anna", supersedes=first.annotation_id))
    assert store.remove("anna") == 2
    assert store.load() == PreferenceStore(store.folder).load() == [kept]
    assert store.remove("nobody") == 0
    store.path.write_text("damaged")
    with pytest.raises(InputError, match=r"preferences\.json"):
        store.remove("bert")
    assert store.path.read_text() == "damaged"
