"""The annotator in a notebook: listen to two edits and choose the better one."""

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import anywidget
import traitlets

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.paths import resolve
from rlhf_lib.studio.desk import Desk, labels, script, style
from rlhf_lib.studio.listen import encoded

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
    maps: bool = True,
    both_bad: bool = False,
    language: Literal["en", "de"] = "en",
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
    maps, both_bad
        Whether edit maps are drawn, and "both bad" is an answer; see `Desk`.
    language : "en" or "de"
        Of the page.
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
    if language not in ("en", "de"):
        raise InputError(f'language {language!r} is unknown; choose "en" or "de"')
    if not 0 <= min_seconds < float("inf"):
        raise InputError(f"min_seconds {min_seconds!r} must be 0 or more")
    path = resolve(manifest)
    loaded, store = Manifest.load(path), PreferenceStore(feedback_dir)
    secret = secrets.token_bytes()

    def open_desk(rater: str) -> Desk:
        session = AnnotationSession(
            loaded, store, rater, "human", seed, max_tasks=max_tasks, **shares
        )
        return Desk(session, path.parent, secret, min_seconds, maps=maps, both_bad=both_bad)

    annotator = Annotator(open_desk, encoding, language)
    if rater_id is not None:
        annotator.begin(rater_id)
    return annotator


class Annotator(anywidget.AnyWidget):
    """The view of a `Desk`: a JavaScript page and the data sent to it.

    The page gets the screen to show (`screen`) and, on request, one sound at a time as a binary
    message. It keeps only the sounds of the present and the next task, and the notebook file
    keeps none.

    Parameters
    ----------
    open_desk : callable
        A rater's id → Desk.
    encoding : "flac" or "ogg"
    language : "en" or "de"
        See `annotate`.
    """

    _esm = script()
    _css = style()
    #: What the page shows; see `Desk.screen`.
    screen = traitlets.Dict().tag(sync=True)
    labels = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        open_desk: Callable[[str], Desk],
        encoding: Literal["flac", "ogg"] = "flac",
        language: Literal["en", "de"] = "en",
    ):
        super().__init__(labels=labels(language))
        self._desk: Desk | None = None
        self._open_desk = open_desk
        self._encoding = encoding
        self._notice = ""
        self.on_msg(lambda _, message, __: self.receive(message))
        self._show()

    @property
    def session(self) -> AnnotationSession | None:
        """The rater's session; None until a rater signed in."""
        return self._desk and self._desk.session

    def __repr__(self) -> str:
        """Return the only line about the annotator that a notebook file keeps."""
        if self.session is None:
            return "▶ annotator (run the cell to listen and rate)"
        done, total = self.session.progress
        return f"▶ annotator ({done} of {total} rated; run the cell to listen and rate)"

    def begin(self, rater_id: str) -> None:
        """Open, or take over, the sitting of this rater."""
        self._desk = self._open_desk(rater_id)
        self._notice = self.session.notice  # shown until the first answer
        self._show()

    def close(self) -> None:
        """Remove the annotator from the screen and release its task."""
        if self.session is not None:
            self.session.close()
        super().close()

    def receive(self, message: dict[str, Any]) -> None:
        """Handle a message from the page: ``{"kind": …}`` and its arguments."""
        kind = message["kind"]
        if kind == "sound":
            self._send_sound(message["serial"], message["side"])
            return
        error = ""
        try:
            if kind == "sign in":
                self.begin(message["rater"])
            elif self._desk is not None:
                self._desk.act(message)
                if kind == "answer":
                    self._notice = ""
        except InputError as problem:
            error = str(problem)
        self._show(error)

    def _show(self, error: str = "") -> None:
        """Send the screen to the page; every call sends one, because the page waits for it."""
        screen = self._desk.screen() if self._desk else {"stage": "sign in", "maps": True}
        revision = self.screen.get("revision", 0) + 1
        self.screen = screen | {"revision": revision, "error": error, "notice": self._notice}

    def _send_sound(self, serial: str, side: str) -> None:
        message = {"kind": "sound", "serial": serial, "side": side}
        try:
            path = self._desk.sound(serial, side)
            if path is None:
                return  # requested before an answer or an undo changed the task on screen
            self.send(message, buffers=[encoded(load_audio(path), self._encoding)])
        except (InputError, OSError) as error:
            # The path in the error identifies the edit, so it goes to the log only.
            _log.error("%s", error)
            self.send(message | {"error": True})
