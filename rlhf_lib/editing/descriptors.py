"""The table of descriptors: numbers that describe an edit.

Nineteen descriptors are *additive*: each is a sum over the steps of an edit. A step is one beat
played right after another, after the start, or before the end. A weighted sum of additive
descriptors can be planned exactly (see `rlhf_lib.learning.planning.planner`). The others describe
the edit as a whole. The dense reward and the linear part of a reward model are weights over the
descriptors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.joins import JOIN_TERMS
from rlhf_lib.analysis.song import Song
from rlhf_lib.analysis.surroundings import JUMPS, SPAN
from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.whole_edit import (
    ARC_SCALE_DB,
    CLOSE_BEATS,
    EIGHTHS,
    SHORT_BEATS,
    Course,
    fill_whole,
)

INTRO_BEATS = 16  # missing this many beats at either end costs the full amount
LOST_BEATS = 8  # missing this many beats at an end costs 1, three times as many 2, and so on
CHORUS_BEATS = 16
_LEVEL = FEATURE_GROUPS["rms"].start
_ACTIVITY = FEATURE_GROUPS["onset"].start


class Steps:
    """Steps of an edit, with the values that additive descriptors are computed from.

    Parameters
    ----------
    song : Song
    before, after : int arrays, broadcast together
        The beat just played and the next one. ``before == n_beats`` means the start of the
        edit, ``after == n_beats`` its end.
    """

    def __init__(self, song: Song, before: np.ndarray, after: np.ndarray):
        self.song = song
        before, after = np.broadcast_arrays(np.asarray(before), np.asarray(after))
        self.starts, self.ends = before == song.n_beats, after == song.n_beats
        self.plays, self.joins = ~self.ends, ~self.starts & ~self.ends
        self.i, self.j = np.where(self.starts, 0, before), np.where(self.ends, 0, after)
        self.seams = self.joins & (self.j != self.i + 1)
        self.missing = song.n_beats - 1 - self.i

    @cached_property
    def squared_costs(self) -> np.ndarray:
        """Squares of the four join costs, 0 where there is no seam, (..., 4)."""
        costs = self.song.joins.costs(self.i, self.j)
        return np.where(self.seams[..., None], costs**2, 0.0)

    @cached_property
    def squared_jumps(self) -> np.ndarray:
        """Squares of the jumps of harmony and level, 0 where there is no seam, (..., 2)."""
        jumps = self.song.surroundings.jumps(self.i, self.j)
        return np.where(self.seams[..., None], jumps**2, 0.0)

    def at_bounds(self, leaving: np.ndarray, entering: np.ndarray) -> np.ndarray:
        """Return the sum of what it costs to leave the song at a bound and to enter it at another.

        Parameters
        ----------
        leaving, entering : (n_beats + 1,) arrays
            Of each bound between two beats, the ends of the song included. Beats that follow each
            other in the song leave and enter nothing.
        """
        left = np.where(self.seams | (self.ends & ~self.starts), leaving[self.i + 1], 0.0)
        return left + np.where(self.seams | (self.starts & ~self.ends), entering[self.j], 0.0)

    def shares(self, name: str) -> np.ndarray:
        """Return what the next beat adds to a share of the song, 0 at the end."""
        return np.where(self.plays, _shares(self.song)[name][self.j], 0.0)


@dataclass(frozen=True)
class Descriptor:
    """One number that describes an edit.

    Attributes
    ----------
    name : str
    direction : −1, 0 or 1
        −1: a cost (less is better); 1: a merit (more is better); 0: a matter of taste. A fit
        keeps the sign of costs and merits.
    less, more : str
        Reason of a rater who prefers an edit with less, or with more, of it.
    about : str
        Definition, with the unit.
    function : callable, optional
        `Steps` → value of each step, if the descriptor is additive: a sum over the steps. The
        others are computed by `whole_edit.fill_whole`.
    share : bool
        True when one step adds a share of the song's total, of the order of 1 / n_beats.
    token : bool
        True when the transformer of the reward model reads it at each step of an edit. It reads
        the sound around a step itself, so what is only heard there need not be told.
    rare : bool
        True for steps that good edits seldom contain. The scale of the descriptor is then at
        least that of seams, and the search adds only a few of these steps, by bonuses.
    """

    name: str
    direction: Literal[-1, 0, 1]
    less: str
    more: str
    about: str
    function: Callable[[Steps], np.ndarray] | None = None
    share: bool = False
    token: bool = True
    rare: bool = False

    @property
    def additive(self) -> bool:
        """Whether it is a sum over the steps."""
        return self.function is not None


def _join_cost(column: int) -> Callable[[Steps], np.ndarray]:
    return lambda steps: steps.squared_costs[..., column]


def _hook(steps: Steps) -> np.ndarray:
    forward = steps.starts | (steps.j > steps.i)  # a repeated hook counts once
    return np.where(forward, steps.shares("hook"), 0.0)


def _missing_intro(steps: Steps) -> np.ndarray:
    return np.where(steps.starts & steps.plays, np.minimum(1.0, steps.j / INTRO_BEATS), 0.0)


def _missing_ending(steps: Steps) -> np.ndarray:
    cost = 0.5 + 0.5 * np.minimum(1.0, steps.missing / INTRO_BEATS)
    return np.where(steps.ends & ~steps.starts & (steps.missing > 0), cost, 0.0)


def _jump(column: int) -> Callable[[Steps], np.ndarray]:
    return lambda steps: steps.squared_jumps[..., column]


def _sung(steps: Steps) -> np.ndarray:
    return steps.at_bounds(steps.song.sung_bounds, steps.song.sung_bounds)


def _lost_ends(steps: Steps) -> np.ndarray:
    played, ended = steps.starts & steps.plays, steps.ends & ~steps.starts
    cost = np.log2(1 + np.arange(steps.song.n_beats) / LOST_BEATS)
    return np.where(played, cost[steps.j], np.where(ended, cost[steps.missing], 0.0))


def _strange_ends(steps: Steps) -> np.ndarray:
    around = steps.song.surroundings
    begun = np.where(steps.starts & steps.plays, around.as_beginning[steps.j], 0.0)
    return begun + np.where(steps.ends & ~steps.starts, around.as_ending[steps.i + 1], 0.0)


def _level_of(eighth: int) -> Descriptor:
    return Descriptor(
        f"level_{eighth}",
        0,
        f"a softer eighth {eighth} of 8",
        f"a louder eighth {eighth} of 8",
        f"level of eighth {eighth} relative to the whole edit, in units of {ARC_SCALE_DB:.0f} dB",
    )


#: Every descriptor, the additive ones first. To add one, add its row here and a test of its value.
DESCRIPTOR_TABLE: tuple[Descriptor, ...] = (
    Descriptor(
        "seams",
        -1,
        "fewer audible seams",
        "more cuts",
        "joins of two beats that are not consecutive in the song",
        lambda steps: steps.seams,
    ),
    Descriptor(
        "transition",
        -1,
        "smoother joins",
        "rougher joins",
        "sum of the squared transition costs of the joins",
        _join_cost(JOIN_TERMS.index("transition")),
    ),
    Descriptor(
        "energy",
        -1,
        "steadier level across the joins",
        "bolder level changes",
        "sum of the squared energy costs of the joins",
        _join_cost(JOIN_TERMS.index("energy")),
    ),
    Descriptor(
        "phrase",
        -1,
        "joins that keep the phrases whole",
        "joins inside phrases",
        "sum of the squared phrase costs of the joins",
        _join_cost(JOIN_TERMS.index("phrase")),
    ),
    Descriptor(
        "tempo",
        -1,
        "steadier tempo across the joins",
        "looser tempo",
        "sum of the squared tempo costs of the joins",
        _join_cost(JOIN_TERMS.index("tempo")),
    ),
    Descriptor(
        "loops",
        -1,
        "fewer loops",
        "more loops",
        "steps from a beat to itself",
        lambda steps: steps.joins & (steps.j == steps.i),
        rare=True,
    ),
    Descriptor(
        "returns",
        -1,
        "fewer steps back",
        "more steps back",
        "steps to an earlier beat",
        lambda steps: steps.joins & (steps.j < steps.i),
        rare=True,
    ),
    Descriptor(
        "intro",
        -1,
        "more of the intro",
        "a shorter intro",
        f"beats missing at the start, {INTRO_BEATS} or more = 1",
        _missing_intro,
    ),
    Descriptor(
        "ending",
        -1,
        "more of the ending",
        "an earlier end",
        f"beats missing at the end: 0 for none, else 0.5 to 1, {INTRO_BEATS} or more = 1",
        _missing_ending,
    ),
    Descriptor(
        "hook",
        1,
        "less of the hook",
        "more of the hook",
        "share of the song's hook that is played",
        _hook,
        share=True,
    ),
    Descriptor(
        "oddity",
        -1,
        "fewer odd passages",
        "more odd passages",
        "share of the song's oddity (what sounds like a mistake) that is played",
        lambda steps: steps.shares("oddity"),
        share=True,
    ),
    Descriptor(
        "length",
        0,
        "a shorter edit",
        "a longer edit",
        "length of the edit / length of the song",
        lambda steps: steps.shares("length"),
        share=True,
    ),
    Descriptor(
        "level",
        0,
        "softer passages",
        "louder passages",
        "level of the played beats: sd from the song's mean, weighted by beat / song length",
        lambda steps: steps.shares("level"),
        share=True,
    ),
    Descriptor(
        "activity",
        0,
        "calmer passages",
        "busier passages",
        "onset strength of the played beats: sd from the song's mean, weighted in the same way",
        lambda steps: steps.shares("activity"),
        share=True,
    ),
    Descriptor(
        "harmony_jump",
        -1,
        "joins that go on as the harmony would",
        "joins into another harmony",
        f"sum over the joins of the squared jump of harmony: how unlike the song's own course the "
        f"{SPAN:.0f} s after and before are, 0 to 1 (0.5: a random place)",
        _jump(JUMPS.index("harmony")),
        token=False,
    ),
    Descriptor(
        "level_jump",
        -1,
        "joins that stay as loud as the song would",
        "joins into another loudness",
        "the same for the level",
        _jump(JUMPS.index("level")),
        token=False,
    ),
    Descriptor(
        "sung",
        -1,
        "fewer cuts in sung lines",
        "more cuts in sung lines",
        "probability of singing where the edit leaves the song and where it enters it: at both "
        "sides of each join, and where it begins and ends",
        _sung,
        token=False,
    ),
    Descriptor(
        "lost_ends",
        -1,
        "less lost at the ends",
        "more lost at the ends",
        f"log2(1 + beats missing / {LOST_BEATS}) at the start and at the end: it grows on where "
        "intro and ending stop",
        _lost_ends,
        token=False,
    ),
    Descriptor(
        "strange_ends",
        -1,
        "begins and ends like the song",
        "begins or ends somewhere else",
        f"how unlike the song's own beginning and ending the first and last {SPAN:.0f} s sound, "
        "timbre and harmony, 0 to 1 for each (0.5: a random place)",
        _strange_ends,
        token=False,
    ),
    Descriptor(
        "worst_seam",
        -1,
        "no glaring seam",
        "a daring seam",
        "largest squared transition cost",
    ),
    Descriptor(
        "close_seams",
        -1,
        "seams farther apart",
        "seams closer together",
        f"seams less than {CLOSE_BEATS} beats after the one before",
    ),
    Descriptor(
        "seam_rate",
        -1,
        "fewer cuts a minute",
        "more cuts a minute",
        "(seams a minute / 10)²",
    ),
    Descriptor(
        "looped",
        0,
        "nothing looped",
        "something looped",
        "x / (1 + x) for x loops a minute; it saturates, so that further loops add little",
    ),
    Descriptor(
        "reordered",
        0,
        "everything in its place",
        "beats out of their place",
        "x / (1 + x) for x returns a minute; it saturates too",
    ),
    Descriptor(
        "short_pieces",
        -1,
        "longer pieces",
        "shorter pieces",
        f"share of the played beats in pieces of less than {SHORT_BEATS}",
    ),
    Descriptor(
        "again_16",
        0,
        "less that goes on and on",
        "more that goes on and on",
        "share of the played beats whose last similar beat came at most 16 beats earlier",
    ),
    Descriptor(
        "again_32",
        0,
        "less that soon returns",
        "more that soon returns",
        "the same, 17 to 32 beats earlier",
    ),
    Descriptor(
        "again_64",
        0,
        "less that returns",
        "more that returns",
        "the same, 33 to 64 beats earlier",
    ),
    Descriptor(
        "again_long",
        0,
        "less that returns late",
        "more that returns late",
        "the same, more than 64 beats earlier",
    ),
    Descriptor(
        "whole_chorus",
        1,
        "a broken chorus",
        "a whole chorus",
        "largest share of a hook passage that is played in one piece",
    ),
    Descriptor(
        "energy_arc",
        1,
        "a new arc of energy",
        "the song's own arc of energy",
        "1 if the level rises and falls as in the song, 0 if it is 10 dB off on average",
    ),
    *(_level_of(eighth) for eighth in range(1, EIGHTHS + 1)),
    Descriptor(
        "length_error",
        -1,
        "the right length",
        "an unexpected length",
        "distance from the target keep ratio, in units of 0.03, at most 4",
    ),
)
DESCRIPTOR_NAMES: tuple[str, ...] = tuple(one.name for one in DESCRIPTOR_TABLE)
ADDITIVE: tuple[Descriptor, ...] = tuple(one for one in DESCRIPTOR_TABLE if one.additive)
ADDITIVE_NAMES: tuple[str, ...] = tuple(one.name for one in ADDITIVE)
N_DESCRIPTORS, N_ADDITIVE = len(DESCRIPTOR_TABLE), len(ADDITIVE)
#: Places of the additive descriptors that descriptors of the whole edit are computed from.
TRANSITION, LOOPS, RETURNS = (
    ADDITIVE_NAMES.index(name) for name in ("transition", "loops", "returns")
)
#: The direction of each descriptor, (N_DESCRIPTORS,).
DIRECTION = np.array([one.direction for one in DESCRIPTOR_TABLE])


def step_descriptors(song: Song, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the additive descriptors of single steps; see `Steps` for the arguments.

    Returns
    -------
    (..., N_ADDITIVE) float32 array
        All zero for a beat followed by its successor in the song, except for what the successor
        adds to the shares of the song (hook, oddity, length, level, activity).
    """
    steps = Steps(song, before, after)
    columns = [np.asarray(one.function(steps), dtype=np.float32) for one in ADDITIVE]
    return np.stack(columns, axis=-1)


