"""Search over plans, for rewards that are not additive.

The planner is exact for additive rewards only. It ignores descriptors of the whole edit (cuts
close together, a broken chorus, a level that builds up). The search plans under several random
re-weightings of the reward, each of which gives a different good edit, and keeps the plan whose
edit has the highest whole reward, separately for each song and length. This random search in the
planner's few weights needs no training and applies to any song (Mania et al., 2018, search the
parameters of a policy in a similar way).
"""

from collections.abc import Sequence
from itertools import chain, pairwise
from multiprocessing import parent_process

import numpy as np
import torch
from tqdm.auto import tqdm

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import (
    ADDITIVE,
    N_ADDITIVE,
    describe,
    step_descriptors,
)
from rlhf_lib.editing.edit import N_ACTIONS, Action, Edit
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import Plan
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors

_RARE = [place for place, one in enumerate(ADDITIVE) if one.rare]
#: Additive descriptors without a direction, except `length`, which follows from the target.
_CONTENT = [k for k, one in enumerate(ADDITIVE) if one.direction == 0 and one.name != "length"]
#: How many bars a plan loops, and how many it reorders; drawn from these numbers.
_COUNTS = (0, 0, 0, 0, 0, 0, 1, 2, 3)
#: Songs with more beats than this are planned only under the reward's own weights: a search would
#: take minutes.
LONGEST_SEARCHED = 1000


