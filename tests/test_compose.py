"""Composed songs: their ground truth is true of the sound itself."""

import json
from itertools import pairwise

import librosa
import numpy as np
import pytest
import soundfile

from rlhf_lib.composer.compose import compose_song, compose_songs
from rlhf_lib.composer.flaws import FLAW_KINDS
from rlhf_lib.composer.score import plan_form, write_score
from rlhf_lib.composer.style_book import STYLES
from rlhf_lib.composer.styles import DRUM_KEYS, RHYTHMS, in_bars_of
from rlhf_lib.composer.synth import SAMPLE_RATE
from rlhf_lib.editing.loudness import loudness
from rlhf_lib.errors import InputError


@pytest.fixture(scope="module")
def song():
    return compose_song(3, "pop")


@pytest.fixture(scope="module")
def flawless():
    return compose_song(3, "pop", flaws=False)


def beat_slices(song):
    """Return (first sample, end) of each beat, the last one without the tail."""
    times = np.append(song.beat_times, 2 * song.beat_times[-1] - song.beat_times[-2])
    bounds = np.round(times * song.audio.sample_rate).astype(int)
    return list(pairwise(bounds))


def beat_levels(song):
    """Return the RMS of each beat, dB."""
    power = [
        np.mean(song.audio.samples[a:b].astype(float) ** 2) + 1e-12 for a, b in beat_slices(song)
    ]
    return 10 * np.log10(power)


