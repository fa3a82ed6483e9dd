"""Section files in every layout that is read, and how sections are placed on bar lines."""

import numpy as np
import pytest

from rlhf_lib.analysis.sections import Section, placed, read_sections
from rlhf_lib.errors import InputError


def read(tmp_path, text, duration=30.0):
    path = tmp_path / "song.sections"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_sections(path, duration)


LAYOUTS = {
    "Audacity": "0.5\t8.5\tverse one\n\\\t0.0\t4000.0\n8.5\t20.5\tchorus\n",
    "start end label": "# by hand\n0.5 8.5 verse one\n8.5 20.5 chorus\n",
    "Harmonix": "0.5 verse one\n8.5 chorus\n20.5 end\n",
    "Harmonix, tabs": "0.5\tverse  one\r\n8.5\tchorus\r\n20.5\tEnd\r\n",
    "CSV": "label,start,end\nverse one,0.5,8.5\nchorus,8.5,20.5\n",
    "CSV, other order": 'Start;End;Label\n0.5;8.5;"verse one"\n8.5;20.5;chorus\n',
    "label first": "verse one 0.5 8.5\n# by hand\n  chorus  8.5   20.5\n",
    "label first, tabs": "verse one\t0.5\t8.5\r\nchorus\t8.5\t20.5\r\n",
    "label first, commas": '"verse one", 0.5, 8.5\nchorus,8.5,20.5\n',
    "label first, semicolons": "verse one;0.5;8.5\nchorus;8.5;20.5\n",
    "commas": b"\xef\xbb\xbf0.5,8.5,verse one\n8.5,20.5,chorus\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_means_the_same(tmp_path, layout):
    spans = read(tmp_path, LAYOUTS[layout])
    assert [span.label for span in spans] == ["verse one", "chorus"]
    assert [span.start for span in spans] == [0.5, 8.5]
    sections = placed(spans, 0.5 * np.arange(60), np.arange(1, 60, 4), 30.0)
    assert sections == (Section("verse one", 1, 17, 0.0), Section("chorus", 17, 41, 0.0))


def test_point_labels_last_until_the_next_one(tmp_path):
    spans = read(tmp_path, "0.5\t0.5\tA\n8.5\t8.5\tB\n")
    sections = placed(spans, 0.5 * np.arange(60), np.arange(1, 60, 4), 30.0)
    assert [(s.label, s.start, s.stop) for s in sections] == [("A", 1, 17), ("B", 17, 60)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("0.5 8.5 1\n8.5 20.5 2\n", [("1", 0.5, 8.5), ("2", 8.5, 20.5)]),
        ("1 0.5 8.5\n2 8.5 20.5\n", [("1", 0.5, 8.5), ("2", 8.5, 20.5)]),
        ("1 0.5 8.5\nB 8.5 20.5\n", [("1", 0.5, 8.5), ("B", 8.5, 20.5)]),
        ("1st 0.5 8.5\n2nd 8.5 8.5\n", [("1st", 0.5, 8.5), ("2nd", 8.5, None)]),
        ('"a ""b""",0.5,8.5\n"c, d",8.5,9\n', [('a "b"', 0.5, 8.5), ("c, d", 8.5, 9.0)]),
    ],
)
def test_of_labels_that_are_numbers_the_times_tell_the_layout(tmp_path, content, expected):
    assert [(span.label, span.start, span.end) for span in read(tmp_path, content)] == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no section"),
        ("5 end\n", "holds no section"),
        ("0.5 8.5\n", "line 1: '0.5 8.5' has no label; write start, end and label"),
        ("0.5\n", "has no label"),
        (
            "verse 0.5 end\n",
            "'verse' is not a time in s, as in 12.34; write start, end and label, ",
        ),
        ("verse;0,5;8,75\n", "line 1: 'verse;0,5;8,75': '0,5' is not a time in s, as in 12.34"),
        ("verse,0,5,8,75\n", "'verse' is not a time in s"),
        ("A 0.5 8.5\nB 8.5\n", "line 2: 'B 8.5' has other columns than the first section"),
        ("A 0.5 8.5\nB 8.5 end\n", "line 2: 'B 8.5 end': 'end' is not a time in s"),
        ("A 8.5 20\nB 0.5 8.5\n", "line 2: 'B 0.5 8.5' does not start after 8.5; sort them"),
        ("A 8.5 0.5\n", "line 1: 'A 8.5 0.5' ends before it starts"),
        (
            "1 1.5 8.5\n2 8.5 20.5\n",
            "line 1: '1 1.5 8.5': label, start, end or start, end, label? Both fit every line; "
            "name the columns in a first line, as in label,start,end",
        ),
        ("1 verse 0.5 8.5\n2 chorus 8.5 20.5\n", "Both fit every line"),
        ("0,5 verse\n", "line 1: '0,5 verse' has a decimal comma; write a point"),
        ("0.5 A\n1.5 2.5 B\n", "line 2: '1.5 2.5 B' has other columns than the first"),
        ("8.5 A\n0.5 B\n", "line 2: '0.5 B' does not start after 8.5; sort them"),
        ("8.5 4.5 A\n", "ends before it starts"),
        ("0.5 32.0 A\n", "is not within the song, 0 … 30.000 s"),
        ("30.0 A\n", "is not within the song"),
        ("-1 A\n", "is not within the song"),
        ("1e999 A\n", "is not within the song"),
        ("label,start\nA,0\n", "names other columns than label, start and end"),
        ("label,start,end\nA,0\n", "line 2: 'A,0' has 2 columns; expected label, start, end"),
        ("label,start,end\nA,zero,1\n", "'zero' is not a time in s"),
        ("label,start,end\n,0,1\n", "give a label of 1 to 80 letters"),
        ("0.5 " + "x" * 81, "give a label of 1 to 80 letters"),
        (b"\xff\xfe0\x00", "not UTF-8 text"),
    ],
)
def test_bad_section_files_are_refused(tmp_path, content, words):
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    assert words in str(error.value)
    assert str(tmp_path / "song.sections") in str(error.value)


