"""The order in which a rater gets the tasks of a manifest, and the side of each edit.

As in listening tests (ITU-R BS.1116, BS.1534), order and sides are drawn for each rater, and a
share of the tasks is repeated with sides swapped, to measure how consistent the rater is.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import Manifest, Task

Side = Literal["a", "b"]

_NEAREST_REPEAT = 2  # at least this many other tasks between a task and its repeat
_FARTHEST_GAP = 8  # long enough to forget the answer, short enough for a brief sitting


@dataclass(frozen=True)
class Presentation:
    """A task as it is shown to a rater.

    Parameters
    ----------
    task : Task
    shown_first : "a" or "b"
        The edit of the task that is on the left and called A on screen.
    is_repeat : bool
        True when the rater has had the task before, with sides swapped.
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


class TaskOrder:
    """The next tasks of a rater, given the rater's answers and the tasks that others took.

    Questions come in a random order in which songs alternate; in each block of four questions
    two show edit a first. Repeats, with sides swapped, and obvious checks are inserted at
    random. The same arguments give the same order.

    Parameters
    ----------
    manifest : Manifest
    rater_id : str
    seed : int
        The random draws depend on manifest, rater and seed.
    repeat_share : float
        Repeats per question; a repeat comes at least two, usually eight or more tasks later.
    check_share : float
        Obvious checks per question, as far as the manifest has them; at least one by the end.
    overlap : float
        Share of the questions that every rater gets; the others are for one rater each.
    task_share, song_share : float
        The share of each song's questions, and of the songs, that is used; the same for all
        raters.

    Raises
    ------
    InputError
        When the manifest holds no question or a share is not within 0 … 1.
    """

    def __init__(
        self,
        manifest: Manifest,
        rater_id: str,
        seed: int = 0,
        *,
        repeat_share: float = 0.1,
        check_share: float = 0.05,
        overlap: float = 0.2,
        task_share: float = 1.0,
        song_share: float = 1.0,
    ):
        for name, share in (
            ("repeat_share", repeat_share),
            ("check_share", check_share),
            ("overlap", overlap),
            ("task_share", task_share),
            ("song_share", song_share),
        ):
            if not 0 <= share <= 1:
                raise InputError(f"{name} {share!r} is outside 0 … 1")
        everyone = _rng(manifest.manifest_id, seed)
        asked = _asked(manifest, task_share, song_share, everyone)
        questions = _spread_over_songs([task for task in asked if task.check is None], everyone)
        if not questions:
            raise InputError(
                f"manifest {manifest.manifest_id[:12]} holds no task to compare; "
                "generate at least two candidates per song"
            )
        shared = _evenly(len(questions), overlap)
        #: The ids of the questions that are for one rater each.
        self.exclusive = {questions[place].task_id for place in np.flatnonzero(~shared)}
        own = _rng(manifest.manifest_id, seed, rater_id)
        self._questions = _merged(questions, shared, own)
        self._sides = _balanced_sides(len(questions), own)
        self._gap = min(_FARTHEST_GAP, max(_NEAREST_REPEAT, len(questions) // 4))
        self._repeats = _Due(repeat_share, len(questions), own)
        checks = [task for task in asked if task.check is not None]
        self._checks = [checks[index] for index in own.permutation(len(checks))]
        self._check_due = _Due(check_share, len(questions), own)

    def coming(
        self, past: Sequence[Presentation], taken: Collection[str] = ()
    ) -> Iterator[Presentation]:
        """Yield the remaining tasks in order, assuming that each one is answered.

        Parameters
        ----------
        past : sequence of Presentation
            What the rater has answered, oldest first.
        taken : collection of str
            Ids of questions that other raters answered or have on screen.
        """
        past = list(past)
        met = Counter(item.task.task_id for item in past)
        questions = _Queue(
            [t for t in self._questions if not met[t.task_id] and t.task_id not in taken]
        )
        checks = _Queue([task for task in self._checks if not met[task.task_id]])
        n_asked = sum(not item.is_repeat and item.task.check is None for item in past)
        n_repeats = sum(item.is_repeat for item in past)
        n_checks = sum(item.task.check is not None for item in past)
        while True:
            song = past[-1].task.song_id if past else None
            over = not questions
            repeat = None
            if self._repeats.due(n_repeats, n_asked, over):
                repeat = self._repeat(past, met, n_repeats, over)
            if checks and past and self._check_due.due(n_checks, n_asked, over, least=1):
                task = checks.pop(song)
                item = Presentation(task, self._check_due.side(n_checks))
                n_checks += 1
            elif repeat is not None:
                item = repeat
                n_repeats += 1
            elif questions:
                task = questions.pop(song)
                item = Presentation(task, self._sides[n_asked % len(self._sides)])
                n_asked += 1
            else:
                return
            met[item.task.task_id] += 1
            past.append(item)
            yield item

    def _repeat(
        self, past: list[Presentation], met: Counter, n_repeats: int, over: bool
    ) -> Presentation | None:
        """Return an earlier question, asked once, with sides swapped; None if there is none yet."""
        gap = _NEAREST_REPEAT if over else self._gap
        old = [
            item
            for item in past[: max(len(past) - gap, 0)]
            if item.task.check is None and met[item.task.task_id] == 1
        ]
        # Among the older half, so that repeats reach back over a sitting; not the song just heard.
        old = old[: -(-len(old) // 2)]
        other = [item for item in old if item.task.song_id != past[-1].task.song_id]
        old = other or (old if over else [])
        if not old:
            return None
        item = old[int(self._repeats.draw(n_repeats) * len(old))]
        return Presentation(item.task, "b" if item.shown_first == "a" else "a", True)


def presentations(
    manifest: Manifest, rater_id: str, seed: int = 0, **shares: float
) -> list[Presentation]:
    """Return the whole list of a rater who works alone; the arguments are `TaskOrder`'s."""
    return list(TaskOrder(manifest, rater_id, seed, **shares).coming([]))


class _Due:
    """The schedule of the extra tasks of one kind: one in each 1 / share questions."""

    def __init__(self, share: float, n_questions: int, rng: np.random.Generator):
        self._share = share
        self._draws = rng.random((n_questions + 1, 3))

    def draw(self, number: int) -> float:
        """Return the random number in 0 … 1 of the extra task `number`, from 0."""
        return float(self._draws[min(number, len(self._draws) - 1), 0])

    def side(self, number: int) -> Side:
        """Return a random side for the extra task `number`."""
        return "a" if self._draws[min(number, len(self._draws) - 1), 1] < 0.5 else "b"

    def due(self, number: int, n_asked: int, over: bool, least: int = 0) -> bool:
        """Return whether the extra task `number`, from 0, is due after `n_asked` questions."""
        if not self._share or not n_asked:
            return False
        if over:
            return number < max(least, round(self._share * n_asked))
        late = 0.5 + 0.5 * self._draws[min(number, len(self._draws) - 1), 2]
        return n_asked >= (number + late) / self._share


def _rng(*key: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _asked(
    manifest: Manifest, task_share: float, song_share: float, rng: np.random.Generator
) -> list[Task]:
    """Draw songs, and questions of each; a share above 0 leaves at least one."""
    tasks = [manifest.tasks[index] for index in rng.permutation(len(manifest.tasks))]
    songs = list(dict.fromkeys(task.song_id for task in tasks))
    of_song = defaultdict(list)
    for task in tasks:
        of_song[task.song_id].append(task)
    found = []
    for song in songs[: _part(len(songs), song_share)]:
        questions = [task for task in of_song[song] if task.check is None]
        found += questions[: _part(len(questions), task_share)]
        found += [task for task in of_song[song] if task.check is not None]
    return found


def _part(n: int, share: float) -> int:
    return max(round(share * n), min(n, 1)) if share else 0


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


def _evenly(n: int, share: float, phase: float = 0.0) -> np.ndarray:
    """Return (n,) bool: which of n places in a row are taken, `share` of them, evenly spaced."""
    return np.diff(np.floor(np.arange(n + 1) * share + phase + 1e-9)) > 0


def _merged(questions: list[Task], shared: np.ndarray, rng: np.random.Generator) -> list[Task]:
    """Return a rater's order: shared questions in an order common to all, evenly among the rest.

    Two raters who stop early then still have shared questions, which agreement needs.
    """
    common = [questions[place] for place in np.flatnonzero(shared)]
    own = _spread_over_songs([questions[place] for place in np.flatnonzero(~shared)], rng)
    order = []
    for is_common in _evenly(len(questions), shared.mean(), rng.random()):
        source = common if (is_common and common) or not own else own
        order.append(source.pop(0))
    return order


def _balanced_sides(n: int, rng: np.random.Generator) -> list[Side]:
    """Half "a", half "b", within every block of four, so that a brief sitting is balanced too."""
    sides = []
    while len(sides) < n:
        first = ["a", "b"] if rng.integers(2) else ["b", "a"]
        block = (first * 2)[: n - len(sides)]
        sides.extend(block[i] for i in rng.permutation(len(block)))
    return sides


class _Queue:
    """Tasks in order, taken so that songs alternate as far as their numbers of tasks allow."""

    def __init__(self, tasks: Sequence[Task]):
        self._tasks = list(tasks)
        self._of_song = Counter(task.song_id for task in tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def pop(self, last: str | None) -> Task:
        """Take the first task of another song than `last`, where there is one."""
        most, n = self._of_song.most_common(1)[0]
        # A song with more than half of the remaining tasks would be left over at the end.
        wanted = {most} if most != last and 2 * n > len(self) else set(self._of_song) - {last}
        places = (i for i, task in enumerate(self._tasks) if task.song_id in wanted)
        task = self._tasks.pop(next(places, 0))
        self._of_song[task.song_id] -= 1
        return task
