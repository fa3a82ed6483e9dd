"""What can be said about an edit in numbers: the named measures.

Fourteen measures are *additive*: each is a sum over the steps of an edit, a step being one
beat heard right after another (or after the start, or before the end). Whatever is a weighted
sum of them can be planned exactly (see `rlhf_lib.learning.planner`). The others look at the edit
as a whole. The dense reward and the linear part of a reward model are weights over these names.
"""

from functools import lru_cache

import numpy as np

from rlhf_lib.music.edit import Edit
from rlhf_lib.music.features import FEATURE_GROUPS
from rlhf_lib.music.joins import hook_values, join_costs, oddity
from rlhf_lib.music.song import Song

#: Sums over steps. seams: joins of beats that do not follow each other. transition, energy,
#: phrase, tempo: the squared join costs. loops: steps that stay on a beat; returns: steps that
#: go back. intro, ending: what is missing there. hook, oddity, length: shares of the song's
#: total that are played. level, activity: how loud and how busy the played beats are in their
#: song (standard deviations from its mean, times the share of time).
ADDITIVE = (
    "seams",
    "transition",
    "energy",
    "phrase",
    "tempo",
    "loops",
    "returns",
    "intro",
    "ending",
    "hook",
    "oddity",
    "length",
    "level",
    "activity",
)
_AGAIN = ("again_16", "again_32", "again_64", "again_long")
_COURSE = tuple(f"level_{eighth}" for eighth in range(1, 9))
#: worst_seam: largest squared transition cost. close_seams: how many seams come less than
#: CLOSE_BEATS after another. seam_rate: (seams per minute / 10)². looped, reordered: x / (1 + x)
#: for x loops, or returns, a minute: whoever likes some does not like ever more. short_pieces:
#: share of the played beats in pieces of less than SHORT_BEATS. again_16 … again_long: share of
#: the played beats whose like was last heard at most 16, 17–32, 33–64, or more beats before.
#: whole_chorus: the best-kept share of a hook passage in one piece. energy_arc: 1 = the level
#: rises and falls as in the song. level_1 … level_8: level of each eighth of the edit above the
#: whole, in ARC_SCALE_DB. length_error: distance from the keep ratio aimed at, in units of 0.03,
#: at most 4.
NOT_ADDITIVE = (
    "worst_seam",
    "close_seams",
    "seam_rate",
    "looped",
    "reordered",
    "short_pieces",
    *_AGAIN,
    "whole_chorus",
    "energy_arc",
    *_COURSE,
    "length_error",
)
MEASURES = ADDITIVE + NOT_ADDITIVE
_BETTER = ("hook", "whole_chorus", "energy_arc")
_EITHER = ("looped", "reordered", "length", "level", "activity", *_AGAIN, *_COURSE)
#: −1: the more the worse; +1: the more the better; 0: a matter of taste.
DIRECTION = np.array([1 if m in _BETTER else 0 if m in _EITHER else -1 for m in MEASURES])

INTRO_BEATS = 16  # missing this many beats at either end costs the full amount
CLOSE_BEATS = 8
SHORT_BEATS = 16
CHORUS_BEATS = 16
AGO_BEATS = (16, 32, 64)
ARC_POINTS = 32
ARC_SCALE_DB = 10.0
_BACK = [ADDITIVE.index(name) for name in ("loops", "returns")]
_LEVEL = FEATURE_GROUPS["rms"].start
_ACTIVITY = FEATURE_GROUPS["onset"].start


def step_measures(song: Song, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the additive measures of single steps.

    Parameters
    ----------
    song : Song
    before, after : int arrays, broadcast together
        The beat that was heard and the one that follows. ``before == n_beats`` means the
        start of the edit, ``after == n_beats`` its end.

    Returns
    -------
    (..., len(ADDITIVE)) float32 array
        All zero for a beat followed by its own successor, but for what the successor itself
        adds to hook, oddity and length.
    """
    n = song.n_beats
    before, after = np.broadcast_arrays(np.asarray(before), np.asarray(after))
    starts, ends = before == n, after == n
    joins = ~starts & ~ends
    i, j = np.where(starts, 0, before), np.where(ends, 0, after)
    seam = joins & (j != i + 1)
    costs = np.where(seam[..., None], join_costs(song, i, j) ** 2, 0.0)
    missing = n - 1 - i
    shares = _shares(song)
    plays = ~ends
    forward = plays & (starts | (j > i))
    columns = [
        seam,
        *np.moveaxis(costs, -1, 0),
        joins & (j == i),
        joins & (j < i),
        np.where(starts & plays, np.minimum(1.0, j / INTRO_BEATS), 0.0),
        np.where(
            ends & ~starts & (missing > 0),
            0.5 + 0.5 * np.minimum(1.0, missing / INTRO_BEATS),
            0.0,
        ),
        np.where(forward, shares[0, j], 0.0),
        *np.where(plays, shares[1:, j], 0.0),
    ]
    return np.stack([np.asarray(c, dtype=np.float32) for c in columns], axis=-1)


def step_table(song: Song, weights: np.ndarray, block: int = 256) -> np.ndarray:
    """Return the weighted sum of the additive measures for every possible step.

    Parameters
    ----------
    song : Song
    weights : (..., len(ADDITIVE)) float array
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
        step_measures(song, np.arange(first, min(first + block, n + 1))[:, None], after)
        @ weights.reshape(-1, len(ADDITIVE)).T
        for first in range(0, n + 1, block)
    ]
    tables = np.moveaxis(np.concatenate(rows), -1, 0)
    return np.ascontiguousarray(tables).reshape(*weights.shape[:-1], n + 1, n + 1)


