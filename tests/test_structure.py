"""Structure features of made-up songs whose structure is known."""

import numpy as np
import pytest

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES
from rlhf_lib.analysis.joins import JoinCosts
from rlhf_lib.analysis.structure import best_joins, structure_features


def random_sound(n_beats, seed=0):
    sound = 5 * np.random.default_rng(seed).standard_normal((n_beats, 87))
    sound[:, FEATURE_GROUPS["chroma"]] = np.abs(sound[:, FEATURE_GROUPS["chroma"]])
    return sound


def structure(sound, beat_times=None, beats_per_bar=4, downbeat=0):
    if beat_times is None:
        beat_times = 0.5 * np.arange(len(sound))
    bars = Bars(np.arange(downbeat, len(sound), beats_per_bar), len(sound))
    values = structure_features(sound, beat_times, beat_times[-1] + 0.5, bars)
    return dict(zip(FEATURE_NAMES[87:], values.T, strict=True))


def test_lag_similarity_of_a_song_with_a_known_period():
    song = structure(np.tile(random_sound(8), (10, 1)))
    for lag in (8, 16, 32):
        np.testing.assert_allclose(song[f"lag_+{lag}"][:-lag], 1.0)
        np.testing.assert_array_equal(song[f"lag_+{lag}"][-lag:], 0.0)
        np.testing.assert_allclose(song[f"lag_-{lag}"][lag:], 1.0)
        np.testing.assert_array_equal(song[f"lag_-{lag}"][:lag], 0.0)
    assert song["lag_+4"][:-4].max() < 0.9
    np.testing.assert_allclose(song["repetition"][8:-8], 1.0, atol=1e-5)
    # A cut of two periods (a phrase) is free; one of a single period costs half a phrase.
    np.testing.assert_allclose(song["best_from_9_16"][:60], 0.0, atol=1e-6)
    np.testing.assert_allclose(song["best_from_1_8"][:60], 0.15 / 4, atol=1e-6)


def test_sections_are_bounded_where_the_sound_changes():
    sound = 0.3 * random_sound(96)
    sound[32:64, :13] += 20
    sound[32:64, 61] += 8
    song = structure(sound)
    np.testing.assert_array_equal(np.flatnonzero(song["segment_since"] == 0), [0, 32, 64])
    np.testing.assert_array_equal(np.flatnonzero(song["segment_left"] == 1), [31, 63, 95])
    level = sound[:, 61]
    assert song["segment_level"][40] == pytest.approx(level[32:64].mean() - level.mean())
    assert song["novelty_8"].argmax() in (32, 64)


def test_metre_columns_by_hand():
    song = structure(random_sound(40), beats_per_bar=3, downbeat=2)
    np.testing.assert_array_equal(np.flatnonzero(song["bar_place_0"])[:3], [2, 5, 8])
    np.testing.assert_array_equal(song["bar_place_3"], 0)
    np.testing.assert_array_equal(song["triple"], 1)
    assert song["bar_sin"][3] == pytest.approx(np.sin(2 * np.pi / 3))
    assert song["phrase_cos"].max() == pytest.approx(1.0)


def test_offsets_and_position_by_hand():
    lengths = np.full(60, 0.5)
    lengths[20] = 0.5 * 2**0.25  # one long beat
    lengths[40:] = 0.25  # twice as fast
    times = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    song = structure(random_sound(60), times)
    assert song["beat_offset"][20] == pytest.approx(0.25)
    np.testing.assert_allclose(song["beat_offset"][:20], 0.0, atol=1e-9)
    np.testing.assert_allclose(song["tempo_offset"][45:], -1.0, atol=1e-9)
    np.testing.assert_allclose(song["position"], times / (times[-1] + 0.5))


def test_best_joins_equal_a_search_beat_by_beat():
    n = 90
    context = JoinCosts(random_sound(n, 4), 0.5 * np.arange(n), Bars(np.arange(0, n, 4), n))
    least = best_joins(context)
    for beat in (0, 17, 60, 88, 89):
        for window, (a, b) in enumerate(((1, 8), (9, 16), (17, 32), (33, 64), (65, 128))):
            ahead = [beat + 1 + k for k in range(a, b + 1) if beat + 1 + k < n]
            behind = [beat - 1 - k for k in range(a, b + 1) if beat - 1 - k >= 0]
            leaving = [context.costs(beat, j).mean() for j in ahead]
            landing = [context.costs(i, beat).mean() for i in behind]
            assert least[beat, window] == pytest.approx(min(leaving, default=1.0), abs=1e-6)
            assert least[beat, 5 + window] == pytest.approx(min(landing, default=1.0), abs=1e-6)


@pytest.mark.parametrize("n_beats", [2, 3, 16])
def test_very_short_songs_are_finite(n_beats):
    assert all(np.isfinite(values).all() for values in structure(random_sound(n_beats)).values())


def test_the_repeated_loud_section_is_the_hook():
    rng = np.random.default_rng(1)
    chorus = random_sound(32, 7)
    chorus[:, 61] = -10 + rng.standard_normal(32)
    parts = []
    for seed in range(3):
        verse = random_sound(32, 20 + seed)
        verse[:, 61] = -16 + rng.standard_normal(32)
        parts += [verse, chorus + 0.1 * rng.standard_normal(chorus.shape)]
    hook = structure(np.concatenate(parts))["hook"].reshape(6, 32).mean(axis=1)
    assert hook[1::2].min() > hook[::2].max()
