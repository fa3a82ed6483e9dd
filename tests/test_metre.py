"""Metre of composed songs and of made-up beats."""

import numpy as np
import pytest
from scipy.stats import norm

from rlhf_lib.analysis.confidence import LEAST_CONFIDENCE
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES
from rlhf_lib.analysis.metre import _bar_line_confidence, change, estimate_metre
from rlhf_lib.analysis.sound import sound_features
from rlhf_lib.composer.compose import compose_song


@pytest.mark.parametrize(("style", "beats_per_bar"), [("rock", 4), ("waltz", 3)])
def test_metre_of_composed_songs_from_any_first_beat(style, beats_per_bar):
    song = compose_song(11, style, seconds=45.0)
    assert song.beats_per_bar == beats_per_bar
    sound = sound_features(song.audio, song.beat_times)
    for first in range(beats_per_bar):
        expected = np.arange(-first % beats_per_bar, len(sound) - first, beats_per_bar)
        np.testing.assert_array_equal(estimate_metre(sound[first:]).downbeats, expected)


def test_a_few_beats_and_no_change_still_give_a_metre():
    for sound in (np.ones((16, 87)), np.ones((2, 87))):
        np.testing.assert_array_equal(estimate_metre(sound).downbeats, np.arange(0, len(sound), 4))


def test_change_by_hand():
    points = np.array([[0.0], [0.0], [0.0], [0.0], [3.0], [3.0], [3.0], [3.0]])
    # Two beats each side: means 0 | 1.5 at beat 3, 0 | 3 at beat 4; one of two beats before beat 1.
    expected = [0, 0, 0, 1.5**2, 9, 1.5**2, 0, 0]
    np.testing.assert_allclose(change(points, 2), expected)


def beats_with_accents(bar, n_beats, first=0, seed=0):
    """Beat features whose chords repeat every bar and change, with bass and onset, on its first."""
    rng = np.random.default_rng(seed)
    sound = 0.3 * rng.normal(size=(n_beats, 87))
    chroma = FEATURE_GROUPS["chroma"]
    sound[:, chroma] = 0.02 * rng.random((n_beats, 12))
    of_place = rng.normal(size=(bar, 87))
    place = (np.arange(n_beats) - first) % bar
    sound += of_place[place]
    sound[:, chroma] = np.abs(sound[:, chroma])
    chord = rng.integers(0, 12, n_beats // bar + 2)[(np.arange(n_beats) - first + bar) // bar]
    sound[np.arange(n_beats), chroma.start + chord] += 2.0
    sound[place == 0, FEATURE_GROUPS["bands"].start : FEATURE_GROUPS["bands"].start + 2] += 6.0
    sound[place == 0, FEATURE_NAMES.index("onset_start")] += 4.0
    return sound


@pytest.mark.parametrize("bar", [3, 4])
def test_a_clear_metre_and_bar_line_are_sure(bar):
    metre = estimate_metre(beats_with_accents(bar, 160, first=2))
    np.testing.assert_array_equal(metre.downbeats, np.arange(2, 160, bar))
    assert metre.confidence > 0.95 and metre.bar_line_confidence > 0.95


@pytest.mark.parametrize("bar", [5, 7])
def test_an_odd_metre_is_not_sure(bar):
    for seed in range(3):
        assert estimate_metre(beats_with_accents(bar, 210, seed=seed)).confidence < 0.5


@pytest.mark.parametrize(("style", "beats_per_bar"), [("folk", 5), ("country", 7)])
def test_composed_songs_in_odd_metres_are_not_sure(style, beats_per_bar):
    song = compose_song(12, style, seconds=60.0, beats_per_bar=beats_per_bar)
    metre = estimate_metre(sound_features(song.audio, song.beat_times))
    assert set(np.diff(metre.downbeats)) <= {3, 4} and metre.confidence < LEAST_CONFIDENCE


def test_beats_without_accents_have_no_sure_bar_line():
    rng = np.random.default_rng(0)
    sure = [
        estimate_metre(rng.normal(size=(160, 87)) ** 2).bar_line_confidence > LEAST_CONFIDENCE
        for _ in range(20)
    ]
    assert np.mean(sure) < 0.5  # the best of four places by chance is often well ahead


def test_the_bar_line_confidence_is_that_of_a_paired_test():
    """Four places; each rival is behind by 1, 2, 3 with a spread of 2 over 16 bars."""
    accents = np.zeros((16, 4))
    accents[:, 1:] = -np.array([1.0, 2.0, 3.0]) + 2.0 * np.tile([1, -1], 8)[:, None]
    found = _bar_line_confidence(accents, 0)
    assert found == pytest.approx(norm.cdf(1.0 / (2.0 / np.sqrt(16))))
