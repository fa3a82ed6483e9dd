"""The annotator, in a notebook or on a page: listen to two edits and choose the better one."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import anywidget
import traitlets

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import TAGS, Annotation
from rlhf_lib.feedback.manifest import Candidate, Manifest, SongEntry
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import inside
from rlhf_lib.listening.session import AnnotationSession, Heard
from rlhf_lib.listening.task_order import Presentation
from rlhf_lib.paths import resolve
from rlhf_lib.studio.listen import encoded
from rlhf_lib.studio.timeline import timeline

#: The seven-point scale and "can't tell": text of the button → (choice, strength).
ANSWERS = {
    "A strongly": ("left", 3),
    "A": ("left", 2),
    "A slightly": ("left", 1),
    "Tie": ("tie", 0),
    "B slightly": ("right", 1),
    "B": ("right", 2),
    "B strongly": ("right", 3),
    "Can't tell": ("can't tell", 0),
}
#: Text of the button → stored confidence.
CONFIDENCES = {"guessing": 0.25, "unsure": 0.5, "fairly sure": 0.75, "sure": 1.0}

_HERE = Path(__file__).parent
_BREAK_TEXT = "You have listened for half an hour. Take a break of five minutes."

_log = logging.getLogger(__name__)


def annotate(
    manifest: str | Path,
    rater_id: str | None = None,
    feedback_dir: str | Path = "feedback",
    *,
    seed: int = 0,
    max_tasks: int | None = None,
    min_seconds: float = 10.0,
    encoding: Literal["flac", "ogg"] = "flac",
    **shares: float,
) -> "Annotator":
    """Return the annotator for one rater; display it by making it the last line of a cell.

    Parameters
    ----------
    manifest : path of an evaluation_manifest.json
        Relative paths are taken from the workspace; the audio lies in the manifest's folder.
    rater_id : str, optional
        The person who listens; None asks on screen. The same id resumes where it stopped.
    feedback_dir : path
        Folder of preferences.json. Raters who give the same folder share the tasks.
    seed, max_tasks
        See `AnnotationSession`.
    min_seconds : float
        How long each side must be heard, in s, before the pair can be rated (less when the edit
        is shorter or each of its seams was heard).
    encoding : "flac" or "ogg"
        The format sent to the browser: FLAC is lossless, Vorbis is several times smaller.
    shares
        Which tasks each rater gets: `repeat_share` (0.1), `check_share` (0.05), `overlap`
        between raters (0.2), `task_share` (1) and `song_share` (1); see `TaskOrder`.

    Raises
    ------
    InputError
        When the manifest cannot be read or holds no task, the feedback folder is unreadable, or
        an argument is out of range.
    """
    if encoding not in ("flac", "ogg"):
        raise InputError(f'encoding {encoding!r} is unknown; choose "flac" or "ogg"')
    if not 0 <= min_seconds < float("inf"):
        raise InputError(f"min_seconds {min_seconds!r} must be 0 or more")
    path = resolve(manifest)
    loaded, store = Manifest.load(path), PreferenceStore(feedback_dir)

    def open_session(rater: str) -> AnnotationSession:
        return AnnotationSession(loaded, store, rater, "human", seed, max_tasks=max_tasks, **shares)

    annotator = Annotator(open_session, path.parent, min_seconds, encoding)
    if rater_id is not None:
        annotator.begin(rater_id)
    return annotator


class Annotator(anywidget.AnyWidget):
    """The view of an `AnnotationSession`: a JavaScript page and the data sent to it.

    The page gets the screen to show (`screen`) and, on request, one sound at a time as a binary
    message. It keeps only the sounds of the present and the next task, and the notebook file
    keeps none. The page cannot identify an edit: it gets no song, temperature, id or path.

    Parameters
    ----------
    open_session : callable
        A rater's id → AnnotationSession.
    audio_folder : Path
        The folder that the manifest's paths start from.
    min_seconds : float
        See `annotate`.
    encoding : "flac" or "ogg"
    """

    # One module: the files have no imports, so that no build step is needed.
    _esm = "\n".join(
        (_HERE / name).read_text(encoding="utf-8")
        for name in ("timeline.js", "player.js", "sounds.js", "page.js", "annotator.js")
    )
    _css = (_HERE / "annotator.css").read_text(encoding="utf-8")
    #: What the page shows; see `_show`.
    screen = traitlets.Dict().tag(sync=True)
    tags = traitlets.List(list(TAGS)).tag(sync=True)
    confidences = traitlets.List(list(CONFIDENCES)).tag(sync=True)

    def __init__(
        self,
        open_session: Callable[[str], AnnotationSession],
        audio_folder: Path,
        min_seconds: float = 10.0,
        encoding: Literal["flac", "ogg"] = "flac",
    ):
        super().__init__()
        self.session: AnnotationSession | None = None
        self._open_session = open_session
        self._audio_folder = audio_folder
        self._min_seconds = min_seconds
        self._encoding = encoding
        self._serial = 0
        self._notice = ""
        self._shown: dict[int, tuple[Presentation, Annotation | None]] = {}
        self.on_msg(lambda _, message, __: self.receive(message))
        self._show()

    def __repr__(self) -> str:
        """Return the only line about the annotator that a notebook file keeps."""
        if self.session is None:
            return "▶ annotator (run the cell to listen and rate)"
        done, total = self.session.progress
        return f"▶ annotator ({done} of {total} rated; run the cell to listen and rate)"

    def begin(self, rater_id: str) -> None:
        """Open, or take over, the sitting of this rater."""
        self.session = self._open_session(rater_id)
        self._notice = self.session.notice  # shown until the first answer
        self._show()

    def close(self) -> None:
        """Remove the annotator from the screen and release its task."""
        if self.session is not None:
            self.session.close()
        super().close()

    def receive(self, message: dict[str, Any]) -> None:
        """Handle a message from the page: ``{"kind": …}`` and its arguments."""
        kind, serial = message["kind"], message.get("serial")
        if kind == "sound":
            self._send_sound(serial, message["side"])
            return
        error = ""
        try:
            if kind == "sign in":
                self.begin(message["rater"])
            elif self.session is not None:
                self._act(kind, message)
        except InputError as problem:
            error = str(problem)
        self._show(error)

    def _act(self, kind: str, message: dict[str, Any]) -> None:
        session = self.session
        if kind == "rest":
            session.stopwatch.pause()
        elif kind == "go on":
            session.stopwatch.go_on()
        elif message["serial"] != self.screen["serial"]:
            return  # about a task no longer on screen, such as a second press of Enter
        elif kind == "undo":
            session.undo()
        elif kind == "keep":
            session.keep()
        elif kind == "answer":
            choice, strength = ANSWERS[message["answer"]]
            session.answer(
                choice,
                strength,
                confidence=CONFIDENCES.get(message.get("confidence")),
                notes=message["notes"].strip(),
                tags=message["tags"],
                heard=Heard(**message["heard"]),
            )
            self._notice = ""

    def _show(self, error: str = "") -> None:
        """Send the screen to the page; every call sends one, because the page waits for it."""
        revision = self.screen.get("revision", 0) + 1
        screen = {"revision": revision, "error": error, "serial": None, "next": None}
        session = self.session
        if session is None:
            self.screen = screen | {"stage": "sign in"}
            return
        screen |= {
            "progress": list(session.progress),
            "minutes_left": round(session.seconds_left / 60),
            "can_undo": session.can_undo,
            "notice": self._notice,
            "rater": session.rater_id,
        }
        if session.finished:
            self._shown = {}
            text = (
                "Done: nothing is left to rate in this sitting. Every answer is saved. Thank you!"
            )
            self.screen = screen | {"stage": "done", "text": text}
            return
        now, later = self._serials()
        try:
            timelines = {side: self._timeline(now, side) for side in "OAB"}
        except InputError as problem:
            _log.error("%s", problem)
            timelines, error = None, _no_sound("the original")
        watch = session.stopwatch
        self.screen = screen | {
            "stage": "rate",
            "serial": now,
            "next": later,
            "error": error,
            "timelines": timelines,
            "previous": self._previous(),
            "min_seconds": self._min_seconds,
            "paused": watch.paused or watch.break_due,
            "text": _BREAK_TEXT if watch.break_due else "Paused.",
        }

    def _serials(self) -> tuple[int, int | None]:
        """Return the numbers by which the page identifies the present task and the next one."""
        session, shown = self.session, {}
        for item in ((session.task, session.previous_answer), (session.upcoming, None)):
            if item[0] is not None:
                known = [serial for serial, other in self._shown.items() if other == item]
                self._serial += not known
                shown[known[0] if known else self._serial] = item
        self._shown = shown
        now, later = [*shown, None][:2]
        return now, later

    def _previous(self) -> dict[str, Any] | None:
        """Return the earlier answer to the present task, as it was filled in."""
        earlier = self.session.previous_answer
        if earlier is None:
            return None
        names = {value: name for name, value in CONFIDENCES.items()}
        return {
            "answer": {v: k for k, v in ANSWERS.items()}[self.session.previous_choice],
            "confidence": names.get(earlier.confidence),
            "tags": earlier.tags,
            "notes": earlier.reasoning,
        }

    def _sound(self, serial: int, side: str) -> tuple[SongEntry, Candidate | None]:
        """Return the song of a task on the page and, for A and B, the edit."""
        shown, _ = self._shown[serial]
        song = self.session.manifest.song(shown.task.song_id)
        if side == "O":
            return song, None
        candidate_id = shown.left_id if side == "A" else shown.right_id
        return song, self.session.manifest.candidate(song.id, candidate_id)

    def _timeline(self, serial: int, side: str) -> dict[str, list]:
        song, candidate = self._sound(serial, side)
        return timeline(song, self._audio_folder, candidate)

    def _send_sound(self, serial: int, side: str) -> None:
        if serial not in self._shown:
            return  # requested before an answer or an undo changed the task on screen
        song, candidate = self._sound(serial, side)
        message = {"kind": "sound", "serial": serial, "side": side}
        try:
            audio = load_audio(inside(self._audio_folder, (candidate or song).path))
            self.send(message, buffers=[encoded(audio, self._encoding)])
        except (InputError, OSError) as error:
            # The path in the error identifies the edit, so it goes to the log only.
            _log.error("%s", error)
            self.send(message | {"error": _no_sound("the original" if side == "O" else side)})


def _no_sound(side: str) -> str:
    return (
        f"The sound of {side} cannot be loaded; see the log of the notebook. "
        "The person who set up this test can put the file back."
    )
