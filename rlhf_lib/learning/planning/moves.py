"""Local changes of an edit at the same length."""

import numpy as np

from rlhf_lib.editing.compiled import compiled
from rlhf_lib.learning.planning.stretch import Stretch

#: Uniform random numbers that one change uses.
_DRAWS = 12
_KEEP, _CUT, _LOOP_2, _LOOP_4, _LAST = 0, 1, 2, 4, 8
#: Most units that are cut or restored at once; most units by which a cut is moved.
_LONGEST_RUN = 8
#: Changes of one unit that bring an edit back to its length, at most.
_REPAIRS = 3


def proposals(
    stretch: Stretch, choices: np.ndarray, budgets: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return random local changes of edits, each of the same length as the edit.

    A change moves the edge of a cut by a unit, cuts or restores a run of units, moves a cut, puts
    it elsewhere, or loops, moves or plays plainly the first beat of a unit. Then at most three
    edges of cuts are moved, until the length is right; a change that needs more is not made.

    Parameters
    ----------
    choices : (E, U) int8
        Actions of the units, see `Stretch.actions`.
    budgets : (E,) int64
        Longest allowed length of each edit in ticks, see `Stretch.budget`.
    count : int
        Changes of each edit.

    Returns
    -------
    (E, count, U) int8
        An edit that was not changed is returned as it is. The changes of one edit do not depend on
        the others.
    """
    out = np.repeat(choices[:, None], count, axis=1)
    draws = rng.random((count, _DRAWS))
    _change_all(out, draws, stretch.ticks, stretch.first_ticks, budgets, stretch.window)
    return out


@compiled
def _change_all(choices, draws, ticks, first_ticks, budgets, window) -> None:
    n = choices.shape[2]
    before = np.empty(n, np.int8)
    for e in range(choices.shape[0]):
        for k in range(choices.shape[1]):
            now = choices[e, k]
            for u in range(n):
                before[u] = now[u]
            _change(now, draws[k])
            if not _repair(now, draws[k], ticks, first_ticks, budgets[e], window):
                for u in range(n):
                    now[u] = before[u]


@compiled
def _change(choices, draws) -> None:
    n = len(choices)
    kind = int(draws[0] * 6)
    place = int(draws[1] * n)
    size = 1 + int(draws[2] * _LONGEST_RUN)
    if kind == 0:
        _move_edge(choices, place, draws[3] < 0.5, -1)
    elif kind == 1:
        _cut(choices, place, place + size)
    elif kind == 2:
        _restore(choices, place, place + size)
    elif kind == 5:
        if choices[place] >= _LOOP_2:
            choices[place] = _KEEP
        elif choices[place] == _KEEP:
            choices[place] = _LOOP_2 + int(draws[2] * (_LAST - _LOOP_2 + 1))
    else:
        start, stop = _cut_near(choices, place)
        if start < stop:
            length = stop - start
            to = int(draws[3] * (n - length + 1))
            if kind == 3:
                far = int(draws[3] * (2 * _LONGEST_RUN + 1)) - _LONGEST_RUN
                to = min(max(start + far, 0), n - length)
            _restore(choices, start, stop)
            _cut(choices, to, to + length)


@compiled
def _cut(choices, start, stop) -> None:
    for u in range(start, min(stop, len(choices))):
        choices[u] = _CUT


@compiled
def _restore(choices, start, stop) -> None:
    for u in range(start, min(stop, len(choices))):
        if choices[u] == _CUT:
            choices[u] = _KEEP


@compiled
def _cut_near(choices, place) -> tuple[int, int]:
    """Return the first cut at or after a place, around the end, as [start, stop) units."""
    n = len(choices)
    for step in range(n):
        u = (place + step) % n
        if choices[u] == _CUT:
            start, stop = u, u + 1
            while start > 0 and choices[start - 1] == _CUT:
                start -= 1
            while stop < n and choices[stop] == _CUT:
                stop += 1
            return start, stop
    return 0, 0


@compiled
def _move_edge(choices, place, left, direction) -> None:
    """Move the edge of a cut by one unit: the next edge after a place, around the end.

    Parameters
    ----------
    left : bool
        Which of the two units at the edge takes the state of the other, if `direction` is −1.
    direction : int
        1: cut one more unit; 0: restore one; −1: either.
    """
    n = len(choices)
    for step in range(n):
        u = (place + step) % n
        v = u + 1
        # The ends of the song are edges too: a cut may begin or end there.
        cut = choices[u] == _CUT
        if v == n:
            if direction == 1 and not cut:
                choices[u] = _CUT
                return
            continue
        if cut == (choices[v] == _CUT):
            if u == 0 and direction == 1 and not cut and step == 0:
                choices[0] = _CUT
                return
            continue
        kept, gone = (v, u) if cut else (u, v)
        if direction == 1 or (direction == -1 and left):
            choices[kept] = _CUT
        else:
            choices[gone] = _KEEP
        return


@compiled
def _repair(choices, draws, ticks, first_ticks, budget, window) -> bool:
    """Bring an edit back to its length; return whether that was possible."""
    for k in range(_REPAIRS + 1):
        length = 0
        for u in range(len(choices)):
            if choices[u] != _CUT:
                length += ticks[u]
                if _LOOP_2 <= choices[u] <= _LOOP_4:
                    length += (choices[u] - 1) * first_ticks[u]
        if length > 0 and budget - window < length <= budget:
            return True
        if k < _REPAIRS:
            place = int(draws[4 + k] * len(choices))
            _move_edge(choices, place, True, 1 if length > budget else 0)
    return False
