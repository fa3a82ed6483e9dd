"""The quality report on feedback: figures, and warnings with what to do about them."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.feedback.manifest import Manifest
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


def quality_report(
    annotations: Sequence[Annotation], kept: Callable[[str], Manifest | None] | None = None
) -> dict[str, Any]:
    """Return the quality report on feedback, ready for JSON.

    A figure is ``{"value", "n", "reason"}``: `n` is the number of cases; where the figure cannot
    be computed, `value` is None and `reason` gives the cause.

    Parameters
    ----------
    annotations : list of Annotation
        The whole history; superseded answers are counted, then left out. Answers to obvious
        checks are counted as passed or failed and used for nothing else. "Can't tell" is counted
        and used only for the figures on fatigue.
    kept : callable, optional
        manifest_id → Manifest, or None: `PreferenceStore.find_manifest`. Without it, songs are
        called by their ids.

    Returns
    -------
    dict
        counts, balance, checks, agreement, self_consistency, side_bias, contradictions, cycles,
        fatigue, strengths, and warnings: a list of {"found", "do"}.
    """
    current = current_annotations(annotations)
    compared = [annotation for annotation in current if not annotation.is_check]
    answers = [annotation for annotation in compared if not annotation.cant_tell]
    report = {
        "counts": {
            "annotations": len(annotations),
            "superseded": len(annotations) - len(current),
            "checks": len(current) - len(compared),
            "cant_tell": len(compared) - len(answers),
            "answers": len(answers),
            "pairs": len({annotation.pair for annotation in answers}),
            "songs": len({annotation.song_id for annotation in answers}),
            "by_rater": dict(Counter(annotation.rater_id for annotation in answers)),
            "by_rater_kind": dict(Counter(annotation.rater_kind for annotation in answers)),
        },
        "balance": _balance(compared, answers),
        "checks": checks_report(current),
        "agreement": agreement_report(answers),
        "self_consistency": self_consistency(answers),
        "side_bias": side_bias(answers),
        "contradictions": contradictions(answers),
        "cycles": preference_cycles(answers),
        "fatigue": fatigue_report(compared),
        "strengths": strengths_report(answers),
    }
    _name_songs(report, kept or (lambda manifest_id: None))
    return report | {"warnings": [{"found": found, "do": do} for found, do in warnings(report)]}


def write_quality_report(store: PreferenceStore) -> Path:
    """Write the report on a store to ``quality_report.json`` next to it and return the path."""
    path = store.folder / "quality_report.json"
    report = quality_report(store.load(), store.find_manifest)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return path


def _name_songs(report: dict[str, Any], kept: Callable[[str], Manifest | None]) -> None:
    """Add `song`, what researchers call it, next to every `song_id` of the report."""
    listed = [*report["contradictions"], *report["cycles"], *report["checks"]["failed_answers"]]
    about = [(entry["manifest_id"], entry) for entry in listed]
    about += [(one["manifest_id"], entry) for one in report["strengths"] for entry in one["songs"]]
    names: dict[str | None, dict[str, str]] = {None: {}}
    for manifest_id, entry in about:
        if manifest_id not in names:
            manifest = kept(manifest_id)
            names[manifest_id] = manifest.song_names() if manifest else {}
        entry["song"] = names[manifest_id].get(entry["song_id"], entry["song_id"])


def _balance(compared: Sequence[Annotation], answers: Sequence[Annotation]) -> dict[str, Any]:
    preferences = Counter(answer.preference for answer in answers)
    strengths = Counter(answer.strength for answer in answers)
    heard = [answer.listening for answer in compared if answer.listening is not None]
    not_both_heard = sum(0 in (one.seconds_a, one.seconds_b) for one in heard)
    none = "there are no answers"
    return {
        "preference": {name: preferences[name] for name in ("a", "b", "tie")},
        "strength": {str(strength): strengths[strength] for strength in range(4)},
        "ties": _share(preferences["tie"], len(answers), none),
        "cant_tell": _share(len(compared) - len(answers), len(compared), none),
        "without_hearing_both": _share(
            not_both_heard, len(heard), "no answer has a listening record"
        ),
        "tags": dict(Counter(tag for answer in answers for tag in answer.tags)),
    }


def _share(count: int, n: int, reason: str) -> dict[str, Any]:
    return estimate(count / n, n) if n else estimate(None, 0, reason)
