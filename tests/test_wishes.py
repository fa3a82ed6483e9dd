"""Lengths, passages and numbers as people write them; values computed by hand."""

import math

import numpy as np
import pytest

from rlhf_lib.errors import InputError
from rlhf_lib.steps.wishes import (
    read_cut_lists,
    read_passages,
    read_share,
    read_switch,
    read_time,
    read_variants,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("150", 150),
        ("90s", 90),
        ("2:30", 150),
        ("2m30", 150),
        ("2m30s", 150),
        ("2m", 120),
        ("90:00", 5400),
        ("1:02:03.5", 3723.5),
        ("1h02m03s", 3723),
        ("1h", 3600),
        (" 0:07 ", 7),
        (12.5, 12.5),
        (np.float32(3), 3),
    ],
)
def test_times(text, seconds):
    assert read_time(text) == seconds


@pytest.mark.parametrize(
    "value",
    (
        *("2:75", "1:90:00", "1h90m", "2:", ":30", "", "s", "m", "2:x", "-3", "0,5", "1e3", "٣"),
        *("1:2:3:4", -1, math.nan, math.inf, None, (1, 2)),
    ),
)
def test_what_is_no_time_is_refused_with_the_form(value):
    with pytest.raises(InputError, match="is not a time; give seconds or minutes:seconds, as in"):
        read_time(value)


@pytest.mark.parametrize(("text", "share"), [("0.8", 0.8), ("80%", 0.8), (0.2, 0.2), ("100 %", 1)])
def test_shares(text, share):
    assert read_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["80", "0,8", "0.19", "1.01", "8%", "", "%", "a lot", math.nan])
def test_what_is_no_share_is_refused_with_the_form(text):
    with pytest.raises(InputError, match=r"give one from 0\.2 to 1, such as 0\.8 or 80%"):
        read_share(text)


@pytest.mark.parametrize(
    ("value", "passages"),
    [
        ("0:30-1:10", [(30, 70)]),
        ("0:10 - 0:20", [(10, 20)]),
        ("0:10–0:20", [(10, 20)]),
        ("10-20, 0:40-50s", [(10, 20), (40, 50)]),
        (["0:10-0:20,0:30-0:40", (50, "1:00")], [(10, 20), (30, 40), (50, 60)]),
        ([(1.5, 2.5)], [(1.5, 2.5)]),
        ((), []),
        (None, []),
    ],
)
def test_passages(value, passages):
    assert read_passages(value) == passages


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("10-20-30", "'10-20-30' is not a passage; give a start and a stop, as in 0:30-1:10"),
        ("30", "'30' is not a passage"),
        ("", "'' is not a passage"),
        ((30, 40), r"30 is not a passage.*in Python \(30, 70\)"),
        ([(1, 2, 3)], r"\(1, 2, 3\) is not a passage"),
        ("50-40", "passage 50-40 s cannot be protected; give a start before its stop"),
        ("x-40", "'x' is not a time"),
    ],
)
def test_what_is_no_passage_is_refused_with_the_form(value, message):
    with pytest.raises(InputError, match=message):
        read_passages(value)


def test_variants_and_cut_lists():
    assert [read_variants(value) for value in (1, "3", 99, np.int64(2))] == [1, 3, 99, 2]
    for value in (0, 100, "-1", 2.5, "many", None):
        with pytest.raises(InputError, match="is no number of variants; ask for 1 to 99"):
            read_variants(value)
    assert read_cut_lists("txt, csv,txt,") == read_cut_lists(["txt", "csv"]) == ["txt", "csv"]
    assert read_cut_lists(None) == []
    with pytest.raises(InputError, match="'edl' is no kind of cut list; the kinds are txt, csv"):
        read_cut_lists("txt,edl")


def test_switches():
    values = ("on", True, np.True_, "off", False, np.False_)
    assert [read_switch(value) for value in values] == [True] * 3 + [False] * 3
    for value in ("maybe", "", "On", None, 2, [True]):
        with pytest.raises(InputError, match="is neither on nor off; in Python, give True or"):
            read_switch(value)
