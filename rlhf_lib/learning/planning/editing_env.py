"""The editing environment for music retargeting: a batch of songs, walked unit by unit.

An episode edits one song to one target length. The policy decides at the first beat of each
unit (a bar, in songs of normal length): CUT leaves out the unit; any other action applies to
its first beat and keeps the rest. With decisions on every beat, training collapses to "keep until
the length is used up"; see docs/learning.md.
"""

from collections.abc import Callable

import torch

from rlhf_lib.editing.edit import N_ACTIONS, PLAYS, SHIFT, Action, Edit
from rlhf_lib.learning.planning.constraints import FORBIDDEN
from rlhf_lib.learning.planning.planner import NEVER, Plan, rows
from rlhf_lib.learning.planning.song_globals import N_GLOBAL
from rlhf_lib.learning.planning.song_tensors import N_CONTEXT

#: Numbers of the state besides the context: of the song, then of the edit so far.
N_SLOTS = N_GLOBAL + 9
N_STATE = N_CONTEXT + N_SLOTS
GAIN_RANGE = 3.0
#: Most beats that REORDER moves a beat by.
_FAR = int(SHIFT.max())


class EditingEnv:
    """B episodes over S planned songs, all stepped at once.

    Parameters
    ----------
    plan : Plan
        Songs and the additive reward that is given at each step.
    song : (B,) int64
        Which song each episode edits.
    target : (B,) float64
        Target keep ratio of each episode.

    Attributes
    ----------
    unit : int
        The unit to decide on next; the same for all episodes.
    last : (B,) int64
        Beat played last; N before the first one.
    left : (B,) int64
        Ticks that may still be played.
    """

    def __init__(self, plan: Plan, song: torch.Tensor, target: torch.Tensor):
        tensors = plan.tensors
        self.plan, self.tensors = plan, tensors
        device = tensors.device
        self.song, self.target = song.to(device), target.double().to(device)
        self.n_units = tensors.n_units[self.song]
        self.horizon = int(self.n_units.max())
        self.start = plan.steps.shape[1] - 1
        # What can be played in a unit, in order: each of its places, and after it the beats that
        # were moved there, earlier beats first (as in `output_order`).
        places = [
            (place, shift)
            for place in range(tensors.longest_unit)
            for shift in (0, *range(_FAR, 0, -1))
            if shift == 0 or shift >= place  # only the first beat of a unit can be moved
        ]
        self._place, self._shift = torch.tensor(places, device=device).T
        self._around = torch.arange(-_FAR, tensors.longest_unit, device=device)
        self._again = torch.tensor(PLAYS - 1, device=device).clamp(min=0)
        # CUT is played at no place.
        self._moves = torch.tensor(SHIFT, device=device)
        self._moves[Action.CUT] = -1
        self._ended = torch.full((N_ACTIONS,), NEVER, device=device)
        self._ended[Action.CUT] = 0.0
        self.reset()

    def reset(self) -> None:
        """Go back to the start of every song."""
        device, size = self.tensors.device, len(self.song)
        self.unit = 0
        self.last = torch.full((size,), self.start, device=device)
        self.left = self.tensors.budget(self.song, self.target)
        self.budget = self.left.clone()
        # With a margin on both sides, so that a window around any unit lies inside.
        width = _FAR + self.start + self.tensors.longest_unit
        self._actions = torch.full((size, width), int(Action.CUT), device=device)
        self.seams = torch.zeros(size, device=device)
        self.cut_beats = torch.zeros(size, device=device)
        self.since = torch.zeros(size, device=device)

    @property
    def actions(self) -> torch.Tensor:
        """The actions so far, one per beat, (B, N) int64."""
        return self._actions[:, _FAR : _FAR + self.start]

    @property
    def active(self) -> torch.Tensor:
        """Which episodes still have a unit to decide on, (B,) bool."""
        return self.unit < self.n_units

    def observe(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the slots (B, 14) and the planned action values (B, 9) of this decision.

        An action is allowed where its value is finite. The slots: 5 for the song as a whole; 6
        for the edit so far (beats in the current cut, reward of joining here, best join ahead,
        gain of KEEP over CUT, seams so far, beats since the last seam); 2 for the length
        (share left, target); 1 for the position.
        """
        values = self.plan.action_values(self.song, self.last, self.unit, self.left)
        values = values.where(self.active[:, None], self._ended)
        ahead = rows(self.plan.landings, self.song, self.last)[:, :-1]
        ahead = ahead.where(ahead > -FORBIDDEN / 2, -GAIN_RANGE)
        here = ahead[:, self.unit]
        best = ahead[:, self.unit + 1 :].amax(dim=1) if self.unit + 1 < ahead.shape[1] else here
        gain = values[:, Action.KEEP] - values[:, Action.CUT]
        slots = torch.stack(
            [
                torch.tanh(self.cut_beats / 32),
                here,
                best,
                gain.nan_to_num(nan=0.0).clamp(-GAIN_RANGE, GAIN_RANGE),
                self.seams / 8,
                torch.tanh(self.since / 16),
                self.left / self.budget,
                self.target.float(),
                self.unit / self.n_units,
            ],
            dim=1,
        )
        return torch.cat([self.tensors.globals[self.song], slots], dim=1), values

    def state(self) -> torch.Tensor:
        """Return the full state of this decision, (B, 889): context, then slots."""
        slots, _ = self.observe()
        return torch.cat([self.tensors.context[self.song, self.unit], slots], dim=1)

    def step(self, action: torch.Tensor) -> torch.Tensor:
        """Carry out one decision per episode and return its additive reward, (B,).

        Parameters
        ----------
        action : (B,) int64
            Must be allowed (see `observe`); episodes that have ended ignore it.
        """
        t, u = self.tensors, self.unit
        active, first = self.active, t.first[self.song, u]
        length = (t.last[self.song, u] - first + 1) * active
        plays = active & (action != Action.CUT)

        columns = (first + _FAR)[:, None] + self._around
        chosen = torch.full_like(columns[:, _FAR:], int(Action.KEEP))
        chosen[:, 0] = action
        inside = self._around[_FAR:] < length[:, None]
        chosen = chosen.where(plays[:, None] & inside, int(Action.CUT))
        self._actions.scatter_(1, columns[:, _FAR:], chosen)
        near = self._actions.gather(1, columns)[:, _FAR + self._place - self._shift]
        heard = (self._moves[near] == self._shift) & (self._place < length[:, None])
        reward = self._hear(first[:, None] + self._place - self._shift, heard)

        again = self._again[action] * active
        reward += again * self.plan.again[self.song, u]
        self.seams += again
        self.cut_beats = (self.cut_beats + length).where(~plays, 0.0)
        played = t.unit_ticks[self.song, u] + again * t.first_ticks[self.song, u]
        self.left = self.left - played.where(plays, 0)
        ends = active & (u + 1 == self.n_units)
        reward += self.plan.steps[self.song, self.last, self.start].where(ends, 0.0)
        self.unit += 1
        return reward

    def _hear(self, beat: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        """Play those of `beat` (B, P) that are `heard`, in order; return their reward, (B,)."""
        place = torch.arange(1, beat.shape[1] + 1, device=beat.device)
        latest = place.where(heard, 0).cummax(dim=1).values  # 0: the beat played before the unit
        beats = torch.cat([self.last[:, None], beat], dim=1)
        before = beats.gather(1, torch.cat([torch.zeros_like(latest[:, :1]), latest[:, :-1]], 1))
        step = (self.song[:, None] * (self.start + 1) + before) * (self.start + 1) + beat
        reward = self.plan.steps.flatten().take(step.where(heard, 0)).where(heard, 0.0).sum(1)
        seam = heard & (before != self.start) & (beat != before + 1)
        self.seams += seam.sum(1)
        # Beats since the last seam, without the one that follows it.
        latest_seam = place.where(seam, 0).amax(dim=1, keepdim=True)
        fresh = (heard & (place > latest_seam)).sum(1)
        self.since = torch.where(latest_seam[:, 0] > 0, 0.0, self.since) + fresh
        self.last = beats.gather(1, latest[:, -1:])[:, 0]
        return reward

    def walk(self, decide: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Walk every song from start to end; return the reward of each decision, (T, B).

        Parameters
        ----------
        decide : callable
            Takes what `observe` returns; returns the action of each episode, (B,) int64.
        """
        self.reset()
        rewards = []
        while self.unit < self.horizon:
            rewards.append(self.step(decide(*self.observe())))
        return torch.stack(rewards)

    def edits(self) -> list[Edit]:
        """Return the finished edits, one per episode."""
        actions = self.actions.cpu().numpy()
        out = []
        for row, song, target in zip(
            actions, self.song.tolist(), self.target.tolist(), strict=True
        ):
            source = self.tensors.songs[song]
            out.append(Edit(source, row[: source.n_beats], target))
        return out
