"""Songs as padded tensors, divided into units from one decision point to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch

from rlhf_lib.analysis.feature_table import N_FEATURES
from rlhf_lib.analysis.song import Song
from rlhf_lib.learning.planning.lengths import (
    TICKS_PER_BEAT,
    beat_ticks,
    unit_ticks,
    window_ticks,
)
from rlhf_lib.learning.planning.song_globals import song_globals

CONTEXT_BEATS = (-3, -2, -1, 0, 1, 2, 3)
N_CONTEXT = len(CONTEXT_BEATS) * N_FEATURES


@dataclass(frozen=True)
class FeatureScale:
    """Mean and standard deviation of the 125 beat features over some songs."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, songs: list[Song]) -> "FeatureScale":
        """Measure the scale on all beats of `songs`; a constant feature gets std 1."""
        beats = np.concatenate([song.features for song in songs]).astype(np.float64)
        std = beats.std(axis=0)
        return cls(
            beats.mean(axis=0).astype(np.float32),
            np.where(std > 1e-6, std, 1.0).astype(np.float32),
        )

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Return standardised features, clipped to ±5 so that one odd beat can't dominate."""
        return np.clip((features - self.mean) / self.std, -5.0, 5.0)


@dataclass(frozen=True)
class SongTensors:
    """The data of S songs that planner, environment and policy need.

    A *unit* is the run of beats from one decision point to the next (a bar, in songs of normal
    length). U and N are the largest numbers of units and beats; shorter songs are padded, and
    the padding is never played.

    Attributes
    ----------
    songs : tuple of Song
    extra : tuple of (n_beats + 1, n_beats + 1) float32 arrays or None
        Added to the reward of each step of a song when it is planned; indices as in `step_table`.
    context : (S, U, 875) float32
        Standardised features of the seven beats around the first beat of each unit.
    globals : (S, 5) float32
    n_units, n_beats : (S,) int64
    first, last : (S, U) int64
        First and last beat of each unit (N in the padding).
    unit_ticks, first_ticks : (S, U) int64
        Length of a unit and of its first beat, in ticks.
    total_ticks, window : (S,) int64
        Length of the song; number of adjacent lengths that count as reaching a target.
    """

    songs: tuple[Song, ...]
    extra: tuple[np.ndarray | None, ...]
    context: torch.Tensor
    globals: torch.Tensor
    n_units: torch.Tensor
    n_beats: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    unit_ticks: torch.Tensor
    first_ticks: torch.Tensor
    total_ticks: torch.Tensor
    window: torch.Tensor

    @classmethod
    def build(
        cls,
        songs: list[Song],
        scale: FeatureScale,
        device: torch.device | str = "cpu",
        extra: Sequence[np.ndarray | None] | None = None,
    ) -> "SongTensors":
        """Turn songs into tensors on `device`; `extra` as in the attributes."""
        size = len(songs)
        n_units = np.array([len(song.decision_points) for song in songs])
        n_beats = np.array([song.n_beats for song in songs])
        units, beats = int(n_units.max()), int(n_beats.max())
        context = np.zeros((size, units, N_CONTEXT), dtype=np.float32)
        first = np.full((size, units), beats)
        last = np.full((size, units), beats)
        lengths = np.zeros((size, units), dtype=np.int64)
        first_ticks = np.zeros((size, units), dtype=np.int64)
        window = np.zeros(size, dtype=np.int64)
        for s, song in enumerate(songs):
            points, u = song.decision_points, n_units[s]
            edges = np.append(points, song.n_beats)
            first[s, :u], last[s, :u] = points, edges[1:] - 1
            lengths[s, :u] = unit_ticks(song)
            first_ticks[s, :u] = np.diff(beat_ticks(song))[points]
            window[s] = window_ticks(song)
            scaled = scale.apply(song.features)
            around = points[:, None] + np.array(CONTEXT_BEATS)
            inside = (around >= 0) & (around < song.n_beats)
            windows = scaled[np.clip(around, 0, song.n_beats - 1)] * inside[..., None]
            context[s, :u] = windows.reshape(u, N_CONTEXT)

        def tensor(values, dtype=torch.int64):
            return torch.as_tensor(values, dtype=dtype, device=device)

        return cls(
            songs=tuple(songs),
            extra=tuple(extra or [None] * size),
            context=tensor(context, torch.float32),
            globals=tensor(np.stack([song_globals(song) for song in songs]), torch.float32),
            n_units=tensor(n_units),
            n_beats=tensor(n_beats),
            first=tensor(first),
            last=tensor(last),
            unit_ticks=tensor(lengths),
            first_ticks=tensor(first_ticks),
            total_ticks=tensor(n_beats * TICKS_PER_BEAT),
            window=tensor(window),
        )

    def take(self, places: Sequence[int]) -> "SongTensors":
        """Return the songs at `places`, padded no more than needed; a place may be repeated."""
        rows = torch.as_tensor(places, device=self.device)
        values = {f.name: getattr(self, f.name)[rows] for f in fields(self)[2:]}
        units, beats = int(values["n_units"].max()), int(values["n_beats"].max())
        for name in ("context", "first", "last", "unit_ticks", "first_ticks"):
            values[name] = values[name][:, :units]
        for name in ("first", "last"):
            values[name] = values[name].clamp(max=beats)
        songs, extra = (
            tuple(each[place] for place in rows.tolist()) for each in (self.songs, self.extra)
        )
        return SongTensors(songs, extra, **values)

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.context.device

    @cached_property
    def distinct(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The context of each different song, (D, U, 875), and each song's row in it, (S,)."""
        first = {}
        for place, song in enumerate(self.songs):
            first.setdefault(song, place)
        rank = {song: number for number, song in enumerate(first)}
        which = torch.tensor([rank[song] for song in self.songs], device=self.device)
        return self.context[list(first.values())], which

    @cached_property
    def longest_unit(self) -> int:
        """Beats of the longest unit."""
        return int((self.last - self.first).max()) + 1

    def budget(self, song: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the longest allowed length in ticks for keep ratios `target`.

        The allowed lengths are the `window` values up to it. They lie within half a unit of the
        exact target, or, as no edit is longer than its song, within a unit of the song's length.
        """
        whole = self.total_ticks[song]
        longest = torch.floor(whole * target.double() + self.window[song] / 2 + 1e-6).long()
        return torch.minimum(longest, whole)
