"""Plans that also serve what does not add up over joins.

The planner is exact for additive rewards only. What a whole edit is like (cuts crowded, a chorus
broken, a level that builds up) it cannot see. But every set of additive weights has its own best
edit, and all of them are good ones: so plan under a few random re-weightings of the reward and
let the whole reward choose among their edits, for each song and length apart. Random search in
the planner's few weights takes no training and generalises to any song (Mania et al., 2018,
search a policy's parameters in the same plain way).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from rlhf_lib.learning.editing_env import EditingEnv
from rlhf_lib.learning.planner import Plan
from rlhf_lib.learning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.music.edit import Action, Edit
from rlhf_lib.music.measures import ADDITIVE, measure, step_measures
from rlhf_lib.music.song import Song

_LOOPS, _RETURNS = ADDITIVE.index("loops"), ADDITIVE.index("returns")
#: Other additive matters of taste; `length` is decided by the target.
_CONTENT = [ADDITIVE.index(name) for name in ("level", "activity")]
#: How many bars a re-weighting would loop, and how many reorder.
_COUNTS = (0, 0, 0, 0, 0, 0, 1, 2, 4)
#: How many beats an alternative has out of order.
_REORDERS = (0, 0, 0, 0, 0, 0, 0, 1, 2, 3)
#: Songs of more beats than this are planned under the reward's own weights only: a search would
#: take minutes.
LONGEST_SEARCHED = 1000


def reweighted(
    song: Song, weights: np.ndarray, count: int, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Return `count` sets of additive weights: `weights` times log-normal factors, (count, K).

    Matters of taste (level, activity) are moved to either side as well, in proportion to the
    weights as a whole. Loops and returns weigh as much as it takes to want a few of them, or
    none: most sets of weights want either no bar looped or every bar.
    """
    out = weights * np.exp(spread * rng.normal(size=(count, len(weights))))
    size = np.sqrt(np.mean(weights**2))
    out[:, _CONTENT] += spread * size * rng.normal(size=(count, len(_CONTENT)))
    wanted = rng.choice(_COUNTS, size=(count, 2))
    out[:, [_LOOPS, _RETURNS]] = 0.0
    loops, reorders = _extras(song)
    for row, counts in zip(out, wanted, strict=True):
        gains = loops @ row, (reorders @ row).max(axis=0)
        for column, few, gain in zip((_LOOPS, _RETURNS), counts, gains, strict=True):
            ranked = np.sort(gain)[::-1]
            few = min(few, len(ranked) - 1)
            row[column] = -ranked[few - 1 : few + 1].mean() if few > 0 else -10 * size
    return out


def _extras(song: Song) -> tuple[np.ndarray, np.ndarray]:
    """Return the measures that LOOP x2 and REORDER +1 … +4 of each bar's first beat add.

    (bars, K) and (4, bars, K).
    """
    first = song.decision_points[1:]
    first = first[first + 5 < song.n_beats]

    def through(*beats):
        return sum(step_measures(song, a, b) for a, b in pairwise(beats))

    reorders = [
        through(first - 1, first + 1)
        + through(first + k, first, first + k + 1)
        - through(first - 1, first, first + 1)
        - through(first + k, first + k + 1)
        for k in range(1, 5)
    ]
    return through(first, first), np.stack(reorders)


def greedy_edits(env: EditingEnv) -> list[Edit]:
    """Return what the plan alone would do: its best action at every decision."""
    env.reset()
    while env.unit < env.horizon:
        _, values = env.observe()
        env.step(values.argmax(dim=-1))
    return env.edits()


def alternatives(
    songs: list[Song],
    weights: np.ndarray,
    targets: Sequence[float],
    count: int,
    spread: float,
    rng: np.random.Generator,
) -> dict[str, dict[float, list[Edit]]]:
    """Return good edits that differ: planned under re-weightings of additive `weights`.

    A few have beats out of order, see `_with_reorders`.

    Returns
    -------
    dict
        song sha256 → target → `count` edits.
    """
    out = {song.sha256: {target: [] for target in targets} for song in songs}
    if count == 0:
        return out
    tensors = SongTensors.build(songs, FeatureScale.fit(songs))
    for number, song in enumerate(songs):
        sets = reweighted(song, weights, count, spread, rng)
        sets[:, _RETURNS] = -np.abs(sets).max(axis=1)
        plan = Plan.build(tensors.take([number] * count), sets)
        which = torch.arange(count).repeat_interleave(len(targets))
        goals = torch.tensor(list(targets) * count, dtype=torch.float64)
        edits = greedy_edits(EditingEnv(plan, which, goals))
        edits = [_with_reorders(edit, rng.choice(_REORDERS), rng) for edit in edits]
        out[song.sha256] = {t: edits[k :: len(targets)] for k, t in enumerate(targets)}
    return out


def _with_reorders(edit: Edit, count: int, rng: np.random.Generator) -> Edit:
    """Return the edit with the first beats of up to `count` bars moved back within their bar.

    The length stays. A plan can hardly want just a few: once one beat is moved, moving the next
    costs one seam less.
    """
    kept = edit.actions == Action.KEEP
    first = edit.song.decision_points
    first = first[first + 2 < edit.song.n_beats]
    whole = first[kept[first] & kept[first + 1] & kept[first + 2]]
    actions = edit.actions.copy()
    actions[rng.permutation(whole)[:count]] = Action.REORDER_1
    return Edit(edit.song, actions, edit.target)


def planned_env(
    tensors: SongTensors,
    weights: np.ndarray,
    song: torch.Tensor,
    target: torch.Tensor,
    tries: int = 1,
    spread: float = 1.0,
) -> EditingEnv:
    """Return an environment whose plans suit a whole linear reward.

    Parameters
    ----------
    tensors : SongTensors
    weights : (len(MEASURES),) array
        The linear reward; its additive part is what plans are made under.
    song : (B,) int64
        Which song each episode edits.
    target : (B,) float64
        Keep ratio each episode aims at.
    tries : int
        Plans for each episode: the reward's own additive part, and random re-weightings of it
        (always the same ones). The plan whose best edit has the highest whole reward is kept.
    spread : float
        Of the re-weightings, see `reweighted`.
    """
    additive = np.asarray(weights, dtype=np.float64)[: len(ADDITIVE)]
    if tries == 1:
        return EditingEnv(Plan.build(tensors, additive), song, target)
    kept, sets, place = [], [], torch.zeros_like(song)
    for number in song.unique().tolist():
        ours = torch.nonzero(song == number).squeeze(1)
        source = tensors.songs[number]
        count = tries if source.n_beats <= LONGEST_SEARCHED else 1
        rng = np.random.default_rng(0)
        tried = np.stack([additive, *reweighted(source, additive, count - 1, spread, rng)])
        rewards = np.zeros((1, len(ours)))
        if count > 1:
            plan = Plan.build(tensors.take([number] * count), tried)
            which = torch.arange(count, device=song.device).repeat_interleave(len(ours))
            edits = greedy_edits(EditingEnv(plan, which, target[ours].repeat(count)))
            rewards = (np.stack([measure(edit) for edit in edits]) @ weights).reshape(count, -1)
        chosen, inverse = np.unique(rewards.argmax(axis=0), return_inverse=True)
        place[ours] = torch.as_tensor(inverse + len(kept), device=song.device)
        kept += [number] * len(chosen)
        sets += list(tried[chosen])
    return EditingEnv(Plan.build(tensors.take(kept), np.stack(sets)), place, target)
