"""Practice pairs: a manifest of obvious checks, each with a plain answer."""

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import CHECK_ID, Manifest, Task

_CHOPPED = "chopped"  # the id of the bad edit here, where its pairs are questions and no checks


def practice(manifest: Manifest, n_pairs: int) -> Manifest | None:
    """Return a manifest with some of the obvious checks as questions; None for no pairs.

    Raises
    ------
    InputError
        When there are fewer checks than pairs.
    """
    checks = [task for task in manifest.tasks if task.check is not None]
    if len(checks) < n_pairs:
        raise InputError(
            f"training_trials is {n_pairs}, but the manifest has {len(checks)} obvious checks; "
            "ask for fewer, or generate candidates of more songs"
        )
    if not n_pairs:
        return None
    songs, tasks = [], []
    for song in manifest.songs:
        renamed = [
            one.model_copy(update={"id": _CHOPPED}) if one.id == CHECK_ID else one
            for one in song.candidates
        ]
        songs.append(song.model_copy(update={"candidates": renamed}))
    for task in checks[:n_pairs]:
        sides = {"edit_a_id": task.edit_a_id, "edit_b_id": task.edit_b_id, "check": None}
        sides |= {"edit_a_id" if task.check == "b" else "edit_b_id": _CHOPPED}
        tasks.append(Task(**task.model_dump() | sides))
    return Manifest.create(manifest.policy, songs, tasks)


def is_right(answer: Annotation) -> bool:
    """Return whether a practice pair was answered for the edit that is not chopped."""
    better = "b" if answer.edit_a_id == _CHOPPED else "a"
    return answer.preference == better