def spans_of(tmp_path, *rows):
    return read(tmp_path, "".join(f"{start}\t{end}\t{label}\n" for label, start, end in rows))


def test_starts_and_ends_move_to_the_nearest_bar_line(tmp_path):
    """Bar lines every 2 s from 1 s on; a pick-up before; the song lasts 30 s."""
    times, downbeats = 0.5 * np.arange(58), np.arange(2, 58, 4)
    spans = spans_of(tmp_path, ("a", 0.1, 4.4), ("b", 5.9, 9.2), ("c", 9.2, 30.5))
    assert placed(spans, times, downbeats, 30.0) == (
        Section("a", 0, 10, 0.0),
        Section("b", 10, 18, pytest.approx(-0.9)),
        Section("c", 18, 58, pytest.approx(-0.2)),
    )


def test_silence_before_the_music_is_no_section(tmp_path):
    times = 3.0 + 0.5 * np.arange(40)
    spans = spans_of(tmp_path, ("silence", 0, 2.9), ("intro", 2.9, 11))
    (intro,) = placed(spans, times, np.arange(0, 40, 4), 24.0)
    assert intro == Section("intro", 0, 16, 0.0)


def test_sections_of_less_than_a_bar_and_overlaps_are_refused(tmp_path):
    times, downbeats = 0.5 * np.arange(60), np.arange(0, 60, 4)
    short = spans_of(tmp_path, ("a", 0, 8), ("b", 8.1, 8.6), ("c", 8.6, 30))
    with pytest.raises(InputError, match=r"line 2.*section 'b' is shorter than half a bar"):
        placed(short, times, downbeats, 30.0)
    overlap = spans_of(tmp_path, ("a", 0, 12), ("b", 8, 30))
    with pytest.raises(InputError, match=r"'b' begins at 8.000 s.* before section 'a' has ended"):
        placed(overlap, times, downbeats, 30.0)
    drawn_by_hand = spans_of(tmp_path, ("a", 0, 8.2), ("b", 7.9, 30))
    assert placed(drawn_by_hand, times, downbeats, 30.0)[1].start == 16
