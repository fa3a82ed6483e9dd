"""Hidden criteria: properties of an edit that simulated raters judge by, beyond the descriptors.

A reward model reads the descriptors of `rlhf_lib.editing.descriptors`; raters who judged by these
alone would make it look better than it is. No criterion is a descriptor, but `unbroken_chorus` is
a function of one: the descriptor `whole_chorus`, clipped. The taste *chorus* therefore depends on
descriptors only. The criteria of number, spacing, form and repetition are not additive over
joins; the last four are computed from the sound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.likeness import beat_points, typical_unlikeness
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import course_of
from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.whole_edit import best_chorus
from rlhf_lib.errors import InputError
from rlhf_lib.raters.ear import seam_faults

#: Seams per minute that cost nothing.
FREE_SEAMS = 0.5
#: Two seams closer than this many s crowd each other.
CROWD_TIME = 30.0
#: Share of a hook passage in one piece at which it begins to sound whole.
ALMOST_WHOLE = 0.8
#: Level in dB by which the last third must rise above the rest to count as a full climax.
CLIMAX_DB = 4.0
#: Passages of this many beats are alike when their likeness (0.5 = two random beats of the song)
#: is at least LIKE. A repeat within GROOVE s is the same groove; later, the weight of a repeat
#: falls by a factor of e in MEMORY s.
PASSAGE, LIKE, GROOVE, MEMORY = 4, 0.9, 10.0, 30.0
#: Share of looped hook in the edit, and steps back per minute, at which their criteria reach
#: 1 − 1/e.
LOOP_SHARE, SHUFFLE_RATE = 0.02, 2.0


def excess_seams(edit: Edit) -> float:
    """Return how many seams per minute there are beyond FREE_SEAMS."""
    return max(0.0, 60 * len(edit.seams) / edit.duration - FREE_SEAMS)


def crowding(edit: Edit) -> float:
    """Return the sum over neighbouring seams of (1 − distance / CROWD_TIME)², 0 when farther."""
    durations = edit.song.beat_durations[edit.order]
    distances = np.diff(np.cumsum(durations)[edit.seams - 1])
    return float((np.maximum(1 - distances / CROWD_TIME, 0) ** 2).sum())


def unbroken_chorus(edit: Edit) -> float:
    """Return 1 when a hook passage is played in one piece, 0 below ALMOST_WHOLE of it.

    Linear between; 0 for a song without hook passages. A function of the descriptor
    `whole_chorus`.
    """
    best = best_chorus(course_of(edit.song).choruses, edit.order)
    return float(np.clip((best - ALMOST_WHOLE) / (1 - ALMOST_WHOLE), 0, 1))


def climax(edit: Edit) -> float:
    """Return how far the level of the last third is above that of the rest, −1 … 1.

    Difference of the mean levels over time in dB, in units of CLIMAX_DB. The last tenth is left
    out, because songs fade.
    """
    seconds = edit.song.beat_durations[edit.order]
    level = edit.song.features[edit.order, FEATURE_GROUPS["rms"].start].astype(np.float64)
    middle = (np.cumsum(seconds) - seconds / 2) / seconds.sum()
    late = (middle >= 2 / 3) & (middle < 0.9)
    early = middle < 2 / 3
    if not (late.any() and early.any()):
        return 0.0
    rise = np.average(level[late], weights=seconds[late]) - np.average(
        level[early], weights=seconds[early]
    )
    return float(np.clip(rise / CLIMAX_DB, -1, 1))


def heard_again(edit: Edit) -> float:
    """Return how much of the edit is a repeat too soon, 0 … 1.

    Mean of exp(−t / MEMORY) over the played passages of PASSAGE beats, t the time in s since a
    similar passage began; 0 where there is none. Passages that began less than GROOVE s ago do
    not count as repeated. Passages are compared by timbre, chroma and onsets.
    """
    n = len(edit.order) - PASSAGE + 1
    if n < 1:
        return 0.0
    squared, limit = _unlikeness(edit.song)
    squared = squared[np.ix_(edit.order, edit.order)]
    unlike = sum(squared[k : k + n, k : k + n] for k in range(PASSAGE)) / PASSAGE
    starts = np.cumsum(edit.song.beat_durations[edit.order])[:n]
    since = starts[:, None] - starts
    since = np.where((unlike <= limit) & (since >= GROOVE), since, np.inf)
    return float(np.exp(-since.min(axis=1) / MEMORY).mean())


@lru_cache(maxsize=2)
def _unlikeness(song: Song) -> tuple[np.ndarray, float]:
    """Return the squared distance of each two beats, and the limit of that of like passages."""
    points = beat_points(song.features)
    lengths = (points**2).sum(axis=1)
    squared = lengths[:, None] + lengths - 2 * points @ points.T
    return squared, -np.log2(LIKE) * typical_unlikeness(points)


def leaps(edit: Edit) -> float:
    """Return the number of seams that are not loops."""
    return float(np.count_nonzero(~np.isin(np.diff(edit.order), (0, 1))))


def hook_loops(edit: Edit) -> float:
    """Return how much of the hook is looped: 1 − exp(−share / LOOP_SHARE).

    `share` is the share of the edit's beats that repeat the beat before, weighted by hook value.
    """
    order = edit.order
    again = order[1:][order[1:] == order[:-1]]
    return float(1 - np.exp(-edit.song.hook_values[again].sum() / len(order) / LOOP_SHARE))


def shuffling(edit: Edit) -> float:
    """Return how much is played out of order: 1 − exp(−steps back per minute / SHUFFLE_RATE)."""
    back = int((np.diff(edit.order) < 0).sum())
    return float(1 - np.exp(-60 * back / edit.duration / SHUFFLE_RATE))


def _sum_of_faults(column: int) -> Callable[[Edit], float]:
    return lambda edit: float(seam_faults(edit)[:, column].sum())


def harshest_seam(edit: Edit) -> float:
    """Return the largest sum of the three faults at one seam, 0 … 3."""
    return float(seam_faults(edit).sum(axis=1).max(initial=0.0))


@dataclass(frozen=True)
class Criterion:
    """A property of an edit that simulated raters may judge by, besides the descriptors.

    Attributes
    ----------
    function : callable
        Edit → value.
    less, more : str
        Reason of a rater who prefers an edit with less, or with more, of it.
    """

    function: Callable[[Edit], float]
    less: str
    more: str


#: Name → criterion. The last four are computed from the sound and need the song's audio file.
CRITERIA: dict[str, Criterion] = {
    "excess_seams": Criterion(excess_seams, "no more cuts than it bears", "plenty of cuts"),
    "crowding": Criterion(crowding, "cuts with room between them", "cuts close together"),
    "unbroken_chorus": Criterion(
        unbroken_chorus, "no chorus from end to end", "a chorus from end to end"
    ),
    "climax": Criterion(climax, "a level that dies down", "a level that builds up"),
    "heard_again": Criterion(
        heard_again, "less that returns too soon", "more that returns at once"
    ),
    "leaps": Criterion(leaps, "fewer leaps through the song", "more leaps through the song"),
    "hook_loops": Criterion(hook_loops, "no looping of the hook", "the hook looped"),
    "shuffling": Criterion(shuffling, "everything in its order", "a play with the order"),
    "uneven_onsets": Criterion(
        _sum_of_faults(0), "joins that keep the beat", "joins that trip the beat"
    ),
    "spectral_jumps": Criterion(
        _sum_of_faults(1), "no change of sound at the joins", "a change of sound at the joins"
    ),
    "loudness_steps": Criterion(_sum_of_faults(2), "no step in loudness", "steps in loudness"),
    "harshest_seam": Criterion(harshest_seam, "no harsh join", "a harsh join"),
}


def criteria(edit: Edit, names: Sequence[str] = tuple(CRITERIA)) -> np.ndarray:
    """Return the named criteria of an edit; others are not computed.

    Raises
    ------
    InputError
        When a name is unknown, or a criterion of the sound is named and the audio of the song
        cannot be read.
    """
    unknown = [name for name in names if name not in CRITERIA]
    if unknown:
        raise InputError(
            f"unknown criterion {unknown[0]!r}; the criteria are {', '.join(CRITERIA)}"
        )
    return np.array([CRITERIA[name].function(edit) for name in names], dtype=np.float64)
