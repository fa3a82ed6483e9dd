"""Raters from outside, on sounds whose faults are known; none of them reads a descriptor."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.synthetic import random_cuts
from rlhf_lib.paths import resolve
from rlhf_lib.raters.breaks import breaks
from rlhf_lib.raters.lyrics import IN_LINE, IN_NOTE, LOST, line_faults, line_table
from rlhf_lib.raters.memory import missing
from rlhf_lib.raters.outside import OUTSIDE_TASTES, judges
from rlhf_lib.raters.playback import RATE, played
from rlhf_lib.raters.pulse import trips
from rlhf_lib.raters.rater import Rater
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.checkpoints import load_policy

RECORDED = os.environ.get("RLHF_RECORDED_SONGS")  # a folder
PERIOD = 0.5  # s a beat


def song_of(folder: Path, samples: np.ndarray, rate: int = RATE, period: float = PERIOD) -> Song:
    """Save a sound and return its song, with a beat every `period` s."""
    path = folder / "song.wav"
    save_audio(path, Audio(samples.reshape(len(samples), -1), rate))
    n_beats = int(len(samples) / rate / period)
    return Song(
        song_id="song",
        path=path,
        sha256=f"{len(samples):064x}",
        sample_rate=rate,
        n_samples=len(samples),
        beat_times=np.arange(n_beats) * period,
        downbeats=np.arange(0, n_beats, 4),
        features=np.zeros((n_beats, 125), np.float32),
    )


def cutting(song: Song, *cuts: tuple[int, int]) -> Edit:
    """Return the edit without the beats [start, stop) of each cut."""
    actions = np.zeros(song.n_beats, int)
    for start, stop in cuts:
        actions[start:stop] = Action.CUT
    return Edit(song, actions, 0.7)


# --- what is heard


def test_an_edit_is_heard_as_it_is_rendered(tmp_path):
    noise = np.random.default_rng(0).normal(size=(30 * RATE, 1)) * 0.1
    song = song_of(tmp_path, noise)
    edit = cutting(song, (10, 20), (40, 44))
    expected = render(edit, Audio(noise, RATE)).samples[:, 0]
    np.testing.assert_allclose(played(edit), expected, atol=1e-4)  # 16 bits on disk


def test_another_rate_and_two_channels_are_heard_alike(tmp_path):
    time = np.arange(20 * 44100) / 44100
    tone = 0.3 * np.sin(2 * np.pi * 440 * time)
    song = song_of(tmp_path, np.stack([tone, 0.5 * tone], axis=1), 44100)
    edit = cutting(song, (10, 20))
    assert len(played(edit)) == pytest.approx(15 * RATE, abs=2)
    middle = played(edit)[RATE : 3 * RATE]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 * 0.75 / np.sqrt(2), rel=0.01)


def test_a_file_that_is_not_the_song_is_refused(tmp_path):
    song = song_of(tmp_path, np.zeros(30 * RATE) + 0.1)
    save_audio(song.path, Audio(np.zeros((20 * RATE, 1)), RATE))
    with pytest.raises(InputError, match="load the song again"):
        breaks(cutting(song, (10, 20)))


# --- breaks


def band(low: float, high: float, seconds: float, gain: float, seed: int) -> np.ndarray:
    """Return noise between two frequencies."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=n))
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    wave = np.fft.irfft(spectrum * ((hertz > low) & (hertz < high)), n)
    return gain * wave / wave.std()


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    """Three sections of 15 s (30 beats): low, middle, high."""
    parts = [(200, 500, 0.1), (500, 1200, 0.1), (2000, 4000, 0.1)]
    sound = [band(low, high, 15, gain, k) for k, (low, high, gain) in enumerate(parts)]
    return song_of(tmp_path_factory.mktemp("sections"), np.concatenate(sound))


def test_the_whole_song_has_no_break(sections):
    np.testing.assert_array_equal(breaks(cutting(sections)), 0.0)


def test_a_change_of_sound_that_the_song_never_makes_is_a_break(sections):
    within = breaks(cutting(sections, (8, 20)))
    known = breaks(cutting(sections, (20, 40)))  # from low to middle, as in the song
    never = breaks(cutting(sections, (25, 65)))  # from low to high
    assert (never > 0.5).all()
    assert (within < 0.4 * never).all()
    assert (known < 0.6 * never).all()


def test_a_step_in_level_alone_is_a_break(tmp_path):
    parts = [band(200, 4000, 15, gain, k) for k, gain in enumerate((0.02, 0.06, 0.2))]
    song = song_of(tmp_path, np.concatenate(parts))
    never = breaks(cutting(song, (25, 65)))
    within = breaks(cutting(song, (8, 20)))
    assert (never > within + 0.1).all()


