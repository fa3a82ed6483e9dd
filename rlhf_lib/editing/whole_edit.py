"""The descriptors that are no sum over the steps of an edit, computed for many edits.

The functions of this module are compiled, see `compiled`.
"""

from typing import NamedTuple

import numpy as np

from rlhf_lib.editing.compiled import compiled

CLOSE_BEATS = 8
SHORT_BEATS = 16
AGO_BEATS = (16, 32, 64)
ARC_POINTS = 32
ARC_SCALE_DB = 10.0
EIGHTHS = 8
MOST_LENGTH_ERROR, LENGTH_UNIT = 4.0, 0.03
_ACTION_CUT, _FIRST_LOOP, _LAST_LOOP, _FAR = 1, 2, 4, 4


class Course(NamedTuple):
    """What these descriptors read of a song of n beats.

    Attributes
    ----------
    kinds : (n,) int64
        Group of similar beats that each beat belongs to, numbered from 0.
    level : (n,) float64
        In dB.
    durations : (n,) float64
        In s.
    choruses : (c, 2) int64
        [start, stop) beats of the hook passages.
    """

    kinds: np.ndarray
    level: np.ndarray
    durations: np.ndarray
    choruses: np.ndarray


@compiled
def played_order(actions: np.ndarray, order: np.ndarray) -> int:
    """Write the source beats in playing order to `order`; return how many there are.

    The same order as `rlhf_lib.editing.edit.output_order`.

    Parameters
    ----------
    actions : (n,) int8
    order : (at least the number of played beats,) int64
        4 · n is always enough.
    """
    n, played = len(actions), 0
    for place in range(n + _FAR):
        if place < n and actions[place] != _ACTION_CUT and actions[place] <= _LAST_LOOP:
            times = 1 if actions[place] < _FIRST_LOOP else actions[place]
            for _ in range(times):
                order[played] = place
                played += 1
        for beat in range(max(0, place - _FAR), min(place, n)):  # moved to this place
            if actions[beat] > _LAST_LOOP and beat + actions[beat] - _LAST_LOOP == place:
                order[played] = beat
                played += 1
    return played


@compiled
def fill_whole(
    course: Course,
    order: np.ndarray,
    transition: np.ndarray,
    loops: float,
    returns: float,
    target: float,
    out: np.ndarray,
) -> None:
    """Write the descriptors of one edit to `out`, in the order of the table of descriptors.

    Parameters
    ----------
    course : Course
    order : (n_played,) int64
    transition : (n_played + 1,) float32
        Squared transition cost of each step.
    loops, returns : float
        Totals of these additive descriptors.
    target : float
        Keep ratio aimed at.
    out : (21,) float64
    """
    n, played = len(course.level), len(order)
    duration = 0.0
    for beat in order:
        duration += course.durations[beat]
    minutes = duration / 60
    seams, close, short, last_seam = 0, 0, 0, 0
    for place in range(1, played + 1):
        if place < played and order[place] == order[place - 1] + 1:
            continue
        piece = place - last_seam
        if piece < SHORT_BEATS:
            short += piece
        if place < played:
            seams += 1
            if seams > 1 and piece < CLOSE_BEATS:
                close += 1
            last_seam = place
    out[0] = 0.0
    for cost in transition:
        out[0] = max(out[0], cost)
    out[1] = close
    out[2] = (seams / minutes / 10) ** 2
    out[3] = loops / (minutes + loops)
    out[4] = returns / (minutes + returns)
    out[5] = short / played
    _fill_again(course.kinds, order, out[6:10])
    out[10] = best_chorus(course.choruses, order)
    out[11] = _energy_arc(course.level, order)
    _fill_course(course.level, order, out[12 : 12 + EIGHTHS])
    whole = 0.0
    for beat in range(n):
        whole += course.durations[beat]
    error = abs(duration / whole - target) / LENGTH_UNIT
    out[12 + EIGHTHS] = min(MOST_LENGTH_ERROR, error)


