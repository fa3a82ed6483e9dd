"""The record types accept valid values and refuse others with a remedy."""

import hashlib
import json
import re

import pytest
from feedback_examples import HASH, answer, candidate, manifest, song, task

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.feedback.manifest import Candidate, Manifest, SongEntry, Task
from rlhf_lib.feedback.validation import inside


@pytest.mark.parametrize(
    "fields",
    [
        {"preference": "b", "strength": 1},
        {"preference": "a", "strength": 3, "confidence": 0},
        {"preference": "tie", "strength": 0},
        {"preference": "tie", "strength": 0, "cant_tell": True},
        {"timestamp": "2026-01-31T12:00:00+00:00", "tags": ["audible cut", "my own"]},
        {"song_id": "Für Elise (live) – 2/3", "confidence": None, "seconds_spent": 3},
    ],
)
def test_valid_answers_survive_the_way_through_json(fields):
    annotation = answer(**fields)
    assert Annotation.model_validate_json(annotation.model_dump_json()) == annotation


@pytest.mark.parametrize(
    ("fields", "place", "remedy"),
    [
        ({"strength": 9}, "'strength': 9", "3 strong"),
        ({"strength": 0}, "'strength': 0", "1, 2 or 3"),
        ({"strength": 2.0}, "'strength': 2.0", "1 slight"),
        ({"strength": True}, "'strength': True", "1 slight"),
        ({"preference": "tie", "strength": 3}, "'strength': 3", "strength 0"),
        ({"preference": 1.0}, "'preference': 1.0", "'a', 'b' or 'tie'"),
        ({"preference": "A"}, "'preference': 'A'", "'a', 'b' or 'tie'"),
        ({"edit_b_id": "temp_0.1"}, "'edit_b_id': 'temp_0.1'", "two different edits"),
        ({"confidence": 1.2}, "'confidence': 1.2", "0 to 1"),
        ({"confidence": float("nan")}, "'confidence': nan", "0 to 1"),
        ({"timestamp": "yesterday"}, "'timestamp': 'yesterday'", "2026-01-31T12:00:00Z"),
        ({"timestamp": "2026-01-31T12:00:00"}, "'timestamp'", "UTC"),
        ({"timestamp": "2026-01-31T12:00:00+02:00"}, "'timestamp'", "UTC"),
        ({"cant_tell": True}, "'cant_tell': True", "preference 'tie'"),
        ({"rater_kind": "robot"}, "'rater_kind': 'robot'", "'simulated'"),
        ({"rater_id": " ann"}, "'rater_id': ' ann'", "blanks"),
        ({"rater_id": ""}, "'rater_id': ''", "name of the rater"),
        ({"manifest_id": "../x"}, "'manifest_id': '../x'", "manifest"),
        ({"tags": ["a;b"]}, "'tags.0': 'a;b'", "';'"),
        ({"listening": {"seams_heard": -1}}, "'listening.seams_heard': -1", "how many seams"),
        ({"mood": "good"}, "'mood': 'good'", "remove it"),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_a_remedy(fields, place, remedy):
    with pytest.raises(InputError) as caught:
        answer(**fields)
    assert place in str(caught.value)
    assert remedy in str(caught.value)


def test_an_annotation_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        answer().strength = 3


def test_new_answers_get_an_id_and_the_time():
    first, second = answer(), answer()
    assert re.fullmatch("[0-9a-f]{32}", first.annotation_id)
    assert first.annotation_id != second.annotation_id
    assert first.time.utcoffset().total_seconds() == 0


def test_a_pair_is_the_same_with_its_sides_swapped():
    swapped = answer(edit_a_id="temp_0.9", edit_b_id="temp_0.1")
    assert swapped.pair == answer().pair == (None, "song_001", "temp_0.1", "temp_0.9")


def test_current_annotations_drop_what_was_superseded():
    first = answer(annotation_id="1")
    second = answer(annotation_id="2", supersedes="1")
    third = answer(annotation_id="3", supersedes="2")
    other = answer(annotation_id="4")
    assert current_annotations([first, second, other, third]) == [other, third]


def test_manifest_survives_saving(tmp_path):
    manifest().save(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json") == manifest()
    assert manifest().candidate("song_001", "temp_0.5").actions == [0, 0, 1, 0]


def test_manifest_id_is_the_hash_of_the_content_without_it(tmp_path):
    manifest().save(tmp_path / "m.json")
    content = json.loads((tmp_path / "m.json").read_text())
    written = content.pop("manifest_id")
    for name in ("downbeats", "sections"):
        assert content["songs"][0].pop(name) is None
    for entry in content["songs"][0]["candidates"]:
        assert entry.pop("sha256") is None  # optional fields enter the hash only when given
    for entry in content["tasks"]:
        assert entry.pop("check") is None
    assert content["songs"][0].pop("name") is None
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert written == hashlib.sha256(text.encode()).hexdigest()


def _content(**changes) -> dict:
    return {
        "schema_version": 1,
        "policy": {"name": "policy_v14", "sha256": HASH},
        "songs": [song()],
        "tasks": [task(1)],
        "manifest_id": HASH,
    } | changes


def _with_candidate(**changes) -> dict:
    return _content(songs=[song(candidates=[candidate("temp_0.9", [0, 1, 1, 0]) | changes])])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_content(), "changed after it was written"),
        (_content(schema_version=2), "'schema_version': 2"),
        (_content(songs=[song(), song()]), "song id 'song_001' occurs twice"),
        (_content(songs=[song(candidates=[])]), r"songs\.0\.candidates"),
        (_content(tasks=[task(1), task(1)]), "task_id 'task_1' occurs twice"),
        (_content(tasks=[task(1, b="temp_0.7")]), r"task 'task_1' names \['temp_0.7'\]"),
        (_content(tasks=[task(1, song_id="song_9")]), "of song 'song_9'"),
        (_content(tasks=[task(1, b="temp_0.1")]), "two different edits"),
        (_content(songs=[song(path="/etc/passwd")]), "is absolute"),
        (_content(songs=[song(path="C:/x.wav")]), "is absolute"),
        (_content(songs=[song(path="a/../../x.wav")]), "leaves the manifest's folder"),
        (_content(songs=[song(path="")]), "leaves the manifest's folder"),
        (_content(songs=[song(path="..\\x.wav")]), "backslash"),
        (_content(songs=[song(beat_times=[0.1, 1.0, 0.5, 1.5])]), "do not strictly increase"),
        (_content(songs=[song(beat_times=[0.1, 0.5, 1.0, 2.5])]), "lies after its end"),
        (_content(songs=[song(duration=float("inf"))]), "finite"),
        (_content(songs=[song(beat_times=[0.1, 0.5, 1.0])]), "one action per beat"),
        (_with_candidate(actions=[0, 1, 1, 9]), r"songs\.0\.candidates\.0\.actions\.3': 9"),
        (_with_candidate(actions=[0, 1, 1.0, 0]), r"actions\.2': 1.0"),
        (_with_candidate(n_beats_kept=3), "its actions keep 2"),
        (_with_candidate(n_beats_total=5), "n_beats_total 5"),
        (_with_candidate(keep_ratio=0.6), "its keep_ratio is 0.6"),
        (_with_candidate(duration=1.9), "its duration is 1.9"),
        (_with_candidate(loudness=None), "LUFS"),
        (_with_candidate(path="../x.wav"), "leaves the manifest's folder"),
        (_with_candidate(temperature=1.5), "0.1 to 0.9"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path, content, message):
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        Manifest.load(tmp_path / "m.json")
    assert "m.json" in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b"null"])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "m.json").write_bytes(text)
    with pytest.raises(InputError, match=r"m\.json"):
        Manifest.load(tmp_path / "m.json")


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json.*generate_eval_candidates"):
        Manifest.load(tmp_path / "none.json")


