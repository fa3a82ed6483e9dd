"""The answers of a rater, and of other raters, to the tasks of a manifest so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.carry_over import CarryOver
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.listening.task_order import Presentation


@dataclass(frozen=True)
class RaterHistory:
    """The current answers of one rater, and the tasks that others answered.

    Parameters
    ----------
    answers : list of Annotation
        The rater's, in order; a correction takes the place of the answer that it corrects.
        Answers given under another manifest are among them when it has the same pair.
    past : list of Presentation
        The task of each of these answers.
    others : set of str
        Ids of the tasks that other raters of the same kind answered.
    unmatched : int
        The rater's current answers about pairs that are no task of the manifest.
    """

    answers: list[Annotation]
    past: list[Presentation]
    others: set[str]
    unmatched: int

    @classmethod
    def read(
        cls,
        stored: Sequence[Annotation],
        carry_over: CarryOver,
        rater_id: str,
        rater_kind: Literal["human", "simulated"],
    ) -> "RaterHistory":
        """Return the history of a rater from all stored answers, oldest first."""
        own, others, unmatched = [], set(), []
        for answer in stored:
            if answer.rater_kind != rater_kind:
                continue
            carried, is_own = carry_over.carry(answer), answer.rater_id == rater_id
            if carried is None:
                unmatched += [answer] * is_own
            elif is_own:
                own.append((answer, carried))
            else:
                others.add(carried.task_id)
        answers, past, met = [], [], set()
        for answer, carried in _in_place(own):
            answers.append(answer)
            task = carry_over.task(carried.task_id)
            first = carried.shown_first or "a"
            if carried.edit_a_id != task.edit_a_id:
                first = "b" if first == "a" else "a"
            past.append(Presentation(task, first, task.task_id in met))
            met.add(task.task_id)
        return cls(answers, past, others, len(current_annotations(unmatched)))


def _in_place(given: list[tuple]) -> list[tuple]:
    """Return the current (answer, …), each in the place of the first answer it corrects."""
    current, places = [], {}
    for answer, carried in given:
        place = places.get(answer.supersedes, len(current))
        current[place : place + 1] = [(answer, carried)]
        places[answer.annotation_id] = place
    return current