def step_table(song: Song, weights: np.ndarray, block: int = 256) -> np.ndarray:
    """Return the weighted sum of the additive descriptors for every possible step.

    Parameters
    ----------
    song : Song
    weights : (..., N_ADDITIVE) float array
    block : int
        Rows computed at once; bounds the memory for long songs.

    Returns
    -------
    (..., n_beats + 1, n_beats + 1) float32 array
        Entry [i, j]: beat j after beat i. The last row is the start, the last column the end.
        One table for each set of weights.
    """
    n = song.n_beats
    after = np.arange(n + 1)[None, :]
    weights = np.asarray(weights, dtype=np.float32)
    rows = [
        step_descriptors(song, np.arange(first, min(first + block, n + 1))[:, None], after)
        @ weights.reshape(-1, N_ADDITIVE).T
        for first in range(0, n + 1, block)
    ]
    tables = np.moveaxis(np.concatenate(rows), -1, 0)
    return np.ascontiguousarray(tables).reshape(*weights.shape[:-1], n + 1, n + 1)


def describe_steps(edit: Edit) -> np.ndarray:
    """Return the additive descriptors of each step of an edit, (n_played + 1, N_ADDITIVE).

    Row 0 is the start, row p the step to the p-th played beat, the last row the end.
    """
    n = edit.song.n_beats
    order = edit.order
    return step_descriptors(edit.song, np.concatenate([[n], order]), np.concatenate([order, [n]]))


