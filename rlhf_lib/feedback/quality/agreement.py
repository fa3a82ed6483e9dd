"""How far raters agree: percentage, Cohen's kappa, Krippendorff's alpha."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import krippendorff
import numpy as np

from rlhf_lib.feedback.annotation import Annotation

#: A rater with at least this many shared answers is compared with the others, and is the odd one
#: out when the agreement with them is lower by this much than their agreement with each other.
MIN_SHARED, ODD_GAP = 10, 0.2
#: The unordered pair of edits that an answer is about, see `Annotation.pair`.
Pair = tuple[str | None, str, str, str]


def estimate(value: float | None, n: int, reason: str | None = None) -> dict[str, Any]:
    """Return a figure of the report; one that cannot be computed is None with a reason."""
    return {"value": None if value is None else float(value), "n": int(n), "reason": reason}


def signed(annotation: Annotation, first_edit: str) -> int:
    """Return the answer on the seven-point scale, positive when `first_edit` is preferred.

    Returns
    -------
    int
        3, 2, 1 when `first_edit` is preferred strongly, moderately, slightly; 0 for a tie;
        −1, −2, −3 when the other one is.
    """
    a_is_first = annotation.edit_a_id == first_edit
    return annotation.strength * (1 if (annotation.preference == "a") == a_is_first else -1)


def by_pair(annotations: Sequence[Annotation]) -> dict[Pair, list[Annotation]]:
    """Group answers by the pair they are about, in either order of its sides."""
    groups = defaultdict(list)
    for annotation in annotations:
        groups[annotation.pair].append(annotation)
    return dict(groups)


def ratings(annotations: Sequence[Annotation]) -> list[dict[str, int]]:
    """Return for each pair of edits the answer of each rater, on the seven-point scale.

    Positive values prefer edit a of the pair's earliest answer. Only a rater's first answer to a
    pair counts: repeats check the rater and are not second votes.
    """
    units = []
    for answers in by_pair(annotations).values():
        unit: dict[str, int] = {}
        for answer in answers:
            unit.setdefault(answer.rater_id, signed(answer, answers[0].edit_a_id))
        units.append(unit)
    return units


def cohen_kappa(first: Sequence[int], second: Sequence[int]) -> dict[str, Any]:
    """Return Cohen's kappa of two raters' labels of the same items, as an `estimate`.

    κ = (p_o − p_e) / (1 − p_e): the observed agreement p_o beyond the chance agreement p_e that
    follows from each rater's label shares. Cohen (1960), Educational and Psychological
    Measurement 20.
    """
    n = len(first)
    if n < 2:
        return estimate(None, n, "fewer than 2 pairs were rated by both")
    observed = np.mean(np.equal(first, second))
    shares = Counter(first), Counter(second)
    expected = sum(shares[0][label] * shares[1][label] for label in shares[0]) / n**2
    if expected == 1:
        return estimate(None, n, "both always gave the same answer")
    return estimate((observed - expected) / (1 - expected), n)


def krippendorff_alpha(units: Sequence[dict[str, int]], level: str) -> dict[str, Any]:
    """Return Krippendorff's alpha, as an `estimate` whose n counts the units rated twice or more.

    Unlike kappa it allows any number of raters and missing answers. Krippendorff (2011),
    "Computing Krippendorff's Alpha-Reliability".

    Parameters
    ----------
    units : list of dict
        For each item the value that each rater gave.
    level : "nominal" or "ordinal"
        Values are either equal or not, or are ordered.
    """
    units = [unit for unit in units if len(unit) > 1]
    if not units:
        return estimate(None, 0, "no pair was rated by two raters")
    values = sorted({value for unit in units for value in unit.values()})
    if len(values) == 1:
        return estimate(None, len(units), "all answers to shared pairs are the same")
    counts = np.array([[list(unit.values()).count(value) for value in values] for unit in units])
    alpha = krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=level)
    return estimate(alpha, len(units))


def agreement_report(annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Return how far raters agree on the pairs that more than one of them rated.

    Percentage, kappa and the nominal alpha compare which edit was chosen, or that both answers
    are ties. The ordinal alpha uses the whole seven-point scale: "slightly A" against "slightly
    B" is a small disagreement, "strongly A" against "strongly B" a large one. It is ordinal
    because the steps of the scale may not be equally wide.
    """
    scale = ratings(annotations)
    chosen = [{rater: int(np.sign(value)) for rater, value in unit.items()} for unit in scale]
    shared: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for unit in chosen:
        for one, other in combinations(sorted(unit), 2):
            shared[one, other].append((unit[one], unit[other]))
    kappas = [
        {"raters": list(raters), "agreement": _share_equal(labels)}
        | {"kappa": cohen_kappa(*zip(*labels, strict=True))}
        for raters, labels in sorted(shared.items())
    ]
    known = [row["kappa"]["value"] for row in kappas if row["kappa"]["value"] is not None]
    everything = [labels for group in shared.values() for labels in group]
    raters = sorted({rater for pair in shared for rater in pair})
    return {
        "n_shared_pairs": sum(len(unit) > 1 for unit in scale),
        "agreement": _share_equal(everything),
        "mean_cohen_kappa": estimate(np.mean(known), len(known))
        if known
        else estimate(None, 0, "no two raters have a kappa"),
        "krippendorff_alpha_nominal": krippendorff_alpha(chosen, "nominal"),
        "krippendorff_alpha_ordinal": krippendorff_alpha(scale, "ordinal"),
        "cohen_kappa": kappas,
        "with_others": {rater: _share_equal(_of(shared, rater, True)) for rater in raters},
        "odd_ones_out": _odd_ones_out(shared, raters),
    }


def _of(shared: dict[tuple[str, str], list], rater: str, involved: bool) -> list[tuple[int, int]]:
    """Return the labels of all pairs of raters that do, or do not, involve this one."""
    return [
        label for pair, group in shared.items() if (rater in pair) == involved for label in group
    ]


def _odd_ones_out(shared: dict[tuple[str, str], list], raters: list[str]) -> list[dict[str, Any]]:
    """Return the raters who agree with the others far less than those do with each other."""
    found = []
    for rater in raters if len(raters) > 2 else ():
        own, others = (_share_equal(_of(shared, rater, involved)) for involved in (True, False))
        if min(own["n"], others["n"]) < MIN_SHARED or own["value"] >= others["value"] - ODD_GAP:
            continue
        found.append(
            {"rater_id": rater, "with_others": own["value"], "among_others": others["value"]}
        )
    return found


def _share_equal(labels: Sequence[tuple[int, int]]) -> dict[str, Any]:
    if not labels:
        return estimate(None, 0, "no pair was rated by two raters")
    return estimate(sum(one == other for one, other in labels) / len(labels), len(labels))