def test_two_breaks_count_twice(sections):
    one = breaks(cutting(sections, (25, 65)))
    # High right after low, and its first part is left again for its end.
    two = breaks(cutting(sections, (25, 65), (75, 80)))
    assert (two >= one - 0.05).all()


# --- pulse


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """Clicks every 0.5 s with a strong one every fourth; the song's beats are a quarter second."""
    sound = np.zeros(48 * RATE)
    burst = np.random.default_rng(0).normal(size=400) * np.exp(-np.arange(400) / 80)
    for k in range(95):
        start = round((0.25 + k * 0.5) * RATE)
        sound[start : start + 400] += burst * (0.2, 0.03, 0.1, 0.03)[k % 4]
    return song_of(tmp_path_factory.mktemp("clicks"), sound, period=0.25)


def test_a_cut_of_whole_bars_keeps_the_pulse(clicks):
    assert trips(cutting(clicks)) == 0.0
    assert trips(cutting(clicks, (80, 80 + 3 * 8))) < 0.05


@pytest.mark.parametrize("beats", [1, 3, 6])
def test_a_cut_of_part_of_a_bar_trips_the_pulse(clicks, beats):
    assert trips(cutting(clicks, (80, 80 + 16 + beats))) > 0.3


def test_two_trips_count_more_than_one(clicks):
    one = trips(cutting(clicks, (80, 99)))
    assert trips(cutting(clicks, (48, 67), (120, 139))) > 1.5 * one


def test_what_the_song_itself_does_is_no_trip(tmp_path):
    """A bar of three beats in the song itself: surprising, but the song's own."""
    sound = np.zeros(48 * RATE)
    burst = np.random.default_rng(0).normal(size=400) * np.exp(-np.arange(400) / 80)
    for k in [*range(47), *range(48, 95)]:
        start = round((0.25 + (k - (k > 47)) * 0.5) * RATE)
        sound[start : start + 400] += burst * (0.2, 0.03, 0.1, 0.03)[k % 4]
    song = song_of(tmp_path, sound, period=0.25)
    assert trips(cutting(song)) < 0.1
    assert trips(cutting(song, (24, 40))) < 0.1
    assert trips(cutting(song, (24, 40), (140, 143))) > 0.3


# --- memory


def chords(seeds: list[int]) -> np.ndarray:
    """Return one second of six random tones for each seed."""
    time = np.arange(RATE) / RATE
    out = []
    for seed in seeds:
        tones = 110 * 2 ** (np.random.default_rng(seed).choice(48, 6, replace=False) / 12)
        out.append(0.05 * np.sin(2 * np.pi * tones[:, None] * time).sum(axis=0))
    return np.concatenate(out)


CHORUS = list(range(100, 113))


@pytest.fixture(scope="module")
def verses(tmp_path_factory):
    """80 s: 14 of a start, a chorus of 13 s three times between verses, 15 of an end."""
    order = [*range(14), *CHORUS, *range(20, 26), *CHORUS, *range(30, 36), *CHORUS, *range(40, 55)]
    return song_of(tmp_path_factory.mktemp("verses"), chords(order))


def test_nothing_is_missing_from_the_whole_song(verses):
    np.testing.assert_array_equal(missing(cutting(verses)), 0.0)


def test_a_cut_in_the_middle_misses_nothing_of_the_ends(verses):
    np.testing.assert_allclose(missing(cutting(verses, (54, 66))), 0.0, atol=0.05)


def test_what_is_cropped_is_missed(verses):
    n = verses.n_beats
    start, end = missing(cutting(verses, (0, 30))), missing(cutting(verses, (n - 30, n)))
    assert (start[:2] > 0.7).all()
    assert (start[2:] < 0.05).all()
    assert (end[2:4] > 0.7).all()
    assert (end[[0, 1, 4]] < 0.05).all()


def test_half_of_a_beginning_is_half_missed(verses):
    some = missing(cutting(verses, (8, 24)))  # the first 4 s stay, 8 of the first 12 are lost
    assert some[0] < 0.05
    assert 0.4 < some[1] < 0.95


def test_the_best_known_passage_is_missed_only_when_every_repeat_is_gone(verses):
    once = cutting(verses, (28, 54), (66, 92))
    never = cutting(verses, (28, 54), (66, 92), (104, 130))
    assert missing(once)[4] < 0.05
    assert missing(never)[4] > 0.5


# --- lyrics


def sung_song(folder: Path, content: object) -> Song:
    """Return a song of 40 beats of 0.5 s with a file of sung lines."""
    song = toy_song(40)
    object.__setattr__(song, "path", folder / "toy.mp3")
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "toy.sung.json").write_text(text, encoding="utf-8")
    return song


