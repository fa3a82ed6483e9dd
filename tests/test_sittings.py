"""Compare the report on sittings with hand-computed values."""

import pytest
from feedback_examples import answer, sitting

from rlhf_lib.feedback.quality.report import quality_report
from rlhf_lib.feedback.quality.sittings import fatigue_report


def test_a_pause_ends_a_sitting_and_its_halves_are_compared():
    tired = sitting(20, day=1, tie_from=15, seconds=lambda i: 60.0 - 2 * i)
    even = sitting(12, day=2)
    report = fatigue_report([*even[::-1], *tired, *sitting(3, day=3), answer(timestamp=None)])
    assert (report["n_sittings"], report["n_too_short"]) == (3, 1)
    assert report["n_undated_answers"] == 1
    first, second = report["sittings"]
    assert (first["n_answers"], first["minutes"]) == (20, 19.0)
    assert first["undecided"]["first_half"]["value"] == 0.0
    assert first["undecided"]["second_half"]["value"] == 0.5
    assert first["median_seconds"]["first_half"]["value"] == 51.0  # of 60, 58 … 42
    assert first["time_trend"]["value"] == pytest.approx(-1.0)
    assert second["time_trend"]["value"] is None
    assert "all values are the same" in second["time_trend"]["reason"]


def _found(report):
    return " | ".join(warning["found"] for warning in report["warnings"])


def test_drift_over_a_sitting():
    fading = [
        one.model_copy(update={"strength": 3 - i // 10, "annotation_id": f"f{i}"})
        for i, one in enumerate(sitting(30))
    ]
    report = fatigue_report(fading)["sittings"][0]
    assert report["strength_trend"]["value"] < -0.9
    assert "preferences grew weaker" in _found(quality_report(fading))
    # Of 15 choices the first half takes the side shown first 7 times, the second half always.
    sided = [
        one.model_copy(
            update={
                "preference": one.shown_first if i >= 15 or i % 2 else "ab"[one.shown_first == "a"],
                "annotation_id": f"d{i}",
            }
        )
        for i, one in enumerate(sitting(30))
    ]
    side = fatigue_report(sided)["sittings"][0]["first_shown_chosen"]
    assert side["first_half"]["value"] == pytest.approx(7 / 15)
    assert side["second_half"]["value"] == 1.0
    # Fixed margins 22 of 30: P(7 or fewer in the first half) = C(15,7) C(15,15) / C(30,22).
    assert side["p_value"] == pytest.approx(2 * 6435 / 5852925, rel=1e-6)
    assert "47% of the first half and 100% of the second" in _found(quality_report(sided))
