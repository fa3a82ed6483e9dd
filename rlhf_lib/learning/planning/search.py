"""Search among plans and around them, for rewards that are not additive.

A plan is exact for additive rewards only. It ignores descriptors of the whole edit (cuts close
together, a broken chorus, a level that builds up) and everything that is no descriptor. The search
compares many plans by the whole reward, and climbs from the best one by local changes (Mania et
al., 2018, search the parameters of a policy in a similar way). It needs no training.

Gains are compared by their lower confidence bound: the mean over the members of the reward less k
times their standard deviation. The plan with the largest gain over the parent's edit is taken, if
the gain is above 0 by this bound; a local change is made if its gain over the present edit is.
"""

from collections.abc import Sequence

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import ADDITIVE, DESCRIPTOR_NAMES, N_ADDITIVE
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.whole_edit import EIGHTHS, step_sums
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.moves import proposals
from rlhf_lib.learning.planning.plans import PlanWeights, plans
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.stretch import Stretch, stretches

#: Additive descriptors without a direction, except `length`, which follows from the target.
CONTENT = [k for k, one in enumerate(ADDITIVE) if one.direction == 0 and one.name != "length"]
FIRST_EIGHTH = DESCRIPTOR_NAMES.index("level_1")
#: How many bars a plan loops, and how many it reorders; drawn from these numbers.
_COUNTS = (0, 0, 0, 0, 0, 0, 1, 2, 3)
#: Changes of an edit that are compared at once.
_AT_ONCE = 6
#: k of the lower confidence bound for plans and for local changes, chosen on validation songs
#: (docs/results.md): many local changes are tried, so the best of them is often overrated.
K_PLANS, K_CHANGES = 0.25, 1.0


def own_weights(weights: np.ndarray) -> PlanWeights:
    """Return what can be planned of linear weights, (N_DESCRIPTORS,): one reward.

    The additive weights and those of the levels of the eighths.
    """
    weights = np.asarray(weights, dtype=np.float64)[None]
    none = np.zeros(1, dtype=np.int64)
    eighths = weights[:, FIRST_EIGHTH : FIRST_EIGHTH + EIGHTHS]
    return PlanWeights(weights[:, :N_ADDITIVE], eighths, none, none)


def reweighted(
    weights: np.ndarray, count: int, spread: float, rng: np.random.Generator
) -> PlanWeights:
    """Return `count` random re-weightings of linear weights, (N_DESCRIPTORS,).

    Additive weights and those of the eighths are multiplied by log-normal factors. Weights of
    descriptors without a direction (level, activity) are also shifted up or down, in proportion to
    the additive weights as a whole. A few bars are looped or reordered in some of them.
    """
    own = own_weights(weights)
    size = np.sqrt(np.mean(own.additive**2))
    # Drawn set by set: a smaller count gives the first sets of a larger one.
    drawn = [
        (
            rng.normal(size=N_ADDITIVE),
            rng.normal(size=len(CONTENT)),
            rng.normal(size=EIGHTHS),
            rng.choice(_COUNTS, size=2),
        )
        for _ in range(count)
    ]
    if not drawn:
        return PlanWeights.plain(np.zeros((0, N_ADDITIVE)))
    factors, shifts, tilts, counts = map(np.stack, zip(*drawn, strict=True))
    additive = own.additive * np.exp(spread * factors)
    additive[:, CONTENT] += spread * size * shifts
    return PlanWeights(additive, own.eighths * np.exp(spread * tilts), *counts.T)


def whole_edits(
    song: Song,
    weights: PlanWeights,
    target: float,
    constraints: Constraints | None = None,
    beat_costs: np.ndarray | None = None,
) -> list[Edit]:
    """Return the edit of a song that is planned under each of C additive rewards.

    Parameters
    ----------
    constraints : Constraints, optional
        What the edits must keep.
    beat_costs : (n_beats,) float array, optional
        Cost of playing each beat.
    """
    parts = []
    for stretch in stretches(song, constraints and constraints.required()):
        inside = constraints and constraints.costs(stretch)
        costs = None if beat_costs is None else beat_costs[stretch.first : stretch.stop]
        parts.append(stretch.actions(plans(stretch, weights, [target], inside, costs)[:, 0]))
    return [Edit(song, row, target) for row in np.concatenate(parts, axis=1)]


