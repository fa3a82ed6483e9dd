"""A rater's way through the tasks of a manifest: ask, save, go on, undo. No widgets here."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.raters import Rater
from rlhf_lib.feedback.records import Annotation, Listening, Manifest
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import Id
from rlhf_lib.music.song import Song
from rlhf_lib.studio.task_order import Presentation, Side, presentations

CHOICES = ("left", "right", "tie", "can't tell")
BREAK_AFTER = 30 * 60.0  # seconds of rating after which a break is suggested


@dataclass(frozen=True)
class Heard:
    """What a rater heard of a task: seconds of each side and the original, seams auditioned."""

    left: float = 0.0
    right: float = 0.0
    original: float = 0.0
    seams: int = 0


class AnnotationSession:
    """One rater rates the tasks of one manifest; every answer is on disk before the next task.

    A new session with the same arguments goes on where the last one stopped: tasks that the
    store holds an answer to (of this rater, for this manifest) are not asked again.

    Parameters
    ----------
    manifest : Manifest
        Also copied into the store, so that the feedback folder stands alone.
    store : PreferenceStore
    rater_id : str
    rater_kind : "human" or "simulated"
    seed : int
        With the manifest and the rater it decides order and sides.
    repeat_share : float
        Share of the tasks that come again with sides swapped.
    max_tasks : int, optional
        The most tasks to ask in this sitting.
    clock : callable
        Returns s on a clock that never goes back.

    Raises
    ------
    InputError
        When there is no task, `rater_id` cannot be stored, or `max_tasks` is below 1.
    """

    def __init__(
        self,
        manifest: Manifest,
        store: PreferenceStore,
        rater_id: str,
        rater_kind: Literal["human", "simulated"] = "human",
        seed: int = 0,
        *,
        repeat_share: float = 0.1,
        max_tasks: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        try:
            TypeAdapter(Id).validate_python(rater_id)
        except ValidationError:
            raise InputError(
                f"rater_id {rater_id!r} cannot name a rater; give 1 to 200 characters without "
                "spaces around them, such as 'rater_1'"
            ) from None
        if max_tasks is not None and max_tasks < 1:
            raise InputError(f"max_tasks {max_tasks!r} must be at least 1, or None for all")
        self.manifest = manifest
        self.store = store
        self.rater_id = rater_id
        self.rater_kind = rater_kind
        self._clock = clock
        plan = presentations(manifest, rater_id, seed, repeat_share)
        store.keep_manifest(manifest)
        given = self._stored_answers(plan)
        unanswered = [index for index in range(len(plan)) if index not in given][:max_tasks]
        sitting = sorted([*given, *unanswered])
        self._plan = [plan[index] for index in sitting]
        self._answers = [given.get(index) for index in sitting]
        self._position = self._next_unanswered()
        self._rated_since = self._shown_at = clock()

    def _stored_answers(self, plan: list[Presentation]) -> dict[int, Annotation]:
        """Return the stored answer to each place of the plan that has one."""
        pool = defaultdict(list)
        for answer in self.store.current():
            if (answer.rater_id, answer.manifest_id) == (self.rater_id, self.manifest.manifest_id):
                pool[answer.pair].append(answer)
        given = {}
        # First those shown with the same sides; then any (another seed, imported answers).
        for same_sides in (True, False):
            for index, item in enumerate(plan):
                task = item.task
                edits = sorted((task.edit_a_id, task.edit_b_id))
                answers = pool[(self.manifest.manifest_id, task.song_id, *edits)]
                fits = [a for a in answers if not same_sides or a.shown_first == item.shown_first]
                if index not in given and fits:
                    given[index] = fits[0]
                    answers.remove(fits[0])
        return given

    def _next_unanswered(self) -> int:
        return next((i for i, a in enumerate(self._answers) if a is None), len(self._plan))

    @property
    def task(self) -> Presentation | None:
        """The task to rate now; None when all are rated."""
        return None if self.finished else self._plan[self._position]

    @property
    def finished(self) -> bool:
        """True when nothing is left to rate (an undo may still reopen the last task)."""
        return self._position == len(self._plan)

    @property
    def progress(self) -> tuple[int, int]:
        """Tasks answered, and tasks altogether (repeats included)."""
        return sum(answer is not None for answer in self._answers), len(self._plan)

    @property
    def previous_answer(self) -> Annotation | None:
        """The stored answer to the present task, when an undo led back to it."""
        return None if self.finished else self._answers[self._position]

    @property
    def previous_choice(self) -> tuple[str, int] | None:
        """The choice, as shown, and the strength of `previous_answer`."""
        earlier = self.previous_answer
        if earlier is None:
            return None
        if earlier.preference == "tie":
            return ("can't tell" if earlier.cant_tell else "tie"), 0
        first = self.task.shown_first
        return ("left" if earlier.preference == first else "right"), earlier.strength

    @property
    def seconds_spent(self) -> float:
        """Seconds since the present task was shown."""
        return self._clock() - self._shown_at

    @property
    def break_due(self) -> bool:
        """True after half an hour of rating without a break."""
        return self._clock() - self._rated_since >= BREAK_AFTER

    def rested(self) -> None:
        """Start the half hour until the next break, and the present task's time, anew."""
        self._rated_since = self._shown_at = self._clock()

    def answer(
        self,
        choice: str,
        strength: int = 0,
        *,
        confidence: float | None = None,
        notes: str = "",
        tags: Sequence[str] = (),
        heard: Heard | None = None,
    ) -> Annotation:
        """Save the answer to the present task, then go on to the next one.

        Parameters
        ----------
        choice : "left", "right", "tie" or "can't tell"
            As shown; stored in terms of edits a and b. "Can't tell" is a tie with `cant_tell`.
        strength : int
            1 slight, 2 moderate, 3 strong; 0 when neither side is preferred.
        confidence : float, optional
            0 to 1.
        notes : str
            Free words on why.
        tags : sequence of str
        heard : Heard, optional

        Returns
        -------
        Annotation
            As stored. After an undo it supersedes the earlier answer to the task.

        Raises
        ------
        InputError
            When the session is finished or a value is out of range; the task then stays.
        """
        shown = self.task
        if shown is None:
            raise InputError("every task is rated; nothing is left to answer")
        if choice not in CHOICES:
            raise InputError(f"choice {choice!r} is unknown; choose one of {', '.join(CHOICES)}")
        left, right = ("a", "b") if shown.shown_first == "a" else ("b", "a")
        earlier = self.previous_answer
        annotation = Annotation.new(
            song_id=shown.task.song_id,
            edit_a_id=shown.task.edit_a_id,
            edit_b_id=shown.task.edit_b_id,
            preference={"left": left, "right": right}.get(choice, "tie"),
            strength=strength,
            reasoning=notes,
            manifest_id=self.manifest.manifest_id,
            task_id=shown.task.task_id,
            rater_id=self.rater_id,
            rater_kind=self.rater_kind,
            confidence=confidence,
            seconds_spent=round(self.seconds_spent, 3),
            shown_first=shown.shown_first,
            cant_tell=choice == "can't tell",
            tags=list(tags),
            listening=None if heard is None else _listening(heard, left),
            supersedes=earlier and earlier.annotation_id,
        )
        self.store.add(annotation)
        self._answers[self._position] = annotation
        self._position = self._next_unanswered()
        self._shown_at = self._clock()
        return annotation

    def undo(self) -> bool:
        """Go back to the task answered before this one; False when there is none.

        The earlier answer stays on disk and counts until a new one supersedes it.
        """
        for index in reversed(range(self._position)):
            if self._answers[index] is not None:
                self._position = index
                self._shown_at = self._clock()
                return True
        return False


