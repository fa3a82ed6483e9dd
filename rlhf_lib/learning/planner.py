"""The exact optimum for KEEP and CUT under an additive reward.

An edit made of KEEP and CUT is a path through the units of a song; its additive reward is a
sum over the steps of that path. Dynamic programming over (unit played now, length left) gives
the value of every situation at once, for every target length (Bellman, 1957; joins between
beats as a path problem: Wenner et al., "Scalable music: automatic music retargeting and
synthesis", 2013). The tables serve four purposes: bound, baseline, teacher, and part of the
policy.
"""

from dataclasses import dataclass

import numpy as np
import torch

from rlhf_lib.learning.song_tensors import SongTensors
from rlhf_lib.music.edit import N_ACTIONS, Action, Edit
from rlhf_lib.music.measures import step_table

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
        Reward of hearing beat j right after beat i; index N is the start (row), end (column).
    landings : (S, N + 1, U + 1) float32
        `steps` at the first beat of each unit, and at the end (last column).
    value : (S, B, U) float32
        Best reward to come when unit u is played now and b ticks may still be played, the
        step to its first beat not counted; -inf where the length can't come out.
    """

    tensors: SongTensors
    weights: np.ndarray
    steps: torch.Tensor
    landings: torch.Tensor
    value: torch.Tensor

    @classmethod
    def build(cls, tensors: SongTensors, weights: np.ndarray) -> "Plan":
        """Compute the tables; cost U² · B per song, about 0.01 s for a song of three minutes."""
        size, beats = len(tensors.songs), int(tensors.n_beats.max())
        steps = torch.zeros(size, beats + 1, beats + 1)
        weights = np.asarray(weights, dtype=np.float64)
        each = np.broadcast_to(weights, (size, weights.shape[-1]))
        for song in dict.fromkeys(tensors.songs):  # a song may stand there more than once
            places = [s for s, other in enumerate(tensors.songs) if other is song]
            table = torch.from_numpy(step_table(song, each[places]))
            n = song.n_beats
            steps[places, :n, :n] = table[:, :n, :n]
            steps[places, beats, :n] = table[:, n, :n]
            steps[places, :n, beats] = table[:, :n, n]
        steps = steps.to(tensors.device)
        songs = torch.arange(size, device=tensors.device)[:, None, None]
        rows = torch.arange(beats + 1, device=tensors.device)[None, :, None]
        landings = steps[songs, rows, tensors.first[:, None, :]]
        landings = torch.cat([landings, steps[:, :, beats:]], dim=2)
        value = _values(tensors, steps, landings)
        return cls(tensors, weights, steps, landings, value)

    def action_values(
        self, song: torch.Tensor, last: torch.Tensor, unit: int, left: torch.Tensor
    ) -> torch.Tensor:
        """Return the planned value of each action, (B, 9), -inf where it isn't allowed.

        Exact for KEEP and CUT; LOOP and REORDER are valued as themselves followed by the best
        KEEP and CUT (a REORDER assumes that the beats it jumps over are kept).

        Parameters
        ----------
        song : (B,) int64
        last : (B,) int64
            Beat heard last, N before the start.
        unit : int
            The unit to decide on.
        left : (B,) int64
            Ticks that may still be played.
        """
        t = self.tensors
        values = torch.full((len(song), N_ACTIONS), NEVER, device=t.device)
        here, cut = self.keep_and_cut(song, last, unit, left)
        values[:, Action.KEEP], values[:, Action.CUT] = here, cut
        landing = self.landings[song, last, unit]

        beat = t.first[song, unit].clamp(max=self.steps.shape[1] - 2)
        again = self.steps[song, beat, beat]
        extra = t.first_ticks[song, unit]
        for action, plays in ((Action.LOOP_2, 2), (Action.LOOP_3, 3), (Action.LOOP_4, 4)):
            rest = left - (plays - 1) * extra
            tail = self.value[song, rest.clamp(min=0), unit].where(rest >= 0, NEVER)
            values[:, action] = landing + (plays - 1) * again + tail

        n_beats = t.n_beats[song]
        follow = (beat + 1).clamp(max=self.steps.shape[1] - 2)
        skip = self.steps[song, last, follow] - landing - self.steps[song, beat, follow]
        for k in range(1, 5):
            place = (beat + k).clamp(max=self.steps.shape[1] - 2)
            onward = (beat + k + 1).clamp(max=self.steps.shape[1] - 2)
            moved = (
                self.steps[song, place, beat]
                + self.steps[song, beat, onward]
                - self.steps[song, place, onward]
            )
            fits = beat + k + 1 < n_beats
            values[:, Action.LOOP_4 + k] = (here + skip + moved).where(fits, NEVER)
        return values

    def keep_and_cut(
        self, song: torch.Tensor, last: torch.Tensor, unit: int, left: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the planned values of KEEP and of CUT, (B,) each; see `action_values`."""
        ahead = self.landings[song, last]
        tails = self.value[song, left.clamp(min=0)]
        ends = (left >= 0) & (left < self.tensors.window[song]) & (last < self.steps.shape[1] - 1)
        cut = ahead[:, -1].where(ends, NEVER)
        if unit + 1 < tails.shape[1]:
            later = (ahead[:, unit + 1 : -1] + tails[:, unit + 1 :]).amax(dim=1)
            cut = torch.maximum(cut, later)
        return ahead[:, unit] + tails[:, unit], cut

    def best_edits(self, song: torch.Tensor, target: torch.Tensor) -> list[Edit]:
        """Return the best KEEP/CUT edit for each (song number, keep ratio), both (B,)."""
        t = self.tensors
        left = t.budget(song, target)
        last = torch.full_like(song, self.steps.shape[1] - 1)
        kept = torch.zeros(len(song), t.first.shape[1], dtype=torch.bool, device=t.device)
        for unit in range(t.first.shape[1]):
            keep, cut = self.keep_and_cut(song, last, unit, left)
            chosen = (unit < t.n_units[song]) & (keep >= cut) & (keep > NEVER)
            kept[:, unit] = chosen
            last = torch.where(chosen, t.last[song, unit], last)
            left = left - t.unit_ticks[song, unit].where(chosen, 0)
        edits = []
        for index, row, goal in zip(
            song.tolist(), kept.cpu().numpy(), target.tolist(), strict=True
        ):
            source = t.songs[index]
            points = source.decision_points
            lengths = np.diff(np.append(points, source.n_beats))
            beats = np.repeat(row[: len(points)], lengths)
            edits.append(Edit(source, np.where(beats, Action.KEEP, Action.CUT), goal))
        return edits

    def best_values(self, song: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the reward of the best KEEP/CUT edit for each (song, target), (B,)."""
        start = torch.full_like(song, self.steps.shape[1] - 1)
        return torch.maximum(*self.keep_and_cut(song, start, 0, self.tensors.budget(song, target)))


def _values(tensors: SongTensors, steps: torch.Tensor, landings: torch.Tensor) -> torch.Tensor:
    size, units = tensors.first.shape
    device = tensors.device
    songs = torch.arange(size, device=device)
    most = int((tensors.total_ticks + tensors.window).max()) + 1
    left = torch.arange(most, device=device)
    value = torch.full((size, most, units), NEVER, device=device)
    for u in reversed(range(units)):
        real = u < tensors.n_units
        first, last = tensors.first[:, u], tensors.last[:, u]
        leave = landings[songs, last]
        onward = torch.where(left < tensors.window[:, None], leave[:, -1:], NEVER)
        if u + 1 < units:
            later = (leave[:, None, u + 1 : -1] + value[:, :, u + 1 :]).amax(dim=2)
            onward = torch.maximum(onward, later)
        before = left - tensors.unit_ticks[:, u, None]
        tail = onward.gather(1, before.clamp(min=0)).where(before >= 0, NEVER)
        inside = torch.zeros(size, device=device)
        for k in range(int((last - first).max())):
            beat = (first + k).clamp(max=steps.shape[1] - 1)
            after = (first + k + 1).clamp(max=steps.shape[1] - 1)
            inside += steps[songs, beat, after].where(beat < last, 0.0)
        value[:, :, u] = (tail + inside[:, None]).where(real[:, None], NEVER)
    return value
