"""Can this feedback be trusted? One report, and warnings that say what to do."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlhf_lib.feedback.agreement import agreement_report, estimate
from rlhf_lib.feedback.consistency import (
    contradictions,
    preference_cycles,
    self_consistency,
    side_bias,
)
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.feedback.records import Annotation
from rlhf_lib.feedback.sittings import fatigue_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.paths import atomic_path

#: Below this many pairs fine-tuning has little to learn from.
MIN_PAIRS = 30
#: Raters are judged one by one only from this many answers on.
MIN_PER_RATER = 10
# 0 is chance, 1 is perfect. Taste differs between people, so far lower values are normal here
# than the 0.67 asked of coders who apply one rule book.
_LOW_ALPHA = 0.2
_LOW_CONSISTENCY = 0.7
_MANY_UNDECIDED = 0.5
_MANY_CANT_TELL = 0.2
_RISE_UNDECIDED = 0.25
# Of the many tests in one report few should be wrong by chance.
_SIGNIFICANT = 0.01


def quality_report(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return all that can be said about the quality of feedback, ready for JSON.

    A figure is ``{"value", "n", "reason"}``: `n` says from how many cases it comes; where it
    cannot be computed, `value` is None and `reason` says why.

    Parameters
    ----------
    annotations : list of Annotation
        The whole history; superseded answers are counted, then left aside. "Can't tell" is
        counted, and enters only the figures on fatigue.

    Returns
    -------
    dict
        counts, balance, agreement, self_consistency, side_bias, contradictions, cycles,
        fatigue, and warnings: a list of {"found", "do"}.
    """
    current = current_annotations(annotations)
    current = [annotation for annotation in current if not annotation.is_check]
    answers = [annotation for annotation in current if not annotation.cant_tell]
    report = {
        "counts": {
            "annotations": len(annotations),
            "superseded": len(annotations) - len(current),
            "cant_tell": len(current) - len(answers),
            "answers": len(answers),
            "pairs": len({annotation.pair for annotation in answers}),
            "songs": len({annotation.song_id for annotation in answers}),
            "by_rater": dict(Counter(annotation.rater_id for annotation in answers)),
            "by_rater_kind": dict(Counter(annotation.rater_kind for annotation in answers)),
        },
        "balance": _balance(current, answers),
        "agreement": agreement_report(answers),
        "self_consistency": self_consistency(answers),
        "side_bias": side_bias(answers),
        "contradictions": contradictions(answers),
        "cycles": preference_cycles(answers),
        "fatigue": fatigue_report(current),
    }
    return report | {"warnings": list(_warnings(report))}


