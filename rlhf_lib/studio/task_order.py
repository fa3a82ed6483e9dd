"""In which order, and on which sides, a rater meets the tasks of a manifest.

As listening tests do (ITU-R BS.1116, BS.1534): order and sides are drawn anew for each rater,
and a share of the tasks returns with sides swapped, to show how consistent the rater is.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.records import Manifest, Task

Side = Literal["a", "b"]

_NEAREST_REPEAT = 2  # at least this many other tasks between a task and its repeat
_FARTHEST_GAP = 8  # long enough to forget the answer, short enough for a brief sitting


@dataclass(frozen=True)
class Presentation:
    """A task as it is put before a rater.

    Parameters
    ----------
    task : Task
    shown_first : "a" or "b"
        Which edit of the task stands left and is called A on screen.
    is_repeat : bool
        True when the rater has met the task before, with sides swapped.
    """

    task: Task
    shown_first: Side
    is_repeat: bool = False

    @property
    def left_id(self) -> str:
        """Candidate id of the edit on the left."""
        return self.task.edit_a_id if self.shown_first == "a" else self.task.edit_b_id

    @property
    def right_id(self) -> str:
        """Candidate id of the edit on the right."""
        return self.task.edit_b_id if self.shown_first == "a" else self.task.edit_a_id


def presentations(
    manifest: Manifest, rater_id: str, seed: int = 0, repeat_share: float = 0.1
) -> list[Presentation]:
    """Return all tasks of a manifest in a rater's own order, repeats included.

    The same arguments give the same list. Songs alternate as far as their numbers of tasks
    allow; of every four neighbouring tasks two show edit a first; repeats are spread evenly and
    come after at least two, usually eight or more, other tasks.

    Raises
    ------
    InputError
        When the manifest holds no task or the share is not within 0 … 1.
    """
    if not manifest.tasks:
        raise InputError(
            f"manifest {manifest.manifest_id[:12]} holds no task to compare; "
            "generate at least two candidates per song"
        )
    if not 0 <= repeat_share <= 1:
        raise InputError(f"repeat_share {repeat_share!r} is outside 0 … 1")
    key = f"{manifest.manifest_id}/{rater_id}/{seed}".encode()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:16], "big"))
    tasks = _spread_over_songs(manifest.tasks, rng)
    sides = _balanced_sides(len(tasks), rng)
    shown = [Presentation(task, side) for task, side in zip(tasks, sides, strict=True)]
    return _with_repeats(shown, round(repeat_share * len(shown)), rng)


def _spread_over_songs(tasks: Sequence[Task], rng: np.random.Generator) -> list[Task]:
    """Draw from the song with most tasks left, but not twice in a row while others have any."""
    left = defaultdict(list)
    for index in rng.permutation(len(tasks)):
        left[tasks[index].song_id].append(tasks[index])
    order, last = [], None
    while left:
        songs = [song for song in left if song != last] or list(left)
        most = max(len(left[song]) for song in songs)
        fullest = [song for song in songs if len(left[song]) == most]
        last = fullest[rng.integers(len(fullest))]
        order.append(left[last].pop())
        if not left[last]:
            del left[last]
    return order


def _balanced_sides(n: int, rng: np.random.Generator) -> list[Side]:
    """Half "a", half "b", within every block of four, so that a brief sitting is balanced too."""
    sides = []
    while len(sides) < n:
        first = ["a", "b"] if rng.integers(2) else ["b", "a"]
        block = (first * 2)[: n - len(sides)]
        sides.extend(block[i] for i in rng.permutation(len(block)))
    return sides


def _with_repeats(
    shown: list[Presentation], n_repeats: int, rng: np.random.Generator
) -> list[Presentation]:
    """Insert swapped repeats of one task out of each of `n_repeats` stretches of the list."""
    n = len(shown)
    gap = min(_FARTHEST_GAP, max(_NEAREST_REPEAT, n // 4))
    repeatable = np.arange(max(0, n - gap))
    n_repeats = min(n_repeats, len(repeatable))
    before = defaultdict(list)
    for stretch in np.array_split(repeatable, n_repeats) if n_repeats else []:
        first = int(rng.choice(stretch))
        original = shown[first]
        slots = range(first + gap + 1, min(first + 2 * gap + 1, n) + 1)
        # A slot between other songs, where there is one, hides the repeat better.
        apart = [s for s in slots if original.task.song_id not in _songs(shown[s - 1 : s + 1])]
        swapped = "b" if original.shown_first == "a" else "a"
        before[int(rng.choice(apart or slots))].append(Presentation(original.task, swapped, True))
    order = []
    for index in range(n + 1):
        order += before[index] + shown[index : index + 1]
    return order


def _songs(shown: Sequence[Presentation]) -> set[str]:
    return {item.task.song_id for item in shown}
