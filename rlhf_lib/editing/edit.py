"""An edit of a song: one action per beat, and the playing order, segments and seams."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError


class Action(IntEnum):
    """What an edit does with one beat.

    LOOP_k plays the beat k times in a row; REORDER_k plays beat i right after the place of
    beat i + k.
    """

    KEEP = 0
    CUT = 1
    LOOP_2 = 2
    LOOP_3 = 3
    LOOP_4 = 4
    REORDER_1 = 5
    REORDER_2 = 6
    REORDER_3 = 7
    REORDER_4 = 8


N_ACTIONS = len(Action)
#: How often each action plays its beat, and by how many beats it moves it.
PLAYS = np.array([1, 0, 2, 3, 4, 1, 1, 1, 1])
SHIFT = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4])

TEMPERATURES = (0.1, 0.3, 0.5, 0.7, 0.9)
_KEEP_RATIOS = (1.00, 0.93, 0.83, 0.73, 0.50)


def target_keep_ratio(temperature: float) -> float:
    """Return the keep ratio that a temperature aims at.

    Parameters
    ----------
    temperature : float
        From 0.1 (keep all) to 0.9 (keep half); linear between the five named values.

    Returns
    -------
    float
        Output duration / source duration.

    Raises
    ------
    InputError
        When the temperature is outside 0.1 … 0.9.
    """
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[-1]:
        raise InputError(
            f"temperature {temperature!r} is outside {TEMPERATURES[0]} … {TEMPERATURES[-1]}; "
            "choose one of 0.1, 0.3, 0.5, 0.7, 0.9 or a value between them"
        )
    return float(np.interp(temperature, TEMPERATURES, _KEEP_RATIOS))


def temperature_of(keep_ratio: float) -> float:
    """Return the temperature that aims at a keep ratio: the inverse of `target_keep_ratio`.

    Raises
    ------
    InputError
        When the keep ratio is outside 0.5 … 1.
    """
    if not _KEEP_RATIOS[-1] <= keep_ratio <= _KEEP_RATIOS[0]:
        raise InputError(
            f"no temperature aims at keep ratio {keep_ratio!r}; they reach from "
            f"{_KEEP_RATIOS[-1]} to {_KEEP_RATIOS[0]}"
        )
    return float(np.interp(keep_ratio, _KEEP_RATIOS[::-1], TEMPERATURES[::-1]))


def check_actions(actions: np.ndarray, n_beats: int) -> np.ndarray:
    """Return `actions` as an int8 array of shape (n_beats,).

    Raises
    ------
    InputError
        When the number of actions is not `n_beats`, a value is not one of 0 … 8, or nothing
        would be played.
    """
    values = np.asarray(actions)
    if values.shape != (n_beats,):
        raise InputError(
            f"got actions of shape {values.shape} for a song of {n_beats} beats; "
            "give exactly one action per beat"
        )
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"actions must be whole numbers 0 … 8, got dtype {values.dtype}")
    bad = np.flatnonzero((values < 0) | (values >= N_ACTIONS))
    if bad.size:
        raise InputError(
            f"action {values[bad[0]]} at beat {bad[0]} is unknown; actions are 0 … {N_ACTIONS - 1}"
        )
    if np.all(values == Action.CUT):
        raise InputError("every beat is cut, so nothing would be played; keep at least one beat")
    return values.astype(np.int8)


def output_order(actions: np.ndarray) -> np.ndarray:
    """Return the source beats in playing order.

    KEEP and LOOP sort by i, REORDER_k by i + k + ½; equal keys play in source order.

    Parameters
    ----------
    actions : (n_beats,) int array

    Returns
    -------
    (n_played,) int array
        A looped beat appears as often as it plays.
    """
    actions = np.asarray(actions)
    beats = np.arange(len(actions))
    shift = SHIFT[actions]
    keys = beats + shift + 0.5 * (shift > 0)
    order = np.argsort(keys, kind="stable")
    return np.repeat(beats[order], PLAYS[actions[order]])


def seam_places(order: np.ndarray) -> np.ndarray:
    """Return the places p ≥ 1 in `order` where beat order[p] does not follow order[p − 1]."""
    return np.flatnonzero(np.diff(order) != 1) + 1


def segments(order: np.ndarray) -> np.ndarray:
    """Return the runs of consecutive source beats as (n_segments, 2) [start, stop) beats."""
    cuts = seam_places(order)
    starts = np.concatenate([[0], cuts])
    stops = np.concatenate([cuts, [len(order)]])
    return np.stack([order[starts], order[stops - 1] + 1], axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class Edit:
    """The actions of one song and their target keep ratio.

    Parameters
    ----------
    song : Song
    actions : (n_beats,) int array
    target : float
        Keep ratio aimed at; 1.0 keeps everything.

    Raises
    ------
    InputError
        When the actions do not fit the song (see `check_actions`).
    """

    song: Song
    actions: np.ndarray
    target: float

    def __post_init__(self):
        actions = check_actions(self.actions, self.song.n_beats)
        actions.flags.writeable = False
        object.__setattr__(self, "actions", actions)

    @classmethod
    def without(cls, song: Song, *spans: tuple[int, int], target: float | None = None) -> "Edit":
        """Return the edit that keeps everything except some spans of beats.

        Parameters
        ----------
        spans : (first, stop) beats
            The beats from `first` to before `stop` are cut.
        target : float, optional
            By default the keep ratio that is reached.

        Raises
        ------
        InputError
            When a span is not within the song, or nothing would be played.
        """
        actions = np.full(song.n_beats, Action.KEEP)
        for first, stop in spans:
            if not 0 <= first < stop <= song.n_beats:
                raise InputError(
                    f"beats {first} to {stop} are no span of {song.song_id!r}, which has "
                    f"{song.n_beats} beats; give its first beat and the beat after its last"
                )
            actions[first:stop] = Action.CUT
        edit = cls(song, actions, 1.0 if target is None else target)
        return edit if target is not None else cls(song, actions, edit.keep_ratio)

    def __repr__(self) -> str:
        return (
            f"Edit({self.song.song_id!r}, {self.duration:.1f} of {self.song.duration:.1f} s, "
            f"{len(self.seams)} seams)"
        )

    @cached_property
    def order(self) -> np.ndarray:
        """Source beats in playing order, (n_played,)."""
        return output_order(self.actions)

    @cached_property
    def seams(self) -> np.ndarray:
        """Places in `order` where a new segment starts, (n_seams,)."""
        return seam_places(self.order)

    @cached_property
    def times(self) -> np.ndarray:
        """Start of each played beat in the edit, then the end of the last, (n_played + 1,) s."""
        return np.concatenate([[0.0], np.cumsum(self.song.beat_durations[self.order])])

    @property
    def seam_times(self) -> np.ndarray:
        """Time of each seam in the edit, (n_seams,) s."""
        return self.times[self.seams]

    @property
    def segments(self) -> np.ndarray:
        """[start, stop) source beats of each segment, (n_seams + 1, 2)."""
        return segments(self.order)

    @property
    def duration(self) -> float:
        """Length of the edit in s, the sum of its played beats."""
        return float(self.song.beat_durations[self.order].sum())

    @property
    def keep_ratio(self) -> float:
        """Duration of the edit / duration of the song."""
        return self.duration / self.song.duration
