"""The annotator driven through its widgets, without a browser."""

import io
import re

import ipywidgets as widgets
import numpy as np
import pytest
import soundfile
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.studio import session as session_module
from rlhf_lib.studio.annotator import Annotator, annotate
from rlhf_lib.studio.task_order import presentations

RATE = 8000
SONGS = small_songs(2, n_beats=40, period=0.05)  # two songs of 2 s
MANIFEST = small_manifest(SONGS, n_candidates=3)  # 6 pairs and a repeat


@pytest.fixture
def folder(workspace):
    """Return a workspace with a manifest and a tone of its own for every sound in it."""
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


def start(**options) -> Annotator:
    return annotate("eval/evaluation_manifest.json", "anna", **options)


def stored():
    return PreferenceStore("feedback").load()


def everything(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def text_on_screen(annotator) -> str:
    """Return every text that a widget of the annotator holds, hidden or not."""
    parts = []
    for widget in everything(annotator):
        for name, value in widget.get_state().items():
            if not name.startswith("_") and name not in ("layout", "style", "children"):
                parts.append(f"{name}={value!r}" if isinstance(value, (str, list, tuple)) else "")
    return "\n".join(parts)


def sounds(annotator) -> list[np.ndarray]:
    players = [w for w in everything(annotator) if isinstance(w, widgets.Audio)]
    assert players == annotator.sounds
    return [soundfile.read(io.BytesIO(bytes(player.value)))[0] for player in players]


def rate(annotator, text, **fields):
    annotator.form.answers[text].click()
    for name, value in fields.items():
        getattr(annotator.form, name).value = value
    annotator.save_button.click()


def test_original_and_both_edits_are_playable(folder):
    annotator = start()
    for _ in range(3):
        shown = annotator.session.task
        song = MANIFEST.song(shown.task.song_id)
        entries = [song, *(MANIFEST.candidate(song.id, i) for i in (shown.left_id, shown.right_id))]
        heard = sounds(annotator)
        assert len(heard) == 3
        for samples, entry in zip(heard, entries, strict=True):
            assert np.abs(samples - tone(entry.path, entry.duration)).max() < 1e-4
        rate(annotator, "Tie")


def test_players_wait_for_a_click_and_vorbis_is_smaller(folder):
    flac, ogg = start().sounds, start(encoding="ogg").sounds
    assert not any(player.autoplay or player.loop for player in flac + ogg)
    assert {player.format for player in flac} == {"flac"}
    assert bytes(flac[0].value[:4]) == b"fLaC"
    assert {player.format for player in ogg} == {"ogg"}
    assert bytes(ogg[0].value[:4]) == b"OggS"


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
        ("Can't tell", "tie", 0, True),
    ],
)
def test_each_button_stores_what_it_says(folder, text, side, strength, cant_tell):
    annotator = start()
    shown = annotator.session.task
    rate(annotator, text)
    (answer,) = stored()
    chosen = {"a": answer.edit_a_id, "b": answer.edit_b_id, "tie": "tie"}[answer.preference]
    assert chosen == {"left": shown.left_id, "right": shown.right_id, "tie": "tie"}[side]
    assert (answer.strength, answer.cant_tell) == (strength, cant_tell)
    assert (answer.confidence, answer.reasoning, answer.tags) == (None, "", [])
    assert (answer.rater_id, answer.rater_kind) == ("anna", "human")


def test_the_form_is_stored_and_cleared_for_the_next_task(folder):
    annotator = start()
    assert annotator.save_button.disabled
    annotator.form.tags["bad ending"].value = True
    annotator.form.answers["B"].click()
    annotator.form.answers["A slightly"].click()  # a change of mind before saving
    assert not annotator.save_button.disabled
    assert stored() == []
    annotator.form.confidence.value = "Fairly sure"
    annotator.form.notes.value = " <img src=x onerror=alert(1)> & more "
    annotator.save_button.click()
    (answer,) = stored()
    assert (answer.strength, answer.confidence, answer.tags) == (1, 0.75, ["bad ending"])
    assert answer.reasoning == "<img src=x onerror=alert(1)> & more"
    assert annotator.save_button.disabled
    assert annotator.form.chosen is None
    assert annotator.form.confidence.value is None
    assert annotator.form.notes.value == ""
    assert not any(button.value for button in annotator.form.tags.values())
    assert annotator.progress_text.value == "1 of 7 rated"
    assert (annotator.progress_bar.value, annotator.progress_bar.max) == (1, 7)


def test_nothing_on_screen_tells_the_edits_apart(folder):
    annotator = start()
    while not annotator.session.finished:
        text = text_on_screen(annotator)
        assert "Original" in text and "A strongly" in text
        for secret in ("temp", "song_0", "task_0", "toy_", "0.1", "0.3", ".wav", "policy", "v14"):
            assert secret not in text, secret
        assert not re.search(r"\d\s*s\b|\d:\d\d", text)
        assert MANIFEST.manifest_id[:8] not in text
        rate(annotator, "A")


