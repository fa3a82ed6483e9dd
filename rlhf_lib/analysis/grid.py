"""Where the beats of a song come from: its beat file, our estimate, or beat_this."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlhf_lib.analysis import learned_beats
from rlhf_lib.analysis.beat_files import file_beside, read_beats
from rlhf_lib.analysis.beats import estimate_beats
from rlhf_lib.analysis.downmix import Downmix
from rlhf_lib.errors import InputError
from rlhf_lib.paths import file_sha256

#: Who estimates beats that no file gives.
TRACKERS = ("own", "beat_this")


class Grid(NamedTuple):
    """The beats of a song, and what is known of its bars.

    Attributes
    ----------
    times : (n_beats,) float64 array
        s, strictly increasing.
    downbeats : (n_bars,) int array or None
        The beats that begin a bar; None when they are still to be estimated.
    source : str
        "file", "own" or "beat_this".
    confidence : float
        In the tempo, 0 … 1; see `rlhf_lib.analysis.confidence.Confidence`.
    """

    times: np.ndarray
    downbeats: np.ndarray | None
    source: str
    confidence: float


def check_tracker(tracker: str) -> None:
    """Refuse a tracker that is unknown or not installed.

    Raises
    ------
    InputError
        Says what to do.
    """
    if tracker not in TRACKERS:
        raise InputError(f"beats {tracker!r} is unknown; choose one of {', '.join(TRACKERS)}")
    if tracker == "beat_this":
        learned_beats.weights()


def grid_key(audio: Path, tracker: str) -> str:
    """Return what the beats of a song depend on besides its sound: a hash, or a name.

    Raises
    ------
    InputError
        For an unknown tracker, or one that is not installed.
    """
    check_tracker(tracker)
    given = file_beside(audio, ".beats")
    if given:
        return file_sha256(given)
    return "estimated" if tracker == "own" else learned_beats.model_key()


def beat_grid(path: Path, audio: Downmix, tracker: str) -> Grid:
    """Return the beats of a song: those of its beat file, else those that `tracker` estimates.

    Raises
    ------
    InputError
        When the beat file is wrong, or no beats are found.
    """
    given = file_beside(path, ".beats")
    if given:
        return Grid(*read_beats(given, audio.duration), "file", 1.0)
    try:
        if tracker == "own":
            times, confidence = estimate_beats(audio)
            return Grid(times, None, "own", confidence)
        times, downbeats = learned_beats.learned_beats(audio)
        return Grid(times, downbeats, "beat_this", learned_beats.tempo_agreement(audio, times))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
