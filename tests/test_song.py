"""Songs: loading, caching, unusable files, and properties derived from beats."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy import toy_song

from rlhf_lib.analysis import song as song_module
from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.confidence import Confidence
from rlhf_lib.analysis.sections import Section
from rlhf_lib.analysis.song import Song, load_song, load_songs
from rlhf_lib.errors import InputError

RATE = 16000


def click_track(seconds=12.0, period=0.5, seed=0):
    """Return noise bursts on every beat, with a tone that changes each bar."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    in_beat = time % period
    pitch = 220 * 2 ** (rng.integers(0, 12, 400)[(time / period / 4).astype(int)] / 12)
    burst = 0.5 * np.exp(-in_beat / 0.02) * rng.standard_normal(len(time))
    return np.clip(burst + 0.2 * np.sin(2 * np.pi * pitch * time), -0.9, 0.9)


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return path


@pytest.fixture
def track(workspace):
    return write(workspace / "music" / "track.wav", click_track())


def plain_song(n_beats, beats_per_bar=4, downbeat=0, period=0.5, features=None):
    times = 0.1 + period * np.arange(n_beats)
    if features is None:
        features = np.zeros((n_beats, 125))
    n_samples = int((times[-1] + period) * 1000)
    downbeats = np.arange(downbeat, n_beats, beats_per_bar)
    return Song("s", Path("s"), "0", 1000, n_samples, times, downbeats, features)


def test_beats_partition_the_song():
    song = plain_song(7)
    assert song.n_beats == 7 and song.duration == pytest.approx(3.6)
    np.testing.assert_array_equal(song.beat_bounds, [0, 600, 1100, 1600, 2100, 2600, 3100, 3600])
    np.testing.assert_allclose(song.beat_durations, [0.6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("n_beats", "beats_per_bar", "downbeat", "first"),
    [
        (120, 4, 2, [0, 2, 6, 10]),
        (120, 3, 0, [0, 3, 6, 9]),
        (60, 4, 3, [0, 1, 3, 5]),
        (60, 3, 2, [0, 1, 2, 3]),
        (40, 4, 1, [0, 1, 2, 3]),
    ],
)
def test_decision_points(n_beats, beats_per_bar, downbeat, first):
    points = plain_song(n_beats, beats_per_bar, downbeat).decision_points
    np.testing.assert_array_equal(points[:4], first)
    assert points[-1] < n_beats


def test_a_song_cannot_be_changed():
    song = plain_song(20)
    for array in (song.beat_times, song.features, song.beat_bounds, song.beat_durations):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"\(20, 125\)"):
        plain_song(20, features=np.zeros((19, 125)))
    with pytest.raises(InputError, match="not numbers"):
        plain_song(20, features=np.full((20, 125), np.nan))
    with pytest.raises(InputError, match="rising"):
        plain_song(20, period=-0.5)
    with pytest.raises(InputError, match=r"'s': a bar of 13 beats"):
        plain_song(20, beats_per_bar=13)


def test_a_cached_song_equals_the_analysed_one(track, monkeypatch):
    first = load_song(track)
    assert first.song_id == "track" and first.sample_rate == RATE
    assert first.n_samples == 12 * RATE and first.features.shape == (first.n_beats, 125)

    def refuse(*_):
        raise AssertionError("analysed again")

    monkeypatch.setattr(song_module, "analyse", refuse)
    again = load_song(track.rename(track.with_name("renamed.wav")))
    assert again.song_id == "renamed" and again.sha256 == first.sha256
    np.testing.assert_array_equal(again.features, first.features)
    np.testing.assert_array_equal(again.beat_times, first.beat_times)
    np.testing.assert_array_equal(again.downbeats, first.downbeats)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "foreign", "unfit"])
