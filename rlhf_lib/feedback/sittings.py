"""Whether answers get hasty or undecided in the course of a sitting."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from rlhf_lib.feedback.agreement import estimate
from rlhf_lib.feedback.records import Annotation

#: A longer gap between two answers ends a sitting.
BREAK = timedelta(minutes=30)
#: Shorter sittings say nothing about a trend.
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

    Undecided means a tie or "can't tell". `time_trend` is Spearman's rank correlation between
    an answer's place in the sitting and the seconds it took; a negative one means that answers
    get quicker, which is habit at first and haste later.
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
        "time_trend": _time_trend(sitting),
    }


def _seconds(answers: list[Annotation]) -> list[tuple[int, float]]:
    return [
        (place, answer.seconds_spent)
        for place, answer in enumerate(answers)
        if answer.seconds_spent is not None
    ]


def _median_seconds(answers: list[Annotation]) -> dict[str, Any]:
    seconds = [taken for _, taken in _seconds(answers)]
    if not seconds:
        return estimate(None, 0, "no answer says how long it took")
    return estimate(np.median(seconds), len(seconds))


def _time_trend(sitting: list[Annotation]) -> dict[str, Any]:
    timed = _seconds(sitting)
    if len(timed) < MIN_ANSWERS:
        reason = f"fewer than {MIN_ANSWERS} answers say how long they took"
        return estimate(None, len(timed), reason) | {"p_value": None}
    places, seconds = zip(*timed, strict=True)
    if len(set(seconds)) == 1:
        reason = "every answer took equally long"
        return estimate(None, len(timed), reason) | {"p_value": None}
    trend = spearmanr(places, seconds)
    return estimate(trend.statistic, len(timed)) | {"p_value": float(trend.pvalue)}
