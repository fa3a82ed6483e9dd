"""The annotator without a browser: what it sends to the page and how it answers requests."""

import io
import logging

import numpy as np
import pytest
import soundfile
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening import stopwatch
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.listening.task_order import presentations
from rlhf_lib.studio.annotator import Annotator, annotate

RATE = 8000
SONGS = small_songs(2, n_beats=40, period=0.05)  # two songs of 2 s
MANIFEST = small_manifest(SONGS, n_candidates=3)  # 6 pairs and a repeat
HEARD = {"left": 1.5, "right": 2.5, "original": 0.5, "seams": 1}


@pytest.fixture
def folder(workspace):
    """Return a workspace with a manifest and a different tone for each of its sounds."""
    MANIFEST.save(workspace / "eval" / "evaluation_manifest.json")
    for song in MANIFEST.songs:
        for entry in (song, *song.candidates):
            path = workspace / "eval" / entry.path
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, tone(entry.path, entry.duration), RATE)
    return workspace


def tone(name: str, duration: float) -> np.ndarray:
    hertz = 100 + sum(name.encode()) % 997
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(duration * RATE)) / RATE)


def start(rater="anna", **options) -> Annotator:
    return annotate("eval/evaluation_manifest.json", rater, **options)


def stored():
    return PreferenceStore("feedback").load()


def sent(annotator, monkeypatch, serial, side) -> tuple[dict, list]:
    """Ask for a sound and return the message that comes back, and its buffers."""
    messages = []
    with monkeypatch.context() as patch:
        patch.setattr(
            annotator, "send", lambda content, buffers=(): messages.append((content, buffers))
        )
        annotator.receive({"kind": "sound", "serial": serial, "side": side})
    return messages[0] if messages else ({}, [])


def rate(annotator, answer, **fields):
    filled = {"confidence": None, "tags": [], "notes": "", "heard": HEARD} | fields
    serial = annotator.screen["serial"]
    annotator.receive({"kind": "answer", "serial": serial, "answer": answer} | filled)


def test_the_page_gets_the_sound_of_this_task_and_the_next(folder, monkeypatch):
    annotator = start()
    plan = presentations(MANIFEST, "anna")
    for place in range(3):
        for serial, shown in zip(
            (annotator.screen["serial"], annotator.screen["next"]), plan[place:], strict=False
        ):
            song = MANIFEST.song(shown.task.song_id)
            edits = [MANIFEST.candidate(song.id, i) for i in (shown.left_id, shown.right_id)]
            for side, entry in zip("OAB", (song, *edits), strict=True):
                message, (flac,) = sent(annotator, monkeypatch, serial, side)
                assert message == {"kind": "sound", "serial": serial, "side": side}
                assert flac[:4] == b"fLaC"
                samples, rate_heard = soundfile.read(io.BytesIO(flac))
                assert rate_heard == RATE
                assert np.abs(samples - tone(entry.path, entry.duration)).max() < 1e-4
        later = annotator.screen["next"]
        old = annotator.screen["serial"]
        rate(annotator, "Tie")
        assert annotator.screen["serial"] == later  # the preloaded task comes next
        assert sent(annotator, monkeypatch, old, "A") == ({}, [])


def test_vorbis_is_sent_where_asked_for(folder, monkeypatch):
    annotator = start(encoding="ogg")
    _, (ogg,) = sent(annotator, monkeypatch, annotator.screen["serial"], "B")
    assert ogg[:4] == b"OggS"
    shown = annotator.session.task
    edit = MANIFEST.candidate(shown.task.song_id, shown.right_id)
    assert soundfile.info(io.BytesIO(ogg)).frames == round(edit.duration * RATE)


def test_timelines_say_when_each_beat_of_the_song_plays(folder):
    annotator = start()
    shown = annotator.session.task
    for side, candidate_id in (("A", shown.left_id), ("B", shown.right_id)):
        actions = np.array(MANIFEST.candidate(shown.task.song_id, candidate_id).actions)
        kept = np.flatnonzero(actions == 0)  # this manifest only keeps and cuts
        timeline = annotator.screen["timelines"][side]
        assert timeline["beats"] == kept.tolist()
        np.testing.assert_allclose(timeline["starts"], np.arange(len(kept) + 1) * 0.05, atol=1e-9)
    assert annotator.screen["timelines"]["O"]["beats"] == list(range(40))


