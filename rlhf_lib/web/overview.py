"""What a coordinator sees of a study: who did how much, how well, and what is still needed."""

import statistics
from typing import Any

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.carry_over import answers_to
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.quality.agreement import agreement_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.studio.desk import BROKEN
from rlhf_lib.web.records import RaterRecord, Records
from rlhf_lib.web.study import Study

_COLUMNS = (
    ("rater", 24),
    ("kind", 10),
    ("sittings", 9),
    ("answers", 8),
    ("median s", 9),
    ("checks failed", 14),
    ("headphones", 11),
    ("broken sounds", 14),
    ("state", 0),
)


def overview(
    study: Study, manifest: Manifest, store: PreferenceStore, records: Records
) -> dict[str, Any]:
    """Return the state of a study, ready for JSON.

    Returns
    -------
    dict
        ``raters``: a row for each; ``answers``; ``pairs``: how many pairs the study asks about,
        how many have an answer, and how many answers are still needed until each pair has one;
        ``agreement``: percentage and Krippendorff's alpha, see `agreement_report`.
    """
    answers = current_annotations(store.load())
    ours = answers_to(manifest, answers, store.find_manifest)
    by_rater: dict[str, list[Annotation]] = {}
    for answer in ours:
        by_rater.setdefault(answer.rater_id, []).append(answer)
    known = {record.rater_id: record for record in records.all()}
    rows = [_row(record, by_rater.get(rater, []), study) for rater, record in known.items()]
    others = sorted(by_rater.keys() - known.keys())
    questions = {task.task_id for task in manifest.tasks if task.check is None}
    compared = [answer for answer in ours if not answer.is_check]
    answered = questions & {answer.task_id for answer in compared}
    agreement = agreement_report([answer for answer in compared if not answer.cant_tell])
    figures = ("n_shared_pairs", "agreement", "krippendorff_alpha_ordinal")
    return {
        "raters": rows,
        "not of this study": others,
        "answers": len(ours),
        "pairs": {
            "asked about": len(questions),
            "answered": len(answered),
            "still needed": len(questions) - len(answered),
        },
        "agreement": {name: agreement[name] for name in figures},
    }


def as_text(found: dict[str, Any]) -> str:
    """Return an overview as a table for the terminal."""
    lines = ["".join(name.ljust(width) for name, width in _COLUMNS)]
    for row in found["raters"]:
        lines.append(" ".join(str(row[name]).ljust(width - 1) for name, width in _COLUMNS))
    pairs, agreement = found["pairs"], found["agreement"]
    alpha, share = agreement["krippendorff_alpha_ordinal"], agreement["agreement"]
    lines += [
        "",
        f"{found['answers']} answers of {len(found['raters'])} raters; "
        f"{pairs['answered']} of {pairs['asked about']} pairs have one, "
        f"{pairs['still needed']} still need one",
        f"agreement on {agreement['n_shared_pairs']} shared pairs: {_figure(share)}, "
        f"Krippendorff's alpha {_figure(alpha)}",
    ]
    if found["not of this study"]:
        lines.append(f"other raters in the folder: {', '.join(found['not of this study'])}")
    return "\n".join(lines)


def _row(record: RaterRecord, answers: list[Annotation], study: Study) -> dict[str, Any]:
    times = [answer.seconds_spent for answer in answers if answer.seconds_spent is not None]
    checks = [answer for answer in answers if answer.is_check]
    failed = sum(answer.failed_check for answer in checks)
    return {
        "rater": record.rater_id,
        "kind": record.rater_kind,
        "sittings": f"{record.finished_sittings} of {study.tasks.sittings}",
        "answers": len(answers),
        "median s": round(statistics.median(times), 1) if times else "–",
        "checks failed": f"{failed} of {len(checks)}",
        "headphones": _headphones(record),
        "broken sounds": sum(BROKEN in answer.tags for answer in answers),
        "state": _state(record, study),
        "ids": record.ids,
        "background": record.background or {},
    }


def _headphones(record: RaterRecord) -> str:
    if not record.headphones:
        return "–"
    last = record.headphones[-1]
    word = {True: "passed", False: "failed", None: "going on"}[last.passed]
    return f"{word} {last.right}/{len(last.answers)}"


def _state(record: RaterRecord, study: Study) -> str:
    if record.turned_away:
        return record.turned_away
    if record.finished_sittings >= study.tasks.sittings:
        return "done"
    if not record.sittings:
        return "before the first pair"
    return "rating" if record.sittings[-1].ended is None else "between sittings"


def _figure(estimate: dict[str, Any]) -> str:
    return "unknown" if estimate["value"] is None else f"{estimate['value']:.2f}"