def reweighted(
    song: Song, weights: np.ndarray, count: int, spread: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` sets of additive weights, and the bonuses on actions that go with each.

    Weights of descriptors without a direction (level, activity) are also shifted up or down, in
    proportion to the weights as a whole. No weight gives a plan just a few loops or moved beats: if
    one pays off in one bar, it pays off in most. So every set makes loops and moved beats
    expensive, and a bonus makes them worthwhile in the few bars where they cost least.

    Returns
    -------
    sets : (count, N_ADDITIVE) float64
        `weights` times log-normal factors, changed as described above.
    invited : (count, units, 9) float32
        Bonus that `Plan` adds to the values of actions.
    """
    sets = np.zeros((count, len(weights)))
    invited = np.zeros((count, len(song.decision_points), N_ACTIONS), dtype=np.float32)
    size = np.sqrt(np.mean(weights**2))
    extras = _extras(song)
    # Drawn set by set: a smaller count gives the first sets of a larger one.
    for row, bonus in zip(sets, invited, strict=True):
        row[:] = weights * np.exp(spread * rng.normal(size=len(weights)))
        row[_CONTENT] += spread * size * rng.normal(size=len(_CONTENT))
        row[_RARE] = -10 * size
        gains = extras @ row  # (actions, bars)
        rare = (Action.LOOP_2, gains[:1]), (Action.REORDER_1, gains[1:])
        for (action, gain), few in zip(rare, rng.choice(_COUNTS, size=2), strict=True):
            best = gain.max(axis=0)
            for bar in np.argsort(-best, kind="stable")[:few]:
                bonus[bar + 1, action + gain[:, bar].argmax()] = size - best[bar]
    return sets, invited


def _extras(song: Song) -> np.ndarray:
    """Return the descriptors that LOOP x2 and REORDER +1 … +4 add in each bar, (5, bars, K).

    The actions apply to the first beat of a bar. The bars are those from the second to the last
    one that can be reordered.
    """
    first = song.decision_points[1:]
    first = first[first + 5 < song.n_beats]

    def through(*beats):
        return sum(step_descriptors(song, a, b) for a, b in pairwise(beats))

    reorders = [
        through(first - 1, first + 1)
        + through(first + k, first, first + k + 1)
        - through(first - 1, first, first + 1)
        - through(first + k, first + k + 1)
        for k in range(1, 5)
    ]
    return np.stack([through(first, first), *reorders])


def greedy_edits(env: EditingEnv) -> list[Edit]:
    """Return the edits of the plan: its best action at every decision."""
    env.walk(lambda slots, action_values: action_values.argmax(dim=-1))
    return env.edits()


def alternatives(
    songs: list[Song],
    weights: np.ndarray,
    targets: Sequence[float],
    count: int,
    spread: float,
    rng: np.random.Generator,
) -> dict[str, dict[float, list[Edit]]]:
    """Return different good edits, planned under re-weightings of additive `weights`.

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
        sets, invited = reweighted(song, weights, count, spread, rng)
        goals = torch.tensor(targets, dtype=torch.float64)
        edits = planned_edits(tensors.take([number] * count), goals, sets, invited)
        out[song.sha256] = {t: [row[k] for row in edits] for k, t in enumerate(targets)}
    return out


def planned_env(
    tensors: SongTensors,
    weights: np.ndarray,
    song: torch.Tensor,
    target: torch.Tensor,
    tries: int = 1,
    spread: float = 1.0,
) -> EditingEnv:
    """Return an environment whose plans are chosen by a whole linear reward.

    Parameters
    ----------
    tensors : SongTensors
    weights : (N_DESCRIPTORS,) array
        The linear reward; plans are made under its additive part.
    song : (B,) int64
        Which song each episode edits.
    target : (B,) float64
        Target keep ratio of each episode.
    tries : int
        Plans for each episode: one under the reward's own additive part, the others under random
        re-weightings of it (the same in every call). The plan whose best edit has the highest
        whole reward is kept.
    spread : float
        Of the re-weightings, see `reweighted`.
    """
    additive = np.asarray(weights, dtype=np.float64)[:N_ADDITIVE]
    if tries == 1:
        return EditingEnv(Plan.build(tensors, additive), song, target)
    kept, sets, bonuses, place = [], [], [], torch.zeros_like(song)
    numbers = song.unique().tolist()
    # A bar of one song does not move; those of several processes would overwrite each other.
    if len(numbers) > 1 and parent_process() is None:
        numbers = tqdm(numbers, "plans", unit="song", leave=False)
    for number in numbers:
        ours = torch.nonzero(song == number).squeeze(1)
        count = tries if tensors.songs[number].n_beats <= LONGEST_SEARCHED else 1
        tried, invited = around(tensors.songs[number], additive, count, spread)
        rewards = np.zeros((1, len(ours)))
        if count > 1:
            edits = planned_edits(tensors.take([number] * count), target[ours], tried, invited)
            described = np.stack([describe(edit) for edit in chain.from_iterable(edits)])
            rewards = (described @ weights).reshape(count, -1)
        chosen, inverse = np.unique(rewards.argmax(axis=0), return_inverse=True)
        place[ours] = torch.as_tensor(inverse + len(kept), device=song.device)
        kept += [number] * len(chosen)
        sets += list(tried[chosen])
        bonuses += list(invited[chosen])
    units = max(map(len, bonuses))
    padded = np.stack([np.pad(bonus, ((0, units - len(bonus)), (0, 0))) for bonus in bonuses])
    return EditingEnv(Plan.build(tensors.take(kept), np.stack(sets), padded), place, target)


def around(
    song: Song, weights: np.ndarray, count: int, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return additive `weights` and `count` − 1 re-weightings of them, the same in every call.

    Returns
    -------
    sets, invited
        As from `reweighted`.
    """
    others, invited = reweighted(song, weights, count - 1, spread, np.random.default_rng(0))
    sets = np.stack([weights, *others])
    return sets, np.concatenate([np.zeros((1, *invited.shape[1:])), invited])


def planned_edits(
    tensors: SongTensors, targets: torch.Tensor, sets: np.ndarray, invited: np.ndarray
) -> list[list[Edit]]:
    """Plan each song under its own additive weights.

    Parameters
    ----------
    tensors : SongTensors
        Of S songs; the same song may occur several times.
    targets : (T,) float64
        Keep ratios.
    sets, invited
        As from `reweighted`, one set for each song.

    Returns
    -------
    list of list of Edit
        For each song, an edit for each target.
    """
    which = torch.arange(len(sets), device=targets.device).repeat_interleave(len(targets))
    env = EditingEnv(Plan.build(tensors, sets, invited), which, targets.repeat(len(sets)))
    edits = greedy_edits(env)
    return [edits[at : at + len(targets)] for at in range(0, len(edits), len(targets))]
