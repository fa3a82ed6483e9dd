"""What people ask of an edit, as they write it: lengths, passages, how many, which cut lists.

The command line and Python read it here, so that both accept the same and refuse the same.
"""

import math
import re
from collections.abc import Iterable

from rlhf_lib.errors import InputError, quote

#: More edits of one song than anybody would compare.
MOST_VARIANTS = 99
#: Hours and minutes may be marked by ":" or by a letter.
_TIME = re.compile(
    r"(?:(\d{1,3})(?:h|:(?=\d+:)))?(?:(\d{1,3})(?:m|:(?=\d)))?(?:(\d{1,9}(?:\.\d*)?)s?)?", re.ASCII
)
_DASH = re.compile(r"\s*[-–—]\s*")
_ROUNDING = 1e-9
_SWITCH = {"on": True, "off": False, "True": True, "False": False}

#: s, or a text such as 150, 90s, 2:30, 2m30s or 1:02:03.
Time = float | str


def read_time(value: Time) -> float:
    """Return a time in s.

    Raises
    ------
    InputError
        When it is none.
    """
    seconds = _seconds(value.strip()) if isinstance(value, str) else _number(value)
    if seconds is None or seconds < 0:
        raise InputError(
            f"{quote(value)} is not a time; give seconds or minutes:seconds, as in 150, 2:30 or "
            "2m30s"
        )
    return seconds


def _seconds(text: str) -> float | None:
    found = _TIME.fullmatch(text)
    given = [float(part) for part in found.groups() if part] if found else []
    if not given or any(part >= 60 for part in given[1:]):  # 90:00 is a time, 2:75 is none
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def read_share(value: float | str) -> float:
    """Return the share of a song that an edit is to keep: 0.8, or "80%".

    Raises
    ------
    InputError
        When it is no number from the smallest possible share to 1.
    """
    from rlhf_lib.learning.policy.shorten import LEAST_KEEP  # takes a while; --help needs none

    text = str(value).strip()
    share = _number(text.removesuffix("%"))
    if share is not None and text.endswith("%"):
        share /= 100
    if share is None or not LEAST_KEEP - _ROUNDING <= share <= 1 + _ROUNDING:
        raise InputError(
            f"{quote(value)} is not a share of a song; give one from {LEAST_KEEP:g} to 1, such as "
            "0.8 or 80%"
        )
    return share


def read_passages(
    value: str | Iterable[str | tuple[Time, Time]] | None,
) -> list[tuple[float, float]]:
    """Return passages as (start, stop) in s.

    Parameters
    ----------
    value : str, or iterable of str or (start, stop), optional
        A text holds passages such as 0:30-1:10, separated by commas. None: no passages.

    Raises
    ------
    InputError
        When one is none, or ends before it starts.
    """
    if isinstance(value, str):
        return [_passage(one) for one in value.split(",")]
    return [
        passage
        for one in (() if value is None else value)
        for passage in (read_passages(one) if isinstance(one, str) else [_passage(one)])
    ]


def _passage(value: str | tuple[Time, Time]) -> tuple[float, float]:
    try:
        start, stop = _DASH.split(value.strip()) if isinstance(value, str) else value
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{quote(value)} is not a passage; give a start and a stop, as in 0:30-1:10, or in "
            "Python (30, 70)"
        ) from error
    start, stop = read_time(start), read_time(stop)
    if start >= stop:
        raise InputError(
            f"passage {start:g}-{stop:g} s cannot be protected; give a start before its stop"
        )
    return start, stop


def read_variants(value: int | str) -> int:
    """Return how many edits are asked for.

    Raises
    ------
    InputError
        When it is no whole number from 1 to `MOST_VARIANTS`.
    """
    number = _number(value)
    if number is None or number != int(number) or not 1 <= number <= MOST_VARIANTS:
        raise InputError(f"{quote(value)} is no number of variants; ask for 1 to {MOST_VARIANTS}")
    return int(number)


def read_switch(value: bool | str) -> bool:
    """Return whether something is on.

    Raises
    ------
    InputError
        When `value` is neither "on" nor "off", and no bool.
    """
    switch = _SWITCH.get(str(value))
    if switch is None:
        raise InputError(f"{quote(value)} is neither on nor off; in Python, give True or False")
    return switch


def read_cut_lists(value: str | Iterable[str] | None) -> list[str]:
    """Return kinds of cut lists, each once, as ["txt", "csv"]; a text separates them by commas.

    None means none.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    from rlhf_lib.editing.cut_list import CUT_LIST_SUFFIXES  # takes a while; --help needs none

    kinds = value.split(",") if isinstance(value, str) else value or ()
    kinds = [kind for one in kinds if (kind := one.strip().removeprefix("."))]
    for kind in kinds:
        if f".{kind}" not in CUT_LIST_SUFFIXES:
            known = ", ".join(suffix.removeprefix(".") for suffix in CUT_LIST_SUFFIXES)
            raise InputError(f"{quote(kind)} is no kind of cut list; the kinds are {known}")
    return [*dict.fromkeys(kinds)]


def _number(value: object) -> float | None:
    """Return `value` as a finite number; None when it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