def test_back_shows_the_earlier_answer_and_supersedes_it(folder):
    annotator = start()
    assert annotator.undo_button.disabled
    rate(annotator, "A strongly", notes="<b>first</b>", confidence="Sure")
    annotator.form.answers["Tie"].click()
    annotator.undo_button.click()
    form = annotator.form
    assert (form.chosen, form.notes.value, form.confidence.value) == (
        "A strongly",
        "<b>first</b>",
        "Sure",
    )
    rate(annotator, "B slightly", notes="second")
    first, second = stored()
    assert second.supersedes == first.annotation_id
    assert (first.task_id, first.reasoning) == (second.task_id, "<b>first</b>")
    assert {first.preference, second.preference} == {"a", "b"}
    assert annotator.progress_text.value == "1 of 7 rated"


def test_the_notebook_file_keeps_one_line(folder):
    annotator = start()
    rate(annotator, "A")
    kept = annotator._repr_mimebundle_()["text/plain"]
    assert kept == "▶ annotator (1 of 7 rated; run the cell to listen and rate)"


def test_it_resumes_and_ends(folder):
    rate(start(), "B")
    annotator = start()
    assert annotator.progress_text.value == "1 of 7 rated"
    assert annotator.session.task == presentations(MANIFEST, "anna")[1]
    while not annotator.session.finished:
        rate(annotator, "A")
    for screen in (annotator, start()):
        assert "all 7 comparisons of this sitting are rated" in screen.message.value
        assert screen.form.layout.display == "none"
        assert sounds(screen) == []
    annotator.undo_button.click()
    assert annotator.form.layout.display is None
    assert len(sounds(annotator)) == 3
    assert len(stored()) == 7


def test_sound_of_the_last_task_is_released(folder):
    annotator = start()
    old = annotator.sounds
    before = len(widgets.Widget.get_manager_state()["state"])
    for _ in range(3):
        rate(annotator, "A")
    assert all(sound.comm is None for sound in old)
    assert len(widgets.Widget.get_manager_state()["state"]) == before
    annotator.close()
    assert sounds(annotator) == []


def test_missing_sound_is_told_and_can_be_loaded_again(folder):
    shown = start().session.task
    path = folder / "eval" / MANIFEST.candidate(shown.task.song_id, shown.left_id).path
    hidden = path.rename(path.with_suffix(".away"))
    annotator = start()
    assert "no audio file at" in annotator.message.value
    assert 'role="alert"' in annotator.message.value
    annotator.form.answers["A"].click()
    assert annotator.save_button.disabled  # nothing was heard, so nothing can be rated
    hidden.rename(path)
    annotator.retry_button.click()
    assert len(sounds(annotator)) == 3
    assert annotator.retry_button.layout.display == "none"
    rate(annotator, "A")
    assert len(stored()) == 1


def test_an_answer_that_cannot_be_saved_is_told_as_text(folder, monkeypatch):
    annotator = start()
    shown = annotator.session.task

    def refuse(annotation):
        raise InputError("disk <b>full</b>")

    with monkeypatch.context() as patch:
        patch.setattr(annotator.session.store, "add", refuse)
        rate(annotator, "A", notes="keep me")
    assert "disk &lt;b&gt;full&lt;/b&gt;" in annotator.message.value
    assert (annotator.session.task, annotator.form.notes.value) == (shown, "keep me")
    annotator.save_button.click()
    assert [answer.reasoning for answer in stored()] == ["keep me"]


def test_a_break_is_suggested(folder, monkeypatch):
    monkeypatch.setattr(session_module, "BREAK_AFTER", 0.0)
    annotator = start()
    assert annotator.break_row.layout.display is None
    annotator.rested_button.click()
    assert annotator.break_row.layout.display == "none"


def test_every_control_has_a_name(folder):
    for widget in everything(start()):
        if isinstance(widget, (widgets.Button, widgets.ToggleButton, widgets.Textarea)):
            assert widget.tooltip
        if isinstance(widget, widgets.Audio):
            # A media view without a description fails in the browser when it has a tooltip.
            assert widget.tooltip is None


@pytest.mark.parametrize(
    ("options", "message"),
    [({"encoding": "mp3"}, "encoding 'mp3'"), ({"max_tasks": 0}, "max_tasks 0")],
)
def test_impossible_arguments_are_refused(folder, options, message):
    with pytest.raises(InputError, match=message):
        start(**options)


def test_a_missing_manifest_is_told(workspace):
    with pytest.raises(InputError, match=r"evaluation_manifest\.json"):
        start()
