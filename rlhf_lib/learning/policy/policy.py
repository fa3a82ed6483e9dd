"""The policy: how it edits a song to a length.

A policy has one stage for each reward that it was trained on: v14 has one, v15 two. A stage plans
edits under its reward and under re-weightings of it, and under those that its network has learned
(a Gaussian distribution over plans, see `policy.stage`). It takes the best of these plans and of
the edit of the stage before, and climbs from there (`planning.search`). So every policy contains
its parent, and its edits are never worse than the parent's by the lower confidence bound of its own
reward.

A policy is made of arrays. PyTorch, which takes a second to import, is needed to train it only
(`policy.plan_network`).
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import parent_process

import numpy as np
from tqdm.auto import tqdm

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import N_ADDITIVE, N_DESCRIPTORS
from rlhf_lib.editing.edit import TEMPERATURES, Edit, target_keep_ratio
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.plans import plans
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import (
    K_CHANGES,
    K_PLANS,
    Climb,
    own_weights,
    reweighted,
)
from rlhf_lib.learning.planning.stretch import Stretch, stretches
from rlhf_lib.learning.policy.stage import N_PLAN, Stage, situations
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS

#: Keep ratios below 1; at 1.0 there is nothing to decide.
TARGETS = tuple(target_keep_ratio(t) for t in TEMPERATURES)
CUTTING_TARGETS = TARGETS[1:]
#: Spread of the re-weightings, see `search.reweighted`.
_SPREAD = 1.0
_DENSE = np.pad(DENSE_WEIGHTS, (0, N_DESCRIPTORS - N_ADDITIVE))


@dataclass(frozen=True)
class PolicyConfig:
    """Configuration of a policy.

    Attributes
    ----------
    stages : int
        Rewards that it was trained on, one after the other.
    members : int
        Members of each reward's ensemble.
    hidden : int
        Width of the hidden layer of each stage's network.
    draws : int
        Plans from the distribution of a stage, its mean among them.
    own_plans, dense_plans : int
        Plans under re-weightings of a stage's own reward (the first under the reward itself) and of
        the dense reward.
    climb : int
        Local changes that are tried on the best plan.
    search : bool
        Whether plans are compared and changed; otherwise the mean plan of the last stage is the
        edit, or one plan that is drawn.
    """

    stages: int = 1
    members: int = 5
    hidden: int = 32
    draws: int = 8
    own_plans: int = 24
    dense_plans: int = 76
    climb: int = 300
    search: bool = True

    def __post_init__(self):
        for name in ("stages", "members", "hidden", "draws"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; a policy needs at least 1")


class Policy:
    """Edits songs; see the docstring of the module.

    Parameters
    ----------
    config : PolicyConfig
    weights : (N_DESCRIPTORS,) or (members, N_DESCRIPTORS) array
        The linear reward of the last stage; part of the policy, so that a checkpoint can edit songs
        without any other file.
    """

    def __init__(self, config: PolicyConfig, weights: np.ndarray):
        self.config = self.last_config = config
        self.last_k = K_PLANS, K_CHANGES
        self.stages = [Stage(config.members, config.hidden) for _ in range(config.stages)]
        self.last.weights[:] = weights

    @property
    def last(self) -> Stage:
        """The stage that is trained."""
        return self.stages[-1]

    @property
    def weights(self) -> np.ndarray:
        """The linear reward of the last stage, (N_DESCRIPTORS,): the mean of its members."""
        return self.last.mean_weights

    def config_dict(self) -> dict:
        """Return the configuration as plain values, for a checkpoint."""
        return asdict(self.config)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the arrays of all stages by name, for a checkpoint."""
        return {
            f"stages.{number}.{name}": value
            for number, stage in enumerate(self.stages)
            for name, value in stage.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the arrays of a checkpoint.

        Raises
        ------
        ValueError
            When they have other names, shapes or types than those of this policy.
        """
        for number, stage in enumerate(self.stages):
            prefix = f"stages.{number}."
            stage.load_state_dict(
                {
                    name.removeprefix(prefix): value
                    for name, value in state.items()
                    if name.startswith(prefix)
                }
            )
        for name in state.keys() - self.state_dict().keys():
            raise ValueError(f"{name!r} is no array of this policy")

    def child(self, reward: Reward) -> "Policy":
        """Return a policy with one more stage, to be trained on another reward."""
        out = Policy(replace(self.config, stages=self.config.stages + 1), self.weights)
        out.stages[:-1] = copy.deepcopy(self.stages)
        out.follow(reward)
        return out

    def follow(self, reward: Reward) -> None:
        """Make a reward that of the last stage, before it is trained on it.

        What the stage has learned under another reward does not hold for the new one: its
        distribution over plans starts anew. A reward that is not linear leaves the weights.
        """
        weights = self.last.weights
        if reward.member_weights is not None:
            given = np.asarray(reward.member_weights, dtype=np.float64)
            members = math.lcm(self.config.members, len(given))
            # Rows that are repeated alike have the same mean and the same standard deviation.
            for stage in self.stages:
                stage.weights = np.tile(stage.weights, (members // self.config.members, 1))
            self.config = replace(self.config, members=members)
            weights = np.tile(given, (members // len(given), 1))
        if not np.array_equal(weights, self.last.weights):
            self.last.weights = weights
            self.last.start_anew()
        self.last.linear = reward.linear

    def only(
        self, k_plans: float = K_PLANS, k_changes: float = K_CHANGES, **config: int | bool
    ) -> "Policy":
        """Return a copy whose last stage works differently, to evaluate parts alone.

        Parameters
        ----------
        k_plans, k_changes : float
            k of the lower confidence bounds, see `planning.search`.
        **config
            Of `PolicyConfig`.
        """
        out = copy.deepcopy(self)
        out.last_config, out.last_k = replace(self.last_config, **config), (k_plans, k_changes)
        return out

    def edits(
        self,
        songs: Sequence[Song],
        targets: Sequence[float] = CUTTING_TARGETS,
        greedy: bool = True,
        seed: int = 0,
        reward: Reward | None = None,
        constraints: Sequence[Constraints | None] | None = None,
    ) -> list[Edit]:
        """Return an edit of every song at every keep ratio, song by song.

        Parameters
        ----------
        songs : sequence of Song
        targets : sequence of float
        greedy : bool
            True: the best edit that the search finds, the same in every call. False: only plans
            that are drawn with `seed` take part.
        reward : Reward, optional
            Compares the plans of the last stage instead of its own reward.
        constraints : sequence of Constraints or None, optional
            For each song, what its edits must keep. A song of many stretches, or a policy without
            a search, may miss it: see `Constraints.allows`.
        """
        rows = zip(songs, constraints or [None] * len(songs), strict=True)
        # A bar of one song does not move; those of several processes would overwrite each other.
        if len(songs) > 1 and parent_process() is None:
            rows = tqdm(rows, "edits", len(songs), unit="song", leave=False)
        out = []
        for song, keep in rows:
            rng = np.random.default_rng([0 if greedy else seed, int(song.sha256[:8], 16)])
            actions = np.concatenate(
                [
                    stretch.actions(self._choices(stretch, targets, greedy, rng, reward, keep))
                    for stretch in stretches(song, keep and keep.required())
                ],
                axis=1,
            )
            out += [Edit(song, row, goal) for row, goal in zip(actions, targets, strict=True)]
        return out

    def _choices(
        self,
        stretch: Stretch,
        targets: Sequence[float],
        greedy: bool,
        rng: np.random.Generator,
        reward: Reward | None,
        constraints: Constraints | None,
    ) -> np.ndarray:
        """Return the choices of the units for each target, (T, U)."""
        extra = constraints and constraints.costs(stretch)
        choices = None
        for stage in self.stages if self.last_config.search else [self.last]:
            config = self.last_config if stage is self.last else self.config
            whole = stage.reward()
            if reward is not None and stage is self.last:
                whole = reward
            candidates = self._candidates(stage, config, stretch, targets, greedy, rng, constraints)
            known = stage.linear or whole is reward
            if not (config.search and known):
                choices = candidates[:, 0]
                continue
            k = self.last_k if stage is self.last else (K_PLANS, K_CHANGES)
            climb = Climb(stretch, whole, targets, candidates, choices, extra, *k)
            climb.climb(config.climb, rng)
            choices = climb.choices
        return choices

    def _candidates(
        self,
        stage: Stage,
        config: PolicyConfig,
        stretch: Stretch,
        targets: Sequence[float],
        greedy: bool,
        rng: np.random.Generator,
        constraints: Constraints | None,
    ) -> np.ndarray:
        """Return plans of a stretch under one stage, (T, C, U); if greedy, the mean plan first."""
        extra = constraints and constraints.costs(stretch)
        draws = config.draws if config.search else 1
        planned, noise = [], rng.normal(size=(draws, N_PLAN))
        if greedy:
            noise[0] = 0.0
        for target in targets:  # with the same noise: an edit does not depend on other targets
            mean, sd = stage.plan_numbers(situations([stretch.song], [target])[0])
            numbers = mean + sd * noise
            planned.append(plans(stretch, stage.plan_weights(numbers), [target], extra)[:, 0])
        out = np.stack(planned)
        if not (greedy and config.search):
            return out
        if config.own_plans:
            own = stage.mean_weights
            several = own_weights(own) + reweighted(own, config.own_plans - 1, _SPREAD, rng)
            out = np.concatenate([out, plans(stretch, several, targets, extra).swapaxes(0, 1)], 1)
        if config.dense_plans:
            dense = _dense_plans(stretch, tuple(targets), config.dense_plans, constraints)
            out = np.concatenate([out, dense.swapaxes(0, 1)], 1)
        return out


@lru_cache(maxsize=512)
def _dense_plans(
    stretch: Stretch, targets: tuple[float, ...], count: int, constraints: Constraints | None
) -> np.ndarray:
    """Return plans around the dense reward, (C, T, U): the same for all stages and policies."""
    around = reweighted(_DENSE, count, _SPREAD, np.random.default_rng(0))
    return plans(stretch, around, targets, constraints and constraints.costs(stretch))