def test_a_damaged_cache_is_rebuilt(track, workspace, damage, caplog):
    first = load_song(track)
    (entry,) = (workspace / ".cache" / "songs").iterdir()
    whole = entry.read_bytes()
    if damage == "cut":
        entry.write_bytes(whole[: len(whole) // 2])
    elif damage == "bit":
        entry.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    elif damage == "empty":
        entry.write_bytes(b"")
    elif damage == "foreign":
        with entry.open("wb") as handle:
            np.savez(handle, something=np.arange(3))
    else:
        with np.load(io.BytesIO(whole)) as stored:
            values = dict(stored)
        with entry.open("wb") as handle:
            np.savez(handle, **{**values, "features": values["features"][:-1]})
    again = load_song(track)
    np.testing.assert_array_equal(again.features, first.features)
    assert "rebuilding the damaged cache" in caplog.text
    caplog.clear()
    load_song(track)
    assert not caplog.text


def test_a_song_beyond_full_scale_knows_by_how_much_it_is_scaled_down(track, monkeypatch):
    assert load_song(track).gain == 1
    loud = track.with_name("loud.wav")
    soundfile.write(loud, 1.25 / 0.9 * click_track(), RATE, subtype="FLOAT")
    song = load_song(loud)
    assert song.gain == pytest.approx(0.8, rel=1e-6)
    own, _ = soundfile.read(loud, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(load_audio(loud).samples, own * np.float32(song.gain))
    monkeypatch.setattr(song_module, "analyse", None)
    assert load_song(loud).gain == song.gain  # from the cache


def test_a_beat_file_next_to_the_song_is_used(track):
    estimated = load_song(track)
    beats = 0.25 + 0.4 * np.arange(29)
    track.with_suffix(".beats").write_text("".join(f"{beat:.3f}\n" for beat in beats))
    annotated = load_song(track)
    np.testing.assert_allclose(annotated.beat_times, beats)
    track.with_suffix(".beats").write_text("".join(f"{beat:.3f}\n" for beat in beats[:-1]))
    assert load_song(track).n_beats == 28
    track.with_suffix(".beats").unlink()
    np.testing.assert_array_equal(load_song(track).beat_times, estimated.beat_times)


def test_unusable_songs_are_refused(workspace):
    with pytest.raises(InputError, match=r"lasts 9\.00 s"):
        load_song(write(workspace / "short.wav", click_track(9.0)))
    with pytest.raises(InputError, match="silent"):
        load_song(write(workspace / "silent.wav", np.zeros(12 * RATE)))
    slow = write(workspace / "slow.wav", click_track())
    slow.with_suffix(".beats").write_text("1\n4\n7\n")
    with pytest.raises(InputError, match=r"3 beats.*slow\.beats"):
        load_song(slow)
    with pytest.raises(InputError, match="cannot read"):
        load_song("nowhere.wav")


def test_a_file_name_that_is_not_utf8_is_refused(track):
    with pytest.raises(InputError, match="rename the file"):
        load_song(track.rename(track.with_name("caf\udce9.wav")))


def test_load_songs_gives_the_reason_for_each_skipped_file(track, workspace):
    folder = track.parent
    write(folder / "other" / "track.wav", click_track(seed=1))
    write(folder / "other" / "copy.wav", click_track())
    write(folder / "short.wav", click_track(3.0))
    (folder / "broken.mp3").write_bytes(b"no sound")
    (folder / "cover.jpg").write_bytes(b"no sound")
    songs, skipped = load_songs(folder)
    assert [song.song_id for song in songs] == ["copy", "track_other"]
    assert songs[1].path == folder / "other" / "track.wav"
    reasons = {skip.path.relative_to(folder).as_posix(): skip.reason for skip in skipped}
    assert set(reasons) == {"short.wav", "broken.mp3", "track.wav"}
    assert "lasts 3.00 s" in reasons["short.wav"]
    assert "copy of" in reasons["track.wav"] and "copy.wav" in reasons["track.wav"]
    assert len(load_songs(folder, n_songs=1)[0]) == 1


def test_ids_stay_unique_when_folders_share_a_name_too(workspace):
    for seed, place in enumerate(("a/disc/one.wav", "b/disc/one.wav")):
        write(workspace / place, click_track(seed=seed))
    ids = [song.song_id for song in load_songs(workspace)[0]]
    assert len(set(ids)) == 2 and all(name.startswith("one_disc_") for name in ids)


def test_load_songs_fails_when_no_file_is_usable(workspace):
    with pytest.raises(InputError, match="no folder"):
        load_songs("missing")
    (workspace / "empty").mkdir()
    with pytest.raises(InputError, match="no usable song"):
        load_songs("empty")
    write(workspace / "empty" / "short.wav", click_track(3.0))
    with pytest.raises(InputError, match=r"short\.wav.*lasts"):
        load_songs("empty")
    with pytest.raises(InputError, match="n_songs is 0"):
        load_songs("empty", n_songs=0)


def test_an_uncertain_song_says_what_is_uncertain_and_what_to_do():
    song = plain_song(40)
    assert song.warning == ""
    unsure = replace(song, confidence=Confidence(tempo=0.55, metre=0.9, bar_line=0.6))
    assert "the tempo 0.55" in unsure.warning
    assert "which beat begins the bar 0.60" in unsure.warning
    assert "metre" not in unsure.warning and "s.beats" in unsure.warning


def test_confidence_is_that_of_the_analysis_and_survives_the_cache(track):
    first, again = load_song(track), load_song(track)
    assert first.confidence == again.confidence
    assert 0 <= min(vars(first.confidence).values()) <= max(vars(first.confidence).values()) <= 1
    track.with_suffix(".beats").write_text("\n".join(str(0.5 * k) for k in range(24)))
    assert load_song(track).confidence.tempo == 1.0  # beats that were given are sure


def test_outline_names_given_sections_and_numbers_the_others():
    """Sections begin at beats 0, 8 and 20; one of them has a given name."""
    since = np.concatenate([np.arange(8), np.arange(12), np.arange(12)])
    song = toy_song(32, segment_since=since)
    assert song.section_starts.tolist() == [0, 8, 20]
    assert song.outline == [(0.0, "1"), (4.0, "2"), (10.0, "3")]
    named = replace(song, sections=(Section("chorus", 8, 20, 0.0),))
    assert named.outline == [(0.0, "1"), (4.0, "chorus"), (10.0, "3")]
