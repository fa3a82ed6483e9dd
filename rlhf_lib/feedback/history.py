"""The history of answers: unique ids, and raters supersede only their own current answers."""

from collections.abc import Iterable, Sequence

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation


class History:
    """Answers in the order in which they were stored.

    Parameters
    ----------
    stored : iterable of Annotation
        A valid history, or the part of one that concerns the answers to be admitted.
    """

    def __init__(self, stored: Iterable[Annotation]):
        self._known: dict[str, Annotation] = {}
        self._replaced: dict[str, str] = {}
        for annotation in stored:
            self._note(annotation)

    def admit(self, annotation: Annotation, where: str) -> bool:
        """Add an answer and return True; return False when it is already there.

        Raises
        ------
        InputError
            When its annotation_id is stored with different content, or `supersedes` does not
            name a current answer of the same rater to the same pair. The message starts with
            `where`.
        """
        if self._known.get(annotation.annotation_id) == annotation:
            return False
        objection = self.objection(annotation)
        if objection:
            raise InputError(f"{where} (annotation_id {annotation.annotation_id!r}): {objection}")
        self._note(annotation)
        return True

    def objection(self, annotation: Annotation) -> str | None:
        """Return why an answer cannot be added and what to do, or None when it can."""
        before = self._known.get(annotation.annotation_id)
        if before not in (None, annotation):
            return (
                "this id is already stored with different content; answers are never changed: "
                "give the new one its own id and name the old one in 'supersedes'"
            )
        target = annotation.supersedes
        if target is None or before is not None:
            return None
        old = self._known.get(target)
        if old is None:
            return f"supersedes {target!r}, which is not an earlier annotation; name one or none"
        if (old.rater_id, old.pair) != (annotation.rater_id, annotation.pair):
            return (
                f"supersedes {target!r}, which is by another rater or about another pair; "
                "raters can replace only their own answer to the same pair"
            )
        if target in self._replaced:
            return (
                f"supersedes {target!r}, which {self._replaced[target]!r} already replaced; "
                "name that one instead"
            )
        return None

    def _note(self, annotation: Annotation) -> None:
        self._known[annotation.annotation_id] = annotation
        if annotation.supersedes is not None:
            self._replaced[annotation.supersedes] = annotation.annotation_id


def current_annotations(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return the annotations that no other one supersedes, in the same order."""
    replaced = {annotation.supersedes for annotation in annotations}
    return [annotation for annotation in annotations if annotation.annotation_id not in replaced]
