"""The annealed reference: how much an edit of a given length can be worth to a taste.

Simulated annealing (Kirkpatrick et al., 1983) of the true utility, by the local changes that a
policy climbs with, from the best of v14's edit and plans under the taste's own descriptors. It is
no bound: an edit may be better. Gains are measured against it.
"""

import numpy as np
import pandas as pd

from lab.material import Material, utilities
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.planning.moves import proposals
from rlhf_lib.learning.planning.search import own_weights, reweighted, whole_edits
from rlhf_lib.learning.planning.stretch import Stretch
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.raters.criteria import criteria
from rlhf_lib.raters.outside import OutsideTaste
from rlhf_lib.raters.simulated import taste_of
from rlhf_lib.raters.tastes import Taste

#: Runs from each start, changes of each run, and temperatures of its ends in units of utility.
RESTARTS, STEPS, HOT, COLD = 3, 3000, 0.2, 0.005
#: Changes for tastes that compare long passages or hear: each utility takes milliseconds.
SLOW_STEPS = {"fresh": 1500, "ear": 1500}
OUTSIDE_STEPS = 200
#: Plans around the taste's own weights, and around the synthetic ones, to start from.
PLANS = 24


def reference(material: Material, taste: str) -> pd.DataFrame:
    """Return the best edit found for the taste itself, for each test song and length.

    Columns: taste, song, target, reference and v14 (utilities), loops, reorders, steps.
    """
    songs, rows = material.songs["test"], []
    old = material.v14().edits(songs)
    liked = utilities(taste, old)
    for place, song in enumerate(songs):
        here = slice(place * len(CUTTING_TARGETS), (place + 1) * len(CUTTING_TARGETS))
        best = annealed(song, taste, old[here], np.random.default_rng(place), steps_of(taste))
        reached = np.maximum(utilities(taste, best), liked[here])
        for edit, value, before in zip(best, reached, liked[here], strict=True):
            rows.append(
                {"taste": taste, "song": song.sha256, "target": edit.target}
                | {"reference": value, "v14": before, "steps": steps_of(taste)}
                | edit_moves(edit)
            )
    return pd.DataFrame(rows)


def steps_of(taste: str) -> int:
    """Return the number of changes of each run."""
    if isinstance(taste_of(taste), OutsideTaste):
        return OUTSIDE_STEPS
    return SLOW_STEPS.get(taste, STEPS)


def edit_moves(edit: Edit) -> dict[str, int]:
    """Return the numbers of looped and of moved beats of an edit."""
    return {
        "loops": int(((edit.actions > 1) & (edit.actions < 5)).sum()),
        "reorders": int((edit.actions >= 5).sum()),
    }


def annealed(
    song: Song, taste: str, old: list[Edit], rng: np.random.Generator, steps: int
) -> list[Edit]:
    """Return the best edit found for each edit in `old`, of the same length."""
    stretch = Stretch(song, 0, song.n_beats, ((song.n_beats, 0),))
    targets = np.array([edit.target for edit in old])
    weights = taste_of(taste).descriptor_weights
    starts = np.stack([_start(taste, weights, edit, rng) for edit in old])
    budgets = np.array([stretch.budget(target) for target in targets]).repeat(RESTARTS)
    goals, runs = targets.repeat(RESTARTS), np.arange(len(old) * RESTARTS)
    present = stretch.choices(starts).repeat(RESTARTS, axis=0)
    worth = _worth(stretch, taste, present, goals)
    best, reached = present.copy(), worth.copy()
    for temperature in np.geomspace(HOT, COLD, steps):
        # Runs of one length try different changes.
        tried = proposals(stretch, present, budgets, RESTARTS, rng)[runs, runs % RESTARTS]
        chance = rng.random(len(runs))
        changed = np.flatnonzero((tried != present).any(axis=1))
        values = _worth(stretch, taste, tried[changed], goals[changed])
        gains = values - worth[changed]
        taken = chance[changed] < np.exp(np.minimum(gains / temperature, 0))
        places = changed[taken]
        present[places], worth[places] = tried[places], values[taken]
        better = worth > reached
        best[better], reached[better] = present[better], worth[better]
    first = reached.reshape(len(old), RESTARTS).argmax(axis=1) + RESTARTS * np.arange(len(old))
    actions = stretch.actions(best[first])
    return [Edit(song, row, target) for row, target in zip(actions, targets.tolist(), strict=True)]


def _start(taste: str, weights: np.ndarray, old: Edit, rng: np.random.Generator) -> np.ndarray:
    """Return the actions of the best of v14's edit and some plans."""
    edits = [old]
    for around in (weights, SYNTHETIC_WEIGHTS):
        if np.any(around):
            several = own_weights(around) + reweighted(around, PLANS - 1, 1.0, rng)
            edits += whole_edits(old.song, several, old.target)
    return edits[int(utilities(taste, edits).argmax())].actions


def _worth(stretch: Stretch, taste: str, choices: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the utilities of edits, (E,), with the descriptors of all of them computed at once."""
    actions, judge = stretch.actions(choices), taste_of(taste)
    edits = [Edit(stretch.song, *each) for each in zip(actions, targets.tolist(), strict=True)]
    if not isinstance(judge, Taste):
        return utilities(taste, edits)
    values = np.zeros(len(edits))
    if judge.descriptor_weights.any() and len(edits):
        values += stretch.describe(actions, targets) @ judge.descriptor_weights
    names, weights = judge.criteria
    return values + [weights @ criteria(edit, names) for edit in edits]
