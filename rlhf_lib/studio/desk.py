"""What the annotator's page shows of a session, and what it asks; for notebooks and studies."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Candidate, SongEntry
from rlhf_lib.feedback.validation import inside
from rlhf_lib.listening.session import AnnotationSession, Heard
from rlhf_lib.listening.task_order import Presentation
from rlhf_lib.studio.timeline import timeline

#: The tag of a tie between two edits that are both bad, and of a pair with a broken sound.
BOTH_BAD, BROKEN = "both bad", "sound did not play"
#: Answer of the page → (choice, strength).
ANSWERS = {
    "A strongly": ("left", 3),
    "A": ("left", 2),
    "A slightly": ("left", 1),
    "Tie": ("tie", 0),
    "B slightly": ("right", 1),
    "B": ("right", 2),
    "B strongly": ("right", 3),
    "Both bad": ("tie", 0),
    "Can't tell": ("can't tell", 0),
}
#: Answer of the page → stored confidence.
CONFIDENCES = {"guessing": 0.25, "unsure": 0.5, "fairly sure": 0.75, "sure": 1.0}

_HERE = Path(__file__).parent
_log = logging.getLogger(__name__)


def labels(language: str = "en") -> dict[str, Any]:
    """Return the texts of the annotator in "en" or "de"."""
    return json.loads((_HERE / "labels" / f"{language}.json").read_text(encoding="utf-8"))


def script() -> str:
    """Return the annotator's JavaScript as one module."""
    # The files have no imports of their own, so that no build step is needed.
    names = ("timeline.js", "player.js", "sounds.js", "page.js", "annotator.js")
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)


def style() -> str:
    """Return the annotator's style sheet."""
    return (_HERE / "annotator.css").read_text(encoding="utf-8")


def serial_of(
    secret: bytes, rater_id: str, shown: Presentation, previous: Annotation | None = None
) -> str:
    """Return what the page of a rater calls a task: a hash with a secret key.

    Parameters
    ----------
    secret : bytes
        Up to 64 bytes.
    rater_id : str
    shown : Presentation
    previous : Annotation, optional
        The answer that an undo reopened.
    """
    reopened = previous.annotation_id if previous else ""
    task = f"{shown.task.task_id}/{shown.shown_first}/{shown.is_repeat}/{reopened}"
    text = f"{rater_id}/{task}".encode()
    return hashlib.blake2b(text, key=secret, digest_size=12).hexdigest()


