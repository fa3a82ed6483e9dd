"""Qualities of an edit that no measure tells: what simulated raters like beyond `MEASURES`.

A reward model sees `rlhf_lib.music.measures.MEASURES`; a rater who judged by these alone would
flatter it. None of the qualities is among them. Those of number, spacing, form and repetition
do not add up over joins; the last four are heard in the sound alone.
"""

from collections.abc import Callable, Sequence

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.music.ear import seam_faults
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.features import FEATURE_GROUPS
from rlhf_lib.music.joins import hook_values
from rlhf_lib.music.likeness import beat_points, typical_unlikeness
from rlhf_lib.music.measures import choruses

#: Seams per minute that nobody minds.
FREE_SEAMS = 0.5
#: Two seams closer than this many s crowd each other.
CROWD_TIME = 30.0
#: Share of a hook passage in one piece at which it begins to sound whole.
ALMOST_WHOLE = 0.8
#: Level in dB by which the last third must rise above the rest to count as a full climax.
CLIMAX_DB = 4.0
#: Passages of this many beats are alike when their likeness (0.5 = two random beats of the
#: song) is at least LIKE; what returns within GROOVE s goes on, and is forgotten by 1/e in
#: MEMORY s.
PASSAGE, LIKE, GROOVE, MEMORY = 4, 0.9, 10.0, 30.0
#: Share of the edit that loops of the hook, and steps back per minute, at which 1 − 1/e of
#: their charm is used up.
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

    Steep but not a jump between the two; 0 for a song without hook passages.
    """
    best = 0.0
    for start, stop in choruses(edit.song):
        played = np.minimum(edit.segments[:, 1], stop) - np.maximum(edit.segments[:, 0], start)
        best = max(best, float(played.max()) / (stop - start))
    return float(np.clip((best - ALMOST_WHOLE) / (1 - ALMOST_WHOLE), 0, 1))


def climax(edit: Edit) -> float:
    """Return how far the level of the last third rises above that before, −1 … 1.

    Means over time of the beats' level in dB, the last tenth left out (songs fade), in
    CLIMAX_DB.
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
    """Return how much returns too soon, 0 … 1.

    Mean over the played passages of PASSAGE beats of exp(−t / MEMORY), t the time in s since a
    like one began; 0 where there is none. What began less than GROOVE ago still goes on, and
    does not count. Passages are compared by timbre, chroma and onsets.
    """
    points = beat_points(edit.song.features)
    limit = -np.log2(LIKE) * typical_unlikeness(points)
    points = points[edit.order]
    n = len(points) - PASSAGE + 1
    if n < 1:
        return 0.0
    lengths = (points**2).sum(axis=1)
    squared = lengths[:, None] + lengths - 2 * points @ points.T
    unlike = sum(squared[k : k + n, k : k + n] for k in range(PASSAGE)) / PASSAGE
    starts = np.cumsum(edit.song.beat_durations[edit.order])[:n]
    since = starts[:, None] - starts
    since = np.where((unlike <= limit) & (since >= GROOVE), since, np.inf)
    return float(np.exp(-since.min(axis=1) / MEMORY).mean())


def leaps(edit: Edit) -> float:
    """Return the number of seams that are no loops."""
    return float(np.count_nonzero(~np.isin(np.diff(edit.order), (0, 1))))


def hook_loops(edit: Edit) -> float:
    """Return how much hook is looped: 1 − exp(−share / LOOP_SHARE).

    The share of the edit's beats that are played again at once, each weighed by its hook value.
    """
    order = edit.order
    again = order[1:][order[1:] == order[:-1]]
    return float(1 - np.exp(-hook_values(edit.song)[again].sum() / len(order) / LOOP_SHARE))


def shuffling(edit: Edit) -> float:
    """Return how much is played out of order: 1 − exp(−steps back per minute / SHUFFLE_RATE)."""
    back = int((np.diff(edit.order) < 0).sum())
    return float(1 - np.exp(-60 * back / edit.duration / SHUFFLE_RATE))


def _sum_of_faults(column: int) -> Callable[[Edit], float]:
    return lambda edit: float(seam_faults(edit)[:, column].sum())


def harshest_seam(edit: Edit) -> float:
    """Return the largest sum of the three faults at one seam, 0 … 3."""
    return float(seam_faults(edit).sum(axis=1).max(initial=0.0))


#: Name → quality. The last four read the sound and so need the song's audio file.
QUALITIES: dict[str, Callable[[Edit], float]] = {
    "excess_seams": excess_seams,
    "crowding": crowding,
    "unbroken_chorus": unbroken_chorus,
    "climax": climax,
    "heard_again": heard_again,
    "leaps": leaps,
    "hook_loops": hook_loops,
    "shuffling": shuffling,
    "uneven_onsets": _sum_of_faults(0),
    "spectral_jumps": _sum_of_faults(1),
    "loudness_steps": _sum_of_faults(2),
    "harshest_seam": harshest_seam,
}


def qualities(edit: Edit, names: Sequence[str] = tuple(QUALITIES)) -> np.ndarray:
    """Return the named qualities of an edit; no other is computed.

    Raises
    ------
    InputError
        When a name is unknown, or a quality of the sound is asked for and the audio of the
        song cannot be read.
    """
    unknown = [name for name in names if name not in QUALITIES]
    if unknown:
        raise InputError(
            f"unknown quality {unknown[0]!r}; the qualities are {', '.join(QUALITIES)}"
        )
    return np.array([QUALITIES[name](edit) for name in names], dtype=np.float64)
