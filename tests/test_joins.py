"""Join costs and oddity against values computed by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES
from rlhf_lib.analysis.features import beat_features
from rlhf_lib.analysis.joins import JOIN_TERMS, JoinCosts
from rlhf_lib.analysis.song import Song
from rlhf_lib.composer.compose import compose_song

TRANSITION, ENERGY, PHRASE, TEMPO = range(4)


def random_features(n_beats, seed=0):
    features = 5 * np.random.default_rng(seed).standard_normal((n_beats, 125))
    features[:, FEATURE_GROUPS["chroma"]] = np.abs(features[:, FEATURE_GROUPS["chroma"]])
    return features


def song_of(features, beat_times=None, beats_per_bar=4):
    if beat_times is None:
        beat_times = 0.5 * np.arange(len(features))
    n_samples = int((beat_times[-1] + 0.5) * 8000)
    downbeats = np.arange(0, len(features), beats_per_bar)
    return Song("s", Path("s.wav"), "0", 8000, n_samples, beat_times, downbeats, features)


def test_playing_on_costs_nothing_and_costs_lie_in_0_1():
    assert JOIN_TERMS == ("transition", "energy", "phrase", "tempo")
    song = song_of(random_features(60))
    beats = np.arange(60)
    np.testing.assert_array_equal(song.joins.costs(beats[:-1], beats[1:]), 0.0)
    costs = song.joins.costs(beats[:, None], beats)
    assert costs.shape == (60, 60, 4)
    assert costs.min() == 0.0 and costs.max() <= 1.0


def test_a_grid_gives_the_same_as_single_pairs():
    song = song_of(random_features(50))
    beats = np.arange(50)
    grid = song.joins.costs(beats[:, None], beats)
    i, j = np.random.default_rng(0).integers(0, 50, (2, 400))
    np.testing.assert_allclose(song.joins.costs(i, j), grid[i, j], atol=1e-6)
    assert song.joins.costs(3, 9).shape == (4,)


def test_transition_is_free_into_an_exact_repeat_and_half_for_a_random_pair():
    song = song_of(np.tile(random_features(24), (4, 1)))
    beats = np.arange(24)
    repeat = song.joins.costs(24 + beats, 24 + beats + 25)
    np.testing.assert_allclose(repeat[:, [TRANSITION, ENERGY]], 0.0, atol=1e-6)
    song = song_of(random_features(300))
    i, j = np.random.default_rng(5).integers(0, 300, (2, 5000))
    assert np.median(song.joins.costs(i, j)[:, TRANSITION]) == pytest.approx(0.5, abs=0.02)


def test_the_ends_use_the_neighbours_that_exist():
    song = song_of(random_features(40))
    assert song.joins.costs(39, 0)[TRANSITION] == 1.0
    assert song.joins.costs(39, 0)[ENERGY] == 1.0
    # From the last beat only what precedes counts: beat 39 against beat 19.
    features = random_features(40)
    features[19] = features[39]
    assert song_of(features).joins.costs(39, 20)[TRANSITION] == pytest.approx(0.0, abs=1e-6)
    features = random_features(40)
    features[11] = features[0]
    assert song_of(features).joins.costs(10, 0)[TRANSITION] == pytest.approx(0.0, abs=1e-6)


def test_energy_by_hand():
    features = random_features(20)
    features[:, FEATURE_GROUPS["rms"]] = -20.0
    features[10:, FEATURE_GROUPS["rms"]] = -26.0
    costs = song_of(features).joins.costs([4, 4, 4], [7, 14, 10])
    # Beat 14 replaces beat 5, beat 4 replaces beat 13: 6 dB each, of 12. Beat 10 replaces beat 5
    # (6 dB), but beat 4 replaces beat 9 (0 dB).
    np.testing.assert_allclose(costs[:, ENERGY], [0.0, 0.5, 0.25], atol=1e-6)
    features[10:, FEATURE_GROUPS["rms"]] = -60.0
    assert song_of(features).joins.costs(4, 14)[ENERGY] == 1.0


def test_phrase_by_hand():
    song = song_of(random_features(60))
    skipped = np.array([16, -16, 8, 4, 12, 2, 1, 3, 7, 32])
    expected = [0, 0, 0.15, 0.3, 0.3, 0.85, 1, 1, 1, 0]
    np.testing.assert_allclose(song.joins.costs(20, 21 + skipped)[:, PHRASE], expected, atol=1e-6)
    waltz = song_of(random_features(60), beats_per_bar=3)
    skipped = np.array([12, 6, 3, 9, 1, 2, 4])
    expected = [0, 0.15, 0.3, 0.3, 1, 1, 1]
    np.testing.assert_allclose(waltz.joins.costs(20, 21 + skipped)[:, PHRASE], expected, atol=1e-6)


def test_tempo_by_hand():
    lengths = np.where(np.arange(60) < 30, 0.5, 0.5 * 1.1**0.5)
    times = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    costs = song_of(random_features(60), times).joins.costs([5, 5, 50], [20, 45, 10])
    np.testing.assert_allclose(costs[:, TEMPO], [0.0, 0.5, 0.5], atol=1e-6)


def test_an_unchanging_song_has_free_transitions():
    song = song_of(np.ones((40, 125)))
    costs = song.joins.costs(np.arange(5, 15), np.arange(20, 30))
    np.testing.assert_array_equal(costs[:, TRANSITION], 0.0)
    np.testing.assert_array_equal(song.oddity, 0.0)


def test_oddity_of_single_faults():
    period = random_features(8)
    features = np.tile(period, (12, 1)) + 0.2 * np.random.default_rng(2).standard_normal((96, 125))
    features[:, FEATURE_NAMES.index("rms_mean")] = -15.0
    features[40, FEATURE_NAMES.index("rms_mean")] = -21.0
    features[60, FEATURE_GROUPS["chroma"]] = np.roll(period[4, FEATURE_GROUPS["chroma"]], 6)
    lengths = np.full(96, 0.5)
    lengths[20] = 0.5 * 2**0.075
    times = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    odd = song_of(features, times).oddity
    assert odd[40] >= 0.5 and odd[20] >= 0.5 and odd[60] > 0.9
    assert np.median(odd) < 0.2


@pytest.fixture(scope="module")
def composed():
    truth = compose_song(5, "pop", seconds=100.0)
    features, metre, _ = beat_features(truth.audio, truth.beat_times)
    audio = truth.audio
    song = Song(
        "pop",
        Path("pop.flac"),
        "0",
        audio.sample_rate,
        audio.n_samples,
        truth.beat_times,
        metre.downbeats,
        features,
    )
    return song, truth


def marked(n_beats, spans):
    mask = np.zeros(n_beats, dtype=bool)
    for span in spans:
        mask[span.start_beat : span.end_beat] = True
    return mask


def area_under_curve(values, mask):
    wins = mannwhitneyu(values[mask], values[~mask]).statistic
    return wins / (mask.sum() * (~mask).sum())


def test_planted_flaws_are_odd_and_choruses_the_hook(composed):
    song, truth = composed
    assert area_under_curve(song.oddity, marked(song.n_beats, truth.flaws)) > 0.75
    choruses = [section for section in truth.sections if section.name == "chorus"]
    hook = song.hook_values
    assert hook.min() == 0.0 and hook.max() == 1.0
    assert area_under_curve(hook, marked(song.n_beats, choruses)) > 0.75


def test_joining_two_choruses_is_smoother_than_chance(composed):
    song, truth = composed
    first, second = [section for section in truth.sections if section.name == "chorus"][:2]
    inside = np.arange(4, first.end_beat - first.start_beat, 4)
    good = song.joins.costs(first.start_beat + inside - 1, second.start_beat + inside)
    i, j = np.random.default_rng(0).integers(1, song.n_beats - 1, (2, 2000))
    assert good[:, TRANSITION].mean() < 0.5 * song.joins.costs(i, j)[:, TRANSITION].mean()
    np.testing.assert_array_equal(good[:, PHRASE], 0.0)


def test_blocks_of_a_long_song_are_small():
    context = JoinCosts(
        random_features(2000), 0.5 * np.arange(2000), Bars(np.arange(0, 2000, 4), 2000)
    )
    rows = context.costs(np.arange(64)[:, None], np.arange(2000)[None, :])
    assert rows.shape == (64, 2000, 4) and rows.dtype == np.float32
