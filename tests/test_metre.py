"""Metre of composed songs and of made-up beats."""

import numpy as np
import pytest

from rlhf_lib.analysis.metre import change, estimate_metre
from rlhf_lib.analysis.sound import sound_features
from rlhf_lib.composer.compose import compose_song


@pytest.mark.parametrize(("style", "beats_per_bar"), [("rock", 4), ("waltz", 3)])
def test_metre_of_composed_songs_from_any_first_beat(style, beats_per_bar):
    song = compose_song(11, style, seconds=45.0)
    assert song.beats_per_bar == beats_per_bar
    sound = sound_features(song.audio, song.beat_times)
    for first in range(beats_per_bar):
        assert estimate_metre(sound[first:]) == (beats_per_bar, -first % beats_per_bar)


def test_a_few_beats_and_no_change_still_give_a_metre():
    for sound in (np.ones((16, 87)), np.ones((2, 87))):
        assert estimate_metre(sound) == (4, 0)


def test_change_by_hand():
    points = np.array([[0.0], [0.0], [0.0], [0.0], [3.0], [3.0], [3.0], [3.0]])
    # Two beats each side: means 0 | 1.5 at beat 3, 0 | 3 at beat 4; one of two beats before beat 1.
    expected = [0, 0, 0, 1.5**2, 9, 1.5**2, 0, 0]
    np.testing.assert_allclose(change(points, 2), expected)
