"""How answers change during a sitting: time taken, ties, strength, side."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import fisher_exact, spearmanr

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.quality.agreement import estimate

#: A longer gap between two answers ends a sitting.
BREAK = timedelta(minutes=30)
#: Sittings with fewer answers are too short for a trend.
MIN_ANSWERS = 10


def sittings(annotations: Sequence[Annotation]) -> list[list[Annotation]]:
    """Return each rater's dated answers in order of time, split where a gap exceeds `BREAK`."""
    dated = defaultdict(list)
    for annotation in annotations:
        if annotation.time is not None:
            dated[annotation.rater_id].append(annotation)
    found = []
    for _, own in sorted(dated.items()):
        own.sort(key=lambda annotation: annotation.time)
        found.append([own[0]])
        for before, after in pairwise(own):
            if after.time - before.time > BREAK:
                found.append([])
            found[-1].append(after)
    return found


def fatigue_report(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return, for each sitting of at least `MIN_ANSWERS`, how its halves differ.

    "Undecided" is a tie or "can't tell". `time_trend` is Spearman's rank correlation between an
    answer's place in the sitting and the seconds it took; a negative value means that answers
    get quicker, at first from practice and later from haste. `strength_trend` is the same for
    the strength of the preferences, which should depend on the edits and not on the time.
    `first_shown_chosen` shows whether one side becomes favoured.
    """
    everything = sittings(annotations)
    long = [sitting for sitting in everything if len(sitting) >= MIN_ANSWERS]
    return {
        "n_sittings": len(everything),
        "n_too_short": len(everything) - len(long),
        "n_undated_answers": sum(annotation.time is None for annotation in annotations),
        "sittings": [_sitting_report(sitting) for sitting in long],
    }


def _sitting_report(sitting: list[Annotation]) -> dict[str, Any]:
    middle = len(sitting) // 2
    halves = {"first_half": sitting[:middle], "second_half": sitting[middle:]}
    return {
        "rater_id": sitting[0].rater_id,
        "start": sitting[0].timestamp,
        "n_answers": len(sitting),
        "minutes": (sitting[-1].time - sitting[0].time).total_seconds() / 60,
        "undecided": {
            name: estimate(np.mean([answer.preference == "tie" for answer in half]), len(half))
            for name, half in halves.items()
        },
        "median_seconds": {name: _median_seconds(half) for name, half in halves.items()},
        "first_shown_chosen": _first_chosen(halves),
        "time_trend": _trend(_seconds(sitting), "answers have a time"),
        "strength_trend": _trend(
            [(place, one.strength) for place, one in enumerate(sitting) if one.strength],
            "answers prefer an edit",
        ),
    }


def _first_chosen(halves: dict[str, list[Annotation]]) -> dict[str, Any]:
    """Return how often each half chose the side shown first, and Fisher's exact p-value."""
    table, shares = [], {}
    for name, answers in halves.items():
        known = [one for one in answers if one.shown_first and one.preference != "tie"]
        first = sum(one.preference == one.shown_first for one in known)
        table.append([first, len(known) - first])
        shares[name] = (
            estimate(first / len(known), len(known))
            if known
            else estimate(None, 0, "no choice with a known order of the two sides")
        )
    enough = min(map(sum, table)) > 0
    return shares | {"p_value": float(fisher_exact(table).pvalue) if enough else None}


def _seconds(answers: list[Annotation]) -> list[tuple[int, float]]:
    return [
        (place, answer.seconds_spent)
        for place, answer in enumerate(answers)
        if answer.seconds_spent is not None
    ]


def _median_seconds(answers: list[Annotation]) -> dict[str, Any]:
    seconds = [taken for _, taken in _seconds(answers)]
    if not seconds:
        return estimate(None, 0, "no answer has a time")
    return estimate(np.median(seconds), len(seconds))


def _trend(values: list[tuple[int, float]], what: str) -> dict[str, Any]:
    """Return the rank correlation of values with their places, and its p-value."""
    if len(values) < MIN_ANSWERS:
        reason = f"fewer than {MIN_ANSWERS} {what}"
        return estimate(None, len(values), reason) | {"p_value": None}
    places, numbers = zip(*values, strict=True)
    if len(set(numbers)) == 1:
        return estimate(None, len(values), "all values are the same") | {"p_value": None}
    trend = spearmanr(places, numbers)
    return estimate(trend.statistic, len(values)) | {"p_value": float(trend.pvalue)}