@pytest.mark.parametrize(
    ("text", "side", "strength", "cant_tell"),
    [
        ("A strongly", "left", 3, False),
        ("A", "left", 2, False),
        ("A slightly", "left", 1, False),
        ("Tie", "tie", 0, False),
        ("B slightly", "right", 1, False),
        ("B", "right", 2, False),
        ("B strongly", "right", 3, False),
        ("Both bad", "tie", 0, False),
        ("Can't tell", "tie", 0, True),
    ],
)
def test_each_answer_stores_what_it_says(folder, text, side, strength, cant_tell):
    annotator = start()
    shown = annotator.session.task
    rate(annotator, text)
    (answer,) = stored()
    chosen = {"a": answer.edit_a_id, "b": answer.edit_b_id, "tie": "tie"}[answer.preference]
    assert chosen == {"left": shown.left_id, "right": shown.right_id, "tie": "tie"}[side]
    assert (answer.strength, answer.cant_tell) == (strength, cant_tell)
    tags = ["both bad"] if text == "Both bad" else []
    assert (answer.confidence, answer.reasoning, answer.tags) == (None, "", tags)
    assert (answer.rater_id, answer.rater_kind) == ("anna", "human")
    left_first = (1.5, 2.5) if shown.shown_first == "a" else (2.5, 1.5)
    assert (answer.listening.seconds_a, answer.listening.seconds_b) == left_first
    assert (answer.listening.seconds_original, answer.listening.seams_heard) == (0.5, 1)


def test_all_of_the_form_is_stored(folder):
    annotator = start()
    notes = " <img src=x onerror=alert(1)> & more "
    rate(annotator, "A", confidence="fairly sure", tags=["bad ending"], notes=notes)
    (answer,) = stored()
    assert (answer.confidence, answer.tags) == (0.75, ["bad ending"])
    assert answer.reasoning == "<img src=x onerror=alert(1)> & more"
    assert annotator.screen["previous"] is None
    assert annotator.screen["progress"] == [1, 7]


def test_a_second_press_for_the_same_task_is_ignored(folder):
    annotator = start()
    message = {"kind": "answer", "serial": annotator.screen["serial"], "answer": "A"}
    message |= {"confidence": None, "tags": [], "notes": "", "heard": HEARD}
    annotator.receive(message)
    annotator.receive(message)
    assert len(stored()) == 1


def test_nothing_that_the_page_gets_tells_the_edits_apart(folder, monkeypatch):
    annotator = start()
    while not annotator.session.finished:
        message, _ = sent(annotator, monkeypatch, annotator.screen["serial"], "A")
        received = f"{annotator.get_state(['screen', 'labels'])} {message}"
        for secret in ("temp", "song_0", "task_0", "toy_", ".wav", "policy", "v14", "target"):
            assert secret not in received, secret
        assert MANIFEST.manifest_id[:8] not in received
        rate(annotator, "A")


def test_back_shows_the_earlier_answer_and_supersedes_it(folder):
    annotator = start()
    assert not annotator.screen["can_undo"]
    rate(annotator, "A strongly", notes="<b>first</b>", confidence="sure", tags=["too short"])
    open_task = annotator.screen["serial"]
    annotator.receive({"kind": "undo", "serial": open_task})
    assert annotator.screen["previous"] == {
        "answer": "A strongly",
        "confidence": "sure",
        "tags": ["too short"],
        "notes": "<b>first</b>",
    }
    annotator.receive({"kind": "keep", "serial": annotator.screen["serial"]})
    assert (annotator.screen["previous"], len(stored())) == (None, 1)
    annotator.receive({"kind": "undo", "serial": annotator.screen["serial"]})
    rate(annotator, "B slightly", notes="second")
    first, second = stored()
    assert second.supersedes == first.annotation_id
    assert (first.task_id, first.reasoning) == (second.task_id, "<b>first</b>")
    assert {first.preference, second.preference} == {"a", "b"}
    assert annotator.screen["progress"] == [1, 7]


def test_the_notebook_file_keeps_one_line(folder):
    annotator = start()
    rate(annotator, "A")
    bundle, _ = annotator._repr_mimebundle_()
    assert bundle["text/plain"] == "▶ annotator (1 of 7 rated; run the cell to listen and rate)"
    assert len(str(bundle)) < 300
    # Even its whole state holds no sound.
    assert not any(
        isinstance(value, (bytes, memoryview)) for value in annotator.get_state().values()
    )


def test_it_resumes_and_ends(folder):
    rate(start(), "B")
    annotator = start()
    assert annotator.screen["progress"] == [1, 7]
    assert annotator.session.task == presentations(MANIFEST, "anna")[1]
    while not annotator.session.finished:
        rate(annotator, "A")
    for page in (annotator, start()):
        assert page.screen["stage"] == "done"
        assert page.labels[page.screen["cover"]].startswith("Done")
    annotator = page
    annotator.receive({"kind": "undo", "serial": None})
    assert annotator.screen["stage"] == "rate"
    assert len(stored()) == 7


def test_the_rater_is_asked_for(folder):
    annotator = start(None)
    assert annotator.screen["stage"] == "sign in"
    assert repr(annotator) == "▶ annotator (run the cell to listen and rate)"
    annotator.receive({"kind": "sign in", "rater": " "})
    assert annotator.screen["stage"] == "sign in"
    assert "cannot name a rater" in annotator.screen["error"]
    annotator.receive({"kind": "sign in", "rater": "bert"})
    assert (annotator.screen["stage"], annotator.screen["rater"]) == ("rate", "bert")
    rate(annotator, "A")
    assert [answer.rater_id for answer in stored()] == ["bert"]


