"""Comparisons from answers: which are used, how several are combined, what is reported."""

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.feedback_pairs import (
    AnswerSelection,
    comparisons_from_feedback,
    teaches_little,
)


@pytest.fixture(scope="module")
def material():
    songs = small_songs(2)
    manifest = small_manifest(songs)
    by_hash = {song.sha256: song for song in songs.values()}
    return manifest, {manifest.manifest_id: manifest}, by_hash


@pytest.fixture
def answer(material):
    manifest = material[0]

    def make(preference="a", strength=2, **fields):
        usual = {
            "song_id": "song_001",
            "edit_a_id": "temp_0.1",
            "edit_b_id": "temp_0.9",
            "rater_id": "ann",
            "rater_kind": "human",
            "manifest_id": manifest.manifest_id,
        }
        strength = 0 if preference == "tie" else strength
        return Annotation.new(preference=preference, strength=strength, **usual | fields)

    return make


@pytest.fixture
def pairs(material):
    return lambda answers, **options: comparisons_from_feedback(
        answers, *material[1:], AnswerSelection(**options)
    )


def _told(result):
    return sorted((one.preference, one.strength, one.weight) for one in result.comparisons)


def test_one_answer_is_one_comparison_of_the_right_edits(pairs, answer, material):
    result = pairs([answer("b", 3)])
    (one,) = result.comparisons
    entry = material[0].song("song_001")
    assert one.a.actions.tolist() == entry.candidates[0].actions
    assert one.b.actions.tolist() == entry.candidates[4].actions
    assert (one.preference, one.strength, one.weight) == (0.0, 3, 1.0)
    assert (result.n_answers, result.n_pairs, result.excluded) == (1, 1, {})


def test_equal_answers_of_several_raters_add_their_votes(pairs, answer):
    swapped = {"edit_a_id": "temp_0.9", "edit_b_id": "temp_0.1"}
    result = pairs(
        [
            answer("a", 2),
            answer("b", 2, rater_id="bob", **swapped),
            answer("a", 1, rater_id="cid"),
            answer("a", 3, rater_id="eve", **swapped),
        ]
    )
    assert _told(result) == [(0.0, 3, 1.0), (1.0, 1, 1.0), (1.0, 2, 2.0)]
    assert (result.n_answers, result.n_pairs) == (4, 1)
    assert {one.a.target for one in result.comparisons} == {1.0}


def test_a_raters_repeats_share_one_vote(pairs, answer):
    result = pairs([answer("a"), answer("a"), answer("tie"), answer("tie", song_id="song_002")])
    assert _told(result) == [(0.5, 0, pytest.approx(1 / 3)), (0.5, 0, 1.0), (1.0, 2, 2 / 3)]
    assert sum(one.weight for one in result.comparisons) == pytest.approx(2)


def test_what_is_left_out_is_told_with_its_reason(pairs, answer):
    check = {"edit_b_id": "check"}
    result = pairs(
        [
            answer(),
            answer("tie", cant_tell=True),
            answer(confidence=0.7),
            answer(confidence=0.71, song_id="song_002"),
            answer("b", rater_id="bob", **check),
            answer("b", rater_id="bob", **check),
            answer(rater_id="bob"),
            answer("b", rater_id="cid", **check),
            answer("a", rater_id="cid"),
            answer(rater_id="eve"),
        ],
        exclude_raters=["eve"],
        max_failed_checks=1,
    )
    assert result.excluded == {
        "the rater could not tell": 1,
        "confidence not above 0.7": 1,
        "the answer to an obvious check": 3,
        "rater 'bob' failed 2 obvious checks": 1,
        "rater 'eve' is excluded": 1,
    }
    assert result.n_answers == 3
    assert sum(result.excluded.values()) + result.n_answers == 10


