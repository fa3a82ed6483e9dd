"""The editing environment in the standard form, a `gymnasium.Env`, one song at a time.

The rules, states and rewards are those of `EditingEnv`, which this class wraps.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_ADDITIVE
from rlhf_lib.editing.edit import N_ACTIONS, Action
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.editing_env import N_STATE, EditingEnv
from rlhf_lib.learning.planning.planner import NEVER, Plan
from rlhf_lib.learning.planning.reward import Reward, Scores
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS


class SongEditing(gymnasium.Env):
    """Edit one song to one length; both are drawn at each reset.

    Parameters
    ----------
    songs : sequence of Song
    reward : Reward, or function of edits
        The additive part of its weights is paid at each decision, and the last decision is given
        the rest, so that the rewards of an episode add up to the reward of the edit. Plans, and
        what of them is in the state, are made by the additive part; those for a function by the
        dense reward.
    targets : sequence of float
        Keep ratios to draw from.

    Notes
    -----
    Observations are the 889 numbers of `EditingEnv.state`, zeros after the last decision. The
    nine actions are those of `Action`; `action_masks` returns which are allowed, in the form that
    sb3-contrib's MaskablePPO requires. An action that isn't allowed is replaced by KEEP, or by CUT
    where KEEP isn't allowed either, so that a learner without masks can use the environment too.
    The info of the last step holds the finished ``edit``.
    """

    metadata = {"render_modes": []}  # noqa: RUF012, declared as in gymnasium

    def __init__(
        self,
        songs: Sequence[Song],
        reward: Reward | Scores,
        targets: Sequence[float] = CUTTING_TARGETS,
    ):
        songs, self.reward, self.targets = list(songs), Reward.of(reward), tuple(targets)
        weights = self.reward.weights
        additive = DENSE_WEIGHTS if weights is None else weights[:N_ADDITIVE]
        self.plan = Plan.build(SongTensors.build(songs, FeatureScale.fit(songs)), additive)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (N_STATE,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(N_ACTIONS)
        self._env: EditingEnv | None = None
        self._allowed = np.zeros(N_ACTIONS, dtype=bool)
        self._paid = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw a song and a length; return the first observation.

        Parameters
        ----------
        seed : int, optional
            Of all later draws.
        options : dict, optional
            ``song`` (place in the list) and ``target`` (keep ratio) instead of a draw.

        Raises
        ------
        InputError
            When there is no such song.
        """
        super().reset(seed=seed)
        songs = self.plan.tensors.songs
        drawn = {
            "song": int(self.np_random.integers(len(songs))),
            "target": float(self.np_random.choice(self.targets)),
        } | (options or {})
        if not 0 <= drawn["song"] < len(songs):
            raise InputError(f"song {drawn['song']} does not exist; there are {len(songs)} songs")
        song = torch.tensor([drawn["song"]])
        self._env = EditingEnv(self.plan, song, torch.tensor([drawn["target"]]))
        self._paid = 0.0
        return self._observe(), drawn

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Carry out one decision.

        Returns
        -------
        observation, reward, terminated, truncated, info
            `truncated` is never true.
        """
        if not self._allowed[action]:
            action = Action.KEEP if self._allowed[Action.KEEP] else Action.CUT
        reward = float(self._env.step(torch.tensor([int(action)], device=self._env.song.device)))
        self._paid += reward
        if self._env.unit < self._env.horizon:
            return self._observe(), reward, False, False, {}
        (edit,) = self._env.edits()
        reward += float(self.reward.scores([edit])[0]) - self._paid
        self._allowed = np.zeros(N_ACTIONS, dtype=bool)
        return np.zeros(N_STATE, dtype=np.float32), reward, True, False, {"edit": edit}

    def action_masks(self) -> np.ndarray:
        """Return which actions are allowed now, (9,) bool."""
        return self._allowed.copy()

    def _observe(self) -> np.ndarray:
        slots, values = self._env.observe()
        self._allowed = (values[0] > NEVER).cpu().numpy()
        context = self._env.tensors.context[self._env.song[0], self._env.unit]
        return torch.cat([context, slots[0]]).cpu().numpy()