def measure_steps(edit: Edit) -> np.ndarray:
    """Return the additive measures of each step of an edit, (n_played + 1, len(ADDITIVE)).

    Row 0 is the start, row p the step to the p-th played beat, the last row the end.
    """
    n = edit.song.n_beats
    order = edit.order
    return step_measures(edit.song, np.concatenate([[n], order]), np.concatenate([order, [n]]))


def measure(edit: Edit) -> np.ndarray:
    """Return all measures of an edit in the order of `MEASURES`, float64."""
    steps = measure_steps(edit)
    pieces = np.diff(np.concatenate([[0], edit.seams, [len(edit.order)]]))
    minutes = edit.duration / 60
    back = steps[:, _BACK].sum(axis=0)
    whole = [
        float(steps[:, ADDITIVE.index("transition")].max()),
        float((np.diff(edit.seams) < CLOSE_BEATS).sum()),
        (len(edit.seams) / minutes / 10) ** 2,
        *(back / (minutes + back)),
        float(pieces[pieces < SHORT_BEATS].sum()) / len(edit.order),
        *_returning(edit),
        _best_chorus(edit),
        _energy_arc(edit),
        *_course(edit),
        min(4.0, abs(edit.keep_ratio - edit.target) / 0.03),
    ]
    return np.concatenate([steps.sum(axis=0, dtype=np.float64), whole])


def measures_by_name(edit: Edit) -> dict[str, float]:
    """Return all measures of an edit under their names."""
    return dict(zip(MEASURES, measure(edit).tolist(), strict=True))


def weight_vector(weights: dict[str, float], names: tuple[str, ...] = MEASURES) -> np.ndarray:
    """Return named weights as an array in the order of `names`; names not given weigh 0.

    Raises
    ------
    KeyError
        When a name is not among `names`.
    """
    vector = np.zeros(len(names))
    for name, value in weights.items():
        if name not in names:
            raise KeyError(f"unknown measure {name!r}; the measures are {', '.join(names)}")
        vector[names.index(name)] = value
    return vector


@lru_cache(maxsize=256)
def choruses(song: Song) -> np.ndarray:
    """Return the hook passages as (n, 2) [start, stop) beats.

    A hook passage is a run of at least CHORUS_BEATS beats whose hook value, smoothed over
    eight beats, lies above the song's 60th percentile.
    """
    hook = np.convolve(np.pad(hook_values(song), 4, mode="edge"), np.ones(8) / 8, "same")[4:-4]
    high = np.concatenate([[False], hook > np.quantile(hook, 0.6), [False]])
    edges = np.flatnonzero(np.diff(high.astype(int)))
    runs = edges.reshape(-1, 2)
    return runs[runs[:, 1] - runs[:, 0] >= CHORUS_BEATS]


@lru_cache(maxsize=256)
def _shares(song: Song) -> np.ndarray:
    """Return what each beat adds to hook, oddity, length, level and activity, (5, n_beats)."""
    hook, odd = hook_values(song), oddity(song)
    time = song.beat_durations / song.duration
    heard = song.features[:, [_LEVEL, _ACTIVITY]].astype(np.float64).T
    deviation = heard - (heard * time).sum(axis=1, keepdims=True)
    spread = np.sqrt((deviation**2 * time).sum(axis=1, keepdims=True))
    content = deviation / np.maximum(spread, 1e-6) * time
    return np.stack([hook / max(hook.sum(), 1e-9), odd / max(odd.sum(), 1e-9), time, *content])


def _best_chorus(edit: Edit) -> float:
    best = 0.0
    for start, stop in choruses(edit.song):
        kept = np.minimum(edit.segments[:, 1], stop) - np.maximum(edit.segments[:, 0], start)
        best = max(best, float(kept.max()) / (stop - start))
    return best


def _energy_arc(edit: Edit) -> float:
    level = edit.song.features[:, _LEVEL].astype(np.float64)
    if len(edit.order) < ARC_POINTS or len(level) < ARC_POINTS:
        points = min(len(edit.order), len(level))
    else:
        points = ARC_POINTS

    def contour(values):
        edges = np.linspace(0, len(values), points + 1).astype(int)
        return np.add.reduceat(values, edges[:-1]) / np.diff(edges)

    gap = np.abs(contour(level[edit.order]) - contour(level)).mean()
    return 1.0 - min(1.0, float(gap) / ARC_SCALE_DB)


def _course(edit: Edit) -> list[float]:
    level = edit.song.features[edit.order, _LEVEL].astype(np.float64)
    parts = np.array_split(level, len(_COURSE))
    means = np.array([part.mean() if len(part) else level.mean() for part in parts])
    return list((means - level.mean()) / ARC_SCALE_DB)


def _returning(edit: Edit) -> np.ndarray:
    """Return the shares of `_AGAIN`."""
    kinds = edit.song.join_context.kinds[edit.order]
    by_kind = np.argsort(kinds, kind="stable")
    ago = np.diff(by_kind)[np.diff(kinds[by_kind]) == 0]
    return np.bincount(np.digitize(ago, AGO_BEATS, right=True), minlength=4) / len(kinds)
