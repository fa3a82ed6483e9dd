"""Every accepted shape keeps its meaning; other records are refused with a remedy."""

import json

import pytest
from feedback_examples import HASH, answer, manifest

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.exchange import import_feedback
from rlhf_lib.feedback.store import PreferenceStore

SIX = {
    "song_id": "song_001",
    "edit_a_id": "temp_0.1",
    "edit_b_id": "temp_0.9",
    "preference": "b",
    "strength": 3,
    "reasoning": "keeps the hook",
}
NESTED = {
    "song_id": "song_001",
    "edit_a": {
        "id": "temp_0.1",
        "temperature": 0.1,
        "beat_actions": [0, 0, 0, 0],
        "path": "a.wav",
    },
    "edit_b": {
        "id": "temp_0.9",
        "temperature": 0.9,
        "beat_actions": [0, 1, 1, 0],
        "path": "b.wav",
    },
    "comparison": {"preference": "b", "strength": 3, "reasoning": "keeps the hook"},
    "rater_info": {"rater_id": "ann", "rater_name": "Ann", "musical_background": "drummer"},
    "metadata": {
        "timestamp": "2026-01-31T12:00:00Z",
        "confidence": 0.8,
        "notes": "on headphones",
    },
}
WHO = {"rater_id": "ann", "rater_kind": "human"}


