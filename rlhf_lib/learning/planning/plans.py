"""The exact best edit under an additive reward, for many rewards at once.

An edit made of KEEP and CUT is a path through the units of a song; its additive reward is a sum
over the steps of that path. Dynamic programming over (unit, length left) finds the best path of a
given length (Bellman, 1957; joins between beats as a path problem: Wenner et al., "Scalable music:
automatic music retargeting and synthesis", 2013). The length left is also the place in the edit, so
a reward for the level of each eighth of the edit can be planned too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from rlhf_lib.editing.compiled import announce, compiled
from rlhf_lib.editing.descriptors import ADDITIVE, N_ADDITIVE
from rlhf_lib.editing.edit import Action
from rlhf_lib.editing.whole_edit import ARC_SCALE_DB, EIGHTHS
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.stretch import Stretch

#: What loops and moved beats gain in a plan is set by their number, not by these weights.
_RARE = [place for place, one in enumerate(ADDITIVE) if one.rare]
_PLAIN, _OTHER = 1, 2


@dataclass(frozen=True)
class PlanWeights:
    """C additive rewards to plan under.

    Attributes
    ----------
    additive : (C, N_ADDITIVE) float64
    eighths : (C, 8) float64
        Reward for the level of each eighth of the edit, per unit of the descriptors `level_1` …
        `level_8`.
    loops, reorders : (C,) int64
        Units whose first beat is looped, or moved, at most: those that gain most by it.
    """

    additive: np.ndarray
    eighths: np.ndarray
    loops: np.ndarray
    reorders: np.ndarray

    @classmethod
    def plain(cls, additive: np.ndarray) -> "PlanWeights":
        """Return additive weights, (C, N_ADDITIVE), without anything else."""
        none = np.zeros(len(additive), dtype=np.int64)
        return cls(additive, np.zeros((len(additive), EIGHTHS)), none, none)

    def __len__(self) -> int:
        return len(self.additive)

    def __add__(self, other: "PlanWeights") -> "PlanWeights":
        return PlanWeights(
            *(
                np.concatenate([getattr(self, one.name), getattr(other, one.name)])
                for one in fields(self)
            )
        )


def plans(
    stretch: Stretch,
    weights: PlanWeights,
    targets: Sequence[float],
    extra: np.ndarray | None = None,
    beat_costs: np.ndarray | None = None,
) -> np.ndarray:
    """Return the best choices of a stretch under each reward, for each target.

    Exact for KEEP and CUT. A unit that may be looped or reordered is played so whenever its length
    allows it.

    Parameters
    ----------
    targets : sequence of float
        T keep ratios, 1 at most; each is reached as `Stretch.budget` says.
    extra : (n + 1, n + 1) float32, optional
        Added to the reward of each step.
    beat_costs : (n,) float, optional
        Cost of playing each beat.

    Returns
    -------
    (C, T, U) int8
        Actions of the units, see `Stretch.actions`.

    Raises
    ------
    InputError
        When no choice of units has the wanted length.
    """
    for target in targets:
        if target > 1:
            raise _no_choice(stretch, target)
    announce(_plan_many)
    edges = stretch.edges
    first, last, n = edges[:-1], edges[1:] - 1, stretch.n
    additive = weights.additive.astype(np.float32)
    additive[:, _RARE] = 0.0
    rows, columns = np.append(last, n), np.append(first, n)
    leave = np.moveaxis(stretch.table[np.ix_(rows, columns)] @ additive.T, -1, 0)
    beats = np.arange(n - 1)
    follow = stretch.table[beats, beats + 1] @ additive.T  # (n - 1, C)
    if extra is not None:
        leave = leave + extra[np.ix_(rows, columns)]
        follow = follow + extra[beats, beats + 1][:, None]
    follow = np.concatenate([follow, np.zeros((1, len(weights)), dtype=follow.dtype)]).T
    follow[:, last] = 0.0  # steps from one unit to the next belong to `leave`
    inside = np.add.reduceat(follow, first, axis=1)
    if beat_costs is not None:
        inside = inside - np.add.reduceat(beat_costs, first)
    others = _others(stretch, additive, weights)
    gain = np.sqrt(np.mean(weights.additive**2, axis=1))
    times = (others == Action.LOOP_2) * stretch.first_ticks
    # What a unit adds to the level of an eighth, when it is played there: 8 / length.
    level = stretch.course.level - stretch.course.level.mean()
    level = np.add.reduceat(level, first) / ARC_SCALE_DB
    tilted = stretch.share * (weights.eighths - weights.eighths.mean(axis=1, keepdims=True))
    budgets = np.array([stretch.budget(target) for target in targets])
    longest_first = np.argsort(-budgets, kind="stable")
    choices = np.empty((len(weights), len(targets), len(first)), dtype=np.int8)
    missed = _plan_many(
        np.ascontiguousarray(leave, dtype=np.float32),
        inside.astype(np.float32),
        stretch.ticks,
        others,
        gain.astype(np.float32),
        times,
        tilted.astype(np.float32),
        level.astype(np.float32),
        budgets[longest_first],
        stretch.window,
        choices,
    )
    if missed >= 0:
        raise _no_choice(stretch, targets[longest_first[missed]])
    return choices[:, np.argsort(longest_first)]


def _no_choice(stretch: Stretch, target: float) -> InputError:
    return InputError(
        f"{stretch.song.song_id}: no choice of bars has a length of {target:.1%} of the song; ask "
        "for another length"
    )


def _others(stretch: Stretch, additive: np.ndarray, weights: PlanWeights) -> np.ndarray:
    """Return LOOP_2 or REORDER for the units where it gains most, KEEP for the others, (C, U)."""
    table, edges = stretch.table, stretch.edges
    out = np.zeros((len(weights), len(edges) - 1), dtype=np.int8)
    few = np.flatnonzero((weights.loops > 0) | (weights.reorders > 0))
    units = np.flatnonzero((edges[:-1] > 0) & (edges[:-1] + 5 < stretch.n))
    if not len(few) or not len(units):
        return out
    first = edges[units]

    def through(*beats: np.ndarray) -> np.ndarray:
        return sum(table[a, b] for a, b in pairwise(beats))

    loops = through(first, first)
    reorders = [
        through(first - 1, first + 1)
        + through(first + k, first, first + k + 1)
        - through(first - 1, first, first + 1)
        - through(first + k, first + k + 1)
        for k in range(1, 5)
    ]
    gains = np.stack([loops, *reorders]) @ additive[few].T  # (actions, units, few)
    for place, row in enumerate(few):
        for count, action, gain in (
            (weights.loops[row], Action.LOOP_2, gains[:1, :, place]),
            (weights.reorders[row], Action.REORDER_1, gains[1:, :, place]),
        ):
            best = np.argsort(-gain.max(axis=0), kind="stable")[:count]
            out[row, units[best]] = action + gain[:, best].argmax(axis=0)
    return out


@compiled
def _plan_many(
    leave, inside, ticks, others, gain, times, eighths, level, budgets, window, choices
) -> int:
    """Plan under each reward for each budget; return a length that is not reached, or −1.

    Parameters
    ----------
    leave : (C, U + 1, U + 1) float32
        Reward of the step from each unit (last row: the start) to each unit (last column: the end).
    inside : (C, U) float32
        Reward of the steps within a unit.
    ticks : (U,) int64
    others : (C, U) int8
        Another action than KEEP that may be taken in a unit; 0: none.
    gain : (C,) float32
        Reward of taking it.
    times : (C, U) int64
        Ticks that it adds.
    eighths : (C, 8) float32
    level : (U,) float32
    budgets : (T,) int64
        Longest allowed lengths in ticks, the largest first.
    window : int
        Lengths from budget − window + 1 are allowed.
    choices : (C, T, U) int8
        Written.
    """
    n_units = len(ticks)
    value = np.empty((n_units, budgets[0] + 1), np.float32)
    onward = np.empty(budgets[0] + 1, np.float32)
    bonus = np.empty((n_units, EIGHTHS), np.float32)
    for c in range(len(leave)):
        done = -1  # without bonuses, the values hold for all smaller budgets too
        for t in range(len(budgets)):
            budget = budgets[t]
            flat = True
            for e in range(EIGHTHS):
                flat = flat and eighths[c, e] == 0.0
                for u in range(n_units):
                    bonus[u, e] = eighths[c, e] * level[u] * EIGHTHS * 2 / budget
            if not flat or done < 0:
                _fill_values(
                    leave[c], inside[c], ticks, others[c], gain[c], times[c], bonus, budget,
                    window, value, onward,
                )  # fmt: skip
                done = budget
            if not _walk(
                leave[c], inside[c], ticks, others[c], gain[c], times[c], bonus, budget, window,
                value, choices[c, t],
            ):  # fmt: skip
                return t
    return -1


@compiled
def _fill_values(
    leave, inside, ticks, others, gain, times, bonus, budget, window, value, onward
) -> None:
    """Write the best reward from each unit on, by the ticks that may still be played, (U, B)."""
    n_units = len(ticks)
    never = np.float32(-np.inf)
    for u in range(n_units - 1, -1, -1):
        for b in range(budget + 1):
            onward[b] = leave[u, n_units] if b < window else never
        for v in range(u + 1, n_units):
            step, row = leave[u, v], value[v]
            for b in range(budget + 1):
                through = step + row[b]
                if through > onward[b]:
                    onward[b] = through
        row, length = value[u], ticks[u]
        for b in range(budget + 1):
            best = onward[b - length] if b >= length else never
            more = length + times[u]
            if others[u] != 0 and b >= more and onward[b - more] + gain > best:
                best = onward[b - more] + gain
            row[b] = best + inside[u] + bonus[u, _eighth(b, length, budget)]


@compiled
def _eighth(left, length, budget) -> int:
    """Return the eighth of the edit in which the middle of a unit is played."""
    middle = budget - left + length / 2
    return min(EIGHTHS - 1, max(0, int(EIGHTHS * middle / budget)))


@compiled
def _walk(leave, inside, ticks, others, gain, times, bonus, budget, window, value, choices) -> bool:
    """Write the best choices for a budget; return False when no length is reached."""
    n_units = len(ticks)
    for u in range(n_units):
        choices[u] = 1  # CUT
    at, left, from_unit = n_units, budget, 0
    while True:
        best, chosen = np.float32(-np.inf), -1
        for v in range(from_unit, n_units):
            through = leave[at, v] + value[v, left]
            if through > best:
                best, chosen = through, v
        if at < n_units and left < window and leave[at, n_units] >= best:
            return True
        if chosen < 0:
            return False
        unit, length = chosen, ticks[chosen]
        choices[unit] = 0
        if others[unit] != 0:
            without = _onward(leave[unit], value, unit, left - length, window)
            with_it = _onward(leave[unit], value, unit, left - length - times[unit], window)
            if with_it + gain > without:
                choices[unit] = others[unit]
                length += times[unit]
        at, left, from_unit = unit, left - length, unit + 1
        if left < 0:
            return False


@compiled
def _onward(leaving, value, unit, left, window) -> float:
    """Return the best reward after a unit, (float32); −inf when too much was played."""
    best = np.float32(-np.inf)
    if left < 0:
        return best
    if left < window:
        best = leaving[len(value)]
    for v in range(unit + 1, len(value)):
        through = leaving[v] + value[v, left]
        if through > best:
            best = through
    return best


def exact(additive: np.ndarray) -> PlanWeights:
    """Return one reward to plan under, from (N_ADDITIVE,) weights."""
    return PlanWeights.plain(np.asarray(additive, dtype=np.float64).reshape(1, N_ADDITIVE))