class Desk:
    """A session as its page sees it.

    The page cannot identify an edit: a task is called by a hash with a secret key (its serial),
    and the page gets no song, temperature, id or path. The same secret gives the same serials, so
    that an answer finds its task after a restart, too.

    Parameters
    ----------
    session : AnnotationSession
    audio_folder : Path
        The folder that the manifest's paths start from.
    secret : bytes
        Up to 64 bytes.
    min_seconds : float
        How long each side must be heard, in s; see `rlhf_lib.studio.annotator.annotate`.
    maps : bool
        Whether the page draws waveforms and edit maps, which show how much is cut.
    both_bad : bool
        Whether "both bad" is offered; it is stored as a tie with a tag.
    """

    def __init__(
        self,
        session: AnnotationSession,
        audio_folder: Path,
        secret: bytes,
        min_seconds: float = 10.0,
        *,
        maps: bool = True,
        both_bad: bool = False,
    ):
        self.session = session
        self._audio_folder = audio_folder
        self._secret = secret
        self._fixed = {"min_seconds": min_seconds, "maps": maps, "both_bad": both_bad}
        self._shown: dict[str, Presentation] = {}
        self._now: str | None = None  # the serial of the task on screen

    def screen(self) -> dict[str, Any]:
        """Return what the page shows now; it is ready for JSON."""
        session = self.session
        done, total = session.progress
        screen = {
            "serial": None,
            "next": None,
            "error": "",
            "progress": [done, total],
            "minutes_left": round(session.seconds_left / 60),
            "can_undo": session.can_undo,
            "rater": session.rater_id,
        } | self._fixed
        if session.finished:
            self._shown, self._now = {}, None
            return screen | {"stage": "done", "cover": "done"}
        coming = ((session.task, session.previous_answer), (session.upcoming, None))
        tasks = [item for item in coming if item[0] is not None]
        self._shown = {self._serial(*item): item[0] for item in tasks}
        now, later = [*self._shown, None][:2]
        self._now = now
        try:
            timelines = {side: self._timeline(now, side) for side in "OAB"}
        except InputError as problem:
            _log.error("%s", problem)
            timelines = None
        watch = session.stopwatch
        return screen | {
            "stage": "rate",
            "serial": now,
            "next": later,
            "timelines": timelines,
            "previous": self._previous(),
            "paused": watch.paused or watch.break_due,
            "cover": "break" if watch.break_due else "paused",
        }

    def act(self, message: dict[str, Any], annotation_id: str | None = None) -> bool:
        """Do what the page asks, ``{"kind": …}`` and its arguments; True if an answer was stored.

        Parameters
        ----------
        message : dict
        annotation_id : str, optional
            The id of the annotation that an answer becomes.

        Raises
        ------
        InputError
            When an answer cannot be stored.
        """
        kind, session = message["kind"], self.session
        if kind == "rest":
            session.stopwatch.pause()
        elif kind == "go on":
            session.stopwatch.go_on()
        elif kind == "answer":
            if message["serial"] == self._now or self._find(message["serial"]):
                self._answer(message, annotation_id)
                return True
        elif message["serial"] != self._now:
            return False  # about a task no longer on screen, such as a second press of a key
        elif kind == "undo":
            session.undo()
        elif kind == "keep":
            session.keep()
        return False

    def sound(self, serial: str, side: str) -> Path | None:
        """Return the file of side "O", "A" or "B" of a task on the page; None for another task.

        Raises
        ------
        InputError
            When the manifest's path leads out of its folder.
        """
        if serial not in self._shown:
            return None
        song, candidate = self._entries(serial, side)
        return inside(self._audio_folder, (candidate or song).path)

    def _answer(self, message: dict[str, Any], annotation_id: str | None) -> None:
        choice, strength = ANSWERS[message["answer"]]
        tags = [tag for tag in message["tags"] if tag != BOTH_BAD]
        self.session.answer(
            choice,
            strength,
            confidence=CONFIDENCES.get(message.get("confidence")),
            notes=message["notes"].strip(),
            tags=tags + [BOTH_BAD] * (message["answer"] == "Both bad"),
            heard=Heard(**message["heard"]),
            annotation_id=annotation_id,
        )

    def _find(self, serial: str) -> bool:
        """Bring back a task that was shown before a restart; False when it is not open."""
        for shown, previous in self._possible():
            if self._serial(shown, previous) == serial:
                return self.session.bring_back(shown, previous)
        return False

    def _possible(self) -> Iterator[tuple[Presentation, Annotation | None]]:
        yield from self.session.past
        for task in self.session.manifest.tasks:
            for first in ("a", "b"):
                for again in (False, True):
                    yield Presentation(task, first, again), None

    def _serial(self, shown: Presentation, previous: Annotation | None) -> str:
        return serial_of(self._secret, self.session.rater_id, shown, previous)

    def _previous(self) -> dict[str, Any] | None:
        """Return the earlier answer to the present task, as it was filled in."""
        earlier = self.session.previous_answer
        if earlier is None:
            return None
        names = {value: name for name, value in CONFIDENCES.items()}
        choices = {v: k for k, v in ANSWERS.items() if k != "Both bad"}
        answer = choices[self.session.previous_choice]
        return {
            "answer": "Both bad" if BOTH_BAD in earlier.tags else answer,
            "confidence": names.get(earlier.confidence),
            "tags": [tag for tag in earlier.tags if tag != BOTH_BAD],
            "notes": earlier.reasoning,
        }

    def _entries(self, serial: str, side: str) -> tuple[SongEntry, Candidate | None]:
        """Return the song of a task on the page and, for A and B, the edit."""
        shown = self._shown[serial]
        song = self.session.manifest.song(shown.task.song_id)
        if side == "O":
            return song, None
        candidate_id = shown.left_id if side == "A" else shown.right_id
        return song, self.session.manifest.candidate(song.id, candidate_id)

    def _timeline(self, serial: str, side: str) -> dict[str, list]:
        song, candidate = self._entries(serial, side)
        return timeline(song, self._audio_folder, candidate)
