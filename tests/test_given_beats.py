"""Songs with beats, bars and sections of their own, from the files to decisions and candidates."""

from dataclasses import replace

import numpy as np
import pytest
from test_song import click_track, write

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.analysis.sections import Section
from rlhf_lib.analysis.song import load_song, load_songs
from rlhf_lib.app.cli import main
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.steps.candidate_files import (
    CandidateEdit,
    _load_original,
    finished_song,
    render_song,
)


@pytest.fixture
def track(workspace):
    return write(workspace / "music" / "track.wav", click_track(30.0))


def give(track, text, suffix=".beats"):
    track.with_suffix(suffix).write_text(text)
    return load_song(track)


def beats_of(downbeats, n_beats, period=0.25):
    """The lines of a beat file with two columns."""
    places, place = [], 12 - downbeats[0]
    for beat in range(n_beats):
        place = 1 if beat in downbeats else place + 1
        places.append(place)
    return "".join(f"{0.1 + period * beat:.3f}\t{p}\n" for beat, p in enumerate(places))


def edits_of(song):
    cut = np.where(np.arange(song.n_beats) < 16, Action.CUT, Action.KEEP)
    return [CandidateEdit("temp_0.3", 0.3, 1, Edit(song, cut, 0.93))]


def test_given_bars_are_obeyed_by_decisions_and_features(track):
    downbeats = [2, *range(7, 67, 5), *range(67, 119, 7)]
    song = give(track, beats_of(downbeats, 119))
    assert song.downbeats.tolist() == downbeats and song.beats_from == "file"
    assert song.decision_points.tolist() == [0, *downbeats]
    first = song.features[:, FEATURE_NAMES.index("bar_place_0")]
    assert np.flatnonzero(first).tolist() == downbeats
    assert song.confidence == replace(song.confidence, tempo=1.0, metre=1.0, bar_line=1.0)
    assert song.beats_per_bar == 5 and song.warning == ""


def test_of_beats_without_bars_the_metre_is_estimated(track):
    song = give(track, "".join(f"{0.5 * beat}\n" for beat in range(60)))
    (length,) = set(np.diff(song.downbeats))
    assert length in (3, 4) and song.confidence.tempo == 1.0
    assert song.confidence.metre < 1.0


def test_given_sections_begin_phrases_segments_and_decisions(track):
    sections = "0.6\tverse\n13.4\tchorus\n25.6\tend\n"
    track.with_suffix(".sections").write_text(sections)
    song = give(track, beats_of(list(range(2, 119, 4)), 119))  # bar lines at 0.6, 1.6, 2.6 … s
    assert song.sections == (
        Section("verse", 2, 54, 0.0),
        Section("chorus", 54, 102, pytest.approx(0.2)),
    )
    column = lambda name: song.features[:, FEATURE_NAMES.index(name)]  # noqa: E731
    assert np.flatnonzero(column("segment_since") == 0).tolist() == [0, 2, 54, 102]
    for start in (2, 54):
        assert column("phrase_cos")[start] == pytest.approx(1)
        assert start in song.decision_points
    assert load_song(track).sections == song.sections  # from the cache


def test_sections_moved_far_are_named(track):
    track.with_suffix(".sections").write_text("0.6\tverse\n13.0\tchorus\n")
    song = give(track, beats_of(list(range(2, 119, 4)), 119))
    assert "chorus by -0.40 s" in song.warning and "verse" not in song.warning


def test_a_change_of_either_file_is_noticed(track):
    plain = give(track, beats_of(list(range(0, 119, 4)), 119))
    other = give(track, beats_of(list(range(1, 119, 4)), 119))
    assert (plain.downbeats[0], other.downbeats[0]) == (0, 1)
    assert not other.sections
    given = give(track, "0.4 a\n10.4 b\n", ".sections")
    assert [section.label for section in given.sections] == ["a", "b"]
    assert [s.label for s in give(track, "0.4 a\n10.4 c\n", ".sections").sections] == ["a", "c"]
    track.with_suffix(".sections").unlink()
    np.testing.assert_array_equal(load_song(track).features, other.features)
    assert not load_song(track).sections