def test_loops_count_as_often_as_they_play(tmp_path):
    # KEEP, LOOP_2, CUT, LOOP_3 play 1 + 2 + 0 + 3 beats of 0.5 s.
    looped = candidate("looped", [0, 2, 1, 3], keep_ratio=1.5, duration=3.0, n_beats_kept=3)
    content = _content(songs=[song(candidates=[looped])], tasks=[])
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="changed after"):  # all but the hash is right
        Manifest.load(tmp_path / "m.json")


def _with_check(**fields) -> dict:
    chop = candidate("check", [0, 1, 0, 1])
    return _content(
        songs=[song(candidates=[*song()["candidates"], chop])], tasks=[task(1, **fields)]
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"b": "check"},
        {"b": "check", "check": "b"},
        {"a": "check", "check": "a"},
        {"check": "a"},
    ],
)
def test_check_names_the_side_that_is_not_the_check_candidate(tmp_path, fields):
    (tmp_path / "m.json").write_text(json.dumps(_with_check(**fields)))
    with pytest.raises(InputError, match="check names the side"):
        Manifest.load(tmp_path / "m.json")


def test_a_check_is_part_of_the_manifest_and_no_edit_of_the_policy(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(_with_check(b="check", check="a")))
    with pytest.raises(InputError, match="changed after"):  # all but the hash is right
        Manifest.load(tmp_path / "m.json")
    plain = manifest()
    entry = SongEntry(
        **song(
            candidates=[*plain.songs[0].candidates, Candidate(**candidate("check", [0, 1, 0, 1]))]
        )
    )
    checks = [
        Task(**task(3, a="temp_0.9", b="check", check="a")),
        Task(**task(4, a="check", check="b")),
    ]
    made = Manifest.create(plain.policy, [entry], [*plain.tasks, *checks])
    made.save(tmp_path / "made.json")
    assert Manifest.load(tmp_path / "made.json").task("task_4").check == "b"
    assert [one.id for one in made.song("song_001").edits] == ["temp_0.1", "temp_0.5", "temp_0.9"]
    assert made.manifest_id != Manifest.create(plain.policy, [entry], plain.tasks).manifest_id


@pytest.mark.parametrize(
    ("preference", "strength", "failed"), [("b", 3, False), ("a", 1, True), ("tie", 0, True)]
)
def test_a_check_is_failed_by_any_other_answer(preference, strength, failed):
    given = answer(edit_a_id="check", preference=preference, strength=strength)
    assert given.is_check
    assert given.failed_check == failed
    assert not answer().is_check and not answer().failed_check


def test_unknown_songs_candidates_and_tasks_are_named():
    with pytest.raises(InputError, match="no task 'x'; it has task_1, task_2"):
        manifest().task("x")
    assert manifest().task("task_2").edit_b_id == "temp_0.5"
    with pytest.raises(InputError, match="no song 'song_2'; it has song_001"):
        manifest().song("song_2")
    with pytest.raises(InputError, match=r"no candidate 'x'; it has temp_0\.1"):
        manifest().candidate("song_001", "x")


def test_paths_cannot_leave_their_folder_by_a_link(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.wav").touch()
    (tmp_path / "root" / "link.wav").symlink_to(tmp_path / "secret.wav")
    assert inside(tmp_path / "root", "a/b.wav") == (tmp_path / "root/a/b.wav").resolve()
    with pytest.raises(InputError, match="leads out of"):
        inside(tmp_path / "root", "link.wav")