@pytest.fixture
def answered(pairs, answer, material):
    """Return the warnings about answers to the first of 20 pairs: a letter (a, b, t) for each."""

    def make(**letters):
        given = []
        for rater, preferences in letters.items():
            for task, letter in zip(material[0].tasks, preferences, strict=False):
                ids = {"edit_a_id": task.edit_a_id, "edit_b_id": task.edit_b_id}
                preference = "tie" if letter == "t" else letter
                given.append(answer(preference, rater_id=rater, song_id=task.song_id, **ids))
        return teaches_little(pairs(given).comparisons)

    return make


@pytest.mark.parametrize(
    ("letters", "told"),
    [
        ({"ann": "a" * 20}, "edit a was preferred in 20 of 20 decided"),
        ({"ann": "b" * 20}, "edit b was preferred in 20 of 20 decided"),
        ({"ann": "a" * 10 + "t" * 10}, "edit a was preferred in 10 of 10 decided"),
        ({"ann": "b" + "a" * 19}, "edit a was preferred in 19 of 20 decided"),  # 95 %
        ({"ann": "t" * 5}, "all 5 comparisons are ties"),
        ({"ann": "ab" * 10, "bob": "ba" * 10}, "on 20 of the 20 pairs that several rated"),
        # Ten shared pairs, of which six cancel out.
        ({"ann": "ab" * 10, "bob": "bababaabab"}, "on 6 of the 10 pairs that several rated"),
    ],
)
def test_answers_that_teach_little_are_reported_with_their_numbers(answered, letters, told):
    (warning,) = answered(**letters)
    assert told in warning
    assert "rate" in warning  # what to do


@pytest.mark.parametrize(
    "letters",
    [
        {},
        {"ann": "a" * 9},  # too few to tell
        {"ann": "bb" + "a" * 18},  # 90 %
        {"ann": "ab" * 10, "bob": "ab" * 10},
        {"ann": "ab" * 10, "bob": "ba" * 5 + "ab" * 5},  # they differ on 10 of 20
        {"ann": "ab" * 10, "bob": "babababab"},  # nine shared pairs
        {"ann": "ab" * 10, "bob": "ab" * 10, "cid": "ba" * 10},  # a majority on every pair
        {"ann": "ab" * 10, "bob": "t" * 20},
    ],
)
def test_good_or_few_answers_give_no_warning(answered, letters):
    assert answered(**letters) == []


def test_contradictions_are_found_whichever_side_an_edit_is_on(pairs, answer, material):
    tasks = material[0].tasks
    given = [
        answer(song_id=task.song_id, edit_a_id=task.edit_a_id, edit_b_id=task.edit_b_id)
        for task in tasks
    ]
    for_a = pairs(given).comparisons
    swapped = [Comparison(one.b, one.a, 1.0) for one in for_a]
    told = "raters contradict each other on 20 of the 20 pairs"
    assert any(told in warning for warning in teaches_little([*for_a, *swapped]))
    alike = [Comparison(one.b, one.a, 0.0) for one in for_a]
    assert not any("contradict" in warning for warning in teaches_little([*for_a, *alike]))


def test_a_raters_own_repeats_are_no_contradiction_of_raters(pairs, answer, material):
    given = [
        answer(preference, song_id=task.song_id, edit_a_id=task.edit_a_id, edit_b_id=task.edit_b_id)
        for task in material[0].tasks
        for preference in "ab"
    ]
    assert teaches_little(pairs(given).comparisons) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude_raters": ["Ann"]}, "'Ann' to exclude gave no answer; the raters are 'ann'"),
        ({"max_failed_checks": -1}, "max_failed_checks is -1"),
        ({"min_confidence": 1.5}, "min_confidence 1.5"),
        ({"min_confidence": float("nan")}, "min_confidence nan"),
    ],
)
def test_bad_options_are_refused(pairs, answer, options, message):
    with pytest.raises(InputError, match=message):
        pairs([answer()], **options)


def test_unknown_manifests_and_songs_are_named(pairs, answer, material):
    with pytest.raises(InputError, match="import the feedback together with its manifest"):
        pairs([answer(manifest_id="0" * 64)])
    with pytest.raises(InputError, match="not among the loaded songs"):
        comparisons_from_feedback([answer()], material[1], {})