def _write(folder, content, name="feedback.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _taken(annotation):
    return (
        annotation.song_id,
        annotation.edit_a_id,
        annotation.edit_b_id,
        annotation.preference,
        annotation.strength,
        annotation.reasoning,
    )


def test_the_flat_list_with_six_fields(tmp_path):
    result = import_feedback(_write(tmp_path, [SIX]), **WHO)
    assert result.refused == () and result.left_out == {}
    (taken,) = result.annotations
    assert _taken(taken) == tuple(SIX.values())
    assert (taken.rater_id, taken.rater_kind) == ("ann", "human")
    # Fields that the file lacks are not filled in.
    assert taken.confidence is taken.timestamp is taken.shown_first is taken.manifest_id is None


def test_the_wrapped_list_with_candidate_ids(tmp_path):
    record = SIX | {"candidate_a_id": "temp_0.1", "candidate_b_id": "temp_0.9"}
    del record["edit_a_id"], record["edit_b_id"]
    path = _write(tmp_path, {"preferences": [record], "exported_by": "x"})
    result = import_feedback(path, **WHO)
    assert [_taken(taken) for taken in result.annotations] == [tuple(SIX.values())]
    assert result.left_out == {"exported_by": 1}


def test_the_nested_form(tmp_path):
    result = import_feedback(_write(tmp_path, [NESTED]), manifest(), rater_kind="human")
    assert result.refused == ()
    (taken,) = result.annotations
    assert _taken(taken)[:5] == tuple(SIX.values())[:5]
    assert taken.reasoning == "keeps the hook\non headphones"
    assert (taken.rater_id, taken.confidence) == ("ann", 0.8)
    assert taken.timestamp == "2026-01-31T12:00:00Z"
    assert taken.manifest_id == manifest().manifest_id
    assert result.left_out["rater_info.musical_background"] == 1
    assert result.left_out["edit_a.temperature"] == 1


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv_from_a_spreadsheet(tmp_path, separator, ending):
    lines = [
        "song_id,edit_a_id,edit_b_id,preference,strength,notes,rater_id",
        "song_001,temp_0.1,temp_0.9,b,3,keeps the hook,bob",
        "song_001,temp_0.1,temp_0.5,tie,0,,",
        ",,,,,,",
    ]
    path = tmp_path / "sheet.csv"
    path.write_text(ending.join(lines).replace(",", separator), "utf-8-sig", newline="")
    result = import_feedback(path, **WHO)
    assert result.refused == ()
    first, second = result.annotations
    assert _taken(first) == tuple(SIX.values())
    assert (first.rater_id, second.rater_id) == ("bob", "ann")
    assert (second.preference, second.strength, second.reasoning) == ("tie", 0, "")


def test_csv_with_candidate_ids_and_reasoning(tmp_path):
    text = (
        "song_id,candidate_a_id,candidate_b_id,preference,strength,reasoning,rater_id\n"
        'song_001,temp_0.1,temp_0.9,a,1,"smoother, ""much"" so\nin the bridge",ann\n'
    )
    (taken,) = import_feedback(_write(tmp_path, text, "f.csv"), rater_kind="human").annotations
    assert taken.reasoning == 'smoother, "much" so\nin the bridge'
    assert (taken.edit_a_id, taken.edit_b_id) == ("temp_0.1", "temp_0.9")


def test_json_lines_with_one_broken_line(tmp_path):
    text = json.dumps(SIX) + "\n{broken\n\n" + json.dumps(SIX | {"preference": "a"}) + "\n"
    result = import_feedback(_write(tmp_path, text, "f.jsonl"), **WHO)
    assert [taken.preference for taken in result.annotations] == ["b", "a"]
    assert [refusal.index for refusal in result.refused] == [1]
    assert "not valid JSON" in str(result.refused[0])


def _without(name):
    return {key: value for key, value in SIX.items() if key != name}


def _nested(block, **changes):
    return NESTED | {block: NESTED[block] | changes}


@pytest.mark.parametrize(
    ("record", "field", "value", "remedy"),
    [
        (SIX | {"strength": 9}, "strength", 9, "3 strong"),
        (SIX | {"preference": "tie"}, "strength", 3, "give strength 0"),
        (SIX | {"strength": 0}, "strength", 0, "give 1, 2 or 3"),
        (SIX | {"strength": "3"}, "strength", "3", "3 strong"),
        (SIX | {"preference": 0.7}, "preference", 0.7, "'a', 'b' or 'tie'"),
        (SIX | {"preference": "B"}, "preference", "B", "'a', 'b' or 'tie'"),
        (SIX | {"song_id": "song_9"}, "song_id", "song_9", "it has song_001"),
        (SIX | {"edit_b_id": "temp_0.7"}, "edit_b_id", "temp_0.7", "it has temp_0.1"),
        (SIX | {"edit_b_id": "temp_0.1"}, "edit_b_id", "temp_0.1", "two different edits"),
        (SIX | {"manifest_id": HASH}, "manifest_id", HASH, "not the manifest given"),
        (SIX | {"mood": "good"}, "mood", "good", "remove it"),
        (SIX | {"confidence": float("nan")}, "confidence", None, "0 to 1"),
        (SIX | {"timestamp": "yesterday"}, "timestamp", "yesterday", "ISO 8601"),
        (SIX | {"candidate_a_id": "x"}, "candidate_a_id", "x", "differs from edit_a_id"),
        (_without("song_id"), "song_id", None, "is missing"),
        (_without("strength"), "strength", None, "is missing"),
        (_without("edit_b_id"), "edit_b_id", None, "is missing"),
        (_nested("comparison", strength=4), "comparison.strength", 4, "3 strong"),
        (_nested("comparison", winner="a"), "comparison.winner", "a", "remove it"),
        (_nested("metadata", confidence=80), "metadata.confidence", 80, "0 to 1"),
        (_nested("edit_b", id="x"), "edit_b.id", "x", "it has temp_0.1"),
        (
            _nested("edit_b", beat_actions=[0, 0, 1, 0]),
            "edit_b.beat_actions",
            [0, 0, 1, 0],
            "not those of 'temp_0.9'",
        ),
        (SIX | {"edit_a": "temp_0.1"}, "edit_a", "temp_0.1", "not an object"),
        ("a", "", "a", "not an object"),
        (None, "", None, "not an object"),
    ],
)
def test_a_bad_record_is_refused_and_the_rest_offered(tmp_path, record, field, value, remedy):
    good = SIX | {"preference": "a"}
    path = _write(tmp_path, [good, record])
    before = path.read_bytes()
    result = import_feedback(path, manifest(), **WHO)
    assert [taken.preference for taken in result.annotations] == ["a"]
    (refusal,) = result.refused
    assert (refusal.index, refusal.field) == (1, field)
    assert refusal.value == value or field == "confidence"
    assert remedy in refusal.remedy and "record 1" in str(refusal)
    with pytest.raises(InputError, match=r"feedback\.json: 1 of 2 records"):
        import_feedback(path, manifest(), strict=True, **WHO)
    assert path.read_bytes() == before


def test_who_answered_is_never_guessed(tmp_path):
    path = _write(tmp_path, [SIX, SIX | WHO])
    result = import_feedback(path)
    assert len(result.annotations) == 1
    assert result.refused[0].field == "rater_id"
    assert "give rater_id=" in result.refused[0].remedy
    assert import_feedback(path, rater_id="bob").refused[0].field == "rater_kind"


def test_a_rater_named_in_the_file_stays(tmp_path):
    path = _write(tmp_path, [SIX | {"rater_id": "bot", "rater_kind": "simulated"}])
    (taken,) = import_feedback(path, **WHO).annotations
    assert (taken.rater_id, taken.rater_kind) == ("bot", "simulated")


@pytest.mark.parametrize("content", [[SIX, SIX | {"preference": "a"}], [NESTED]])
def test_importing_a_file_twice_adds_nothing(tmp_path, content):
    path = _write(tmp_path, content)
    store = PreferenceStore(tmp_path / "feedback")
    assert store.add(import_feedback(path, **WHO).annotations) == len(content)
    assert store.add(import_feedback(path, **WHO).annotations) == 0


def test_our_own_file_comes_back_unchanged(tmp_path):
    store = PreferenceStore(tmp_path / "feedback")
    store.add([answer(), answer(preference="tie", strength=0, cant_tell=True)])
    assert list(import_feedback(store.path, strict=True).annotations) == store.load()


def test_two_equal_records_cannot_be_told_from_a_repeat(tmp_path):
    result = import_feedback(_write(tmp_path, [SIX, SIX]), **WHO)
    assert len(result.annotations) == 1
    assert "repeats record 0" in str(result.refused[0])


def test_times_keep_their_moment(tmp_path):
    times = ["2026-01-31T12:00:00+02:00", "2026-01-31 12:00:00+00:00", "2026-01-31T12:00:00"]
    records = [SIX | {"timestamp": time} for time in times]
    result = import_feedback(_write(tmp_path, records), **WHO)
    assert [taken.timestamp for taken in result.annotations] == [
        "2026-01-31T10:00:00Z",
        "2026-01-31T12:00:00Z",
        None,  # left out without a time zone
    ]
    assert result.left_out == {"timestamp (no time zone)": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.json", b"", "not valid JSON"),
        ("f.json", b"[" * 100_000, "not valid JSON"),
        ("f.json", b"[1" + b"0" * 5000 + b"]", "not valid JSON"),
        ("f.json", b"{}", "no list of records"),
        ("f.json", b'[{"song_id": "a", "song_id": "b"}]', "'song_id' occurs twice"),
        ("f.json", b"\xff\xfe[]", "not UTF-8"),
        ("f.csv", b"", "names no known column"),
        ("f.csv", b"x,y\n1,2\n", "names no known column"),
        ("f.csv", b"song_id,song_id\na,b\n", "'song_id' occurs twice"),
        ("f.csv", b'song_id,notes\na,"open\n', r"f\.csv, line"),
        ("f.xlsx", b"PK", "convert it"),
    ],
)
def test_an_unreadable_file_is_refused_as_a_whole(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        import_feedback(tmp_path / name, **WHO)
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json"):
        import_feedback(tmp_path / "none.json")


@pytest.mark.parametrize("empty", [",", ",,,", ",notes,,"])
def test_csv_columns_without_a_name_may_be_empty(tmp_path, empty):
    columns = "song_id,edit_a_id,edit_b_id,preference,strength"
    blank = "," * empty.count(",")
    text = f"{columns}{empty}\ns,x,y,a,1{blank}\ns,x,y,b,1\n,,,,{blank}\n"
    result = import_feedback(_write(tmp_path, text, "f.csv"), **WHO)
    assert result.refused == ()
    assert [taken.preference for taken in result.annotations] == ["a", "b"]


def test_csv_text_in_columns_without_a_name_is_refused(tmp_path):
    text = "song_id,,edit_a_id,edit_b_id,preference,strength,\ns,,x,y,a,1,late\ns,early,x,y,a,1\n"
    result = import_feedback(_write(tmp_path, text, "f.csv"), **WHO)
    told = [(refusal.index, refusal.field, refusal.value) for refusal in result.refused]
    assert told == [(0, "column 7", "late"), (1, "column 2", "early")]


def test_csv_cells_beyond_the_columns_are_refused(tmp_path):
    text = "song_id,edit_a_id,edit_b_id,preference,strength,notes\ns,x,y,a,1,so, so\n"
    (refusal,) = import_feedback(_write(tmp_path, text, "f.csv"), **WHO).refused
    assert (refusal.field, refusal.value) == ("column 7", " so")


@pytest.mark.parametrize("strength", ["2.0", "two", "٢", " 2"])
def test_csv_strengths_are_whole_numbers(tmp_path, strength):
    text = f"song_id,edit_a_id,edit_b_id,preference,strength\ns,x,y,a,{strength}\n"
    (refusal,) = import_feedback(_write(tmp_path, text, "f.csv"), **WHO).refused
    assert (refusal.field, refusal.value) == ("strength", strength)


def test_a_stray_line_end_in_the_csv_header_imports_nothing(tmp_path):
    (tmp_path / "f.csv").write_bytes(b"song_id,preference,no\rtes\ns,a,b\n")
    result = import_feedback(tmp_path / "f.csv", **WHO)
    assert result.annotations == ()
    assert len(result.refused) == 2
