"""Beat files in every layout that is read, and what is written."""

import numpy as np
import pytest

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.beat_files import read_beats, write_beats
from rlhf_lib.errors import InputError


def read(tmp_path, text, duration=10.0):
    path = tmp_path / "song.beats"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_beats(path, duration)


def test_written_beat_files_are_read_back(tmp_path):
    times = np.array([0.0, 0.5123456, 1.25, 199.999])
    write_beats(tmp_path / "song.beats", times)
    assert (tmp_path / "song.beats").read_text().splitlines()[1] == "0.512346"
    given = read_beats(tmp_path / "song.beats", 200.0)
    np.testing.assert_allclose(given.times, times, atol=1e-6)
    assert given.downbeats is None


def test_written_bars_are_read_back(tmp_path):
    """A pick-up of two beats before bars of 3, 5 and 2 beats."""
    times, bars = 0.25 + 0.5 * np.arange(12), Bars(np.array([2, 5, 10]), 12)
    write_beats(tmp_path / "song.beats", times, bars)
    lines = (tmp_path / "song.beats").read_text().splitlines()
    assert lines[:4] == ["0.250000\t2\t0", "0.750000\t3\t0", "1.250000\t1\t1", "1.750000\t2\t1"]
    assert lines[-1] == "5.750000\t2\t3"
    given = read_beats(tmp_path / "song.beats", 10.0)
    np.testing.assert_array_equal(given.times, times)
    assert given.downbeats.tolist() == [2, 5, 10]


def test_audacity_labels_by_hand(tmp_path):
    path, times = tmp_path / "song.txt", np.array([0.5, 1.0, 1.5])
    write_beats(path, times, Bars(np.array([1]), 3), "audacity")
    expected = "0.500000\t0.500000\t0.2\n1.000000\t1.000000\t1.1\n1.500000\t1.500000\t1.2\n"
    assert path.read_text() == expected
    write_beats(path, times, None, "audacity")
    assert path.read_text().splitlines()[2] == "1.500000\t1.500000\t3"
    with pytest.raises(InputError, match="'midi' is unknown; choose one of beats, audacity"):
        write_beats(path, times, form="midi")


def of_metres(*lengths, pick_up=0):
    """Times on whole and broken seconds, and bars of these lengths."""
    n_beats = pick_up + sum(lengths)
    starts = pick_up + np.cumsum([0, *lengths[:-1]])
    return np.arange(n_beats) * 0.5, Bars(starts, n_beats)


@pytest.mark.parametrize(
    ("times", "bars"),
    [
        of_metres(4, 4, 4, 4, pick_up=1),
        of_metres(7, 7, 5, 12, 12, 3, 4, pick_up=3),  # places 10 and 12 are no decimal fractions
        (np.arange(1, 41.0), Bars(np.arange(0, 40, 4), 40)),  # each beat on a whole second
    ],
    ids=["a pick-up", "changing bars", "60 bpm"],
)
@pytest.mark.parametrize("saved_by_audacity", [False, True])
def test_a_label_track_of_beats_is_read_back_exactly(tmp_path, times, bars, saved_by_audacity):
    write_beats(tmp_path / "song.beats", times, bars, "audacity")
    if saved_by_audacity:  # it may add frequencies to a label, and ends its lines as Windows does
        text = (tmp_path / "song.beats").read_text().replace("\n", "\r\n")
        first, _, rest = text.partition("\r\n")
        (tmp_path / "song.beats").write_text(f"{first}\r\n\\\t0.000000\t4000.000000\r\n{rest}")
    given = read_beats(tmp_path / "song.beats", 100.0)
    np.testing.assert_array_equal(given.times, times)
    read_bars = Bars(given.downbeats, len(times))
    for name in ("number", "place", "length"):
        np.testing.assert_array_equal(getattr(read_bars, name), getattr(bars, name))


def test_a_label_track_without_bars_gives_beats_alone(tmp_path):
    """Numbers, as we write them; nothing, as Audacity writes labels that were tapped."""
    times = np.arange(1, 41.0)
    write_beats(tmp_path / "song.beats", times, form="audacity")
    for text in ((tmp_path / "song.beats").read_text(), "".join(f"{t}\t{t}\t\n" for t in times)):
        given = read(tmp_path, text, 100.0)
        assert given.times.tolist() == times.tolist() and given.downbeats is None


def test_of_a_region_the_start_is_the_beat(tmp_path):
    given = read(tmp_path, "0.500000\t0.500000\t0.3\n1.0\t1.4\t1.1\n1.5\t1.5\t1.2\n")
    assert given.times.tolist() == [0.5, 1.0, 1.5] and given.downbeats.tolist() == [1]


