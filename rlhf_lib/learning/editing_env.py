"""The editing environment: a batch of songs walked unit by unit, as tensors.

An episode edits one song to one target length. The policy decides at the first beat of each
unit (a bar, in songs of normal length): CUT leaves out the unit, any other action applies to
its first beat and keeps the rest. Free decisions on every beat collapse in training to
"keep until the length is used up"; see docs/learning.md.
"""

import torch

from rlhf_lib.learning.planner import NEVER, Plan
from rlhf_lib.learning.song_tensors import N_CONTEXT
from rlhf_lib.music.edit import PLAYS, Action, Edit

N_SLOTS = 14
N_STATE = N_CONTEXT + N_SLOTS
GAIN_RANGE = 3.0
_PLAYS = torch.from_numpy(PLAYS).float()


class EditingEnv:
    """B episodes over S planned songs, stepped together.

    Parameters
    ----------
    plan : Plan
        Songs and the additive reward that is paid, step by step.
    song : (B,) int64
        Which song each episode edits.
    target : (B,) float64
        Keep ratio each episode aims at.

    Attributes
    ----------
    unit : int
        The unit to decide on next; the same for all episodes.
    last : (B,) int64
        Beat heard last; N before the first one.
    left : (B,) int64
        Ticks that may still be played.
    actions : (B, N) int64
        The actions so far, one per beat.
    """

    def __init__(self, plan: Plan, song: torch.Tensor, target: torch.Tensor):
        tensors = plan.tensors
        self.plan, self.tensors = plan, tensors
        self.song, self.target = song.to(tensors.device), target.double().to(tensors.device)
        self.n_units = tensors.n_units[self.song]
        self.horizon = int(self.n_units.max())
        self.start = plan.steps.shape[1] - 1
        self.plays = _PLAYS.to(tensors.device)
        self.reset()

    def reset(self) -> None:
        """Go back to the start of every song."""
        device, size = self.tensors.device, len(self.song)
        self.unit = 0
        self.last = torch.full((size,), self.start, device=device)
        self.left = self.tensors.budget(self.song, self.target)
        self.budget = self.left.clone()
        self.actions = torch.full((size, self.start), int(Action.CUT), device=device)
        self.seams = torch.zeros(size, device=device)
        self.cut_beats = torch.zeros(size, device=device)
        self.since = torch.zeros(size, device=device)
        self.reordered = False

    @property
    def active(self) -> torch.Tensor:
        """Which episodes still have a unit to decide on, (B,) bool."""
        return self.unit < self.n_units

    def observe(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the slots (B, 14) and the planned action values (B, 9) of this decision.

        An action is allowed where its value is finite. The slots: 5 on the song as a whole; 6
        on the edit so far (beats in the current cut, quality of joining here, best join ahead,
        gain of playing on now over cutting, seams so far, beats since the last seam); 2 on length
        (share left, target); 1 position.
        """
        values = self.plan.action_values(self.song, self.last, self.unit, self.left)
        values[~self.active] = NEVER
        values[~self.active, Action.CUT] = 0.0
        ahead = self.plan.landings[self.song, self.last, :-1]
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
        """Carry out one decision per episode and return the additive reward it earns, (B,).

        Parameters
        ----------
        action : (B,) int64
            Must be allowed (see `observe`); episodes that have ended ignore it.
        """
        t, u = self.tensors, self.unit
        active = self.active
        first, stop = t.first[self.song, u], t.last[self.song, u]
        plays = active & (action != Action.CUT)
        rows = torch.arange(len(action), device=t.device)
        reward = torch.zeros(len(action), device=t.device)
        if bool((active & (action > Action.LOOP_4)).any()):
            self.reordered = True
        self.cut_beats = torch.where(plays, 0.0, self.cut_beats + (stop - first + 1) * active)
        for k in range(int(((stop - first) * active).max()) + 1):
            beat = (first + k).clamp(max=self.start - 1)
            here = active & (first + k <= stop)
            chosen = action if k == 0 else torch.full_like(action, int(Action.KEEP))
            chosen = torch.where(plays, chosen, int(Action.CUT))
            self.actions[rows[here], beat[here]] = chosen[here]
            now = here & plays & (chosen <= Action.LOOP_4)
            reward += self._hear(beat, now)
            if k == 0:
                again = (self.plays[chosen] - 1) * self.plan.steps[self.song, beat, beat]
                looped = now & (chosen != Action.KEEP)
                reward += again.where(looped, 0.0)
                self.seams += (self.plays[chosen] - 1).where(looped, 0.0)
            if self.reordered:
                reward += self._hear_moved(beat, here)
        extra = (self.plays[action] - 1).clamp(min=0).long() * t.first_ticks[self.song, u]
        self.left = self.left - (t.unit_ticks[self.song, u] + extra).where(plays, 0)
        ends = active & (u + 1 == self.n_units)
        reward += self.plan.steps[self.song, self.last, self.start].where(ends, 0.0)
        self.unit += 1
        return reward

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

    def _hear(self, beat: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
        reward = self.plan.steps[self.song, self.last, beat].where(now, 0.0)
        seam = now & (self.last != self.start) & (beat != self.last + 1)
        self.seams += seam
        self.since = torch.where(now, (self.since + 1).where(~seam, 0.0), self.since)
        self.last = torch.where(now, beat, self.last)
        return reward

    def _hear_moved(self, beat: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        reward = torch.zeros(len(beat), device=beat.device)
        rows = torch.arange(len(beat), device=beat.device)
        for k in (4, 3, 2, 1):  # earlier beats first, as in `output_order`
            source = (beat - k).clamp(min=0)
            moved = here & (beat >= k) & (self.actions[rows, source] == Action.LOOP_4 + k)
            reward += self._hear(source, moved)
        return reward
