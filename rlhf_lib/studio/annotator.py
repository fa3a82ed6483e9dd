"""The annotator in a notebook: listen to two edits of a song, say which one is better."""

import html
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import ipywidgets as widgets

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.records import Manifest
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import inside
from rlhf_lib.music.audio import load_audio, save_audio
from rlhf_lib.paths import resolve
from rlhf_lib.studio.rating_form import RatingForm
from rlhf_lib.studio.session import AnnotationSession

#: The players, from top to bottom.
SOUNDS = ("Original", "A", "B")

# Chromium's and Safari's players would show how long an edit is, which a blind test must not.
_STYLE = """<style>
.rlhf-annotator { padding: 12px; border: 1px solid var(--jp-border-color2, #ccc);
  border-radius: 6px; }
.rlhf-annotator h3, .rlhf-annotator p { margin: 0; line-height: 1.5; }
.rlhf-annotator .rlhf-error { color: var(--jp-error-color1, #b00020); }
audio.rlhf-player::-webkit-media-controls-current-time-display,
audio.rlhf-player::-webkit-media-controls-time-remaining-display { display: none; }
</style>"""


def annotate(
    manifest_path: str | Path,
    rater_id: str,
    feedback_dir: str | Path = "feedback",
    *,
    seed: int = 0,
    repeat_share: float = 0.1,
    max_tasks: int | None = None,
    encoding: Literal["flac", "ogg"] = "flac",
) -> "Annotator":
    """Return the annotator for one rater; display it by making it the last line of a cell.

    Parameters
    ----------
    manifest_path : path of an evaluation_manifest.json
        Relative paths are taken from the workspace; the audio lies in the manifest's folder.
    rater_id : str
        Whoever listens; calling again with the same id goes on where the rater stopped.
    feedback_dir : path
        Folder of preferences.json.
    seed, repeat_share, max_tasks
        See `AnnotationSession`.
    encoding : "flac" or "ogg"
        How the sound travels to the browser: FLAC is exact, Vorbis is several times smaller.

    Raises
    ------
    InputError
        When the manifest cannot be read or holds no task, the feedback folder is unreadable, or
        an argument is out of range.
    """
    if encoding not in ("flac", "ogg"):
        raise InputError(f'encoding {encoding!r} is unknown; choose "flac" or "ogg"')
    path = resolve(manifest_path)
    session = AnnotationSession(
        Manifest.load(path),
        PreferenceStore(feedback_dir),
        rater_id,
        seed=seed,
        repeat_share=repeat_share,
        max_tasks=max_tasks,
    )
    return Annotator(session, path.parent, encoding)