@compiled
def _fill_again(kinds: np.ndarray, order: np.ndarray, out: np.ndarray) -> None:
    """Write the shares of the played beats by how long ago a similar one was played, (4,)."""
    latest = np.empty(len(kinds), np.int64)
    for kind in range(len(latest)):
        latest[kind] = -1
    for which in range(len(out)):
        out[which] = 0.0
    for place in range(len(order)):
        beat = order[place]
        before = latest[kinds[beat]]
        if before >= 0:
            which = 0
            while which < len(AGO_BEATS) and place - before > AGO_BEATS[which]:
                which += 1
            out[which] += 1.0
        latest[kinds[beat]] = place
    for which in range(len(out)):
        out[which] /= len(order)


@compiled
def best_chorus(choruses: np.ndarray, order: np.ndarray) -> float:
    """Return the largest share of a hook passage that is played in one piece."""
    best, start = 0.0, 0
    for place in range(1, len(order) + 1):
        if place < len(order) and order[place] == order[place - 1] + 1:
            continue
        for row in range(len(choruses)):
            begin, end = choruses[row, 0], choruses[row, 1]
            kept = min(order[place - 1] + 1, end) - max(order[start], begin)
            best = max(best, kept / (end - begin))
        start = place
    return best


@compiled
def _energy_arc(level: np.ndarray, order: np.ndarray) -> float:
    """Return 1 if the level of an edit rises and falls as in the song, 0 if 10 dB off."""
    n, played = len(level), len(order)
    points = min(ARC_POINTS, n, played)
    off = 0.0
    for point in range(points):
        ours, theirs = 0.0, 0.0
        first, last = played * point // points, played * (point + 1) // points
        for place in range(first, last):
            ours += level[order[place]]
        ours /= last - first
        first, last = n * point // points, n * (point + 1) // points
        for beat in range(first, last):
            theirs += level[beat]
        theirs /= last - first
        off += abs(ours - theirs)
    return 1.0 - min(1.0, off / points / ARC_SCALE_DB)


@compiled
def _fill_course(level: np.ndarray, order: np.ndarray, out: np.ndarray) -> None:
    """Write the level of each eighth relative to the whole edit, in units of 10 dB, (8,)."""
    played, mean = len(order), 0.0
    for beat in order:
        mean += level[beat]
    mean /= played
    size, more = played // EIGHTHS, played % EIGHTHS  # the first parts have one beat more
    place = 0
    for part in range(EIGHTHS):
        length = size + 1 if part < more else size
        total = 0.0
        for _ in range(length):
            total += level[order[place]]
            place += 1
        out[part] = (total / length - mean) / ARC_SCALE_DB if length else 0.0


@compiled
def fill_many(
    course: Course,
    table: np.ndarray,
    loops: int,
    returns: int,
    transition: int,
    actions: np.ndarray,
    targets: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write all descriptors of E edits to `out`, (E, K + 21).

    Parameters
    ----------
    course : Course
    table : (n + 1, n + 1, K) float32
        Additive descriptors of every step; see `rlhf_lib.editing.descriptors.step_descriptors`.
    loops, returns, transition : int
        Columns of these descriptors.
    actions : (E, n) int8
    targets : (E,) float64
    """
    n, k = actions.shape[1], table.shape[2]
    order, costs = np.empty(4 * n + 4, np.int64), np.empty(4 * n + 5, np.float32)
    for row in range(len(actions)):
        played = played_order(actions[row], order)
        for column in range(k):
            out[row, column] = 0.0
        before = n
        for place in range(played + 1):
            after = order[place] if place < played else n
            for column in range(k):
                out[row, column] += table[before, after, column]
            costs[place] = table[before, after, transition]
            before = after
        fill_whole(
            course,
            order[:played],
            costs[: played + 1],
            out[row, loops],
            out[row, returns],
            targets[row],
            out[row, k:],
        )


@compiled
def step_sums(table: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Return the sum of a table of steps, (n + 1, n + 1), over those of E edits, (E,) float64."""
    n = actions.shape[1]
    order, out = np.empty(4 * n + 4, np.int64), np.empty(len(actions))
    for row in range(len(actions)):
        out[row], before = 0.0, n
        for place in range(played_order(actions[row], order)):
            out[row] += table[before, order[place]]
            before = order[place]
        out[row] += table[before, n]
    return out
