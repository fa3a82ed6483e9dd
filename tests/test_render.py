"""Rendering: lengths, untouched samples, seams without clicks, no clipping."""

import time
from pathlib import Path

import numpy as np
import pytest

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import N_ACTIONS, Action, Edit
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError

RATE = 44100


def song_of(audio, beat_times):
    return Song(
        song_id="song",
        path=Path("song.wav"),
        sha256="0" * 64,
        sample_rate=audio.sample_rate,
        n_samples=audio.n_samples,
        beat_times=np.asarray(beat_times, float),
        downbeats=np.arange(0, len(beat_times), 4),
        features=np.zeros((len(beat_times), 125), np.float32),
    )


def noise(seconds=8.0, channels=2, sample_rate=RATE, seed=0):
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.1, (int(seconds * sample_rate), channels))
    return Audio(np.clip(samples, -0.5, 0.5), sample_rate)


def tones(hertz, seconds=8.0, peak=1.0, sample_rate=RATE):
    times = np.arange(int(seconds * sample_rate)) / sample_rate
    wave = np.sin(2 * np.pi * np.outer(times, np.atleast_1d(hertz))).sum(axis=1)
    return Audio((peak * wave / np.abs(wave).max())[:, None], sample_rate)


def edited(audio, actions, period=0.5, first=0.2):
    beats = np.arange(first, audio.duration, period)
    actions = np.resize(np.asarray(actions, int), len(beats))
    return Edit(song_of(audio, beats), actions, 1.0)


def jumps(samples):
    return np.abs(np.diff(samples, axis=0))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_an_edit_that_keeps_all_is_the_source(channels, sample_rate):
    audio = noise(3.0, channels, sample_rate)
    result = render(edited(audio, [0]), audio)
    assert np.array_equal(result.samples, audio.samples)
    assert result.sample_rate == sample_rate


@pytest.mark.parametrize("seed", range(5))
def test_the_length_is_that_of_the_played_beats(seed):
    audio = noise(12.0)
    actions = np.random.default_rng(seed).integers(0, N_ACTIONS, 24)
    edit = edited(audio, actions, period=0.4937)
    played = np.diff(edit.song.beat_bounds)[edit.order]
    result = render(edit, audio)
    assert result.n_samples == played.sum()
    assert result.duration == pytest.approx(edit.duration)
    assert result.n_channels == 2


def test_only_seams_differ_from_the_source():
    audio = noise(8.0)
    edit = edited(audio, [0] * 4 + [1] * 4 + [0] * 8)
    bounds = edit.song.beat_bounds
    result = render(edit, audio, fade=0.01).samples
    seam, half = bounds[4], round(0.005 * RATE)
    assert np.array_equal(result[: seam - half], audio.samples[: seam - half])
    assert np.array_equal(result[seam + half :], audio.samples[bounds[8] + half :])
    # At the middle of the fade both passages have gain √½; the gains' squares sum to one.
    middle = np.sqrt(0.5) * (audio.samples[seam] + audio.samples[bounds[8]])
    np.testing.assert_allclose(result[seam], middle, atol=0.01)


def test_the_crossfade_has_equal_power():
    audio = noise(8.0, channels=1)
    actions = [0] * 4 + [1] * 4 + [0] * 8
    source = np.mean(audio.samples**2)
    powers = [
        np.mean(render(edit, other).samples[edit.song.beat_bounds[4] + np.arange(-200, 200)] ** 2)
        for other in (noise(8.0, channels=1, seed=seed) for seed in range(40))
        for edit in [edited(other, actions)]
    ]
    assert np.mean(powers) == pytest.approx(source, rel=0.05)


def test_a_seam_between_similar_passages_does_not_swell():
    audio = tones(100.0, peak=0.9)  # 50 periods in a beat: every beat sounds the same
    result = render(edited(audio, [0, 0, 1, 0]), audio).samples
    assert np.abs(result).max() <= np.abs(audio.samples).max() + 1e-6
    assert jumps(result).max() <= jumps(audio.samples).max() + 1e-6


@pytest.mark.parametrize("hertz", [30.0, 81.7, 441.3, [55.0, 171.3], [220.7, 277.2, 331.1]])
@pytest.mark.parametrize("actions", [[0, 1], [0, 0, 0, 1], [2, 1], [5, 0, 0], [0, 0, 8, 3, 1]])
def test_no_seam_clicks(hertz, actions):
    audio = tones(hertz)
    result = render(edited(audio, actions, period=0.4817), audio).samples
    # 1 %: a pure bass tone at its peak cannot change its phase in 0.1 s without it.
    assert jumps(result).max() <= jumps(audio.samples).max() * 1.01


