"""How far each rater agrees with themselves: repeats, sides, contradictions, cycles."""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import binomtest

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.quality.agreement import by_pair, estimate, signed


def _by_rater(annotations: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    groups = defaultdict(list)
    for annotation in annotations:
        groups[annotation.rater_id].append(annotation)
    return dict(sorted(groups.items()))


def self_consistency(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return how often raters chose the same edit when a pair was repeated.

    Each answer is compared with the same rater's previous answer to the same pair. Repeats with
    and without swapped sides are also reported separately: a rater who always takes the left
    edit is consistent only without.
    """
    same: dict[str, list[bool]] = defaultdict(list)
    swapped, unswapped, shifts = [], [], []
    for rater, own in _by_rater(annotations).items():
        for answers in by_pair(own).values():
            first_edit = answers[0].edit_a_id
            for before, after in pairwise(answers):
                one, two = signed(before, first_edit), signed(after, first_edit)
                equal = bool(np.sign(one) == np.sign(two))
                same[rater].append(equal)
                shifts.append(abs(one - two))
                sides = _edit_shown_first(before), _edit_shown_first(after)
                if None not in sides:
                    (unswapped if sides[0] == sides[1] else swapped).append(equal)
    return {
        "same_choice": _share([equal for answers in same.values() for equal in answers]),
        "same_choice_sides_swapped": _share(swapped),
        "same_choice_sides_kept": _share(unswapped),
        "mean_shift_on_seven_points": estimate(np.mean(shifts), len(shifts))
        if shifts
        else estimate(None, 0, "no pair was asked again"),
        "by_rater": {rater: _share(answers) for rater, answers in same.items()},
    }


def side_bias(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return how often the edit on side A, shown first, was chosen; ties do not count.

    With sides in random order an unbiased rater chooses it half of the time. The interval is the
    exact 95 % binomial one of Clopper and Pearson (1934); one that excludes 0.5 shows a bias.
    """
    known = [annotation for annotation in annotations if annotation.shown_first]
    a_first = sum(annotation.shown_first == "a" for annotation in known)
    return {
        "first_shown_chosen": _first_chosen(known),
        "edit_a_shown_first": _binomial(
            a_first, len(known), "no answer records which side was first"
        ),
        "by_rater": {rater: _first_chosen(own) for rater, own in _by_rater(known).items()},
    }


def contradictions(annotations: Sequence[Annotation]) -> list[dict[str, Any]]:
    """Return the pairs in which one rater preferred each edit at least once.

    Each entry names its song, tasks and answers, so that they can be listened to again.
    """
    found = []
    for rater, own in _by_rater(annotations).items():
        for (manifest_id, song_id, first, second), answers in by_pair(own).items():
            if {1, -1} <= {int(np.sign(signed(answer, first))) for answer in answers}:
                found.append(
                    _place(rater, manifest_id, song_id, answers) | {"edits": [first, second]}
                )
    return found


def preference_cycles(annotations: Sequence[Annotation]) -> list[dict[str, Any]]:
    """Return cycles such as x over y, y over z, z over x in one rater's answers to a song.

    For each edit on a cycle the shortest cycle is returned, each cycle once. Repeated answers to
    a pair are summed.
    """
    found = []
    for rater, own in _by_rater(annotations).items():
        songs: dict[tuple, dict[str, dict[str, list[Annotation]]]] = defaultdict(dict)
        for (manifest_id, song_id, first, second), answers in by_pair(own).items():
            balance = sum(signed(answer, first) for answer in answers)
            if balance:
                winner, loser = (first, second) if balance > 0 else (second, first)
                songs[manifest_id, song_id].setdefault(winner, {})[loser] = answers
        for (manifest_id, song_id), beats in songs.items():
            cycles = {_rotated(cycle) for edit in sorted(beats) if (cycle := _cycle(edit, beats))}
            for cycle in sorted(cycles):
                steps = pairwise([*cycle, cycle[0]])
                answers = [answer for winner, loser in steps for answer in beats[winner][loser]]
                found.append(_place(rater, manifest_id, song_id, answers) | {"edits": list(cycle)})
    return found


def _cycle(start: str, beats: dict[str, dict[str, Any]]) -> list[str] | None:
    """Return the shortest cycle through `start`, or None, by breadth-first search."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        winner = queue.popleft()
        for loser in sorted(beats.get(winner, ())):
            if loser == start:
                way = [winner]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if loser not in came_from:
                came_from[loser] = winner
                queue.append(loser)
    return None


def _rotated(cycle: list[str]) -> tuple[str, ...]:
    """Return the cycle from its smallest name on, so that equal cycles are equal tuples."""
    start = cycle.index(min(cycle))
    return (*cycle[start:], *cycle[:start])


def _place(rater: str, manifest_id: str | None, song_id: str, answers: list[Annotation]) -> dict:
    return {
        "rater_id": rater,
        "manifest_id": manifest_id,
        "song_id": song_id,
        "task_ids": list(dict.fromkeys(one.task_id for one in answers if one.task_id)),
        "annotation_ids": [answer.annotation_id for answer in answers],
    }


def _edit_shown_first(annotation: Annotation) -> str | None:
    edits = {"a": annotation.edit_a_id, "b": annotation.edit_b_id, None: None}
    return edits[annotation.shown_first]


def _first_chosen(annotations: Sequence[Annotation]) -> dict[str, Any]:
    choices = Counter(
        answer.preference == answer.shown_first
        for answer in annotations
        if answer.preference != "tie"
    )
    return _binomial(
        choices[True], choices.total(), "no choice with a known order of the two sides"
    )


def _binomial(successes: int, n: int, reason: str) -> dict[str, Any]:
    if n == 0:
        return estimate(None, 0, reason) | {"interval": None, "p_value": None}
    test = binomtest(successes, n, 0.5)
    interval = test.proportion_ci(0.95, method="exact")
    return estimate(successes / n, n) | {
        "interval": [float(interval.low), float(interval.high)],
        "p_value": float(test.pvalue),
    }


def _share(answers: Sequence[bool]) -> dict[str, Any]:
    if not answers:
        return estimate(None, 0, "no pair was asked again")
    return estimate(np.mean(answers), len(answers))
