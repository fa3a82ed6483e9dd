"""The beat grid: drummed songs with known beats, sound without beats, beat files, bounds."""

import time
from pathlib import Path

import mir_eval
import numpy as np
import pretty_midi
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.beats import beat_bounds, estimate_beats, share_found
from rlhf_lib.analysis.confidence import LEAST_CONFIDENCE
from rlhf_lib.errors import InputError

RATE = 22050
MULDJORD = Path("/usr/share/games/fretsonfire/data/songs/muldjord")


def tapped(tempo, seconds, first=0.37):
    """Return beats (s) whose tempo (bpm) at time t is tempo(t)."""
    beats = [first]
    while beats[-1] < seconds:
        beats.append(beats[-1] + 60 / tempo(beats[-1]))
    return np.array(beats[:-1])


def drummed(beats, seconds, sample_rate=RATE, hats=True, seed=0):
    """Return kick and snare on the beats in turn, soft hats between them, and a little noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(0.2 * sample_rate)) / sample_rate
    kick = np.sin(2 * np.pi * 60 * times) * np.exp(-times * 15)
    snare = 0.5 * rng.standard_normal(len(times)) * np.exp(-times * 20)
    hat = 0.1 * rng.standard_normal(len(times)) * np.exp(-times * 80)
    n_samples = int(seconds * sample_rate)
    mix = np.zeros(n_samples + len(times))
    for k, beat in enumerate(beats):
        gap = beats[k + 1] - beat if k + 1 < len(beats) else beat - beats[k - 1]
        for when, sound in ((beat, kick if k % 2 == 0 else snare), (beat + gap / 2, hat * hats)):
            start = int((when + rng.normal() * 0.004) * sample_rate)
            if 0 <= start < n_samples:
                mix[start : start + len(sound)] += sound
    mix = mix[:n_samples] + 0.002 * rng.standard_normal(n_samples)
    return Audio((0.8 * mix / np.abs(mix).max())[:, None], sample_rate)


def f_measure(reference, estimate):
    return mir_eval.beat.f_measure(
        mir_eval.beat.trim_beats(reference), mir_eval.beat.trim_beats(estimate)
    )


def check_cover(beats, duration):
    gaps = np.diff(beats)
    assert beats.dtype == np.float64
    assert np.all(gaps > 0)
    assert 0 <= beats[0] < np.median(gaps[:8])
    assert duration - 1.51 * np.median(gaps[-8:]) < beats[-1] < duration


@pytest.mark.parametrize("tempo", [76, 90, 104, 120, 138, 160, 184])
def test_constant_tempo_gets_a_rigid_grid(tempo):
    truth = tapped(lambda t: tempo, 40)
    audio = drummed(truth, 40)
    beats = estimate_beats(audio).times
    check_cover(beats, 40)
    assert f_measure(truth, beats) > 0.97  # a short last beat does not count
    gaps = np.diff(beats)
    np.testing.assert_allclose(gaps, 60 / tempo, rtol=1e-3)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)
    nearest = np.abs(truth[:, None] - beats).min(axis=1)
    assert np.median(nearest) < 0.015


@pytest.mark.parametrize(
    "tempo",
    [
        lambda t: 130 - 30 * t / 60,
        lambda t: 100 + 25 * t / 60,
        lambda t: 160 - 30 * t / 60,
        lambda t: 100 if t < 30 else 140,
        lambda t: 140 if t < 30 else 100,
        lambda t: 110 + 6 * np.sin(t / 8),
        lambda t: 120 if t < 44 else 104,
    ],
    ids=["slows", "speeds up", "slows, fast", "jumps up", "jumps down", "sways", "late jump"],
)
def test_moving_tempo_is_followed(tempo):
    truth = tapped(tempo, 60)
    beats = estimate_beats(drummed(truth, 60)).times
    check_cover(beats, 60)
    assert f_measure(truth, beats) > 0.95


def test_a_tempo_that_doubles_for_a_while_stays_in_one_octave():
    """Loud off-beats for 15 of 50 s, in a tempo that sways: no rigid grid fits."""
    truth = tapped(lambda t: 82 + 5 * np.sin(t / 6), 50)
    half = (truth[:-1] + truth[1:]) / 2
    extra = half[(half > 18) & (half < 33)]
    plain, off_beats = (mir_eval.sonify.clicks(t, RATE, length=50 * RATE) for t in (truth, extra))
    grid = estimate_beats(Audio(np.clip(plain + 0.7 * off_beats, -1, 1)[:, None], RATE))
    assert f_measure(truth, grid.times) > 0.95
    assert grid.confidence < LEAST_CONFIDENCE
    assert estimate_beats(Audio(plain[:, None], RATE)).confidence > LEAST_CONFIDENCE


def test_plain_clicks_that_slow_down():
    truth = tapped(lambda t: 132 - 24 * t / 40, 40)
    clicks = mir_eval.sonify.clicks(truth, RATE, length=40 * RATE)
    assert f_measure(truth, estimate_beats(Audio(clicks[:, None], RATE)).times) > 0.95


@pytest.mark.parametrize("sample_rate", [8000, 44100, 96000])
def test_sample_rate_and_level_do_not_matter(sample_rate):
    truth = tapped(lambda t: 112, 20)
    audio = drummed(truth, 20, sample_rate)
    soft = Audio(np.repeat(audio.samples * 0.01, 2, axis=1), sample_rate)
    for each in (audio, soft):
        assert f_measure(truth, estimate_beats(each).times) > 0.99


def test_beats_continue_through_silence_at_both_ends():
    truth = tapped(lambda t: 120, 20)
    played = drummed(truth[12:-8], 20)
    quiet = np.where(np.abs(played.samples) < 0.03, 0, played.samples)
    beats = estimate_beats(Audio(quiet, RATE)).times
    check_cover(beats, 20)
    assert f_measure(truth, beats) > 0.97  # a short last beat does not count


def test_the_estimate_is_repeatable():
    audio = drummed(tapped(lambda t: 120 - t / 4, 30), 30)
    assert np.array_equal(estimate_beats(audio).times, estimate_beats(audio).times)


def beatless():
    rng = np.random.default_rng(1)
    times = np.arange(30 * RATE) / RATE
    noise = rng.standard_normal(len(times))
    brown = np.cumsum(noise)
    brown -= np.convolve(brown, np.ones(2001) / 2001, mode="same")
    return {
        "silence": np.zeros(len(times)),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * times),
        "noise": 0.1 * noise,
        "whisper of noise": 1e-5 * noise,
        "rumble": 0.2 * brown / np.abs(brown).max(),
        "drone": 0.2 * np.sin(700 * times) + (0.02 + 0.01 * np.sin(times)) * noise,
        "too short": noise[: RATE // 2] * 0.1,
        "one sample": np.array([0.5]),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(beatless()))
def test_sound_without_beat_is_refused(name):
    with pytest.raises(InputError, match="no beat found"):
        estimate_beats(Audio(beatless()[name][:, None], RATE))


@pytest.mark.skipif(not MULDJORD.is_dir(), reason="needs Debian's fretsonfire-songs-muldjord")
@pytest.mark.parametrize(
    "title", ["armygeddon", "chaos_god", "internal_degeneration", "mutilated_mime"]
)
def test_real_songs_against_their_tempo_maps(title):
    stems = [
        soundfile.read(MULDJORD / title / f"{stem}.ogg", dtype="float32")
        for stem in ("song", "guitar")
    ]
    mix = sum(samples for samples, _ in stems)
    audio = Audio(mix / np.abs(mix).max(), stems[0][1])
    midi = pretty_midi.PrettyMIDI(str(MULDJORD / title / "notes.mid"))
    (tempo,) = midi.get_tempo_changes()[1]
    truth = np.arange(0, audio.duration, 60 / tempo)
    started = time.process_time()
    beats = estimate_beats(audio).times
    assert time.process_time() - started < 10  # about 0.5 s on a free core
    scores = [f_measure(truth, beats + offset) for offset in np.arange(-0.1, 0.1, 0.01)]
    assert max(scores) > 0.99


# Bounds


def test_bounds_partition_the_file():
    bounds = beat_bounds(np.array([0.3, 1.0, 2.0004]), 2500, 1000)
    assert bounds.tolist() == [0, 1000, 2000, 2500]
    assert bounds.dtype == np.int64
    assert beat_bounds(np.array([0.3]), 10, 1000).tolist() == [0, 10]


def test_crowded_and_late_beats_are_moved_until_none_is_empty():
    crowded = beat_bounds(np.array([0.0, 0.0001, 0.0002, 1.0]), 2000, 1000)
    assert crowded.tolist() == [0, 1, 2, 1000, 2000]
    late = beat_bounds(np.array([0.0, 1.0, 2.0, 2.0001, 3.0]), 2000, 1000)
    assert late.tolist() == [0, 1000, 1997, 1998, 1999, 2000]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20, unique=True),
    st.integers(20, 200),
)
def test_bounds_are_always_a_partition(times, n_samples):
    bounds = beat_bounds(np.sort(times), n_samples, 100)
    assert bounds[0] == 0
    assert bounds[-1] == n_samples
    assert len(bounds) == len(times) + 1
    assert np.all(np.diff(bounds) >= 1)


def test_beats_must_fit_the_file():
    for times, n_samples in (([], 100), ([0.0, 0.1, 0.2], 2)):
        with pytest.raises(InputError, match="do not fit"):
            beat_bounds(np.array(times), n_samples, 1000)


def test_the_share_of_true_beats_that_are_found():
    assert share_found([1.0, 2.0, 3.0, 4.0], [0.95, 2.08, 3.07, 7.0]) == 0.5  # 50, 80, 70 ms off
    with pytest.raises(InputError, match="3 true and 0 estimated"):
        share_found([1.0, 2.0, 3.0], [])