LAYOUTS = {
    "beat_this": "0.5\t3\n1.0\t1\n1.5\t2\n2.0\t3\n2.5\t1\n",
    "madmom": "0.500 3.000\n1.000 1.000\n1.500 2.000\n2.000 3.000\n2.500 1.000\n",
    "Harmonix": "0.5\t3\t1\n1.0\t1\t2\n1.5\t2\t2\n2.0\t3\t2\n2.5\t1\t3\n",
    "RWC": "50\t100\t96\n100\t150\t384\n150\t200\t48\n200\t250\t96\n250\t300\t384\n",
    "comma": "time,position\n0.5,3\n1.0, 1\n1.5,2\n2.0,3\n2.5,1\n",
    "semicolon": "Time (s); Beat\r\n0.5;3\r\n1.0;1\r\n1.5;2\r\n2.0;3\r\n2.5 ; 1\r\n",
    "spaces": "# made by hand\n\n  0.5   3\n1.0  1   # here\n1.5 2\n2.0 3\n2.5 1\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_means_the_same(tmp_path, layout):
    given = read(tmp_path, LAYOUTS[layout])
    assert given.times.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert given.downbeats.tolist() == [1, 4]


def test_any_metre_may_change_from_bar_to_bar(tmp_path):
    places = [*range(7, 13), *range(1, 13), 1, 2, *range(1, 8), 1, *range(1, 6)]
    text = "".join(f"{0.1 * k:.1f} {place}\n" for k, place in enumerate(places))
    assert read(tmp_path, text).downbeats.tolist() == [6, 18, 20, 27, 28]


def test_beat_files_may_begin_with_a_byte_order_mark(tmp_path):
    given = read(tmp_path, b"\xef\xbb\xbf0.5\r\n1.\r\n+1.5\r\n20e-1\r\n")
    assert given.times.tolist() == [0.5, 1.0, 1.5, 2.0]


def test_beat_files_may_hold_comments_and_blank_lines(tmp_path):
    given = read(tmp_path, "# by hand\n\n0.5\r\n1.0  # downbeat\n 1.5 \n")
    assert given.times.tolist() == [0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "holds 0 beats"),
        (b"1.5\n", "holds 1 beats"),
        (b"0.5\none\n", "line 2: 'one' is not a number"),
        (b"one\n0.5\n1.0\n", "line 1: 'one' is not a number"),
        (b"0.5\ntime\n1.0\n", "line 2: 'time' is not a number"),
        (b"0.5\n0.5\n", "line 2: '0.5' is not later than 0.5"),
        (b"1.0\n\n0.5\n", "line 3: '0.5' is not later"),
        (b"-0.1\n0.5\n", "line 1: '-0.1' is not within the song"),
        (b"0.5\n10.0\n", "line 2: '10.0' is not within the song, 0 … 10.000 s"),
        (b"0.5\nnan\n", "line 2: 'nan' is not a number"),
        (b"0.5\n-inf\n", "line 2: '-inf' is not a number"),
        (b"1_0.5\n11\n", "line 1: '1_0.5' is not a number"),
        ("0.5\n１.５\n".encode(), "line 2: '１.５' is not a number"),
        (b"0x1\n", "line 1: '0x1' is not a number"),
        (b"0.5\n1e999\n", "line 2: '1e999' is not within"),
        (b"0,5\n1,0\n", "line 1: '0,5' has a decimal comma; write a point"),
        (b"0,512\t1\n1,024\t2\n", "line 1: '0,512\\t1' has a decimal comma; write a point"),
        (b"0,512;1\n1,024;2\n", "has a decimal comma; write a point"),
        (b"\xff\xfe0\x00", "not UTF-8 text; save it as UTF-8"),
        (b"\xef\xbb\xbf0.5\none\n", "line 2: 'one' is not a number"),
        (b"0.5 0\n1.0 1\n", "line 1: '0.5 0' has the place '0' in the bar; count from 1"),
        (b"0.5 12\n1.0 13\n", "line 2: '1.0 13' has the place '13' in the bar"),
        (b"0.5 1\n1.0 1.5\n", "has the place '1.5' in the bar"),
        (b"0.5 1\n1.0 two\n", "has the place 'two' in the bar"),
        (b"0.5 1\n1.0 3\n", "has place 3 in the bar after 1; expected 2, or 1 where a bar begins"),
        (b"0.5 2\n1.0 2\n", "has place 2 in the bar after 2; expected 3, or 1"),
        (b"0.5 1\n1.0\n", "line 2: '1.0' has 1 columns, the first beat 2"),
        (b"0.5\n1.0 1\n", "line 2: '1.0 1' has 2 columns, the first beat 1"),
        (b"0.5 1 1 1\n", "has 4 columns; give time, place in the bar, bar"),
        (b"0.5,1,\n", "has the bar ''; number the bars"),
        (b"0.5 1 1\n1.0 1 1\n", "has bar 1 at place 1; expected more than 1"),
        (b"0.5 1 1\n1.0 2 2\n", "has bar 2 at place 2; expected 1"),
        (b"0.5 1 5\n1.0 1 4\n", "has bar 4 at place 1; expected more than 5"),
        (b"0.5 2\n1.0 3\n", "at least one"),
        (b"".join(b"0.%02d 1\n" % k for k in range(20)), "most bars have one beat"),
        (b"0.5 0.5 1.1\n1.0 1.0 1.3\n", "line 2: '1.0 1.0 1.3' has place 3 in the bar after 1"),
        (b"0.5 0.5 1.1\n1.0 1.0 2.2\n", "has bar 2 at place 2; expected 1"),
        (b"0.5 0.5 1.1\n1.0 1.0\n", "line 2: '1.0 1.0' has the label ''; write bar.place at"),
        (b"0.5 0.5 1.1\n1.0 1.0 7\n", "line 2: '1.0 1.0 7' has the label '7'; write bar.place"),
        (b"0.5 0.5 A\n1.0 1.0 verse 1\n", "line 1: '0.5 0.5 A' has the label 'A'; write bar.pl"),
        (b"0.5 0.4 1.1\n1.0 1.0 1.2\n", "line 1: '0.5 0.4 1.1' is no label of a beat; write"),
        (b"0.5 x 1.1\n1.0 1.0 1.2\n", "line 1: '0.5 x 1.1' is no label of a beat; write start"),
        (b"50 100 384\n100 150 48\n2000 2100 96\n", "'2000 2100 96' is not within the song"),
    ],
)
def test_bad_beat_files_are_refused(tmp_path, content, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    assert words in str(error.value)
    assert str(tmp_path / "song.beats") in str(error.value)


def test_a_missing_beat_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_beats(tmp_path / "song.beats", 10.0)
