"""Comparisons from answers: which are used, how several are combined, what is reported."""

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.learning.reward.feedback_pairs import AnswerSelection, comparisons_from_feedback


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