def test_noise_with_many_seams_does_not_click_or_clip():
    audio = noise(20.0)
    loud = Audio(audio.samples * 2, RATE)
    result = render(edited(loud, [0, 1]), loud).samples
    assert np.abs(result).max() <= 1
    assert jumps(result).max() <= jumps(loud.samples).max() * 1.01


def test_a_loud_crossfade_dips_smoothly_instead_of_clipping(tmp_path):
    # Both sides of the seam at full scale, unlike enough that their sum would reach 1.4.
    rng = np.random.default_rng(0)
    audio = Audio(np.clip(rng.normal(0, 4, (8 * RATE, 2)), -1, 1), RATE)
    result = render(edited(audio, [0, 0, 1]), audio)
    assert np.abs(result.samples).max() <= 1
    save_audio(tmp_path / "edit.wav", result)
    seam = edited(audio, [0, 0, 1]).song.beat_bounds[2]
    near = np.abs(result.samples[seam - 200 : seam + 200]).max(axis=1)
    assert np.mean(near >= 1) < 0.05  # a clipped sum would sit at full scale
    assert near.mean() > 0.3


@pytest.mark.parametrize("actions", [[0] * 15 + [4], [4] + [0] * 15, [1] * 15 + [2]])
def test_the_ends_of_the_file_do_not_click(actions):
    """After a loop of the last beat and before one of the first, the source has no samples."""
    audio = tones(330.0, peak=0.8)
    flat = np.full((8 * RATE, 1), 0.5, np.float32)  # a step would show at once
    for each in (audio, Audio(flat + audio.samples * 0.5, RATE)):
        result = render(edited(each, actions), each).samples
        inside = jumps(result)
        assert inside.max() <= jumps(each.samples).max() * 1.01
        assert len(result) == round(edited(each, actions).duration * RATE)


def test_an_edit_that_ends_early_fades_out_and_one_that_starts_late_fades_in():
    audio = Audio(np.full((4 * RATE, 2), 0.5), RATE)
    result = render(edited(audio, [1, 0, 0, 0, 0, 0, 0, 1]), audio).samples
    assert np.abs(result[[0, -1]]).max() < 0.01
    assert jumps(result).max() < 0.001
    assert np.all(result[2200:-2200] == 0.5)


def test_segments_shorter_than_the_fade():
    audio = tones(110.0, seconds=2.0, peak=0.9)
    beats = np.arange(0.0, 2.0, 0.005)  # 5 ms beats, 12 ms fade
    edit = Edit(song_of(audio, beats), np.arange(len(beats)) % 2, 0.5)
    result = render(edit, audio)
    assert result.n_samples == np.diff(edit.song.beat_bounds)[edit.order].sum()
    assert np.abs(result.samples).max() <= 1
    assert np.isfinite(result.samples).all()
    one = Edit(song_of(audio, np.arange(2000) / RATE), np.arange(2000) % 2, 0.5)
    assert np.isfinite(render(one, audio).samples).all()


def test_many_seams_are_fast():
    audio = noise(240.0, seed=3)
    edit = edited(audio, [0, 1], period=0.3)
    assert len(edit.seams) > 300
    started = time.process_time()
    render(edit, audio)
    assert time.process_time() - started < 3


def test_rendering_is_repeatable_and_does_not_change_the_source():
    audio = noise()
    before = audio.samples.copy()
    edit = edited(audio, [0, int(Action.LOOP_2), int(Action.REORDER_1), 1])
    first = render(edit, audio).samples
    assert np.array_equal(first, render(edit, audio).samples)
    assert np.array_equal(audio.samples, before)


def test_the_wrong_audio_or_fade_is_refused():
    audio = noise(4.0)
    edit = edited(audio, [0, 1])
    for other in (Audio(audio.samples[:-1], RATE), Audio(audio.samples, 48000)):
        with pytest.raises(InputError, match="render with the file"):
            render(edit, other)
    for fade in (0.0, -1.0, 5.0, float("nan")):
        with pytest.raises(InputError, match="fade"):
            render(edit, audio, fade=fade)
