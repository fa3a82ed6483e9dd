"""The voice of composed songs: its known lines are where it is heard, and judges can use them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from rlhf_lib.analysis.audio import save_audio
from rlhf_lib.analysis.song import Song, load_song
from rlhf_lib.composer.compose import ComposedSong, compose_song, compose_songs
from rlhf_lib.composer.flaws import Flaw
from rlhf_lib.composer.singer import sing
from rlhf_lib.composer.style_book import STYLES
from rlhf_lib.composer.synth import SAMPLE_RATE
from rlhf_lib.composer.voice import Syllable, Voice, time_voice
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.policy.shorten import shorten, sparing_singing
from rlhf_lib.raters.lyrics import SungLines, read_sung_lines, sung_file
from rlhf_lib.raters.outside import OUTSIDE_TASTES, judges
from rlhf_lib.steps.checkpoints import load_policy

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Pair:
    """A sung song, and its voice alone as heard in it, (n,)."""

    song: ComposedSong
    voice: np.ndarray


@pytest.fixture(scope="module", params=[("pop", 3), ("waltz", 5), ("punk", 1)], ids=lambda p: p[0])
def pair(request):
    style, seed = request.param
    song = compose_song(seed, style, 60.0, flaws=False, sung=True)
    without = compose_song(seed, style, 60.0, flaws=False, sung=False)
    mix, rest = (each.audio.mono().astype(float) for each in (song, without))
    # Before the first line only the overall gain differs; so the rest can be taken away.
    before = slice(0, round((song.sung_lines[0, 0] - 0.05) * SAMPLE_RATE))
    gain = mix[before] @ rest[before] / (rest[before] @ rest[before])
    return Pair(song, mix - gain * rest)


@pytest.fixture(scope="module")
def songs():
    """Return a sung song of every second style, with flaws."""
    return [compose_song(20 + k, style, sung=True) for k, style in enumerate(list(STYLES)[1::2])]


def level(sound, start, end):
    """Return the RMS between two times (s), dB."""
    part = sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return 10 * np.log10(np.mean(part**2) + 1e-15)


def bar_lines_in_lines(song):
    bars = song.beat_times[:: song.beats_per_bar, None]
    return ((bars > song.sung_lines[:, 0]) & (bars < song.sung_lines[:, 1])).any(axis=1)


def area_under_curve(values, positive):
    """Return the probability that a positive has the higher value (Mann and Whitney, 1947)."""
    n = positive.sum()
    return (rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum())


# --- what is sung


def test_the_voice_is_heard_in_its_lines_and_nowhere_else(pair):
    lines = pair.song.sung_lines
    assert len(lines) >= 5
    loudest = max(level(pair.voice, *line) for line in lines)
    for start, end in lines:
        assert level(pair.voice, start, end) > loudest - 8
        assert level(pair.voice, start + 0.03, start + 0.15) > loudest - 15
        assert level(pair.voice, end - 0.15, end) > loudest - 15
    # A note fades within 60 ms of its end.
    ends = np.append(lines[:, 0], pair.song.audio.duration)
    for start, end in zip(np.append(0.0, lines[:, 1] + 0.07), ends - 0.005, strict=True):
        assert level(pair.voice, start, end) < loudest - 35  # peaks are rounded off


def test_the_voice_leads(pair):
    mix = pair.song.audio.mono().astype(float)
    shares = [
        level(pair.voice, *line) - level(mix - pair.voice, *line) for line in pair.song.sung_lines
    ]
    assert -3 < np.mean(shares) < 5  # dB above all instruments together


def test_lines_are_apart_and_hold_the_notes(songs):
    for song in songs:
        lines, notes = song.sung_lines, song.sung_notes
        assert np.all(lines[:, 1] - lines[:, 0] > 0.1)
        assert np.all(lines[1:, 0] - lines[:-1, 1] > 0.25)  # a breath
        assert np.all(notes[1:, 0] >= notes[:-1, 1])
        assert lines[0, 0] > 0
        assert lines[-1, 1] < song.audio.duration
        first, last = (
            np.searchsorted(notes[:, 0], lines[:, 0]),
            np.searchsorted(notes[:, 1], lines[:, 1]),
        )
        np.testing.assert_array_equal(first[1:], last[:-1] + 1)  # every note is in one line
        assert (first[0], last[-1]) == (0, len(notes) - 1)
        # Nothing between the notes of a line is longer than a breath.
        gaps = notes[1:, 0] - notes[:-1, 1]
        assert np.delete(gaps, last[:-1]).max() < 0.1


def test_a_third_to_two_thirds_of_the_bar_lines_are_sung_across(songs):
    shares = np.array([bar_lines_in_lines(song).mean() for song in songs])
    assert shares.min() > 0.25
    assert shares.max() < 0.65
    assert 0.35 < shares.mean() < 0.6


def test_verses_and_choruses_are_sung_and_nothing_else(songs):
    for song in songs:
        edges = np.append(song.beat_times, song.audio.duration)
        centres = song.sung_notes.mean(axis=1)
        for section in song.sections:
            within = (edges[section.start_beat] < centres) & (centres < edges[section.end_beat])
            assert within.any() == (section.name in ("verse", "chorus")), section


def test_choruses_repeat_their_lines_and_sound(pair):
    song = pair.song
    choruses = [
        (song.beat_times[s.start_beat], s.end_beat - s.start_beat)
        for s in song.sections
        if s.name == "chorus"
    ]
    assert len(choruses) >= 2
    (first, n_beats), (second, _) = choruses[:2]
    duration = n_beats * 60 / song.bpm
    starts = [
        song.sung_lines[:, 0][(song.sung_lines[:, 0] >= t) & (song.sung_lines[:, 0] < t + duration)]
        - t
        for t in (first - 0.05, second - 0.05)
    ]
    np.testing.assert_allclose(*starts, atol=0.05)
    # The same words: the spectra of half seconds are alike, more than those of other half seconds.
    half = SAMPLE_RATE // 2
    spectra = []
    for start in (first, second):
        at = round(start * SAMPLE_RATE)
        frames = pair.voice[at : at + int(duration * 2) * half].reshape(-1, half)
        power = np.abs(np.fft.rfft(frames * np.hanning(half), axis=1)) ** 2
        coarse = power[:, : 4000 // 2].reshape(len(power), -1, 25).mean(axis=2)  # 50 Hz
        spectra.append(np.log10(coarse + 1e-6))
    likeness = np.corrcoef(*spectra)[: len(spectra[0]), len(spectra[0]) :]
    same = np.diag(likeness)
    assert np.mean(same[:, None] >= likeness) > 0.9


def timed(flaw, n_beats=12):
    """Return the voice that sings a note every beat, all in one line, with a beat every 0.5 s."""
    line = [Syllable("voice", beat, 1.0, 60, 0.8, "aa") for beat in range(n_beats)]
    edges = np.arange(n_beats + 4) * 0.5
    exact = STYLES["electronic"]
    assert exact.looseness == 0
    return time_voice([line], (flaw,), edges, exact, np.random.default_rng(0))


def test_a_line_across_a_dead_bar_becomes_two():
    voice = timed(Flaw("dead_bar", 4, 8))
    np.testing.assert_allclose(voice.lines, [[0, 2], [4, 6]])
    np.testing.assert_allclose(voice.spans[:, 0], [0, 0.5, 1, 1.5, 4, 4.5, 5, 5.5])
    assert len(voice.notes) == 8


def test_a_line_that_is_played_late_is_sung_late():
    voice = timed(Flaw("dragged_bar", 8, 12))
    # Late by 0.15 beats at the start of the bar to 0.30 at its end: 0.2625 at its last beat.
    np.testing.assert_allclose(voice.lines, [[0, 6 + 0.2625 * 0.5]])
    np.testing.assert_allclose(
        voice.spans[8:, 0], 4 + np.arange(4) * 0.5 + [0.075, 0.09375, 0.1125, 0.13125]
    )


def test_nothing_is_sung_in_the_dead_bars_of_songs(songs):
    dead = [
        (song.sung_lines, *song.beat_times[[flaw.start_beat, flaw.end_beat]])
        for song in songs
        for flaw in song.flaws
        if flaw.kind == "dead_bar"
    ]
    assert dead
    for lines, start, end in dead:
        assert not np.any((lines[:, 0] < end - 0.03) & (lines[:, 1] > start + 1e-9))


def test_two_songs_in_three_have_a_voice():
    songs = [compose_song(seed, seconds=10.0, flaws=False) for seed in range(24)]
    n_sung = sum(len(song.sung_lines) > 0 for song in songs)
    assert 10 <= n_sung <= 21  # binomial: 98 % of draws
    forced = compose_song(0, seconds=10.0, flaws=False, sung=len(songs[0].sung_lines) > 0)
    np.testing.assert_array_equal(forced.audio.samples, songs[0].audio.samples)


# --- how it sounds


@pytest.mark.parametrize("pitch", [45, 57, 69, 79])
def test_the_voice_sings_in_tune(pitch):
    voice = Voice([Syllable("voice", 0, 4, pitch, 1.0, "ao")], *[np.array([[0.1, 2.1]])] * 2)
    sound = sing(voice, 3 * SAMPLE_RATE).mean(axis=0)[SAMPLE_RATE // 4 : 2 * SAMPLE_RATE]
    spectrum = np.fft.rfft(sound, 2 * len(sound))
    likeness = np.fft.irfft(np.abs(spectrum) ** 2)
    expected = SAMPLE_RATE / (440 * 2 ** ((pitch - 69) / 12))
    lags = np.arange(int(expected * 0.7), int(expected * 1.45))
    assert lags[likeness[lags].argmax()] == pytest.approx(expected, rel=0.015, abs=1)


def test_vowels_differ_in_their_formants():
    def bands(text):
        voice = Voice([Syllable("voice", 0, 4, 45, 1.0, text)], *[np.array([[0.1, 2.1]])] * 2)
        sound = sing(voice, 3 * SAMPLE_RATE).mean(axis=0)
        power = np.abs(np.fft.rfft(sound)) ** 2
        hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
        return [power[(hertz > a) & (hertz < b)].sum() for a, b in ((200, 450), (550, 1200))]

    low_a, high_a = bands("aa")
    low_i, high_i = bands("ii")
    assert high_a > low_a  # first formant of a: 650 Hz, of i: 290 Hz
    assert low_i > 4 * high_i


def test_consonants_hiss():
    def hiss(text):
        voice = Voice([Syllable("voice", 0, 4, 57, 1.0, text)], *[np.array([[0.1, 1.1]])] * 2)
        sound = sing(voice, 2 * SAMPLE_RATE).mean(axis=0)
        start = sound[round(0.1 * SAMPLE_RATE) : round(0.2 * SAMPLE_RATE)]
        power = np.abs(np.fft.rfft(start * np.hanning(len(start)))) ** 2
        return power[500:900].sum() / power.sum()  # 5 to 9 kHz

    assert hiss("saa") > 10 * hiss("aa")


# --- who reads the lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sung")
    paths = compose_songs(folder, n_songs=6, seed=0, seconds=60.0)
    return [path for path in paths if path.with_suffix(".sung.json").exists()], paths


def with_true_beats(path):
    truth = json.loads(path.with_suffix(".truth.json").read_text())
    beats = np.array(truth["beat_times"])
    return Song(
        song_id=path.stem,
        path=path,
        sha256="0" * 64,
        sample_rate=SAMPLE_RATE,
        n_samples=round(truth["duration"] * SAMPLE_RATE),
        beat_times=beats,
        downbeats=np.array(truth["downbeats"]),
        features=np.zeros((len(beats), 125), np.float32),
    )


def test_lyrics_reads_the_lines_of_composed_songs(folder):
    sung, paths = folder
    assert 2 <= len(sung) < len(paths)
    for path in paths:
        assert judges("lyrics", with_true_beats(path)) == (path in sung)
    for path in sung:
        song = with_true_beats(path)
        assert sung_file(song) == path.with_suffix(".sung.json")
        lines = read_sung_lines(song)
        assert len(lines.lines) > 4
        assert lines.in_line(lines.lines.mean(axis=1)).all()
        assert lines.in_note(lines.notes.mean(axis=1)).all()
        assert not lines.in_line((lines.lines[1:, 0] + lines.lines[:-1, 1]) / 2).any()


def test_lyrics_prefers_cuts_between_lines(folder):
    taste = OUTSIDE_TASTES["lyrics"]
    for path in folder[0]:
        song = with_true_beats(path)
        lines = read_sung_lines(song).lines
        # Cut whole lines: from the beat at whose start a breath is held to another one.
        breaths = [
            p
            for p in range(8, song.n_beats - 8)
            if np.any((lines[:-1, 1] <= song.beat_times[p]) & (song.beat_times[p] <= lines[1:, 0]))
        ]
        start = breaths[0]
        stop = next(p for p in breaths if p >= start + 8)
        between = _cut(song, start, stop)
        middle = lines[(lines[:, 1] - lines[:, 0]).argmax()].mean()
        at = int(np.searchsorted(song.beat_times, middle))
        within = _cut(song, at, at + stop - start)
        assert between.duration == pytest.approx(within.duration, rel=0.01)
        assert taste.parts(between).tolist()[:2] == [0, 0]
        assert taste.parts(within)[0] <= -0.25
        assert taste.parts(between)[0] > taste.parts(within)[0]
        assert taste.parts(between).sum() > taste.parts(within).sum()


def _cut(song, start, stop):
    actions = np.zeros(song.n_beats, int)
    actions[start:stop] = Action.CUT
    return Edit(song, actions, 0.8)


@pytest.fixture(scope="module", params=["rock", "waltz", "folk"])
def analysed(request, tmp_path_factory):
    """Return a sung song as composed and as analysed."""
    composed = compose_song(40, request.param, 90.0, sung=True)
    path = tmp_path_factory.mktemp("analysed") / "song.flac"
    save_audio(path, composed.audio)
    return composed, load_song(path)


def test_the_guess_at_singing_finds_the_voice(analysed):
    composed, song = analysed
    bars = song.downbeats[1:]
    times = song.beat_times[bars, None]
    lines = composed.sung_lines
    inside = ((times > lines[:, 0] + 0.1) & (times < lines[:, 1] - 0.1)).any(axis=1)
    assert area_under_curve(song.sung_bounds[bars], inside) > 0.75


def test_edits_that_spare_singing_cut_fewer_lines(analysed):
    """The true lines decide; v14 cuts more of them than the same policy that spares singing."""
    composed, song = analysed
    lines = SungLines(composed.sung_lines, composed.sung_notes)
    v14, _ = load_policy(ROOT / "models" / "policy_v14.pt")
    cut = {}
    for name, policy in {"v14": v14, "sparing": sparing_singing(v14)}.items():
        ends = Constraints(song, must_start=True, must_end=True)
        edits = [shorten(policy, ends, keep)[0] for keep in (0.5, 0.6, 0.7, 0.8, 0.9)]
        sides = [np.stack([e.order[e.seams - 1] + 1, e.order[e.seams]]) for e in edits]
        cut[name] = sum(int(lines.in_line(song.beat_times[places]).sum()) for places in sides)
    assert cut["sparing"] < cut["v14"]
