"""Compare the figures of the quality report with hand-computed and published values."""

import json

import pytest
from feedback_examples import answer, sitting

from rlhf_lib.feedback.quality.agreement import (
    agreement_report,
    cohen_kappa,
    krippendorff_alpha,
    signed,
)
from rlhf_lib.feedback.quality.consistency import (
    contradictions,
    preference_cycles,
    self_consistency,
    side_bias,
)
from rlhf_lib.feedback.quality.report import quality_report, write_quality_report
from rlhf_lib.feedback.store import PreferenceStore


def _prefers(winner, loser, **fields):
    return answer(edit_a_id=winner, edit_b_id=loser, **fields)


def _swapped(**fields):
    return answer(edit_a_id="temp_0.9", edit_b_id="temp_0.1", **fields)


def test_the_seven_point_scale_does_not_depend_on_the_sides():
    assert signed(answer(strength=3), "temp_0.1") == 3
    assert signed(answer(strength=3), "temp_0.9") == -3
    assert signed(_swapped(preference="b", strength=1), "temp_0.1") == 1
    assert signed(answer(preference="tie", strength=0), "temp_0.9") == 0


def test_cohen_kappa_of_the_fifty_grant_proposals():
    # Both yes 20, yes/no 5, no/yes 10, both no 15: p_o = 0.7, p_e = 0.5, kappa = 0.4.
    first = [1] * 20 + [1] * 5 + [-1] * 10 + [-1] * 15
    second = [1] * 20 + [-1] * 5 + [1] * 10 + [-1] * 15
    kappa = cohen_kappa(first, second)
    assert kappa["value"] == pytest.approx(0.4)
    assert (kappa["n"], kappa["reason"]) == (50, None)


def test_cohen_kappa_with_three_answers_by_hand():
    # 5 of 6 agree; shares 3, 2, 1 and 2, 2, 2 of 6: p_e = (6 + 4 + 2) / 36 = 1/3.
    kappa = cohen_kappa([1, 1, 1, -1, -1, 0], [1, 1, 0, -1, -1, 0])
    assert kappa["value"] == pytest.approx((5 / 6 - 1 / 3) / (2 / 3))


def test_kappa_without_variance_is_null_with_a_reason():
    assert cohen_kappa([1, 1, 1], [1, 1, 1])["value"] is None
    assert "same answer" in cohen_kappa([1, 1, 1], [1, 1, 1])["reason"]
    assert cohen_kappa([1], [1])["value"] is None


# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section on four observers.
_TEXTBOOK = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_krippendorff_alpha_of_the_textbook(level, alpha):
    units = [
        {str(rater): value for rater, value in enumerate(column) if value is not None}
        for column in zip(*_TEXTBOOK, strict=True)
    ]
    result = krippendorff_alpha(units, level)
    assert result["value"] == pytest.approx(alpha, abs=5e-4)
    assert result["n"] == 11  # the last unit has one value only


def test_alpha_that_cannot_be_computed_is_null_with_a_reason():
    assert krippendorff_alpha([{"a": 1}], "nominal")["value"] is None
    assert krippendorff_alpha([{"a": 1, "b": 1}, {"a": 2}], "nominal")["value"] is None


def test_agreement_between_two_raters_by_hand():
    # Four shared pairs: the same choice on two of them, once with swapped sides.
    mine = [answer(song_id=f"s{i}", preference="aabb"[i]) for i in range(4)]
    theirs = [
        answer(song_id="s0", rater_id="bob", strength=1),
        _swapped(song_id="s1", rater_id="bob", preference="b"),
        answer(song_id="s2", rater_id="bob", preference="a"),
        answer(song_id="s3", rater_id="bob", preference="tie", strength=0),
    ]
    repeat = answer(song_id="s0", preference="b")  # the first answer to a pair counts
    report = agreement_report([*mine, *theirs, repeat, answer(song_id="s9")])
    assert report["n_shared_pairs"] == 4
    assert report["agreement"] == {"value": 0.5, "n": 4, "reason": None}
    (pair,) = report["cohen_kappa"]
    assert pair["raters"] == ["ann", "bob"]
    # p_o = 1/2; ann a 2, b 2; bob a 3, tie 1: p_e = 2*3/16 = 3/8; kappa = (1/8) / (5/8).
    assert pair["kappa"]["value"] == pytest.approx(0.2)
    assert report["mean_cohen_kappa"]["value"] == pytest.approx(0.2)
    assert report["with_others"]["bob"]["value"] == 0.5


def test_edits_of_other_manifests_are_other_edits():
    one = answer(manifest_id="0" * 64)
    other = answer(manifest_id="1" * 64, rater_id="bob")
    assert agreement_report([one, other])["n_shared_pairs"] == 0


