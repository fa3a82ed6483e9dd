"""The annotation session: one task after another, each answer saved; undo. No widgets."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation, Listening
from rlhf_lib.feedback.carry_over import CarryOver
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import Id, as_input_error
from rlhf_lib.listening.claims import Claims
from rlhf_lib.listening.rater_history import RaterHistory
from rlhf_lib.listening.stopwatch import Stopwatch
from rlhf_lib.listening.task_order import Presentation, Side, TaskOrder

CHOICES = ("left", "right", "tie", "can't tell")
_FEW = 3  # answers needed before their times are used to estimate the rest
_USUAL_SECONDS = 60.0  # assumed time of a comparison until then


@dataclass(frozen=True)
class Heard:
    """What a rater heard of a task: seconds of each side and the original, seams auditioned."""

    left: float = 0.0
    right: float = 0.0
    original: float = 0.0
    seams: int = 0


class AnnotationSession:
    """One rater rates the tasks of one manifest; every answer is on disk before the next task.

    The rater's earlier answers are read from the store, so a new session resumes where the last
    one stopped, and replaces it: the earlier session can store nothing more. Tasks that another
    rater of the same kind answered or has on screen are left out, except the share that every
    rater gets. The store is read again before each task.

    Answers given under another manifest of the store count when this one asks about the same pair
    (`CarryOver`); `unmatched_answers` counts the rater's other ones.

    Parameters
    ----------
    manifest : Manifest
        Also copied into the store, so that the feedback folder is self-contained.
    store : PreferenceStore
    rater_id : str
    rater_kind : "human" or "simulated"
    seed : int
        Order and sides depend on the seed, the manifest and the rater.
    max_tasks : int, optional
        The most tasks to ask in this sitting.
    most_answers : int, optional
        The most tasks to ask in all sittings together.
    carry_over : CarryOver, optional
        Of this manifest and store, to be shared by several sessions.
    clock : callable
        Returns the time in s of a monotonic clock.
    shares
        `repeat_share`, `check_share`, `overlap`, `task_share` and `song_share` of `TaskOrder`.

    Raises
    ------
    InputError
        When there is no task, `rater_id` cannot be stored, or a number is out of range.
    """

    def __init__(
        self,
        manifest: Manifest,
        store: PreferenceStore,
        rater_id: str,
        rater_kind: Literal["human", "simulated"] = "human",
        seed: int = 0,
        *,
        max_tasks: int | None = None,
        most_answers: int | None = None,
        carry_over: CarryOver | None = None,
        clock: Callable[[], float] = time.monotonic,
        **shares: float,
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
        self._order = TaskOrder(manifest, rater_id, seed, **shares)
        self._claims = Claims(store.folder, manifest.manifest_id, rater_id)
        store.keep_manifest(manifest)
        self._carry_over = carry_over or CarryOver(manifest, store.find_manifest)
        self._most = most_answers
        with self._claims.exclusive(take_over=True) as elsewhere:
            self._look(elsewhere)
            if max_tasks is not None:
                self._most = len(self._history.past) + max_tasks
                self._look(elsewhere)
        #: Times the present task, pauses and breaks.
        self.stopwatch = Stopwatch(clock)

    def _look(self, elsewhere: set[str]) -> None:
        """Read the store and find the next task, given those on other raters' screens."""
        self._history = RaterHistory.read(
            self.store.load(), self._carry_over, self.rater_id, self.rater_kind
        )
        past = self._history.past
        taken = self._order.exclusive & (self._history.others | elsewhere)
        most = None if self._most is None else max(self._most - len(past), 0)
        self._coming = list(islice(self._order.coming(past, taken), most))
        self._back: int | None = None  # the place of the answer that an undo reopened
        self._brought_back: Presentation | None = None
        self._claims.task_id = self._coming[0].task.task_id if self._coming else None

    @property
    def task(self) -> Presentation | None:
        """The task to rate now; None when nothing is left for this rater in this sitting."""
        if self._back is not None:
            return self._history.past[self._back]
        if self._brought_back is not None:
            return self._brought_back
        return self._coming[0] if self._coming else None

    @property
    def upcoming(self) -> Presentation | None:
        """The task that will probably follow the present one."""
        return next(iter(self._coming[int(self._back is None) :]), None)

    @property
    def finished(self) -> bool:
        """True when nothing is left to rate (an undo may still reopen the last task)."""
        return self.task is None

    @property
    def progress(self) -> tuple[int, int]:
        """Numbers of answered tasks and of all tasks planned now, repeats and checks included."""
        return len(self._history.past), len(self._history.past) + len(self._coming)

    @property
    def past(self) -> list[tuple[Presentation, Annotation]]:
        """The tasks that this rater answered, and the current answer to each."""
        return list(zip(self._history.past, self._history.answers, strict=True))

    @property
    def can_undo(self) -> bool:
        """True when the answer before the present task was given under this manifest."""
        place = self._place_before
        ours = self.manifest.manifest_id
        return place >= 0 and self._history.answers[place].manifest_id == ours

    @property
    def _place_before(self) -> int:
        """The place of the answer before the present task; −1 when there is none."""
        return (len(self._history.past) if self._back is None else self._back) - 1

    @property
    def unmatched_answers(self) -> int:
        """The number of this rater's current answers about pairs that the manifest lacks."""
        return self._history.unmatched

    @property
    def notice(self) -> str:
        """A sentence about `unmatched_answers` for the rater; '' when there are none."""
        if not self.unmatched_answers:
            return ""
        return (
            f"Earlier answers of {self.rater_id!r} about pairs that are not in this manifest: "
            f"{self.unmatched_answers}. They stay in the store and still count in training."
        )

    @property
    def previous_answer(self) -> Annotation | None:
        """The stored answer to the present task, when an undo led back to it."""
        return None if self._back is None else self._history.answers[self._back]

    @property
    def previous_choice(self) -> tuple[str, int] | None:
        """The choice, as shown, and the strength of `previous_answer`."""
        earlier = self.previous_answer
        if earlier is None:
            return None
        if earlier.preference == "tie":
            return ("can't tell" if earlier.cant_tell else "tie"), 0
        preferred = earlier.edit_a_id if earlier.preference == "a" else earlier.edit_b_id
        return ("left" if preferred == self.task.left_id else "right"), earlier.strength

    @property
    def seconds_left(self) -> float:
        """Seconds that the rest will take, at the pace of this rater's latest answers."""
        times = [a.seconds_spent for a in self._history.answers[-20:] if a.seconds_spent]
        usual = statistics.median(times) if len(times) >= _FEW else _USUAL_SECONDS
        return usual * len(self._coming)

    def answer(
        self,
        choice: str,
        strength: int = 0,
        *,
        confidence: float | None = None,
        notes: str = "",
        tags: Sequence[str] = (),
        heard: Heard | None = None,
        annotation_id: str | None = None,
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
            Free text, such as the reason.
        tags : sequence of str
        heard : Heard, optional
        annotation_id : str, optional
            A globally unique name for the answer; without one, a new one is drawn.

        Returns
        -------
        Annotation
            As stored. After an undo it supersedes the earlier answer to the task.

        Raises
        ------
        InputError
            When the session is finished, another sitting of this rater took over, or a value is
            out of range; nothing is stored then.
        """
        shown = self.task
        if shown is None:
            raise InputError("every task is rated; nothing is left to answer")
        if choice not in CHOICES:
            raise InputError(f"choice {choice!r} is unknown; choose one of {', '.join(CHOICES)}")
        left, right = ("a", "b") if shown.shown_first == "a" else ("b", "a")
        earlier = self.previous_answer
        seconds = None if self._brought_back else round(self.stopwatch.seconds_spent, 3)
        annotation = Annotation.new(
            **({"annotation_id": annotation_id} if annotation_id else {}),
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
            seconds_spent=seconds,
            shown_first=shown.shown_first,
            cant_tell=choice == "can't tell",
            tags=list(tags),
            listening=None if heard is None else _listening(heard, left),
            supersedes=earlier and earlier.annotation_id,
        )
        with self._claims.exclusive() as elsewhere:
            self.store.add(annotation)
            self._look(elsewhere)
        self.stopwatch.restart()
        return annotation

    def undo(self) -> bool:
        """Go back to the task answered before this one; False when `can_undo` is.

        An answer given under another manifest cannot be undone here, because an answer supersedes
        only one to the same pair of the same manifest.

        The earlier answer stays on disk and counts until a new one supersedes it.
        """
        if not self.can_undo:
            return False
        self._back = self._place_before
        self.stopwatch.restart()
        return True

    def bring_back(self, shown: Presentation, earlier: Annotation | None = None) -> bool:
        """Return to a task that an earlier session of this rater had on screen, to answer it.

        Its time is then unknown.

        Parameters
        ----------
        shown : Presentation
        earlier : Annotation, optional
            The answer that an undo had reopened.

        Returns
        -------
        bool
            False when the task was answered in the meantime.
        """
        times = [item.task.task_id for item in self._history.past].count(shown.task.task_id)
        if earlier is None and times != int(shown.is_repeat):
            return False
        self._brought_back = shown
        self._back = None if earlier is None else self._history.answers.index(earlier)
        return True

    def keep(self) -> None:
        """Keep the earlier answer that an undo reopened, and return to the open task."""
        self._back = self._brought_back = None
        self.stopwatch.restart()

    def close(self) -> None:
        """Release the task on screen for other raters."""
        with self._claims.exclusive():
            self._claims.task_id = None


def _listening(heard: Heard, left: Side) -> Listening:
    seconds = {f"seconds_{left}": heard.left, f"seconds_{'b' if left == 'a' else 'a'}": heard.right}
    try:
        return Listening(**seconds, seconds_original=heard.original, seams_heard=heard.seams)
    except ValidationError as error:
        raise as_input_error(error, "what was heard", Listening) from None
