"""Bars of any metre, by hand; what they mean for decisions, joins and features."""

import numpy as np
import pytest

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.analysis.joins import JOIN_TERMS, JoinCosts
from rlhf_lib.analysis.sections import Section
from rlhf_lib.analysis.structure import structure_features
from rlhf_lib.errors import InputError


def sound_of(n_beats, seed=0):
    return 5 * np.abs(np.random.default_rng(seed).standard_normal((n_beats, 87)))


def metre_features(bars, sections=()):
    times = 0.5 * np.arange(bars.n_beats)
    sound = sound_of(bars.n_beats)
    values = structure_features(sound, times, times[-1] + 0.5, bars, sections)
    return dict(zip(FEATURE_NAMES[87:], values.T, strict=True))


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("n_beats", [16, 17, 18, 19, 49, 50, 75, 99, 100, 101, 130])
def test_bars_of_one_length_are_counted_modulo_that_length(length, n_beats):
    """Estimated bars: from the first downbeat on, every third or fourth beat."""
    beats = np.arange(n_beats)
    for first in range(length):
        bars = Bars(np.arange(first, n_beats, length), n_beats)
        np.testing.assert_array_equal(bars.place, (beats - first) % length)
        np.testing.assert_array_equal(bars.length, length)
        np.testing.assert_array_equal(bars.number, (beats - first) // length)
        assert bars.usual == length
        step = length if n_beats >= 100 else 2 if n_beats >= 50 and length == 4 else 1
        expected = [b for b in range(n_beats) if b == 0 or (b - first) % step == 0]
        assert bars.decision_points.tolist() == expected


def test_changing_bars_by_hand():
    #                      pick-up  5 beats          3        4           2 left of 4
    bars = Bars(np.array([2, 7, 10, 14]), 16)
    assert bars.place.tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3, 0, 1]
    assert bars.length.tolist() == [5] * 7 + [3] * 3 + [4] * 6
    assert bars.number.tolist() == [-1] * 2 + [0] * 5 + [1] * 3 + [2] * 4 + [3] * 2
    assert bars.usual == 5  # one bar each of 5, 3 and 4: the largest
    complete = Bars(np.array([0, 3, 7, 10]), 13)  # bars of 3 4 3 3
    assert complete.length.tolist() == [3] * 3 + [4] * 4 + [3] * 6


def test_incomplete_bars_are_as_long_as_they_must_be():
    bars = Bars(np.array([5, 8, 11]), 16)  # 5 beats before bars of 3, 5 after
    assert bars.length.tolist() == [6] * 5 + [3] * 6 + [5] * 5
    assert bars.place[:6].tolist() == [1, 2, 3, 4, 5, 0]


def test_phrases_start_anew_where_a_section_begins():
    bars = Bars(np.arange(1, 41, 2), 41, [0, 13])  # bar 0 begins at beat 1, bar 6 at beat 13
    assert bars.phrase_bar[[0, 1, 2, 3, 12, 13, 14, 15]].tolist() == [-1, 0, 0, 1, 5, 0, 0, 1]
    later = Bars(np.arange(0, 40, 2), 40, [6])
    assert later.phrase_bar[[0, 2, 4, 6, 8]].tolist() == [-3, -2, -1, 0, 1]


@pytest.mark.parametrize(
    ("downbeats", "n_beats", "words"),
    [
        ([], 16, "at least one"),
        ([0.0, 4.0], 16, "numbers of beats"),
        ([4, 4], 16, "rising"),
        ([-1, 4], 16, "rising numbers of beats from 0 to 15"),
        ([0, 16], 16, "rising numbers of beats from 0 to 15"),
        ([0, 13], 16, "a bar of 13 beats; give bars of at most 12"),
        ([12], 16, "a bar of 13 beats"),
        ([0, 4], 17, "a bar of 13 beats"),
        (range(16), 16, "most bars have one beat; count the beats"),
    ],
)
def test_what_are_no_bars_is_refused(downbeats, n_beats, words):
    with pytest.raises(InputError, match=words):
        Bars(np.array(downbeats), n_beats)


