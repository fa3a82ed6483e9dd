"""The warnings of the quality report: what was found and what to do."""

from collections.abc import Iterator

Found = Iterator[tuple[str, str]]

#: With fewer pairs fine-tuning has little to learn from.
MIN_PAIRS = 30
#: With fewer answers, or half as many repeats, a share is too uncertain for a warning.
MIN_PER_RATER = 10
# 0 is chance, 1 is perfect. Taste differs between people, so values far below the 0.67 that is
# required of coders with a common rule book are normal here.
_LOW_ALPHA = 0.2
_LOW_CONSISTENCY = 0.7
_MANY_UNDECIDED = 0.5
_MANY_CANT_TELL = 0.2
_RISE_UNDECIDED = 0.25
_HALVES = ("first_half", "second_half")
# One failed check may be a wrong key.
_MANY_FAILED = 2
# Strict, because one report makes many tests.
_SIGNIFICANT = 0.01


def warnings(report: dict) -> Found:
    """Yield (what was found, what to do) for each problem in a quality report."""
    for look in (
        _amount,
        _balance,
        _checks,
        _agreement,
        _odd_one_out,
        _bias,
        _consistency,
        _fatigue,
        _drift,
    ):
        yield from look(report)


def _amount(report: dict) -> Found:
    counts = report["counts"]
    if counts["pairs"] < MIN_PAIRS:
        yield (
            f"only {counts['pairs']} different pairs were compared, fewer than {MIN_PAIRS}",
            "collect more answers, or treat models trained on these as a trial",
        )
    if counts["songs"] == 1:
        yield (
            "all answers are about one song",
            "compare edits of more songs: training holds out whole songs for validation",
        )
    if len(counts["by_rater_kind"]) > 1:
        yield (
            "people and simulated raters are mixed",
            "report on each kind separately; simulated answers do not show what people like",
        )


def _balance(report: dict) -> Found:
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
            "ask the raters to use the whole scale, or do not weight pairs by strength",
        )
    not_both_heard = balance["without_hearing_both"]
    if not_both_heard["value"]:
        yield (
            f"{not_both_heard['value']:.0%} of the answers with a listening record were given "
            "without hearing both edits",
            "ask the raters to listen to both; exclude raters who do not (--exclude_raters)",
        )


def _checks(report: dict) -> Found:
    for rater, share in report["checks"]["by_rater"].items():
        if share["failed"] >= _MANY_FAILED:
            yield (
                f"rater {rater!r} failed {share['failed']} of {share['n']} obvious checks",
                "ask how this rater listens; train without raters who fail more than one "
                "(--max_failed_checks 1)",
            )


def _agreement(report: dict) -> Found:
    agreement, n_raters = report["agreement"], len(report["counts"]["by_rater"])
    alpha = agreement["krippendorff_alpha_ordinal"]
    if n_raters == 1:
        yield (
            "all answers come from one rater",
            "have a second rater answer the same tasks, or report this as one person's taste",
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


def _odd_one_out(report: dict) -> Found:
    for odd in report["agreement"]["odd_ones_out"]:
        rater = odd["rater_id"]
        yield (
            f"rater {rater!r} agrees with the others on {odd['with_others']:.0%} of the pairs, "
            f"the others with each other on {odd['among_others']:.0%}",
            "ask whether the task was understood, and whether A and B were swapped; then train "
            f"without this rater (--exclude_raters {rater!r}) or on this rater alone",
        )


def _bias(report: dict) -> Found:
    bias = report["side_bias"]
    overall, order = bias["first_shown_chosen"], bias["edit_a_shown_first"]
    if order["n"] == 0 and report["counts"]["answers"]:
        yield (
            "no answer records which edit was shown first, so a side bias cannot be detected",
            "record shown_first, as the annotator does",
        )
    elif order["n"] and order["p_value"] < _SIGNIFICANT:
        yield (
            f"edit a was shown first in {order['value']:.0%} of the answers",
            "shuffle the sides: now a preference for one side looks like one for an edit",
        )
    if overall["n"] and not overall["interval"][0] <= 0.5 <= overall["interval"][1]:
        low, high = overall["interval"]
        yield (
            f"the side shown first was chosen in {overall['value']:.0%} of {overall['n']} choices "
            f"(95 % interval {low:.0%} to {high:.0%})",
            "keep the sides shuffled, ask raters to hear both sides to the end, check each rater",
        )
    for rater, chosen in bias["by_rater"].items():
        if len(bias["by_rater"]) > 1 and chosen["n"] and chosen["p_value"] < _SIGNIFICANT:
            yield (
                f"rater {rater!r} chose the side shown first in {chosen['value']:.0%} of "
                f"{chosen['n']} choices",
                "check this rater's repeats with swapped sides; exclude the rater if they differ",
            )


def _consistency(report: dict) -> Found:
    again = report["self_consistency"]["same_choice"]
    if again["n"] == 0 and report["counts"]["answers"] >= MIN_PER_RATER:
        yield (
            "no pair was asked twice, so self-consistency is unknown",
            "repeat about one task in ten with its sides swapped",
        )
    for rater, share in report["self_consistency"]["by_rater"].items():
        if share["n"] >= MIN_PER_RATER / 2 and share["value"] < _LOW_CONSISTENCY:
            yield (
                f"rater {rater!r} chose the same edit again in only {share['value']:.0%} of "
                f"{share['n']} repeats",
                "suggest shorter sittings or easier pairs; give this rater's answers less weight",
            )
    for name, what in (("contradictions", "contradicted"), ("cycles", "cyclic")):
        if report[name]:
            songs = sorted({entry["song"] for entry in report[name]})
            yield (
                f"{len(report[name])} {what} preferences, in songs {', '.join(songs[:10])}",
                f"listen again to the tasks listed under {name!r} and supersede wrong answers",
            )


def _fatigue(report: dict) -> Found:
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


def _drift(report: dict) -> Found:
    for sitting in report["fatigue"]["sittings"]:
        place = f"in the sitting of {sitting['rater_id']!r} from {sitting['start']}"
        trend = sitting["strength_trend"]
        if trend["value"] is not None and trend["p_value"] < _SIGNIFICANT:
            way = "stronger" if trend["value"] > 0 else "weaker"
            yield (
                f"{place} preferences grew {way} (rank correlation {trend['value']:+.2f})",
                "the scale is used differently early and late: train with equal weights for all "
                "strengths, or let the rater begin with some practice tasks",
            )
        side = sitting["first_shown_chosen"]
        if side["p_value"] is not None and side["p_value"] < _SIGNIFICANT:
            first, second = (side[half] for half in _HALVES)
            yield (
                f"{place} the side shown first was chosen in {first['value']:.0%} of the first "
                f"half and {second['value']:.0%} of the second",
                "take a break after 30 minutes; ask the rater to hear both sides to the end",
            )
