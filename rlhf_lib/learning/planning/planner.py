"""The values of all actions in every situation of the editing environment.

Dynamic programming as in `plans`, over (unit played now, length left), for many songs and all
lengths at once, on the device of the environment.
"""

from dataclasses import dataclass

import numpy as np
import torch

from rlhf_lib.editing.descriptors import step_table
from rlhf_lib.learning.planning.song_tensors import SongTensors

NEVER = float("-inf")


@dataclass(frozen=True)
class Plan:
    """The tables of an additive reward for S songs (sizes as in `SongTensors`).

    Attributes
    ----------
    tensors : SongTensors
    weights : (len(ADDITIVE),) or (S, len(ADDITIVE)) float64 array
        One set for all songs, or one for each.
    steps : (S, N + 1, N + 1) float32
        Reward of playing beat j right after beat i; index N is the start (row), end (column).
    landings : (S, N + 1, U + 1) float32
        `steps` at the first beat of each unit, and at the end (last column).
    again : (S, U) float32
        Reward of playing a unit's first beat right after itself.
    moving : (S, U, 4) float32
        Reward that REORDER +1 … +4 of a unit's first beat adds when all beats around it are kept,
        without the step over its place; -inf where the song ends before.
    value : (S, B, U) float32
        Best future reward when unit u is played now and b ticks may still be played, without
        the step to its first beat; -inf where the target length cannot be reached.
    """

    tensors: SongTensors
    weights: np.ndarray
    steps: torch.Tensor
    landings: torch.Tensor
    again: torch.Tensor
    moving: torch.Tensor
    value: torch.Tensor

    @classmethod
    def build(cls, tensors: SongTensors, weights: np.ndarray) -> "Plan":
        """Compute the tables; cost U² · B per song, about 0.01 s for a song of three minutes."""
        size, beats = len(tensors.songs), int(tensors.n_beats.max())
        steps = torch.zeros(size, beats + 1, beats + 1)
        weights = np.asarray(weights, dtype=np.float64)
        each = np.broadcast_to(weights, (size, weights.shape[-1]))
        for song in dict.fromkeys(tensors.songs):  # a song may occur more than once
            places = [s for s, other in enumerate(tensors.songs) if other is song]
            table = torch.from_numpy(step_table(song, each[places]))
            for row, place in zip(table, places, strict=True):
                if tensors.extra[place] is not None:
                    row += torch.as_tensor(tensors.extra[place], dtype=row.dtype)
            n = song.n_beats
            steps[places, :n, :n] = table[:, :n, :n]
            steps[places, beats, :n] = table[:, n, :n]
            steps[places, :n, beats] = table[:, :n, n]
        steps = steps.to(tensors.device)
        songs = torch.arange(size, device=tensors.device)[:, None]
        every = torch.arange(beats + 1, device=tensors.device)[None, :, None]
        landings = steps[songs[:, None], every, tensors.first[:, None, :]]
        landings = torch.cat([landings, steps[:, :, beats:]], dim=2)
        first, *at = ((tensors.first + k).clamp(max=beats - 1) for k in range(6))
        moving = [
            (
                steps[songs, at[k - 1], first]
                + steps[songs, first, at[k]]
                - steps[songs, at[k - 1], at[k]]
                - steps[songs, first, at[0]]
            ).where(tensors.first + k + 1 < tensors.n_beats[:, None], NEVER)
            for k in range(1, 5)
        ]
        return cls(
            tensors,
            weights,
            steps,
            landings,
            again=steps[songs, first, first],
            moving=torch.stack(moving, dim=2),
            value=_values(tensors, steps, landings),
        )

    def action_values(
        self, song: torch.Tensor, last: torch.Tensor, unit: int, left: torch.Tensor
    ) -> torch.Tensor:
        """Return the planned value of each action, (B, 9), -inf where it isn't allowed.

        Exact for KEEP and CUT. The value of LOOP and REORDER assumes that the best KEEP and CUT
        follow (and, for REORDER, that the beats it jumps over are kept).

        Parameters
        ----------
        song : (B,) int64
        last : (B,) int64
            Beat played last, N before the start.
        unit : int
            The unit to decide on.
        left : (B,) int64
            Ticks that may still be played.
        """
        t = self.tensors
        keep, cut = self.keep_and_cut(song, last, unit, left)
        landing = self.landings[song, last, unit]
        times = torch.arange(1, 4, device=t.device)
        rest = left[:, None] - times * t.first_ticks[song, unit, None]
        tails = self.value[song[:, None], rest.clamp(min=0), unit].where(rest >= 0, NEVER)
        loops = landing[:, None] + times * self.again[song, unit, None] + tails
        follow = (t.first[song, unit] + 1).clamp(max=self.steps.shape[1] - 2)
        skip = self.steps[song, last, follow] - landing
        reorders = (keep + skip)[:, None] + self.moving[song, unit]
        return torch.cat([keep[:, None], cut[:, None], loops, reorders], dim=1)

    def keep_and_cut(
        self, song: torch.Tensor, last: torch.Tensor, unit: int, left: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the planned values of KEEP and of CUT, (B,) each; see `action_values`."""
        ahead, tails = rows(self.landings, song, last), rows(self.value, song, left.clamp(min=0))
        ends = (left >= 0) & (left < self.tensors.window[song]) & (last < self.steps.shape[1] - 1)
        cut = ahead[:, -1].where(ends, NEVER)
        if unit + 1 < tails.shape[1]:
            later = (ahead[:, unit + 1 : -1] + tails[:, unit + 1 :]).amax(dim=1)
            cut = torch.maximum(cut, later)
        return ahead[:, unit] + tails[:, unit], cut


def rows(table: torch.Tensor, song: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return ``table[song, place]`` of a three-dimensional table; much faster on a CPU."""
    return table.flatten(0, 1).index_select(0, song * table.shape[1] + place)


def _values(tensors: SongTensors, steps: torch.Tensor, landings: torch.Tensor) -> torch.Tensor:
    size, units = tensors.first.shape
    device = tensors.device
    songs = torch.arange(size, device=device)
    most = int((tensors.total_ticks + tensors.window).max()) + 1
    left = torch.arange(most, device=device)
    value = torch.full((size, most, units), NEVER, device=device)
    inside = torch.zeros(size, units, device=device)
    for k in range(tensors.longest_unit - 1):
        beat, after = ((tensors.first + k + j).clamp(max=steps.shape[1] - 1) for j in (0, 1))
        inside += steps[songs[:, None], beat, after].where(beat < tensors.last, 0.0)
    for u in reversed(range(units)):
        real = u < tensors.n_units
        leave = landings[songs, tensors.last[:, u]]
        onward = torch.where(left < tensors.window[:, None], leave[:, -1:], NEVER)
        if u + 1 < units:
            later = (leave[:, None, u + 1 : -1] + value[:, :, u + 1 :]).amax(dim=2)
            onward = torch.maximum(onward, later)
        before = left - tensors.unit_ticks[:, u, None]
        tail = onward.gather(1, before.clamp(min=0)).where(before >= 0, NEVER)
        value[:, :, u] = (tail + inside[:, u, None]).where(real[:, None], NEVER)
    return value