@pytest.mark.parametrize(
    ("n_beats", "length", "first"),
    [
        (100, 5, [0, 5, 10]),
        (120, 7, [0, 7, 14]),
        (100, 7, [0, 4, 7, 11]),  # 7 % of the song
        (600, 12, [0, 12, 24]),
        (150, 12, [0, 6, 12, 18]),
        (100, 12, [0, 6, 12]),
        (100, 9, [0, 3, 6, 9]),
        (100, 11, [0, 6, 11, 17]),
        (100, 8, [0, 4, 8]),
        (60, 6, [0, 2, 4, 6]),
        (60, 5, [0, 1, 2, 3]),
    ],
)
def test_long_bars_are_divided_in_short_songs(n_beats, length, first):
    points = Bars(np.arange(0, n_beats, length), n_beats).decision_points
    assert points[: len(first)].tolist() == first


def test_bar_lines_and_section_starts_are_decision_points():
    downbeats = np.array([3, *range(7, 56, 4), *range(59, 120, 3)])
    points = Bars(downbeats, 121, [0, 35]).decision_points
    assert points.tolist() == [0, *downbeats]
    short = Bars(np.arange(1, 61, 5), 61, [0, 11]).decision_points
    assert {0, 1, 11} <= set(short.tolist())


def test_phrase_costs_of_changing_bars_by_hand():
    """Bars of 4 4 3 4 6 4 beats, in turn: only places of bars of one length fit each other."""
    starts = np.concatenate([[0], np.cumsum([4, 4, 3, 4, 6, 4])])
    downbeats = np.concatenate([starts[:-1], 25 + starts[:-1]])
    joins = JoinCosts(sound_of(50), 0.5 * np.arange(50), Bars(downbeats, 50))
    cost = lambda i, j: joins.costs(i, j)[JOIN_TERMS.index("phrase")]  # noqa: E731
    assert cost(3, 8) == 1  # the bar of 3 in place of the second bar of 4
    assert cost(3, 11) == pytest.approx(0.15)  # two bars on, 4 beats too
    assert cost(3, 21) == 0  # four bars on
    assert cost(3, 25) == pytest.approx(0.3)  # five bars on
    assert cost(3, 6) == pytest.approx(0.85)  # half a bar
    assert cost(14, 18) == pytest.approx(0.85)  # half of six beats
    assert cost(3, 16) == 1 and cost(7, 11) == 1
    assert cost(8, 34) == pytest.approx(0.15)  # the second beats of the two bars of 3, six bars on
    assert cost(49, 0) == pytest.approx(0)  # after the last bar of 4 would come a thirteenth bar


def test_metre_features_of_five_beats_by_hand():
    song = metre_features(Bars(np.arange(2, 62, 5), 62))
    assert np.flatnonzero(song["bar_place_0"])[:2].tolist() == [2, 7]
    assert np.flatnonzero(song["bar_place_3"])[:3].tolist() == [0, 5, 10]
    assert sum(song[f"bar_place_{k}"][6] for k in range(4)) == 0  # the fifth beat
    assert song["bar_sin"][3] == pytest.approx(np.sin(2 * np.pi / 5))
    assert song["bar_cos"][6] == pytest.approx(np.cos(2 * np.pi * 4 / 5))
    assert not song["triple"].any()


def test_features_follow_given_sections():
    """Bars of 4, then of 3 from beat 20 on; sections from beats 4 and 20 to beat 35."""
    downbeats = np.array([0, 4, 8, 12, 16, *range(20, 50, 3)])
    sections = (Section("verse", 4, 20, 0.0), Section("chorus", 20, 35, 0.0))
    song = metre_features(Bars(downbeats, 50, [4, 20]), sections)
    assert np.flatnonzero(song["segment_since"] == 0).tolist() == [0, 4, 20, 35]
    assert song["segment_left"][[0, 4, 34, 49]].tolist() == [4, 16, 1, 1]
    turn = np.arctan2(song["phrase_sin"], song["phrase_cos"]) % (2 * np.pi) / (2 * np.pi)
    np.testing.assert_allclose(
        turn[[4, 5, 8, 16, 20, 21, 23, 32]],
        [0, 1 / 16, 1 / 4, 3 / 4, 0, 1 / 12, 1 / 4, 0],
        atol=1e-12,
    )
    assert turn[0] == pytest.approx(3 / 4)  # the bar before the first section
    assert np.flatnonzero(song["triple"])[0] == 20