def test_self_consistency_on_repeats():
    answers = [
        answer(song_id="s1", shown_first="a", strength=3),
        _swapped(song_id="s1", preference="b", shown_first="a", strength=1),  # same, swapped
        answer(song_id="s2", shown_first="a"),
        answer(song_id="s2", shown_first="b", preference="b"),  # other, swapped
        answer(song_id="s3", shown_first="b", preference="tie", strength=0),
        answer(song_id="s3", shown_first="b", preference="tie", strength=0),  # same, kept
        answer(song_id="s4"),
        answer(song_id="s4"),  # same, sides unknown
        answer(song_id="s1", rater_id="bob"),  # another rater is no repeat
    ]
    report = self_consistency(answers)
    assert report["same_choice"] == {"value": 0.75, "n": 4, "reason": None}
    assert report["same_choice_sides_swapped"] == {"value": 0.5, "n": 2, "reason": None}
    assert report["same_choice_sides_kept"] == {"value": 1.0, "n": 1, "reason": None}
    assert report["mean_shift_on_seven_points"]["value"] == (2 + 4 + 0 + 0) / 4
    assert set(report["by_rater"]) == {"ann"}


def test_side_bias_has_the_exact_interval():
    # Clopper and Pearson for 8 of 10: 0.4439 to 0.9748.
    answers = [answer(shown_first="a") for _ in range(5)]
    answers += [answer(shown_first="b", preference="b") for _ in range(3)]
    answers += [answer(shown_first="b") for _ in range(2)]
    answers += [answer(shown_first="b", preference="tie", strength=0), answer()]
    bias = side_bias(answers)
    assert bias["first_shown_chosen"]["value"] == 0.8
    assert bias["first_shown_chosen"]["n"] == 10
    assert bias["first_shown_chosen"]["interval"] == pytest.approx([0.4439, 0.9748], abs=1e-4)
    assert bias["first_shown_chosen"]["p_value"] == pytest.approx(112 / 1024)  # both tails
    assert bias["edit_a_shown_first"]["value"] == 5 / 11
    assert side_bias([answer()])["first_shown_chosen"]["value"] is None


def test_contradictions_are_listed_by_pair():
    answers = [
        answer(annotation_id="1", task_id="t1"),
        _swapped(annotation_id="2", task_id="t1"),  # prefers the other edit now
        answer(annotation_id="3", rater_id="bob", preference="b"),
        answer(annotation_id="4", song_id="s2"),
        answer(annotation_id="5", song_id="s2", preference="tie", strength=0),
    ]
    (found,) = contradictions(answers)
    assert found["annotation_ids"] == ["1", "2"]
    assert (found["rater_id"], found["song_id"]) == ("ann", "song_001")
    assert found["edits"] == ["temp_0.1", "temp_0.9"]
    assert found["task_ids"] == ["t1"]


def test_preference_cycles_are_found_once_each():
    answers = [
        _prefers("x", "y", annotation_id="xy"),
        _prefers("y", "z", annotation_id="yz"),
        _prefers("z", "x", annotation_id="zx"),
        _prefers("x", "w"),  # not part of the cycle
        _prefers("x", "y", rater_id="bob"),
        _prefers("y", "z", rater_id="bob"),
        _prefers("z", "x", rater_id="bob", song_id="s2"),  # another song closes no cycle
    ]
    (found,) = preference_cycles(answers)
    assert found["edits"] == ["x", "y", "z"]
    assert found["annotation_ids"] == ["xy", "yz", "zx"]
    assert found["rater_id"] == "ann"


def test_a_cycle_of_four_and_ties():
    chain = [_prefers("a1", "b1"), _prefers("b1", "c1"), _prefers("c1", "d1")]
    tie = _prefers("d1", "a1", preference="tie", strength=0)
    assert preference_cycles([*chain, tie]) == []
    (found,) = preference_cycles([*chain, _prefers("a1", "d1", preference="b")])
    assert found["edits"] == ["a1", "b1", "c1", "d1"]


def _found(annotations):
    warnings = quality_report(annotations)["warnings"]
    assert all(warning["found"] and warning["do"] for warning in warnings)
    return " | ".join(warning["found"] for warning in warnings)


def test_good_feedback_gives_no_warning():
    both = sitting(40) + sitting(40, day=2, rater_id="bob")
    repeats = sitting(4, day=3)
    assert _found(both + repeats) == ""


