"""Faults of seams, on sounds whose faults are known."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.raters import ear, playback
from rlhf_lib.raters.ear import JUMP_SPAN_DB, STEP_SPAN_DB, seam_faults

RATE = 16000
PERIOD = 0.5  # s a beat
N_BEATS = 40
TIMES = np.arange(round(N_BEATS * PERIOD * RATE)) / RATE
LATE = TIMES >= N_BEATS // 2 * PERIOD  # the second half of every sound below


def song_of(folder: Path, samples: np.ndarray) -> Song:
    """Save a sound and return its song, with a beat every PERIOD s."""
    path = folder / "song.wav"
    save_audio(path, Audio(samples[:, None], RATE))
    return Song(
        song_id="song",
        path=path,
        sha256="0" * 64,
        sample_rate=RATE,
        n_samples=len(samples),
        beat_times=np.arange(N_BEATS) * PERIOD,
        downbeats=np.arange(0, N_BEATS, 4),
        features=np.zeros((N_BEATS, 125), np.float32),
    )


def halves_joined(song: Song) -> np.ndarray:
    """Return the faults of playing beat 28, in the second half, right after beat 11."""
    actions = np.zeros(N_BEATS, int)
    actions[12:28] = Action.CUT
    faults = seam_faults(Edit(song, actions, 0.6))
    assert faults.shape == (1, 3)
    return faults[0]


def clicks(times: np.ndarray, gains: np.ndarray | float = 1.0) -> np.ndarray:
    """Return decaying noise bursts of 20 ms, one at each time in s."""
    burst = np.random.default_rng(0).normal(size=320) * np.exp(-np.arange(320) / 60) / 6
    samples = np.zeros(len(TIMES) + len(burst))
    for time, gain in zip(times, np.broadcast_to(gains, times.shape), strict=True):
        start = round(time * RATE)
        samples[start : start + len(burst)] += gain * burst
    return samples[: len(TIMES)]


def tones(hertz: np.ndarray, gains: np.ndarray | float = 1.0) -> np.ndarray:
    """Return a steady sum of sines."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(hertz))
    waves = np.sin(2 * np.pi * TIMES[:, None] * hertz + phases) * gains
    return 0.02 * waves.sum(axis=1)


HARMONICS = np.arange(200.0, 8000.0, 100.0)


@pytest.mark.parametrize("slip", [0.0, 0.005, 0.01, 0.02, 0.03, -0.02])
def test_a_slip_of_the_beat_costs_as_much_as_in_the_formula(tmp_path, slip):
    # Between the beats, so that no crossfade touches them.
    times = (np.arange(N_BEATS - 1) + 0.5) * PERIOD
    song = song_of(tmp_path, clicks(np.where(times < 10, times, times + slip)))
    irregular, _, louder = halves_joined(song)
    # A click on every beat has the harmonics 2, 4, 6 and 8 Hz of the bar of 2 s, all alike.
    expected = 1 - np.cos(2 * np.pi * slip * np.array([2.0, 4.0, 6.0, 8.0])).mean()
    assert irregular == pytest.approx(expected, abs=0.02 + 0.15 * expected)
    assert louder < 0.05


def test_a_join_half_a_beat_off_is_worse_than_any_slip(tmp_path):
    times = (np.arange(N_BEATS - 1) + 0.25) * PERIOD
    song = song_of(tmp_path, clicks(np.where(times < 10, times, times + PERIOD / 2)))
    assert halves_joined(song)[0] > 0.8


def test_two_tones_jump_in_the_spectrum_alone(tmp_path):
    song = song_of(tmp_path, np.where(LATE, tones(np.array([880.0])), tones(np.array([440.0]))))
    irregular, jump, step = halves_joined(song)
    assert jump == 1.0
    assert irregular < 0.05
    assert step < 0.02


def test_a_brighter_passage_jumps_by_a_known_amount(tmp_path):
    gain_db, above = 6.0, 2000.0
    brighter = np.where(above < HARMONICS, 10 ** (gain_db / 20), 1.0)
    song = song_of(tmp_path, np.where(LATE, tones(HARMONICS, brighter), tones(HARMONICS)))
    share = np.mean(librosa.mel_frequencies(34, fmin=0, fmax=8000)[1:-1] > above)
    expected = gain_db * np.sqrt(share * (1 - share)) / JUMP_SPAN_DB
    assert halves_joined(song)[1] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("decibels", [-4.0, -1.0, 2.0])
def test_two_levels_step_in_loudness_alone(tmp_path, decibels):
    gain = np.where(LATE, 10 ** (decibels / 20), 1.0)
    irregular, jump, step = halves_joined(song_of(tmp_path, gain * tones(HARMONICS)))
    assert step == pytest.approx(abs(decibels) / STEP_SPAN_DB, abs=0.01)
    assert jump < 0.1  # a soft band may sink below what counts as silence
    assert irregular < 0.05