def describe(edit: Edit) -> np.ndarray:
    """Return all descriptors of an edit in the order of the table, (N_DESCRIPTORS,) float64."""
    steps = describe_steps(edit)
    out = np.empty(N_DESCRIPTORS)
    out[:N_ADDITIVE] = steps.sum(axis=0, dtype=np.float64)
    fill_whole(
        course_of(edit.song),
        edit.order,
        np.ascontiguousarray(steps[:, TRANSITION]),
        out[LOOPS],
        out[RETURNS],
        float(edit.target),
        out[N_ADDITIVE:],
    )
    return out


def descriptors_by_name(edit: Edit) -> dict[str, float]:
    """Return all descriptors of an edit under their names."""
    return dict(zip(DESCRIPTOR_NAMES, describe(edit).tolist(), strict=True))


def weight_vector(
    weights: dict[str, float], names: tuple[str, ...] = DESCRIPTOR_NAMES
) -> np.ndarray:
    """Return named weights as an array in the order of `names`; names not given weigh 0.

    Raises
    ------
    KeyError
        When a name is not among `names`.
    """
    vector = np.zeros(len(names))
    for name, value in weights.items():
        if name not in names:
            raise KeyError(f"unknown descriptor {name!r}; the descriptors are {', '.join(names)}")
        vector[names.index(name)] = value
    return vector