@pytest.mark.parametrize(
    ("annotations", "warning"),
    [
        (sitting(29), "only 29 different pairs"),
        ([answer()] * 3, "all answers are about one song"),
        (sitting(30), "all answers come from one rater"),
        (sitting(9) + sitting(9, rater_kind="simulated"), "simulated raters are mixed"),
        (sitting(20, tie_from=5), "75% of the answers are ties"),
        ([answer(preference="tie", strength=0, cant_tell=True)] * 5 + sitting(9), "36% of the"),
        ([answer(strength=3)] * 10, "every preference has strength 3"),
        ([answer(listening={"seconds_a": 3.0})], "without hearing both"),
        ([answer(song_id="x"), answer(rater_id="bob")], "no pair was rated by two raters"),
        ([answer(shown_first="a")] * 20, "edit a was shown first in 100%"),
        ([answer(shown_first="a")] * 20, "the side shown first was chosen in 100%"),
        ([answer()], "which edit was shown first"),
        (sitting(10), "no pair was asked twice"),
        ([answer(preference="ab"[i % 2]) for i in range(9)], "again in only 0% of 8 repeats"),
        ([answer(), answer(preference="b")], "1 contradicted"),
        ([_prefers("x", "y"), _prefers("y", "z"), _prefers("z", "x")], "1 cyclic"),
        (sitting(20, tie_from=15), "undecided answers rose from 0% to 50%"),
        (sitting(20, seconds=lambda i: 60.0 - 3 * i), "less than half the time"),
    ],
)
def test_faults_are_warned_of(annotations, warning):
    annotations = [
        one.model_copy(update={"annotation_id": str(i)}) for i, one in enumerate(annotations)
    ]
    assert warning in _found(annotations)


def test_low_agreement_and_the_odd_one_out():
    opposite = [
        one.model_copy(
            update={
                "preference": {"a": "b", "b": "a"}[one.preference],
                "rater_id": "eve",
                "annotation_id": f"eve{i}",
            }
        )
        for i, one in enumerate(sitting(20))
    ]
    assert "raters hardly agree" in _found(sitting(20) + opposite)
    three = sitting(20) + sitting(20, rater_id="bob") + opposite
    assert "rater 'eve' agrees with the others on 0%" in _found(three)


def test_answers_to_checks_enter_nothing_but_the_count_of_checks():
    plain = sitting(40) + sitting(40, day=2, rater_id="bob") + sitting(4, day=3)
    checks = [
        answer(song_id=f"s{i}", edit_b_id="check", preference="b", rater_id="bob") for i in range(2)
    ]
    without, report = quality_report(plain), quality_report(plain + checks)
    assert report["checks"]["by_rater"]["bob"]["failed"] == 2
    assert [one["found"] for one in report["warnings"]] == [
        "rater 'bob' failed 2 of 2 obvious checks"
    ]
    assert "--max_failed_checks" in report["warnings"][0]["do"]
    assert (report["counts"]["checks"], report["counts"]["superseded"]) == (2, 0)
    for name in without.keys() - {"counts", "checks", "warnings"}:
        assert report[name] == without[name], name


def test_superseded_and_undecidable_answers_are_left_aside():
    first = answer(annotation_id="1")
    undone = answer(preference="b", supersedes="1", annotation_id="2")
    unsure = answer(preference="tie", strength=0, cant_tell=True)
    report = quality_report([first, undone, unsure])
    assert report["counts"]["annotations"] == 3
    assert report["counts"]["superseded"] == 1
    assert report["counts"]["cant_tell"] == 1
    assert report["balance"]["preference"] == {"a": 0, "b": 1, "tie": 0}
    assert report["contradictions"] == []


def test_an_empty_report_has_reasons_instead_of_numbers(tmp_path):
    path = write_quality_report(PreferenceStore(tmp_path))
    assert path == tmp_path / "quality_report.json"

    def check(node):
        if isinstance(node, dict):
            if "value" in node:
                assert (node["value"] is None) == bool(node["reason"])
            for part in node.values():
                check(part)

    report = json.loads(path.read_text())
    check(report)
    assert report["counts"]["answers"] == 0
    assert [warning["found"] for warning in report["warnings"]] == [
        "only 0 different pairs were compared, fewer than 30"
    ]


def test_the_report_is_written_beside_the_store(tmp_path):
    store = PreferenceStore(tmp_path / "feedback")
    store.add(sitting(12) + sitting(12, rater_id="bob"))
    report = json.loads(write_quality_report(store).read_text())
    assert report == json.loads(json.dumps(quality_report(store.load())))
    assert report["counts"]["by_rater"] == {"ann": 12, "bob": 12}
    assert report["agreement"]["krippendorff_alpha_ordinal"]["value"] == 1.0