LINES = {"lines": [[2.2, 4.2], [10.0, 14.0]], "notes": [[2.2, 2.9], [3.1, 4.2], [10.0, 14.0]]}


def test_faults_of_lines_are_as_counted_by_hand(tmp_path):
    song = sung_song(tmp_path, LINES)
    # Beat 6 begins at 3.0 s: in a line, between notes. Beat 22, at 11 s, is inside a note.
    faults = line_faults(cutting(song, (6, 22)))
    lost = ((4.2 - 3.0) + 1.0) / 6.0
    np.testing.assert_allclose(faults, [IN_LINE + IN_NOTE, 0.0, LOST * lost])
    # From 3.5 s, inside a note, to 13 s.
    faults = line_faults(cutting(song, (0, 7), (26, 40)))
    np.testing.assert_allclose(faults, [0.0, 2 * IN_NOTE, LOST * (1.3 + 1.0) / 6.0])
    # Between the lines.
    np.testing.assert_allclose(line_faults(cutting(song, (10, 20))), 0.0, atol=1e-12)


def test_the_table_of_steps_adds_up_to_the_faults(tmp_path):
    song = sung_song(tmp_path, LINES)
    table, n = line_table(song), song.n_beats
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = np.where(rng.random(n) < 0.3, Action.CUT, Action.KEEP)
        edit = Edit(song, actions, 0.7)
        total = table[np.append(n, edit.order), np.append(edit.order, n)].sum()
        assert total == pytest.approx(LOST - line_faults(edit).sum())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ([], 'has no "lines"'),
        ({"notes": []}, 'has no "lines"'),
        ({"lines": []}, "is empty"),
        ({"lines": [[1, 2, 3]]}, "not a list of"),
        ({"lines": [["a", "b"]]}, "not a list of"),
        ({"lines": [[3.0, 2.0]]}, "holds \\[3, 2\\]"),
        ({"lines": [[1.0, 2.0], [70.0, 80.0]]}, "holds \\[70, 80\\]"),
        ({"lines": [[1.0, 2.0]], "notes": [[-1.0, 2.0]]}, "holds \\[-1, 2\\]"),
        ({"lines": [[1.0, None]]}, "holds \\[1, nan\\]"),
    ],
)
def test_a_wrong_file_of_lines_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        line_faults(cutting(sung_song(tmp_path, content), (10, 20)))


def test_a_song_without_lines_is_not_judged_by_them(tmp_path):
    song = toy_song(40)
    object.__setattr__(song, "path", tmp_path / "toy.mp3")
    assert [name for name in OUTSIDE_TASTES if judges(name, song)] == ["breaks", "pulse", "memory"]
    with pytest.raises(InputError, match="no sung lines"):
        line_faults(cutting(song, (10, 20)))


# --- the family


def test_every_taste_has_a_cost_and_a_reason_for_each_fault(sections):
    edit = cutting(sections, (25, 65))
    (sections.path.parent / "song.sung.json").write_text(json.dumps(LINES))
    for taste in OUTSIDE_TASTES.values():
        parts = taste.parts(edit)
        assert len(parts) == len(taste.weights) == len(taste.reasons)
        assert (np.array(taste.weights) > 0).all()
        assert (parts <= 0).all()
        assert taste.utility(edit) == pytest.approx(parts.sum())
        assert not taste.descriptor_weights.any()


def test_a_simulated_rater_can_have_a_taste_from_outside(sections):
    rater = SimulatedRater("r1", "breaks", noise=0.0)
    assert isinstance(rater, Rater)
    rough, smooth = cutting(sections, (25, 65)), cutting(sections, (20, 60))
    smooth = cutting(sections, (5, 25))
    answer = rater.compare(sections, rough, smooth)
    assert answer.preference == "b"
    assert "sound like the song" in answer.reasoning
    assert rater.compare(sections, smooth, rough).preference == "a"


# --- on recorded songs


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="needs RLHF_RECORDED_SONGS, a folder of recorded songs")
def test_on_recorded_songs_random_cuts_break_more_than_those_of_the_first_policy():
    songs, _ = load_songs(RECORDED, n_songs=4)
    policy, _ = load_policy(resolve("models/policy_v14.pt"))
    own = policy.edits(songs, (0.73, 0.5))
    rng, gains = np.random.default_rng(0), []
    for edit in own:
        n_cuts = max(1, len(edit.seams))
        cut = [random_cuts(edit.song, edit.target, n_cuts, rng) for _ in range(2)]
        gains.append(breaks(edit).sum() - np.mean([breaks(one).sum() for one in cut]))
    assert np.mean(gains) < -0.1
    for song in songs:
        whole = cutting(song)
        for name in ("breaks", "pulse", "memory"):
            assert OUTSIDE_TASTES[name].utility(whole) > -0.5, (song.song_id, name)