def test_a_join_between_similar_passages_has_no_fault(tmp_path):
    # Eight random beats, played five times: joins from a beat to its repeat.
    rng = np.random.default_rng(1)
    piece = clicks(np.sort(rng.uniform(0, 4, 12)), rng.uniform(0.3, 1, 12))[: 8 * RATE // 2]
    piece += rng.normal(0, 0.02, len(piece)) * np.linspace(0.2, 1, len(piece))
    song = song_of(tmp_path, np.tile(piece, 5))
    assert halves_joined(song) == pytest.approx(np.zeros(3), abs=1e-4)
    elsewhere = np.zeros(N_BEATS, int)
    elsewhere[12:27] = Action.CUT  # one beat off
    assert seam_faults(Edit(song, elsewhere, 0.6))[0].sum() > 0.2


def test_loops_and_reordered_beats_have_faults_too(tmp_path):
    accents = np.where(np.arange(N_BEATS) % 4 == 0, 1.0, 0.25)
    bars = song_of(tmp_path, clicks(np.arange(N_BEATS) * PERIOD, accents))
    actions = np.zeros(N_BEATS, int)
    actions[16], actions[24] = Action.LOOP_3, Action.REORDER_2
    edit = Edit(bars, actions, 1.0)
    faults = seam_faults(edit)
    assert faults.shape == (5, 3)
    assert np.array_equal(faults[0], faults[1])  # from beat 16 to beat 16, twice
    assert (faults[:, 0] > 0.05).all()  # each of them puts the accents out of step
    (tmp_path / "even").mkdir()
    even = song_of(tmp_path / "even", clicks(np.arange(N_BEATS) * PERIOD))
    assert seam_faults(Edit(even, actions, 1.0)).max() < 0.02


def test_seams_sound_as_in_the_rendered_edit(tmp_path):
    samples = np.random.default_rng(2).normal(0, 0.1, len(TIMES))
    song = song_of(tmp_path, np.clip(samples, -1, 1))
    actions = np.zeros(N_BEATS, int)
    actions[12:28] = Action.CUT
    audio = Audio(np.rint(np.clip(samples, -1, 1)[:, None] * 32768) / 32768, RATE)
    played = render(Edit(song, actions, 0.6), audio).samples[:, 0]
    sound = ear._sound(str(song.path), song.sha256, RATE, song.n_samples)
    heard, place = ear._rendered(sound, *song.beat_bounds[[12, 28]], RATE)
    start = song.beat_bounds[12] - place
    level = np.sqrt(np.mean(audio.samples**2))  # songs are scaled to mean square 1
    assert heard * level == pytest.approx(played[start : start + len(heard)], abs=1e-4)


def test_a_song_is_decoded_once_and_a_seam_computed_once(tmp_path, monkeypatch):
    song = song_of(tmp_path, tones(HARMONICS) * np.where(LATE, 0.5, 1.0))
    decoded, spectra = [], []
    load, mel_bands = playback.load_audio, ear._mel_bands
    monkeypatch.setattr(playback, "load_audio", lambda path: decoded.append(path) or load(path))
    monkeypatch.setattr(ear, "_mel_bands", lambda *given: spectra.append(1) or mel_bands(*given))
    first = halves_joined(song)
    assert (len(decoded), len(spectra)) == (1, 3)  # the join and the two places it joins
    assert np.array_equal(halves_joined(song), first)
    assert (len(decoded), len(spectra)) == (1, 3)


def test_an_edit_without_seams_needs_no_audio(tmp_path):
    song = song_of(tmp_path, np.zeros(len(TIMES)))
    song.path.unlink()
    assert seam_faults(Edit(song, np.zeros(N_BEATS, int), 1.0)).shape == (0, 3)


def test_seams_of_silence_and_at_the_ends_are_finite(tmp_path):
    song = song_of(tmp_path, np.zeros(len(TIMES)))
    actions = np.full(N_BEATS, Action.LOOP_2)
    faults = seam_faults(Edit(song, actions, 1.0))
    assert faults.shape == (N_BEATS, 3)
    assert np.array_equal(faults, np.zeros_like(faults))


@pytest.mark.parametrize("change", ["missing", "another"])
def test_missing_or_other_audio_is_refused(tmp_path, change):
    song = song_of(tmp_path, tones(HARMONICS))
    if change == "missing":
        song.path.unlink()
    else:
        save_audio(song.path, Audio(np.zeros((RATE, 1)), RATE))
    message = "no audio file" if change == "missing" else "load the song again"
    with pytest.raises(InputError, match=message):
        halves_joined(song)
