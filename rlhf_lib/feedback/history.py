"""The history of answers: nothing twice, and only an own standing answer is superseded."""

from collections.abc import Iterable, Sequence

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation


class History:
    """Answers in the order of their storing.

    Parameters
    ----------
    stored : iterable of Annotation
        Known to be a valid history, or that part of one which bears on what is admitted.
    """

    def __init__(self, stored: Iterable[Annotation]):
        self._known: dict[str, Annotation] = {}
        self._replaced: dict[str, str] = {}
        for annotation in stored:
            self._note(annotation)

    def admit(self, annotation: Annotation, where: str) -> bool:
        """Take an answer up; False when the very same one is there already.

        Raises
        ------
        InputError
            Starting with `where`: when its annotation_id stands with another content, or
            `supersedes` does not name a standing answer of the same rater to the same pair.
        """
        if self._known.get(annotation.annotation_id) == annotation:
            return False
        objection = self.objection(annotation)
        if objection:
            raise InputError(f"{where} (annotation_id {annotation.annotation_id!r}): {objection}")
        self._note(annotation)
        return True

    def objection(self, annotation: Annotation) -> str | None:
        """Return why an answer cannot be taken up, and what to do; None when it can be."""
        before = self._known.get(annotation.annotation_id)
        if before not in (None, annotation):
            return (
                "this id is stored already with another content; an answer is never changed: "
                "give the new one an id of its own and name the old one in 'supersedes'"
            )
        target = annotation.supersedes
        if target is None or before is not None:
            return None
        old = self._known.get(target)
        if old is None:
            return f"supersedes {target!r}, which is no earlier annotation; name one or none"
        if (old.rater_id, old.pair) != (annotation.rater_id, annotation.pair):
            return (
                f"supersedes {target!r}, which is by another rater or about another pair; "
                "a rater can replace only an own answer to the same pair"
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
