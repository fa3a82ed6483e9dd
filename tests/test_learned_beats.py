"""beat_this as an option: a stand-in for the package whose answers are in its weights' file."""

import json
import sys

import numpy as np
import pytest
from test_given_beats import edits_of
from test_song import click_track, write

from rlhf_lib.analysis import learned_beats
from rlhf_lib.analysis.learned_beats import filled
from rlhf_lib.analysis.song import load_song, load_songs
from rlhf_lib.app.cli import main
from rlhf_lib.errors import InputError
from rlhf_lib.steps.candidate_files import _load_original, finished_song, render_song

STAND_IN = """
import json
class Audio2Beats:
    def __init__(self, checkpoint_path="final0", device="cpu"):
        with open(checkpoint_path) as file:
            self.answer = json.load(file)
    def __call__(self, signal, sr):
        assert signal.ndim == 1 and sr == 22050 and abs(len(signal) / sr - 30) < 0.01
        return self.answer["beats"], self.answer["downbeats"]
"""
#: Clicks of `click_track` come every 0.5 s from 0 on.
BEATS = [round(0.5 * k, 2) for k in range(60)]


def forget():
    learned_beats._tracker.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "beat_this"]:
        del sys.modules[name]


@pytest.fixture
def track(workspace, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(workspace / "torch"))
    return write(workspace / "music" / "track.wav", click_track(30.0))


@pytest.fixture
def installed(track, workspace, monkeypatch):
    """Install the stand-in; return a function that writes its weights."""
    package = workspace / "packages" / "beat_this"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inference.py").write_text(STAND_IN)
    forget()
    monkeypatch.syspath_prepend(workspace / "packages")

    def weights(downbeats, beats=BEATS):
        path = workspace / "torch" / "hub" / "checkpoints" / "beat_this-final0.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"beats": beats, "downbeats": downbeats}))

    yield weights
    forget()


def test_beats_and_bar_lines_are_obeyed(track, installed):
    installed([BEATS[k] for k in range(2, 60, 5)])
    song = load_song(track, beats="beat_this")
    np.testing.assert_array_equal(song.beat_times, BEATS)
    np.testing.assert_array_equal(song.downbeats, np.arange(2, 60, 5))
    assert song.beats_from == "beat_this" and load_song(track).beats_from == "own"
    assert song.confidence.metre == 1.0  # every beat in a bar of five
    assert song.confidence.bar_line < 0.9  # but the sound changes every fourth
    assert song.confidence.tempo == 1.0


def test_confidence_says_how_regular_the_bars_are(track, installed):
    bars = np.cumsum([0, *[4] * 9, 3, *[4] * 5])  # 3 of 60 beats in another bar
    installed([BEATS[k] for k in bars])
    song = load_song(track, beats="beat_this")
    np.testing.assert_array_equal(song.downbeats, bars)
    assert song.confidence.metre == pytest.approx(57 / 60)
    wrong = [round(0.4 * k, 2) for k in range(75)]
    installed(wrong[::4], wrong)
    assert load_song(track, beats="beat_this").confidence.tempo == 0.0


def test_other_weights_are_another_analysis(track, installed):
    installed(BEATS[::4])
    first = load_song(track, beats="beat_this")
    installed(BEATS[1::4])
    assert first.downbeats[0] == 0 and load_song(track, beats="beat_this").downbeats[0] == 1


def test_a_beat_file_comes_first(track, installed):
    installed(BEATS[::4])
    track.with_suffix(".beats").write_text(
        "".join(f"{t + 0.2} {k % 3 + 1}\n" for k, t in enumerate(BEATS))
    )
    song = load_song(track, beats="beat_this")
    assert song.beats_from == "file" and song.beats_per_bar == 3


def test_bars_are_filled_in_where_bar_lines_are_missing():
    found = np.array([20, 24, 28, 45, 49, 52])
    expected = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 45, 49, 52, 56, 60, 64, 68]
    assert filled(found, 70).tolist() == expected
    assert filled(np.array([2, 9, 16]), 20).tolist() == [2, 9, 16]


@pytest.mark.parametrize("bar_lines", [[], BEATS[:1], BEATS])
def test_without_usable_bar_lines_the_metre_is_estimated(track, installed, bar_lines):
    installed(bar_lines)
    song = load_song(track, beats="beat_this")
    assert set(np.diff(song.downbeats)) <= {3, 4} and song.beats_from == "beat_this"


def test_no_beats_are_refused(track, installed):
    installed([], [])
    with pytest.raises(InputError, match=r"track\.wav: beat_this found 0 beats in 30\.0 s"):
        load_song(track, beats="beat_this")


def test_without_the_package_the_remedy_is_told(track, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed; pip install 'rlhf_lib\[beats\]'"):
        load_song(track, beats="beat_this")
    with pytest.raises(InputError, match="not installed"):  # for all songs, not song by song
        load_songs(track.parent, beats="beat_this")
    assert main(["export_beats", "--songs_dir", "music", "--beats", "beat_this"]) == 2
    assert "error: beat_this is not installed" in capsys.readouterr().err
    with pytest.raises(InputError, match="'madmom' is unknown; choose one of own, beat_this"):
        load_song(track, beats="madmom")


def test_without_weights_the_place_is_told(track, installed, workspace):
    place = workspace / "torch" / "hub" / "checkpoints" / "beat_this-final0.ckpt"
    with pytest.raises(InputError) as error:
        load_song(track, beats="beat_this")
    assert str(place) in str(error.value) and "load_model('final0')" in str(error.value)


def test_weights_that_cannot_be_loaded_are_refused(track, installed, workspace):
    installed(BEATS)
    (workspace / "torch" / "hub" / "checkpoints" / "beat_this-final0.ckpt").write_text("no JSON")
    with pytest.raises(InputError, match="beat_this cannot be loaded"):
        load_song(track, beats="beat_this")


def test_the_installed_package_without_weights(track):
    """With the real package, where it is installed: the same message, and nothing is downloaded."""
    pytest.importorskip("beat_this")
    with pytest.raises(InputError, match="the weights of beat_this are not at"):
        load_song(track, beats="beat_this")


def test_candidates_need_the_package_no_more(track, installed, workspace, monkeypatch):
    installed([BEATS[k] for k in range(1, 60, 4)], [t + 0.0123456789 for t in BEATS])
    song = load_song(track, beats="beat_this")
    entry = render_song(song, "song_1", edits_of(song), workspace / "out")
    assert finished_song(song, "song_1", edits_of(song), workspace / "out") == entry
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    again = _load_original(entry, "s", workspace / "out" / entry.path, None)
    np.testing.assert_array_equal(again.beat_times, song.beat_times)
    np.testing.assert_array_equal(again.downbeats, song.downbeats)
    np.testing.assert_array_equal(again.features, song.features)
