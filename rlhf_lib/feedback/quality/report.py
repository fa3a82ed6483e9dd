"""Can this feedback be trusted? One report, and warnings that say what to do."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.feedback.quality.agreement import agreement_report, estimate
from rlhf_lib.feedback.quality.checks import checks_report
from rlhf_lib.feedback.quality.consistency import (
    contradictions,
    preference_cycles,
    self_consistency,
    side_bias,
)
from rlhf_lib.feedback.quality.sittings import fatigue_report
from rlhf_lib.feedback.quality.strengths import strengths_report
from rlhf_lib.feedback.quality.warnings import warnings
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.paths import atomic_path


def quality_report(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return all that can be said about the quality of feedback, ready for JSON.

    A figure is ``{"value", "n", "reason"}``: `n` says from how many cases it comes; where it
    cannot be computed, `value` is None and `reason` says why.

    Parameters
    ----------
    annotations : list of Annotation
        The whole history; superseded answers are counted, then left aside. Answers to obvious
        checks are counted as passed or failed, and enter nothing else. "Can't tell" is counted,
        and enters only the figures on fatigue.

    Returns
    -------
    dict
        counts, balance, checks, agreement, self_consistency, side_bias, contradictions, cycles,
        fatigue, strengths, and warnings: a list of {"found", "do"}.
    """
    standing = current_annotations(annotations)
    current = [annotation for annotation in standing if not annotation.is_check]
    answers = [annotation for annotation in current if not annotation.cant_tell]
    report = {
        "counts": {
            "annotations": len(annotations),
            "superseded": len(annotations) - len(standing),
            "checks": len(standing) - len(current),
            "cant_tell": len(current) - len(answers),
            "answers": len(answers),
            "pairs": len({annotation.pair for annotation in answers}),
            "songs": len({annotation.song_id for annotation in answers}),
            "by_rater": dict(Counter(annotation.rater_id for annotation in answers)),
            "by_rater_kind": dict(Counter(annotation.rater_kind for annotation in answers)),
        },
        "balance": _balance(current, answers),
        "checks": checks_report(standing),
        "agreement": agreement_report(answers),
        "self_consistency": self_consistency(answers),
        "side_bias": side_bias(answers),
        "contradictions": contradictions(answers),
        "cycles": preference_cycles(answers),
        "fatigue": fatigue_report(current),
        "strengths": strengths_report(answers),
    }
    return report | {"warnings": [{"found": found, "do": do} for found, do in warnings(report)]}


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