class Annotator(widgets.VBox):
    """The widget view of an `AnnotationSession`.

    Nothing on screen tells which edit is which: no song, temperature, length or id. (Firefox's
    own player shows the length of a sound; a page cannot forbid that.)

    Parameters
    ----------
    session : AnnotationSession
    audio_folder : Path
        The folder that the manifest's paths start from.
    encoding : "flac" or "ogg"
    """

    def __init__(self, session: AnnotationSession, audio_folder: Path, encoding: str = "flac"):
        self.session = session
        self._audio_folder = audio_folder
        self._encoding = encoding
        wide = widgets.Layout(width="100%")
        self.progress_bar = widgets.IntProgress(
            min=0, tooltip="Progress", layout=widgets.Layout(flex="1 1 auto", width="auto")
        )
        self.progress_text = widgets.Label()
        self._rows = [_player_row(name) for name in SOUNDS]
        self._sound_layout = widgets.Layout(flex="1 1 auto", height="40px")
        self.players = widgets.VBox(self._rows, layout=wide)
        self.sounds: list[widgets.Audio] = []
        self.undo_button = _button("Back", "Correct the previous answer", self._undo, "undo")
        self.save_button = _button("Save and next", "Save the answer", self._save, "check")
        self.retry_button = _button("Try again", "Load the sound again", self._show, "refresh")
        self.rested_button = _button("I had a break", "Go on rating", self._rested, "coffee")
        self.break_row = widgets.HBox(
            [
                widgets.HTML("<p>Half an hour of listening: time for five minutes of quiet.</p>"),
                self.rested_button,
            ],
            layout=widgets.Layout(justify_content="space-between"),
        )
        self.message = widgets.HTML()
        self.form = RatingForm(on_choice=self._enable)
        super().__init__(
            [
                widgets.HTML(_STYLE, layout=widgets.Layout(display="none")),
                widgets.HBox([self.progress_bar, self.progress_text], layout=wide),
                self.break_row,
                self.players,
                self.form,
                self.message,
                widgets.HBox(
                    [self.undo_button, self.retry_button, self.save_button],
                    layout=widgets.Layout(width="100%", justify_content="space-between"),
                ),
            ],
            layout=widgets.Layout(max_width="880px", grid_gap="10px"),
        )
        self.add_class("rlhf-annotator")
        self._show()

    def __repr__(self) -> str:
        """Return the one line that a notebook file keeps of the annotator."""
        done, total = self.session.progress
        return f"▶ annotator ({done} of {total} rated; run the cell to listen and rate)"

    def close(self) -> None:
        """Remove the annotator from the screen and its sound from memory."""
        self._release_sound()
        super().close()

    def _show(self) -> None:
        """Put the session's present task, or the end, on screen."""
        session = self.session
        done, total = session.progress
        self.progress_bar.max, self.progress_bar.value = total, done
        self.progress_text.value = f"{done} of {total} rated"
        self._say("Loading the sound …")
        self._release_sound()
        self.form.fill_in(session.previous_choice, session.previous_answer)
        for widget in (self.players, self.form, self.save_button):
            _show_if(widget, not session.finished)
        _show_if(self.break_row, session.break_due and not session.finished)
        _show_if(self.retry_button, False)
        self.undo_button.disabled = done == 0
        if session.finished:
            self._say(
                f"Done: all {total} comparisons of this sitting are rated. Thank you! "
                f"The answers are in {session.store.path}."
            )
            return
        try:
            self._load_sound()
            self._say("")
        except (InputError, OSError) as error:
            self._say(str(error), is_error=True)
            _show_if(self.retry_button, True)
        self._enable()

    def _load_sound(self) -> None:
        shown, manifest = self.session.task, self.session.manifest
        song = manifest.song(shown.task.song_id)
        left, right = (
            manifest.candidate(song.id, candidate_id)
            for candidate_id in (shown.left_id, shown.right_id)
        )
        paths = [inside(self._audio_folder, entry.path) for entry in (song, left, right)]
        encoded = [self._encode(path) for path in paths]
        self.sounds = [self._player(sound) for sound in encoded]
        for row, sound in zip(self._rows, self.sounds, strict=True):
            row.children = (*row.children, sound)

    def _encode(self, path: Path) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            encoded = Path(folder) / f"sound.{self._encoding}"
            save_audio(encoded, load_audio(path))
            return encoded.read_bytes()

    def _player(self, encoded: bytes) -> widgets.Audio:
        """Return a player; its bytes travel as binary and stay out of the cell's output."""
        # No tooltip: ipywidgets' media views break on one, for they have no description.
        sound = widgets.Audio(
            value=encoded,
            format=self._encoding,
            autoplay=False,
            loop=False,
            layout=self._sound_layout,
        )
        sound.add_class("rlhf-player")
        return sound

    def _release_sound(self) -> None:
        for row in self._rows:
            row.children = row.children[:1]
        for sound in self.sounds:
            sound.close()
        self.sounds = []

    def _enable(self) -> None:
        ready = self.form.chosen is not None and bool(self.sounds)
        self.save_button.disabled = not ready
        self.save_button.button_style = "success" if ready else ""

    def _save(self) -> None:
        try:
            self.session.answer(**self.form.fields)
        except InputError as error:
            self._say(str(error), is_error=True)
        else:
            self._show()

    def _undo(self) -> None:
        if self.session.undo():
            self._show()

    def _rested(self) -> None:
        self.session.rested()
        _show_if(self.break_row, False)

    def _say(self, text: str, is_error: bool = False) -> None:
        role, style = ("alert", "rlhf-error") if is_error else ("status", "")
        self.message.value = f'<p role="{role}" class="{style}">{html.escape(text)}</p>'


def _player_row(name: str) -> widgets.HBox:
    title = widgets.HTML(f"<h3>{name}</h3>", layout=widgets.Layout(flex="0 0 5.5em"))
    return widgets.HBox([title], layout=widgets.Layout(align_items="center"))


def _button(text: str, tooltip: str, act: Callable[[], None], icon: str) -> widgets.Button:
    button = widgets.Button(
        description=text, tooltip=tooltip, icon=icon, layout=widgets.Layout(width="auto")
    )
    button.on_click(lambda _: act())
    return button


def _show_if(widget: widgets.Widget, condition: bool) -> None:
    widget.layout.display = None if condition else "none"