def test_missing_sound_is_reported_without_its_name_and_can_be_loaded_again(
    folder, monkeypatch, caplog
):
    annotator = start()
    shown, serial = annotator.session.task, annotator.screen["serial"]
    path = folder / "eval" / MANIFEST.candidate(shown.task.song_id, shown.left_id).path
    hidden = path.rename(path.with_suffix(".away"))
    with caplog.at_level(logging.ERROR):
        message, buffers = sent(annotator, monkeypatch, serial, "A")
    assert buffers == ()
    assert message == {"kind": "sound", "serial": serial, "side": "A", "error": True}
    assert path.name in caplog.text
    hidden.rename(path)
    _, (flac,) = sent(annotator, monkeypatch, serial, "A")
    assert flac[:4] == b"fLaC"


def test_a_missing_original_is_reported_and_can_be_put_back(folder, caplog):
    path = folder / "eval" / MANIFEST.song(start().session.task.task.song_id).path
    hidden = path.rename(path.with_suffix(".away"))
    with caplog.at_level(logging.ERROR):
        annotator = start()
    assert annotator.screen["timelines"] is None
    assert "temp" not in str(annotator.screen)
    assert path.name in caplog.text
    hidden.rename(path)
    annotator.receive({"kind": "again", "serial": annotator.screen["serial"]})
    assert annotator.screen["timelines"]["O"]["beats"] == list(range(40))


def test_an_answer_that_cannot_be_saved_keeps_the_task(folder, monkeypatch):
    annotator = start()
    serial = annotator.screen["serial"]

    def refuse(annotation):
        raise InputError("disk <b>full</b>")

    with monkeypatch.context() as patch:
        patch.setattr(annotator.session.store, "add", refuse)
        rate(annotator, "A")
    assert (annotator.screen["error"], annotator.screen["serial"]) == ("disk <b>full</b>", serial)
    rate(annotator, "A")
    assert len(stored()) == 1
    rate(annotator, "A", heard=HEARD | {"left": float("nan")})
    assert "what was heard" in annotator.screen["error"]
    assert len(stored()) == 1


def test_a_later_sitting_of_the_same_rater_takes_over(folder):
    first, second = start(), start()
    rate(first, "A")
    assert "is now rating in another window" in first.screen["error"]
    assert stored() == []
    rate(second, "A")
    assert len(stored()) == 1


def test_the_page_says_once_that_earlier_answers_are_about_other_pairs(folder):
    gone = small_songs(3, n_beats=40, period=0.05)
    other = small_manifest({"song_x": gone["song_003"]}, n_candidates=3)
    store = PreferenceStore("feedback")
    earlier = AnnotationSession(other, store, "anna", repeat_share=0.0)
    while earlier.task is not None:
        earlier.answer("left", 1)
    annotator = start()
    assert annotator.screen["notice"] == annotator.session.notice
    assert "pairs that are not in this manifest: 3. They stay" in annotator.screen["notice"]
    rate(annotator, "A", heard=HEARD | {"left": float("nan")})
    assert annotator.screen["notice"]  # until an answer is stored
    rate(annotator, "A")
    assert annotator.screen["notice"] == ""
    assert start("bert").screen["notice"] == ""


def test_pause_and_break(folder, monkeypatch):
    annotator = start()
    annotator.receive({"kind": "rest", "serial": annotator.screen["serial"]})
    assert annotator.screen["paused"]
    annotator.receive({"kind": "go on", "serial": annotator.screen["serial"]})
    assert not annotator.screen["paused"]
    monkeypatch.setattr(stopwatch, "BREAK_AFTER", 0.0)
    rate(annotator, "A")
    assert annotator.screen["paused"]
    assert "five minutes" in annotator.labels[annotator.screen["cover"]]


def test_closing_gives_the_task_back(folder):
    annotator = start(overlap=0.0)
    shown = annotator.session.task
    assert shown.task.task_id not in coming(start("bert", overlap=0.0))
    annotator.close()
    assert shown.task.task_id in coming(start("bert", overlap=0.0))


def coming(annotator) -> list[str]:
    return [item.task.task_id for item in annotator.session._coming]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "mp3"}, "encoding 'mp3'"),
        ({"max_tasks": 0}, "max_tasks 0"),
        ({"min_seconds": float("nan")}, "min_seconds nan"),
        ({"overlap": 2.0}, r"overlap 2\.0"),
    ],
)
def test_impossible_arguments_are_refused(folder, options, message):
    with pytest.raises(InputError, match=message):
        start(**options)


def test_a_missing_manifest_is_reported(workspace):
    with pytest.raises(InputError, match=r"evaluation_manifest\.json"):
        start()