def beat_chroma(song):
    """Return the mean chroma of each beat, (n_beats, 12), unit length."""
    hop = 1024
    chroma = librosa.feature.chroma_stft(
        y=song.audio.mono(), sr=SAMPLE_RATE, hop_length=hop, tuning=0.0
    )
    beats = np.array(
        [chroma[:, a // hop + 1 : b // hop].mean(axis=1) for a, b in beat_slices(song)]
    )
    return beats / np.linalg.norm(beats, axis=1, keepdims=True)


def onset_strength(song, hop=256):
    return librosa.onset.onset_strength(y=song.audio.mono(), sr=SAMPLE_RATE, hop_length=hop)


def flaw_of(song, kind):
    return next(flaw for flaw in song.flaws if flaw.kind == kind)


def sections_named(song, name):
    return [section for section in song.sections if section.name == name]


def test_shape_level_and_length(song):
    assert song.audio.n_channels == 2
    assert song.audio.sample_rate == 44100
    assert song.audio.duration == pytest.approx(120, abs=1.5)
    assert np.abs(song.audio.samples).max() < 1
    assert loudness(song.audio) == pytest.approx(-16, abs=1)
    assert 0.05 <= song.beat_times[0] <= 0.2


@pytest.mark.parametrize("style", STYLES)
def test_every_style_has_onsets_on_its_true_beats(style):
    song = compose_song(5, style, seconds=20, flaws=False)
    recipe = STYLES[style]
    assert recipe.bpm[0] <= song.bpm <= recipe.bpm[1]
    assert song.audio.duration == pytest.approx(20, abs=1.6)
    hop = 256
    strength = onset_strength(song, hop)
    frame = SAMPLE_RATE / hop
    at = [
        strength[max(int((t - 0.03) * frame), 0) : int((t + 0.05) * frame) + 1].max()
        for t in song.beat_times
    ]
    # Beats draw stronger onsets than the places a third of a beat later, where nothing is written.
    period = 60 / song.bpm
    off = [strength[round((t + period / 3) * frame)] for t in song.beat_times[:-1]]
    assert np.median(at) > 2 * np.median(off)
    assert np.mean(np.array(at) > np.median(off)) > 0.9


def test_a_steady_song_has_equal_beats(song):
    assert np.ptp(np.diff(song.beat_times)) < 1e-9
    assert np.diff(song.beat_times)[0] == pytest.approx(60 / song.bpm)


def test_a_song_that_slows_down_has_the_beats_of_its_curve():
    song = compose_song(1, "rock", seconds=25, tempo_curve=[(0, 140), (40, 100)], flaws=False)
    beats = np.arange(len(song.beat_times) - 1)
    expected = 60 / np.where(beats < 40, 140 - beats, 100)
    np.testing.assert_allclose(np.diff(song.beat_times), expected, rtol=1e-12)
    # The sound does too: kicks or snares fall on early and late beats.
    strength, frame = onset_strength(song), SAMPLE_RATE / 256
    for beat in (4, 8, 20, 32, 36):
        centre = round(song.beat_times[beat] * frame)
        peak = centre - 15 + np.argmax(strength[centre - 15 : centre + 16])
        assert abs(peak - centre) / frame < 0.04


def test_a_tempo_change_midway_as_a_function():
    song = compose_song(
        2, "folk", seconds=20, tempo_curve=lambda beat: 90 if beat < 16 else 135, flaws=False
    )
    periods = np.diff(song.beat_times)
    np.testing.assert_allclose(periods[:16], 60 / 90)
    np.testing.assert_allclose(periods[16:], 60 / 135)


def test_sections_cover_the_song_in_whole_bars(song):
    assert song.sections[0].start_beat == 0
    assert song.sections[-1].end_beat == len(song.beat_times)
    for left, right in zip(song.sections[:-1], song.sections[1:], strict=True):
        assert left.end_beat == right.start_beat
        assert left.end_beat % song.beats_per_bar == 0
    assert {section.name for section in song.sections} == {
        "intro",
        "verse",
        "chorus",
        "bridge",
        "outro",
    }


@pytest.mark.parametrize("n_bars", [2, 3, 5, 9, 10, 17, 40, 60, 61, 83, 100, 400])
def test_forms_of_any_length(n_bars):
    sections = plan_form(n_bars, 3)
    lengths = [section.end_beat - section.start_beat for section in sections]
    assert sum(lengths) == 3 * n_bars
    assert min(lengths) > 0
    assert all(length % 3 == 0 for length in lengths)
    choruses = [length for length, s in zip(lengths, sections, strict=True) if s.name == "chorus"]
    assert len(choruses) >= 1
    assert n_bars < 4 or len(set(choruses)) == 1


def test_choruses_return_and_verses_differ(flawless):
    chroma = beat_chroma(flawless)
    levels = beat_levels(flawless)
    choruses, verses = sections_named(flawless, "chorus"), sections_named(flawless, "verse")
    n = min(s.end_beat - s.start_beat for s in choruses + verses) - 4  # fills differ

    def likeness(a, b):
        rows = slice(a.start_beat, a.start_beat + n), slice(b.start_beat, b.start_beat + n)
        return float(np.mean(np.sum(chroma[rows[0]] * chroma[rows[1]], axis=1)))

    again = likeness(choruses[0], choruses[1])
    assert again > 0.97
    assert again > likeness(choruses[0], verses[0]) + 0.05

    def level(section):
        return levels[section.start_beat : section.end_beat].mean()

    assert level(choruses[0]) > level(verses[0]) + 2


def test_flaws_of_all_kinds_lie_in_whole_bars_apart(song):
    assert {flaw.kind for flaw in song.flaws} == set(FLAW_KINDS)
    for flaw in song.flaws:
        assert flaw.start_beat % song.beats_per_bar == 0
        assert flaw.end_beat - flaw.start_beat in (song.beats_per_bar, 2 * song.beats_per_bar)
    for left, right in zip(song.flaws[:-1], song.flaws[1:], strict=True):
        assert right.start_beat > left.end_beat
    first = sections_named(song, "chorus")[0]
    assert not any(first.start_beat <= f.start_beat < first.end_beat for f in song.flaws)


def test_without_flaws_the_song_is_otherwise_the_same(song, flawless):
    assert flawless.flaws == ()
    np.testing.assert_array_equal(song.beat_times, flawless.beat_times)
    change = beat_levels(song) - beat_levels(flawless)
    flawed = np.zeros(len(change), bool)
    for flaw in song.flaws:
        flawed[flaw.start_beat : flaw.end_beat + 4] = True  # and notes that ring on
    assert np.ptp(change[~flawed]) < 0.5


def test_dead_bars_and_level_drops_are_quieter(song, flawless):
    change = beat_levels(song) - beat_levels(flawless)
    dead, drop = flaw_of(song, "dead_bar"), flaw_of(song, "level_drop")
    assert np.all(change[dead.start_beat : dead.end_beat] < -20)
    np.testing.assert_allclose(change[drop.start_beat : drop.end_beat], -14, atol=2)
    levels = beat_levels(song)
    assert levels[dead.start_beat : dead.end_beat].max() < levels[dead.start_beat - 1] - 15


@pytest.mark.parametrize("style", STYLES)
def test_the_music_is_in_its_key(style):
    song = compose_song(6, style, seconds=20, flaws=False, tonic=3)
    name, mode = song.key.split()
    assert name == "Eb"
    scale = {"major": [0, 2, 4, 5, 7, 9, 11], "minor": [0, 2, 3, 5, 7, 8, 10]}[mode]
    energy = np.mean(beat_chroma(song) ** 2, axis=0)
    shares = [energy[(np.array(scale) + shift) % 12].sum() / energy.sum() for shift in range(12)]
    # Fifth-related keys share six of seven tones: the right key is best or nearly best.
    assert shares[3] > 0.7
    assert shares[3] > max(shares) - 0.1


def test_wrong_notes_change_the_harmony_of_their_bar_alone(song, flawless):
    flaw = flaw_of(song, "wrong_notes")
    kinship = np.sum(beat_chroma(song) * beat_chroma(flawless), axis=1)
    bar = slice(flaw.start_beat, flaw.end_beat)
    before = slice(flaw.start_beat - 4, flaw.start_beat)
    assert kinship[bar].mean() < 0.9 < 0.99 < kinship[before].mean()


def test_a_dragged_bar_is_late(song, flawless):
    flaw = flaw_of(song, "dragged_bar")
    frame = SAMPLE_RATE / 256
    start, stop = (round(song.beat_times[b] * frame) for b in (flaw.start_beat, flaw.end_beat))
    late, right = onset_strength(song)[start:stop], onset_strength(flawless)[start:stop]
    lags = np.arange(0, round(60 / song.bpm * frame / 2))
    likeness = [np.dot(late[lag:], right[: len(right) - lag]) for lag in lags]
    lateness = lags[np.argmax(likeness)] / frame * song.bpm / 60
    assert 0.1 < lateness < 0.35  # beats


def test_folder_of_songs(tmp_path):
    paths = compose_songs(tmp_path / "songs", n_songs=3, seed=4, seconds=15)
    assert [path.name for path in paths] == ["song_001.flac", "song_002.flac", "song_003.flac"]
    truths = [json.loads(path.with_suffix(".truth.json").read_text()) for path in paths]
    for path, truth in zip(paths, truths, strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (44100, 2)
        assert info.duration == pytest.approx(truth["duration"])
        assert len(truth["beat_times"]) == truth["sections"][-1]["end_beat"]
        assert truth["downbeats"][:2] == [0, truth["beats_per_bar"]]
        assert truth["flaws"]
    assert len({truth["style"] for truth in truths}) == 3
    assert len({truth["key"].split()[0] for truth in truths}) == 3
    sung = {path.name for path in paths[0].parent.glob("*.sung.json")}
    assert sung == {"song_002.sung.json", "song_003.sung.json"}
    assert {p.name for p in paths[0].parent.iterdir()} - sung == {
        name for k in (1, 2, 3) for name in (f"song_00{k}.flac", f"song_00{k}.truth.json")
    }
    # The same seed gives the same samples, and song 1 does not depend on the number of songs.
    again = compose_songs(tmp_path / "again", n_songs=1, seed=4, seconds=15)
    assert again[0].read_bytes() == paths[0].read_bytes()
    other = compose_songs(tmp_path / "other", n_songs=1, seed=5, seconds=15)
    assert other[0].read_bytes() != paths[0].read_bytes()
    # Our own songs are replaced.
    compose_songs(tmp_path / "songs", n_songs=1, seed=5, seconds=15)
    assert paths[0].read_bytes() == other[0].read_bytes()


def test_the_sung_lines_of_a_song_that_is_replaced_go(tmp_path):
    (tmp_path / "song_001.sung.json").write_text("of an older song")
    (tmp_path / "song_002.sung.json").write_text("of an older song")
    paths = compose_songs(tmp_path, n_songs=2, seed=4, seconds=15)
    assert not paths[0].with_suffix(".sung.json").exists()  # this one has no voice
    assert json.loads(paths[1].with_suffix(".sung.json").read_text())["lines"]


def test_other_files_are_not_replaced(tmp_path):
    (tmp_path / "song_002.flac").write_bytes(b"somebody's recording")
    with pytest.raises(InputError, match=r"song_002\.flac.*not a composed song"):
        compose_songs(tmp_path, n_songs=2, seconds=10)
    assert [path.name for path in tmp_path.iterdir()] == ["song_002.flac"]
    with pytest.raises(InputError, match="is a file"):
        compose_songs(tmp_path / "song_002.flac")


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ({"n_songs": 0}, "n_songs is 0"),
        ({"n_songs": 2.5}, "n_songs is 2.5"),
        ({"seed": -1}, "seed is -1"),
        ({"seconds": 9}, "seconds is 9"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": 601}, "seconds is 601"),
    ],
)
def test_wrong_folder_arguments_are_quoted(tmp_path, arguments, quoted):
    with pytest.raises(InputError, match=quoted):
        compose_songs(tmp_path / "songs", **arguments)


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ({"style": "polka"}, "'polka'"),
        ({"beats_per_bar": 1}, "beats_per_bar is 1; give 2 to 12"),
        ({"beats_per_bar": 13}, "beats_per_bar is 13"),
        ({"tonic": 12}, "tonic is 12"),
        ({"tempo_curve": [(0, 100), (8, 0)], "seconds": 60}, "bpm at beat"),
        ({"tempo_curve": [(8, 100), (0, 120)]}, "rising beats"),
        ({"tempo_curve": 120}, "tempo_curve is 120"),
        ({"tempo_curve": []}, "tempo_curve is"),
    ],
)
def test_wrong_song_arguments_are_quoted(arguments, quoted):
    with pytest.raises(InputError, match=quoted):
        compose_song(0, **arguments)


