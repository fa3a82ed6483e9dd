"""The answers of a rater, and of other raters, to the tasks of a manifest so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.listening.task_order import Presentation


@dataclass(frozen=True)
class RaterHistory:
    """The current answers of one rater, and the tasks that others answered.

    Parameters
    ----------
    answers : list of Annotation
        The rater's, in order; a correction takes the place of the answer that it corrects.
    past : list of Presentation
        The task of each of these answers.
    others : set of str
        Ids of the tasks that other raters of the same kind answered.
    """

    answers: list[Annotation]
    past: list[Presentation]
    others: set[str]

    @classmethod
    def read(
        cls,
        stored: Sequence[Annotation],
        manifest: Manifest,
        rater_id: str,
        rater_kind: Literal["human", "simulated"],
    ) -> "RaterHistory":
        """Return the history of a rater from all stored answers, oldest first."""
        by_id = {task.task_id: task for task in manifest.tasks}
        # Imported answers may name the edits but no task.
        by_pair = {_pair(task): task for task in manifest.tasks}
        own, others = [], set()
        for answer in stored:
            if (answer.manifest_id, answer.rater_kind) != (manifest.manifest_id, rater_kind):
                continue
            task = by_id.get(answer.task_id) or by_pair.get(_pair(answer))
            if task is not None and answer.rater_id == rater_id:
                own.append((answer, task))
            elif task is not None:
                others.add(task.task_id)
        answers, past, met = [], [], set()
        for answer, task in _in_place(own):
            answers.append(answer)
            past.append(Presentation(task, answer.shown_first or "a", task.task_id in met))
            met.add(task.task_id)
        return cls(answers, past, others)


def _pair(compared) -> tuple[str, frozenset[str]]:
    return compared.song_id, frozenset((compared.edit_a_id, compared.edit_b_id))


def _in_place(given: list[tuple]) -> list[tuple]:
    """Return the current (answer, task), each in the place of the first answer it corrects."""
    current, places = [], {}
    for answer, task in given:
        place = places.get(answer.supersedes, len(current))
        current[place : place + 1] = [(answer, task)]
        places[answer.annotation_id] = place
    return current