def alternatives(
    songs: list[Song],
    weights: np.ndarray,
    targets: Sequence[float],
    count: int,
    spread: float,
    rng: np.random.Generator,
) -> dict[str, dict[float, list[Edit]]]:
    """Return different good edits, planned under re-weightings of linear weights.

    Returns
    -------
    dict
        song sha256 → target → `count` edits.
    """
    out = {}
    for song in songs:
        drawn = reweighted(weights, count, spread, rng)
        out[song.sha256] = {
            target: whole_edits(song, drawn, target) if count else [] for target in targets
        }
    return out


def member_scores(
    stretch: Stretch,
    reward: Reward,
    choices: np.ndarray,
    targets: np.ndarray,
    extra: np.ndarray | None = None,
) -> np.ndarray:
    """Return the scores of edits of a stretch by each member of a reward, (E, M).

    A reward that is a function scores the whole song, in which the rest is kept.

    Parameters
    ----------
    choices : (E, U) int8
    targets : (E,) float64
    extra : (n + 1, n + 1) float32, optional
        Added to the reward of each step.
    """
    actions = stretch.actions(choices)
    if reward.linear:
        scores = stretch.describe(actions, targets) @ reward.member_weights.T
    else:
        whole = np.full((len(actions), stretch.song.n_beats), Action.KEEP, dtype=np.int8)
        whole[:, stretch.first : stretch.stop] = actions
        edits = [Edit(stretch.song, *each) for each in zip(whole, targets.tolist(), strict=True)]
        scores = reward.members(edits)
    return scores if extra is None else scores + step_sums(extra, actions)[:, None]


class Climb:
    """Edits of one stretch, one for each of T targets, that are improved step by step.

    Parameters
    ----------
    stretch : Stretch
    reward : Reward
    targets : sequence of float
        T keep ratios.
    candidates : (T, C, U) int8
        Choices to start from; the best of each target is taken.
    parent : (T, U) int8, optional
        Choices of the parent policy, one more candidate.
    extra : (n + 1, n + 1) float32, optional
        Added to the reward of each step.
    k_plans, k_changes : float
        k of the lower confidence bound.

    Attributes
    ----------
    choices : (T, U) int8
        The present edits.
    scores : (T, M) float64
        Their scores by each member of the reward.
    """

    def __init__(
        self,
        stretch: Stretch,
        reward: Reward,
        targets: Sequence[float],
        candidates: np.ndarray,
        parent: np.ndarray | None = None,
        extra: np.ndarray | None = None,
        k_plans: float = K_PLANS,
        k_changes: float = K_CHANGES,
    ):
        self.stretch, self.reward, self.extra, self.k = stretch, reward, extra, k_changes
        self.targets = np.asarray(targets, dtype=np.float64)
        self.budgets = np.array([stretch.budget(target) for target in targets])
        if parent is not None:
            candidates = np.concatenate([parent[:, None], candidates], axis=1)
        scores = self._scores(candidates)
        bounds = scores.mean(axis=2)
        if parent is not None:
            bounds = _lower_bounds(scores - scores[:, :1], k_plans)
        rows, best = np.arange(len(candidates)), bounds.argmax(axis=1)
        self.choices, self.scores = candidates[rows, best], scores[rows, best]

    def _scores(self, candidates: np.ndarray) -> np.ndarray:
        """Return the scores of candidates (T, C, U) by each member, (T, C, M)."""
        flat = candidates.reshape(-1, candidates.shape[2])
        targets = self.targets.repeat(candidates.shape[1])
        scores = member_scores(self.stretch, self.reward, flat, targets, self.extra)
        return scores.reshape(*candidates.shape[:2], -1)

    def climb(self, evaluations: int, rng: np.random.Generator) -> None:
        """Try random local changes of each edit; make those that improve it by the bound."""
        rows = np.arange(len(self.choices))
        for _ in range(evaluations // _AT_ONCE):
            changed = proposals(self.stretch, self.choices, self.budgets, _AT_ONCE, rng)
            scores = self._scores(changed)
            bounds = _lower_bounds(scores - self.scores[:, None], self.k)
            best = bounds.argmax(axis=1)
            better = bounds[rows, best] > 0
            self.choices[better] = changed[rows, best][better]
            self.scores[better] = scores[rows, best][better]


def _lower_bounds(gains: np.ndarray, k: float) -> np.ndarray:
    """Return the lower confidence bounds of gains (..., M), (...)."""
    return gains.mean(axis=-1) - k * gains.std(axis=-1)