@lru_cache(maxsize=256)
def course_of(song: Song) -> Course:
    """Return what the descriptors of the whole edit read of a song."""
    return Course(  # copies: for read-only arrays the functions would be compiled anew
        kinds=np.unique(song.kinds, return_inverse=True)[1].astype(np.int64),
        level=np.array(song.features[:, _LEVEL], dtype=np.float64),
        durations=np.array(song.beat_durations, dtype=np.float64),
        choruses=np.array(choruses(song), dtype=np.int64),
    )


@lru_cache(maxsize=256)
def choruses(song: Song) -> np.ndarray:
    """Return the hook passages as (n, 2) [start, stop) beats.

    A hook passage is a run of at least CHORUS_BEATS beats whose hook value, smoothed over
    eight beats, lies above the song's 60th percentile.
    """
    hook = np.convolve(np.pad(song.hook_values, 4, mode="edge"), np.ones(8) / 8, "same")[4:-4]
    high = np.concatenate([[False], hook > np.quantile(hook, 0.6), [False]])
    edges = np.flatnonzero(np.diff(high.astype(int)))
    runs = edges.reshape(-1, 2)
    return runs[runs[:, 1] - runs[:, 0] >= CHORUS_BEATS]


@lru_cache(maxsize=256)
def _shares(song: Song) -> dict[str, np.ndarray]:
    """Return what each beat adds to the shares of the song, name → (n_beats,)."""
    hook, odd = song.hook_values, song.oddity
    time = song.beat_durations / song.duration
    heard = song.features[:, [_LEVEL, _ACTIVITY]].astype(np.float64).T
    deviation = heard - (heard * time).sum(axis=1, keepdims=True)
    spread = np.sqrt((deviation**2 * time).sum(axis=1, keepdims=True))
    level, activity = deviation / np.maximum(spread, 1e-6) * time
    return {
        "hook": hook / max(hook.sum(), 1e-9),
        "oddity": odd / max(odd.sum(), 1e-9),
        "length": time,
        "level": level,
        "activity": activity,
    }
