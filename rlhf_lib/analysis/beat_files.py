"""Beat files: read ``song.beats``, by this package or other programs; write it."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlhf_lib.analysis.bars import LONGEST_BAR, Bars
from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

#: The forms in which `write_beats` writes, and the suffixes of their files.
SUFFIXES = {"beats": ".beats", "audacity": ".txt"}

#: `float` would also take 1_0, nan and the digits of other scripts.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,9}(\.0*)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?=[;\s]|$)", re.ASCII)
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.", re.ASCII)
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
_HEADER = re.compile(r"(time|beat|start|onset|second)", re.ASCII | re.IGNORECASE)
#: A label of `write_beats`, bar and place; never a whole number, as the bar of a third column is.
_BAR_PLACE = re.compile(r"(\d{1,9})\.([1-9]\d?)", re.ASCII)
#: RWC's codes: 384 at the first beat of a bar, else the place in the bar, 48 a quarter note.
_RWC_DOWNBEAT, _RWC_STEP = 384, 12


class GivenBeats(NamedTuple):
    """The content of a beat file.

    Attributes
    ----------
    times : (n_beats,) float64 array
        s, strictly increasing.
    downbeats : (n_bars,) int array or None
        The beats that begin a bar; None when the file does not say.
    """

    times: np.ndarray
    downbeats: np.ndarray | None


def file_beside(audio: Path, suffix: str) -> Path | None:
    """Return the file of the same name with another suffix; None when there is none."""
    path = audio.with_suffix(suffix)
    try:
        return path if path.is_file() else None
    except OSError:  # the name is too long, so there is no such file
        return None


def text_lines(path: Path, remedy: str) -> list[tuple[str, str]]:
    """Return the lines of a text file that are not blank: what to call each, and its text.

    The text is UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        When the file is missing or no such text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8, {remedy}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if text := line.strip():
            found.append((f"{path}, line {number}: {text[:40]!r}", text))
    return found


def is_frequencies(text: str) -> bool:
    """Return whether a line holds the frequencies of the label before, as Audacity writes them."""
    return text.startswith("\\")


def refuse_decimal_commas(lines: list[tuple[str, str]]) -> None:
    """Refuse lines whose time has a decimal comma; after a point elsewhere, commas separate."""
    if any(_DECIMAL_POINT.match(text) for _, text in lines):
        return
    for where, text in lines:
        if _DECIMAL_COMMA.match(text):
            raise InputError(f"{where} has a decimal comma; write a point, as in 12.34")


def read_beats(path: str | Path, duration: float) -> GivenBeats:
    """Read a beat file: time, place in the bar and bar, the last two if they are known.

    One beat a line, in one to three columns, separated by tab, space, comma or semicolon: the
    time in s; the place in the bar, 1 for the first beat; the number of the bar, which must rise.
    The first bar may be incomplete. Blank lines and # comments are skipped, and so is a first
    line of names (time, …). RWC's files (start and end in 1/100 s, and 384 for the first beat
    of a bar) are recognised by their third column. Audacity's label tracks (start, end, label)
    are recognised by a label ``bar.place``, or by an end that is the start in every line.

    Parameters
    ----------
    path : path of the text file, UTF-8
    duration : float
        Length of the song in s, which no beat may reach.

    Raises
    ------
    InputError
        When the file is missing, is not text, has fewer than two beats, or a line is not as
        described: the message quotes it.
    """
    path = Path(path)
    lines = [
        (where, kept)
        for where, text in text_lines(path, "with one time in s a line")
        if (kept := text.split("#")[0].strip()) and not is_frequencies(text)
    ]
    if lines and _HEADER.match(lines[0][1]):
        del lines[0]
    refuse_decimal_commas(lines)
    rows = [(where, _SEPARATOR.split(text)) for where, text in lines]
    if _is_rwc(rows):
        rows = _from_rwc(rows)
    elif _is_label_track(rows):
        rows = _from_labels(rows)
    reader = _Reader(duration)
    for where, row in rows:
        reader.add(where, row)
    if len(reader.times) < 2:
        raise InputError(f"{path} holds {len(reader.times)} beats; give at least two")
    times = np.array(reader.times)
    if reader.columns == 1:
        return GivenBeats(times, None)
    downbeats = np.array(reader.downbeats, dtype=np.int64)
    try:
        Bars(downbeats, len(times))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return GivenBeats(times, downbeats)