@pytest.mark.parametrize(
    ("suffix", "text", "words"),
    [
        (".beats", "0.5 1\n1.0 3\n", r"track\.beats, line 2.*place 3 in the bar after 1"),
        (".sections", "verse\n", r"track\.sections, line 1.*no label"),
        (".sections", "1 a\n1.2 b\n", "shorter than half a bar"),
    ],
)
def test_a_wrong_file_is_refused_and_the_song_skipped(track, suffix, text, words):
    write(track.with_name("other.wav"), click_track(30.0, seed=1))
    track.with_suffix(suffix).write_text(text)
    with pytest.raises(InputError, match=words):
        load_song(track)
    songs, skipped = load_songs(track.parent)
    assert [song.song_id for song in songs] == ["other"] and len(skipped) == 1


def test_an_exported_estimate_gives_the_same_song(track, workspace, capsys):
    """Exported, put next to the song and loaded again: the same to the microsecond."""
    estimated = load_song(track)
    command = ["export_beats", "--songs_dir", "music", "--output_dir", "out", "--jobs", "1"]
    assert main(command) == 0
    (written,) = (workspace / "out").iterdir()
    assert written.name == "track.beats" and str(written) in capsys.readouterr().out
    assert main(command) == 2  # a file that may have been corrected is not overwritten
    assert "track.beats exists" in capsys.readouterr().err
    written.rename(track.with_suffix(".beats"))
    given = load_song(track)
    np.testing.assert_allclose(given.beat_times, estimated.beat_times, rtol=0, atol=5.01e-7)
    np.testing.assert_array_equal(given.downbeats, estimated.downbeats)
    np.testing.assert_array_equal(given.decision_points, estimated.decision_points)
    np.testing.assert_allclose(given.features, estimated.features, rtol=1e-3, atol=1e-3)


def test_labels_for_audacity_are_read_back_as_beats(track, workspace):
    flags = ["--songs_dir", str(track), "--output_dir", "out", "--format", "audacity"]
    assert main(["export_beats", *flags]) == 0
    lines = (workspace / "out" / "track.txt").read_text().splitlines()
    song = load_song(track)
    times = f"{song.beat_times[song.downbeats[1]]:.6f}"
    assert lines[song.downbeats[1]] == f"{times}\t{times}\t2.1"
    (workspace / "out" / "track.txt").rename(track.with_suffix(".beats"))
    given = load_song(track)
    assert given.beats_from == "file"
    np.testing.assert_allclose(given.beat_times, song.beat_times, rtol=0, atol=5.01e-7)
    np.testing.assert_array_equal(given.downbeats, song.downbeats)
    assert main(["export_beats", "--format", "midi"]) == 2


def test_candidates_notice_other_bars_and_sections(track, workspace):
    track.with_suffix(".sections").write_text("0.1 a\n10.1 b\n")
    song = give(track, beats_of(list(range(0, 119, 4)), 119))
    folder = workspace / "out"
    entry = render_song(song, "song_1", edits_of(song), folder)
    copy = folder / entry.path
    assert _load_original(entry, "s", copy, None).sections == song.sections
    for suffix, text in (
        (".beats", beats_of(list(range(1, 119, 4)), 119)),
        (".sections", "0.1 a\n11.1 b\n"),
    ):
        kept = copy.with_suffix(suffix).read_text()
        copy.with_suffix(suffix).write_text(text)
        with pytest.raises(InputError, match="other bars or sections than the song"):
            _load_original(entry, "s", copy, None)
        assert finished_song(song, "song_1", edits_of(song), folder) is None
        copy.with_suffix(suffix).write_text(kept)
    assert finished_song(song, "song_1", edits_of(song), folder) == entry
    older = entry.model_copy(update={"downbeats": None, "sections": None})
    assert _load_original(older, "s", copy, None).n_beats == song.n_beats