def write_quality_report(store: PreferenceStore) -> Path:
    """Write the report on a store to ``quality_report.json`` beside it and return the path."""
    path = store.folder / "quality_report.json"
    text = json.dumps(quality_report(store.load()), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return path


def _balance(current: Sequence[Annotation], answers: Sequence[Annotation]) -> dict[str, Any]:
    preferences = Counter(answer.preference for answer in answers)
    strengths = Counter(answer.strength for answer in answers)
    heard = [answer for answer in current if answer.listening is not None]
    deaf = sum(0 in (one.listening.seconds_a, one.listening.seconds_b) for one in heard)
    none = "there are no answers"
    return {
        "preference": {name: preferences[name] for name in ("a", "b", "tie")},
        "strength": {str(strength): strengths[strength] for strength in range(4)},
        "ties": _share(preferences["tie"], len(answers), none),
        "cant_tell": _share(len(current) - len(answers), len(current), none),
        "without_hearing_both": _share(deaf, len(heard), "no answer has a listening record"),
        "tags": dict(Counter(tag for answer in answers for tag in answer.tags)),
    }


def _share(count: int, n: int, reason: str) -> dict[str, Any]:
    return estimate(count / n, n) if n else estimate(None, 0, reason)


def _warnings(report: dict[str, Any]) -> Iterator[dict[str, str]]:
    for check in (_amount, _balance_warnings, _agreement, _bias, _consistency, _fatigue):
        for found, remedy in check(report):
            yield {"found": found, "do": remedy}


_Found = Iterator[tuple[str, str]]


def _amount(report: dict) -> _Found:
    counts = report["counts"]
    if counts["pairs"] < MIN_PAIRS:
        yield (
            f"only {counts['pairs']} different pairs were compared, fewer than {MIN_PAIRS}",
            "collect more answers, or take whatever is learned from these as a trial",
        )
    if counts["songs"] == 1:
        yield (
            "all answers are about one song",
            "compare edits of more songs: training holds out whole songs to test itself",
        )
    if len(counts["by_rater_kind"]) > 1:
        yield (
            "people and simulated raters are mixed",
            "report on each kind alone; simulated answers say nothing about what people like",
        )


def _balance_warnings(report: dict) -> _Found:
    balance = report["balance"]
    ties, cant_tell = balance["ties"], balance["cant_tell"]
    if ties["n"] >= MIN_PER_RATER and ties["value"] > _MANY_UNDECIDED:
        yield (
            f"{ties['value']:.0%} of the answers are ties",
            "compare edits that differ more: temperatures further apart or other policies",
        )
    if cant_tell["n"] >= MIN_PER_RATER and cant_tell["value"] > _MANY_CANT_TELL:
        yield (
            f'{cant_tell["value"]:.0%} of the answers are "can\'t tell"',
            "ask the raters what was unclear, and check that both edits play",
        )
    strengths = {name: n for name, n in balance["strength"].items() if n and name != "0"}
    if len(strengths) == 1 and sum(strengths.values()) >= MIN_PER_RATER:
        yield (
            f"every preference has strength {next(iter(strengths))}",
            "ask the raters to use the whole row, or do not weigh pairs by strength",
        )
    deaf = balance["without_hearing_both"]
    if deaf["value"]:
        yield (
            f"{deaf['value']:.0%} of the recorded answers came without hearing both edits",
            "exclude these answers, and ask the raters to listen to both",
        )


def _agreement(report: dict) -> _Found:
    agreement, n_raters = report["agreement"], len(report["counts"]["by_rater"])
    alpha = agreement["krippendorff_alpha_ordinal"]
    if n_raters == 1:
        yield (
            "all answers come from one rater",
            "have a second rater answer the same tasks, or speak of this one person's taste",
        )
    elif n_raters > 1 and agreement["n_shared_pairs"] == 0:
        yield (
            "no pair was rated by two raters, so agreement is unknown",
            "give some of the tasks (ten or more) to every rater",
        )
    elif alpha["n"] >= MIN_PER_RATER and alpha["value"] is not None and alpha["value"] < _LOW_ALPHA:
        yield (
            f"raters hardly agree (Krippendorff's alpha {alpha['value']:.2f}; 0 is chance)",
            "look at the pairs they disagree on; train on one rater or one group at a time",
        )
    if len(agreement["with_others"]) < 3:
        return
    for rater, share in agreement["with_others"].items():
        others = [row for row in agreement["cohen_kappa"] if rater not in row["raters"]]
        n = sum(row["agreement"]["n"] for row in others)
        if share["n"] < MIN_PER_RATER or n < MIN_PER_RATER:
            continue
        among = sum(row["agreement"]["value"] * row["agreement"]["n"] for row in others) / n
        if share["value"] < among - 0.2:
            yield (
                f"rater {rater!r} agrees with the others on {share['value']:.0%} of the pairs, "
                f"they among themselves on {among:.0%}",
                "ask whether the task was understood; exclude this rater or train apart",
            )


def _bias(report: dict) -> _Found:
    bias = report["side_bias"]
    overall, order = bias["first_shown_chosen"], bias["edit_a_shown_first"]
    if order["n"] == 0 and report["counts"]["answers"]:
        yield (
            "no answer says which edit was shown first, so a side bias cannot be seen",
            "record shown_first; the annotator does",
        )
    elif order["n"] and order["p_value"] < _SIGNIFICANT:
        yield (
            f"edit a was shown first in {order['value']:.0%} of the answers",
            "shuffle the sides: a liking for one side now looks like a liking for an edit",
        )
    if overall["n"] and not overall["interval"][0] <= 0.5 <= overall["interval"][1]:
        low, high = overall["interval"]
        yield (
            f"the side shown first was chosen in {overall['value']:.0%} of {overall['n']} choices "
            f"(95 % interval {low:.0%} to {high:.0%})",
            "keep the sides shuffled, ask for both sides to be heard to the end, look by rater",
        )
    for rater, chosen in bias["by_rater"].items():
        if len(bias["by_rater"]) > 1 and chosen["n"] and chosen["p_value"] < _SIGNIFICANT:
            yield (
                f"rater {rater!r} chose the side shown first in {chosen['value']:.0%} of "
                f"{chosen['n']} choices",
                "check this rater's repeats with swapped sides; exclude the rater if they differ",
            )


def _consistency(report: dict) -> _Found:
    again = report["self_consistency"]["same_choice"]
    if again["n"] == 0 and report["counts"]["answers"] >= MIN_PER_RATER:
        yield (
            "no pair was asked twice, so self-consistency is unknown",
            "let about one task in ten return with its sides swapped",
        )
    for rater, share in report["self_consistency"]["by_rater"].items():
        if share["n"] >= MIN_PER_RATER / 2 and share["value"] < _LOW_CONSISTENCY:
            yield (
                f"rater {rater!r} chose the same edit again in only {share['value']:.0%} of "
                f"{share['n']} repeats",
                "suggest shorter sittings or easier pairs; weigh this rater's answers less",
            )
    for name, what in (("contradictions", "contradicted"), ("cycles", "cyclic")):
        if report[name]:
            songs = sorted({entry["song_id"] for entry in report[name]})
            yield (
                f"{len(report[name])} {what} preferences, in songs {', '.join(songs[:10])}",
                f"listen again to the pairs listed under {name!r} and supersede what was a slip",
            )


def _fatigue(report: dict) -> _Found:
    for sitting in report["fatigue"]["sittings"]:
        place = f"in the sitting of {sitting['rater_id']!r} from {sitting['start']}"
        undecided, trend = sitting["undecided"], sitting["time_trend"]
        first, second = undecided["first_half"]["value"], undecided["second_half"]["value"]
        if second - first >= _RISE_UNDECIDED:
            yield (
                f"{place} undecided answers rose from {first:.0%} to {second:.0%}",
                "take a break after 30 minutes; give the second half less weight",
            )
        seconds = sitting["median_seconds"]
        quick = (
            trend["value"] is not None and trend["value"] < 0 and trend["p_value"] < _SIGNIFICANT
        )
        halved = quick and (
            seconds["second_half"]["value"] is not None
            and seconds["first_half"]["value"] is not None
            and seconds["second_half"]["value"] < seconds["first_half"]["value"] / 2
        )
        if halved:
            yield (
                f"{place} answers came in less than half the time towards the end",
                "check that both edits were still heard; take a break after 30 minutes",
            )