class _Reader:
    """Checks and collects the beats of a file, line by line."""

    def __init__(self, duration: float):
        self.duration = duration
        self.times: list[float] = []
        self.downbeats: list[int] = []
        self.columns = 0
        self._place: int | None = None
        self._bar: int | None = None

    def add(self, where: str, row: list[str]) -> None:
        if not self.columns:
            self.columns = len(row)
        if not NUMBER.fullmatch(row[0]):
            raise InputError(f"{where} is not a number; write one time in s a line, as in 12.34")
        if len(row) > 3:
            raise InputError(f"{where} has {len(row)} columns; give time, place in the bar, bar")
        if len(row) != self.columns:
            raise InputError(
                f"{where} has {len(row)} columns, the first beat {self.columns}; give all beats "
                "the same"
            )
        time = float(row[0])
        if not 0 <= time < self.duration:
            raise InputError(
                f"{where} is not within the song, 0 … {self.duration:.3f} s; use seconds"
            )
        if self.times and time <= self.times[-1]:
            raise InputError(f"{where} is not later than {self.times[-1]}; sort the beats")
        if len(row) > 1:
            self._add_place(where, row)
        self.times.append(time)

    def _add_place(self, where: str, row: list[str]) -> None:
        if not _WHOLE.fullmatch(row[1]) or not 1 <= float(row[1]) <= LONGEST_BAR:
            raise InputError(
                f"{where} has the place {row[1]!r} in the bar; count from 1, the first beat of a "
                f"bar, to at most {LONGEST_BAR}"
            )
        place = int(float(row[1]))
        if self._place is not None and place not in (1, self._place + 1):
            raise InputError(
                f"{where} has place {place} in the bar after {self._place}; expected "
                f"{self._place + 1}, or 1 where a bar begins"
            )
        if len(row) > 2:
            self._add_bar(where, row[2], place)
        if place == 1:
            self.downbeats.append(len(self.times))
        self._place = place

    def _add_bar(self, where: str, text: str, place: int) -> None:
        if not _WHOLE.fullmatch(text):
            raise InputError(f"{where} has the bar {text!r}; number the bars 1, 2, 3 …")
        bar = int(float(text))
        if self._bar is not None and (bar <= self._bar if place == 1 else bar != self._bar):
            expected = f"more than {self._bar}" if place == 1 else str(self._bar)
            raise InputError(
                f"{where} has bar {bar} at place {place}; expected {expected}: bars begin at "
                "place 1 and their numbers rise"
            )
        self._bar = bar


def _is_rwc(rows: list[tuple[str, list[str]]]) -> bool:
    """Return whether each line has start and end in 1/100 s and a code of RWC's."""
    whole = re.compile(r"\d{1,7}", re.ASCII)
    if not all(len(row) == 3 and all(map(whole.fullmatch, row)) for _, row in rows):
        return False
    codes = {int(row[2]) for _, row in rows}
    return _RWC_DOWNBEAT in codes and all(
        code % _RWC_STEP == 0 and 0 < code <= _RWC_DOWNBEAT for code in codes
    )


def _from_rwc(rows: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Return time and place in the bar; the beats of a pick-up count from 2."""
    place, out = 1, []
    for where, (start, _, code) in rows:
        place = 1 if int(code) == _RWC_DOWNBEAT else place + 1
        out.append((where, [str(int(start) / 100), str(place)]))
    return out


def _is_label_track(rows: list[tuple[str, list[str]]]) -> bool:
    """Return whether the lines are start, end, label.

    A place in the bar cannot equal the time in every line: a song has more beats than a bar.
    """
    return _has_bars(rows) or all(
        len(row) > 1 and all(map(NUMBER.fullmatch, row[:2])) and float(row[0]) == float(row[1])
        for _, row in rows
    )


def _has_bars(rows: list[tuple[str, list[str]]]) -> bool:
    return any(len(row) == 3 and _BAR_PLACE.fullmatch(row[2]) for _, row in rows)


def _from_labels(rows: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Return time, place in the bar and bar; the time alone where no label is ``bar.place``."""
    expected = _BAR_PLACE if _has_bars(rows) else re.compile(r"\d*", re.ASCII)
    out = []
    for where, row in rows:
        start, end, label = row[0], "".join(row[1:2]), " ".join(row[2:])
        found = expected.fullmatch(label)
        if not found:
            raise InputError(
                f"{where} has the label {label!r}; write bar.place at every beat, as in 12.3, or "
                "numbers at all"
            )
        if not all(map(NUMBER.fullmatch, (start, end))) or float(end) < float(start):
            raise InputError(f"{where} is no label of a beat; write start, end and bar.place")
        out.append((where, [start, *found.groups()[::-1]]))
    return out


def beats_text(beat_times: np.ndarray, bars: Bars | None = None, form: str = "beats") -> str:
    """Return what `write_beats` writes."""
    if form not in SUFFIXES:
        raise InputError(f"format {form!r} is unknown; choose one of {', '.join(SUFFIXES)}")
    times = [f"{time:.6f}" for time in beat_times]
    if bars is None:
        rows = [(time,) for time in times]
        labels = [str(number) for number in range(1, len(times) + 1)]
    else:
        rows = list(zip(times, bars.place + 1, bars.number + 1, strict=True))
        labels = [f"{bar}.{place}" for _, place, bar in rows]
    if form == "audacity":
        rows = [(time, time, label) for time, label in zip(times, labels, strict=True)]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def write_beats(
    path: str | Path, beat_times: np.ndarray, bars: Bars | None = None, form: str = "beats"
) -> None:
    """Write beats one a line, to the microsecond, atomically.

    Parameters
    ----------
    path : path
    beat_times : (n_beats,) float array
        s.
    bars : Bars, optional
        Adds the place in the bar and the number of the bar; a pick-up is bar 0.
    form : str
        "beats": columns separated by tabs. "audacity": a label track with a label ``bar.place``
        (without `bars` the number of the beat) at each beat. `read_beats` reads both.

    Raises
    ------
    InputError
        For an unknown form, or when the file cannot be written.
    """
    text = beats_text(beat_times, bars, form)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
