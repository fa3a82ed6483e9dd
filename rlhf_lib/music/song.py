"""A song: its place on disk, its beat grid, its metre and its beat features."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.music.beats import beat_bounds
from rlhf_lib.music.feature_names import N_FEATURES
from rlhf_lib.music.joins import JoinContext

#: From this many beats on a policy decides at bar lines only; below `_FEW_BEATS` at every beat.
#: Coarser steps on shorter songs would miss the target keep ratio by more than 0.03.
_MANY_BEATS, _FEW_BEATS = 100, 50


@dataclass(frozen=True, eq=False)
class Song:
    """What is known about a song, its sound aside.

    Parameters
    ----------
    song_id : str
        Unique within a data set.
    path : Path
        The audio file.
    sha256 : str
        Of the audio file's content.
    sample_rate, n_samples : int
        Of the audio file, per channel.
    beat_times : (n_beats,) float64 array
        Seconds, strictly increasing.
    beats_per_bar : int
        3 or 4.
    downbeat : int
        The first beat that begins a bar, 0 … beats_per_bar − 1.
    features : (n_beats, 125) float32 array
        See `rlhf_lib.music.features.FEATURE_TABLE`.

    Raises
    ------
    InputError
        When the arrays do not fit each other or hold values that are not numbers.
    """

    song_id: str
    path: Path
    sha256: str
    sample_rate: int
    n_samples: int
    beat_times: np.ndarray
    beats_per_bar: int
    downbeat: int
    features: np.ndarray

    def __post_init__(self):
        times = np.array(self.beat_times, dtype=np.float64)
        features = np.array(self.features, dtype=np.float32)
        where = f"song {self.song_id!r}"
        if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0):
            raise InputError(f"{where}: beat times must be two or more rising numbers of seconds")
        if features.shape != (len(times), N_FEATURES):
            raise InputError(
                f"{where}: features of shape {features.shape} for {len(times)} beats; "
                f"expected ({len(times)}, {N_FEATURES})"
            )
        if not (np.isfinite(times).all() and np.isfinite(features).all()):
            raise InputError(f"{where}: beat times or features hold values that are not numbers")
        if self.beats_per_bar not in (3, 4) or not 0 <= self.downbeat < self.beats_per_bar:
            raise InputError(
                f"{where}: downbeat {self.downbeat} of {self.beats_per_bar} beats to the bar; "
                "expected 3 or 4 beats and a downbeat among the first of them"
            )
        for name, array in (("beat_times", times), ("features", features)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def n_beats(self) -> int:
        """Number of beats."""
        return len(self.beat_times)

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.n_samples / self.sample_rate

    @cached_property
    def beat_bounds(self) -> np.ndarray:
        """Sample bounds of the beats, (n_beats + 1,) int64: a partition of the file."""
        return _frozen(beat_bounds(self.beat_times, self.n_samples, self.sample_rate))

    @cached_property
    def beat_durations(self) -> np.ndarray:
        """Length of each beat in s, (n_beats,); they add up to the song's."""
        return _frozen(np.diff(self.beat_bounds) / self.sample_rate)

    @cached_property
    def ticks(self) -> np.ndarray:
        """Length of each beat in mean beats, (n_beats,) int; any run's sum is right within 1."""
        return _frozen(
            np.diff(np.rint(self.beat_bounds / self.n_samples * self.n_beats)).astype(int)
        )

    @cached_property
    def decision_points(self) -> np.ndarray:
        """Beats at which a policy decides, (n_points,) int: 0 and bar lines, finer when short."""
        if self.n_beats >= _MANY_BEATS:
            step = self.beats_per_bar
        elif self.n_beats >= _FEW_BEATS and self.beats_per_bar == 4:
            step = 2
        else:
            step = 1
        return _frozen(np.union1d([0], np.arange(self.downbeat % step, self.n_beats, step)))

    @cached_property
    def join_context(self) -> JoinContext:
        """What the join costs of this song need; see `rlhf_lib.music.joins`."""
        return JoinContext(self.features, self.beat_times, self.beats_per_bar)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