def _listening(heard: Heard, left: Side) -> Listening:
    seconds = {f"seconds_{left}": heard.left, f"seconds_{'b' if left == 'a' else 'a'}": heard.right}
    return Listening(**seconds, seconds_original=heard.original, seams_heard=heard.seams)


def run_rater(
    session: AnnotationSession, rater: Rater, songs_by_id: Mapping[str, Song]
) -> list[Annotation]:
    """Let a rater answer every task that is left in a session.

    Parameters
    ----------
    session : AnnotationSession
        Of this very rater.
    rater : Rater
    songs_by_id : mapping
        From the manifest's song ids to the loaded songs.

    Returns
    -------
    list of Annotation
        The new answers, as stored.

    Raises
    ------
    InputError
        When session and rater differ, or a song is missing or has another number of beats.
    """
    expected, got = (session.rater_id, session.rater_kind), (rater.rater_id, rater.rater_kind)
    if expected != got:
        raise InputError(f"the session is for rater {expected}, but {got} would answer it")
    answers = []
    while session.task is not None:
        shown = session.task
        song_id = shown.task.song_id
        if song_id not in songs_by_id:
            raise InputError(f"song {song_id!r} of the manifest is not among the loaded songs")
        song = songs_by_id[song_id]
        left, right = (
            session.manifest.candidate(song_id, candidate_id).edit(song)
            for candidate_id in (shown.left_id, shown.right_id)
        )
        answer = rater.compare(song, left, right)
        answers.append(
            session.answer(
                {"a": "left", "b": "right", "tie": "tie"}[answer.preference],
                answer.strength,
                confidence=answer.confidence,
                notes=answer.reasoning,
            )
        )
    return answers