@pytest.mark.parametrize("beats", range(2, 13))
def test_bars_of_other_numbers_of_beats(beats):
    """Chords change and kicks fall on the bar lines of the asked-for bars."""
    song = compose_song(1, "folk", seconds=20, flaws=False, sung=False, beats_per_bar=beats)
    assert song.beats_per_bar == beats and len(song.beat_times) % beats == 0
    assert all(section.start_beat % beats == 0 for section in song.sections)
    assert song.truth()["downbeats"][:2] == [0, beats]
    style = in_bars_of(STYLES["folk"], beats)
    score = write_score(style, 8, 0, np.random.default_rng(2))
    kicks = {n.start for n in score.notes if n.role == "drums" and n.pitch == DRUM_KEYS["kick"]}
    pads = {n.start for n in score.notes if n.role == "pad"}
    bar_lines = set(range(0, 8 * beats, beats))
    assert kicks >= bar_lines and pads and pads <= bar_lines


def test_the_patterns_of_seven_beats_by_hand():
    seven = in_bars_of(STYLES["latin"], 7)
    assert seven.bass == ("r-----f-f-----a-r-----f-f---", "r-----f-o-----a-r-----f-o---")
    assert in_bars_of(STYLES["waltz"], 4).chords[0] == "....x-..x-......"
    assert in_bars_of(STYLES["rock"], 4) is STYLES["rock"]


@pytest.mark.parametrize("beats", [2, 5, 7])
def test_the_music_returns_after_four_bars_of_any_length(beats):
    song = compose_song(2, "soul", seconds=60, flaws=False, sung=False, beats_per_bar=beats)
    chroma = beat_chroma(song)
    lags = range(3 * beats + 1, 5 * beats)
    likeness = [np.mean(np.sum(chroma[lag:] * chroma[:-lag], axis=1)) for lag in lags]
    assert lags[int(np.argmax(likeness))] == 4 * beats


@pytest.mark.parametrize("style", STYLES)
def test_tablature_fills_one_bar(style):
    recipe = STYLES[style]
    steps = 4 * recipe.beats_per_bar
    patterns = [*recipe.bass, *recipe.chords, *RHYTHMS[recipe.beats_per_bar]]
    patterns += [recipe.picking] if recipe.picking else []
    patterns += [p for drums in recipe.drums.values() for p in drums.values()]
    assert {len(pattern) for pattern in patterns} == {steps}
    assert set(recipe.drums) == set(recipe.progressions) == {"verse", "chorus", "bridge"}
    for drums in recipe.drums.values():
        assert set(drums) <= set(DRUM_KEYS)
