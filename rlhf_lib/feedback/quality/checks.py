"""Answers to obvious checks, which show whether raters listened."""

from collections.abc import Iterable, Sequence
from typing import Any

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.quality.agreement import estimate


def failed_checks(annotations: Iterable[Annotation]) -> dict[str, int]:
    """Return how many checks each rater failed; raters who answered none are left out."""
    failed: dict[str, int] = {}
    for annotation in annotations:
        if annotation.is_check:
            before = failed.get(annotation.rater_id, 0)
            failed[annotation.rater_id] = before + annotation.failed_check
    return failed


def checks_report(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return the share of failed checks, overall and by rater, and the failed answers.

    A check is passed when the obviously better edit was preferred, however slightly. A tie or
    "can't tell" fails it.
    """
    asked = [annotation for annotation in annotations if annotation.is_check]
    by_rater = {}
    for rater, failed in sorted(failed_checks(asked).items()):
        n = sum(annotation.rater_id == rater for annotation in asked)
        by_rater[rater] = estimate(failed / n, n) | {"failed": failed}
    failed = [annotation for annotation in asked if annotation.failed_check]
    return {
        "failed": estimate(len(failed) / len(asked), len(asked))
        if asked
        else estimate(None, 0, "no obvious check was answered"),
        "by_rater": by_rater,
        "failed_answers": [
            {
                "rater_id": annotation.rater_id,
                "manifest_id": annotation.manifest_id,
                "song_id": annotation.song_id,
                "task_id": annotation.task_id,
                "annotation_id": annotation.annotation_id,
            }
            for annotation in failed
        ],
    }
