"""Synthetic pairs: good and bad edits of one length, compared by the dense reward."""

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import (
    DESCRIPTOR_NAMES,
    DESCRIPTOR_TABLE,
    N_ADDITIVE,
    N_DESCRIPTORS,
    describe,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.search import alternatives
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS

#: Weights by which synthetic pairs are compared: the dense reward, and the length error.
SYNTHETIC_WEIGHTS = np.concatenate([DENSE_WEIGHTS, np.zeros(N_DESCRIPTORS - N_ADDITIVE)])
SYNTHETIC_WEIGHTS[DESCRIPTOR_NAMES.index("length_error")] = -0.5
#: Differences below this are ties.
SYNTHETIC_TIE = 0.05


#: Keep ratios of synthetic pairs; both edits of a pair aim at the same one.
SYNTHETIC_TARGETS = (0.95, 0.87, 0.8, 0.7, 0.6, 0.5)
N_REWEIGHTED = 4


def synthetic_comparisons(songs: list[Song], pairs_per_song: int, seed: int) -> list[Comparison]:
    """Return pairs compared by the dense reward, hard negatives included.

    Both edits of a pair aim at one length. Some edits are good (planned under randomly re-weighted
    rewards), the others bad in one of these ways: a single random cut, several random cuts, choppy
    beat-by-beat cutting, a missing intro or ending, a wrong length, stray LOOP and REORDER. A
    reward model that is not trained on such edits can be exploited by them.
    """
    out = []
    for a, b in synthetic_groups(songs, pairs_per_song, 2, seed):
        gap = float((describe(a) - describe(b)) @ SYNTHETIC_WEIGHTS)
        answer = 0.5 if abs(gap) < SYNTHETIC_TIE else float(gap > 0)
        out.append(Comparison(a, b, answer))
    return out


def synthetic_groups(
    songs: list[Song], groups_per_song: int, size: int, seed: int
) -> list[list[Edit]]:
    """Return groups of `size` edits, good and bad, of one song and one target length."""
    rng = np.random.default_rng(seed)
    planned = alternatives(songs, SYNTHETIC_WEIGHTS, SYNTHETIC_TARGETS, N_REWEIGHTED, 1.0, rng)
    groups = []
    for song in songs:
        for _ in range(groups_per_song):
            target = SYNTHETIC_TARGETS[rng.integers(len(SYNTHETIC_TARGETS))]
            kinds = rng.choice(len(_KINDS), size=size, p=_KIND_SHARES)
            groups.append([_KINDS[k](song, target, planned[song.sha256], rng) for k in kinds])
    return groups


def descriptor_scale(songs: list[Song], seed: int) -> np.ndarray:
    """Return how much good edits of one length differ in each descriptor, (N_DESCRIPTORS,).

    The root mean square difference; 1 where they don't differ. Rare descriptors (loops, returns)
    also count seams, so they get at least the scale of seams. Otherwise a fit would attribute the
    effect of all seams to them, and a plan could contain many of them.
    """
    rng = np.random.default_rng(seed)
    differences = []
    good = alternatives(songs, SYNTHETIC_WEIGHTS, SYNTHETIC_TARGETS, N_REWEIGHTED, 1.0, rng)
    for groups in good.values():
        for edits in groups.values():
            values = np.stack([describe(edit) for edit in edits])
            differences.append((values[:, None] - values)[np.triu_indices(len(edits), 1)])
    scale = np.sqrt((np.concatenate(differences) ** 2).mean(axis=0))
    rare = np.array([one.rare for one in DESCRIPTOR_TABLE])
    scale[rare] = np.maximum(scale[rare], scale[DESCRIPTOR_NAMES.index("seams")])
    return np.where(scale > 1e-6, scale, 1.0)


def random_cuts(song: Song, target: float, n_cuts: int, rng: np.random.Generator) -> Edit:
    """Return an edit with `n_cuts` random cuts along the decision points, of about that length."""
    edges = np.append(song.decision_points, song.n_beats)
    n_units = len(edges) - 1
    to_cut = round((1 - target) * n_units)
    n_cuts = max(1, min(n_cuts, to_cut, n_units - to_cut))
    if to_cut == 0:
        return Edit(song, np.zeros(song.n_beats, dtype=int), target)
    cut_lengths = _partition(to_cut, n_cuts, rng)
    gaps = _partition(n_units - to_cut + 1, n_cuts + 1, rng)  # the last gap may be empty
    actions = np.zeros(song.n_beats, dtype=int)
    unit = 0
    for gap, length in zip(gaps[:-1] - (rng.random() < 0.1), cut_lengths, strict=True):
        unit += max(gap, 0)
        actions[edges[unit] : edges[min(unit + length, n_units)]] = Action.CUT
        unit += length
    return Edit(song, actions, target)


def _partition(total: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    marks = np.sort(rng.choice(np.arange(1, total), size=parts - 1, replace=False))
    return np.diff(np.concatenate([[0], marks, [total]]))


def _planned(song, target, planned, rng) -> Edit:
    return planned[target][rng.integers(N_REWEIGHTED)]


def _one_cut(song, target, planned, rng) -> Edit:
    return random_cuts(song, target, 1, rng)


def _many_cuts(song, target, planned, rng) -> Edit:
    return random_cuts(song, target, int(rng.integers(2, 7)), rng)


def _choppy(song, target, planned, rng) -> Edit:
    actions = np.where(rng.random(song.n_beats) < target, Action.KEEP, Action.CUT)
    actions[rng.integers(song.n_beats)] = Action.KEEP
    return Edit(song, actions, target)


def _one_end(song, target, planned, rng) -> Edit:
    kept = max(1, round(target * song.n_beats))
    start = rng.choice([0, (song.n_beats - kept) // 2, song.n_beats - kept])
    actions = np.full(song.n_beats, Action.CUT)
    actions[start : start + kept] = Action.KEEP
    return Edit(song, actions, target)


def _wrong_length(song, target, planned, rng) -> Edit:
    other = rng.choice([t for t in SYNTHETIC_TARGETS if t != target])
    return Edit(song, _planned(song, other, planned, rng).actions, target)


def _stray(song, target, planned, rng) -> Edit:
    actions = _planned(song, target, planned, rng).actions.copy()
    kept = np.flatnonzero(actions == Action.KEEP)
    chosen = rng.choice(kept, size=min(len(kept), int(rng.integers(1, 9))), replace=False)
    actions[chosen] = rng.integers(Action.LOOP_2, Action.REORDER_4 + 1, size=len(chosen))
    return Edit(song, actions, target)


_KINDS = (_planned, _one_cut, _many_cuts, _choppy, _one_end, _wrong_length, _stray)
_KIND_SHARES = (0.4, 0.15, 0.15, 0.05, 0.1, 0.05, 0.1)
