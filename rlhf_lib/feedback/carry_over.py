"""Carry answers over to another manifest that asks about the same pairs of edits."""

import hashlib
from collections.abc import Callable, Iterable

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Manifest, Task


class CarryOver:
    """Finds the task of a manifest that an answer is about, whichever manifest it was given under.

    Candidates that are generated again, with a song more or less, get another manifest. An answer
    is carried over to it when the pair is the same: the same song (the hash of its file, and its
    beats to the millisecond) and the same two edits (actions and target). Ids do not matter.

    Parameters
    ----------
    manifest : Manifest
    kept : callable
        manifest_id → Manifest, or None: `PreferenceStore.find_manifest`.
    """

    def __init__(self, manifest: Manifest, kept: Callable[[str], Manifest | None]):
        self.manifest = manifest
        self._kept = kept
        self._edits = {manifest.manifest_id: _edits(manifest)}
        self._tasks = {task.task_id: task for task in manifest.tasks}
        self._by_ids = {_ids(task): task for task in manifest.tasks}
        self._by_pair: dict[frozenset, Task] = {}
        self._carried: dict[str, Annotation | None] = {}  # by annotation_id; answers never change
        for task in manifest.tasks:
            self._by_pair.setdefault(self._pair(task, manifest.manifest_id), task)

    def task(self, task_id: str) -> Task:
        """Return a task of the manifest."""
        return self._tasks[task_id]

    def carry(self, answer: Annotation) -> Annotation | None:
        """Return the answer with the ids of this manifest.

        None when no task is about its pair, or when its own manifest is not kept.
        """
        if answer.annotation_id not in self._carried:
            self._carried[answer.annotation_id] = self._carry(answer)
        return self._carried[answer.annotation_id]

    def _carry(self, answer: Annotation) -> Annotation | None:
        pair = self._pair(answer, answer.manifest_id)
        if None in pair:
            return None
        ours = self.manifest.manifest_id
        # Several tasks may be about equal edits; the one with the answer's ids comes first.
        named = self._tasks.get(answer.task_id) or self._by_ids.get(_ids(answer))
        same = named is not None and self._pair(named, ours) == pair
        task = named if same else self._by_pair.get(pair)
        if task is None:
            return None
        if answer.manifest_id == ours:
            return answer.model_copy(update={"task_id": task.task_id})
        first = self._edit(answer, answer.edit_a_id, answer.manifest_id)
        a, b = task.edit_a_id, task.edit_b_id
        if self._edit(task, a, ours) != first:
            a, b = b, a
        names = {"song_id": task.song_id, "edit_a_id": a, "edit_b_id": b}
        return answer.model_copy(update={"manifest_id": ours, "task_id": task.task_id} | names)

    def _pair(self, compared: Annotation | Task, manifest_id: str | None) -> frozenset:
        names = (compared.edit_a_id, compared.edit_b_id)
        return frozenset(self._edit(compared, name, manifest_id) for name in names)

    def _edit(self, compared: Annotation | Task, name: str, manifest_id: str | None) -> str | None:
        """Return the hash of an edit; None when it is in no kept manifest."""
        if manifest_id not in self._edits:
            manifest = self._kept(manifest_id) if manifest_id else None
            self._edits[manifest_id] = _edits(manifest) if manifest else {}
        return self._edits[manifest_id].get((compared.song_id, name))


def answers_to(
    manifest: Manifest, answers: Iterable[Annotation], kept: Callable[[str], Manifest | None]
) -> list[Annotation]:
    """Return the answers about tasks of a manifest, under its ids; see `CarryOver`."""
    carry = CarryOver(manifest, kept).carry
    return [carried for answer in answers if (carried := carry(answer)) is not None]


def _ids(compared: Annotation | Task) -> tuple[str, frozenset[str]]:
    return compared.song_id, frozenset((compared.edit_a_id, compared.edit_b_id))


def _edits(manifest: Manifest) -> dict[tuple[str, str], str]:
    """Return a hash of each edit's content: (song id, candidate id) → hex digits."""
    found = {}
    for song in manifest.songs:
        place = f"{song.sha256} {[round(time, 3) for time in song.beat_times]}"
        for one in song.candidates:
            content = f"{place} {one.target_keep_ratio} {one.actions}"
            found[song.id, one.id] = hashlib.sha256(content.encode()).hexdigest()
    return found
