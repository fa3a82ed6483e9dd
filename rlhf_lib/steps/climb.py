"""Over-optimisation on purpose: change an edit step by step so that its score rises.

A policy that plans makes only sensible edits. This search cuts, loops and moves beats anywhere, so
it finds edits that score high under the reward model only (Gao et al., 2023). It shows how far a
reward can be trusted, and what limits the exploitation.
"""

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from rlhf_lib.editing.descriptors import describe
from rlhf_lib.editing.edit import N_ACTIONS, Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.raters.simulated import SimulatedRater

#: Lengths of a change in beats; one is drawn at random.
_RUNS = (1, 1, 2, 4, 4, 8)


def climb(
    model: RewardModel,
    judge: SimulatedRater,
    starts: list[Edit],
    steps: int = 60,
    tries: int = 12,
    k: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Climb the linear head of a reward model from each start; record the utility.

    Each step tries random changes and makes the one that gains most. The gain is compared by its
    lower confidence bound: the mean over the members less `k` times their standard deviation.

    Parameters
    ----------
    judge : SimulatedRater
        Gives the utility that is recorded; the search does not use it.
    starts : list of Edit
        For example random cuts; a planned edit is already near the optimum.
    steps, tries : int
        Steps from each start, changes tried in each step.
    k : float
        0 or more; 0 climbs the mean.

    Returns
    -------
    DataFrame
        step, song, start (its number), learned (logits) and gold (utility), gains over the start,
        sd (of the members' gains).

    Raises
    ------
    InputError
        When there is no start, or a number is out of range.
    """
    if not starts or steps < 1 or tries < 1 or k < 0:
        raise InputError(
            f"{len(starts)} starts, {steps} steps, {tries} tries, k {k}; give at least one of the "
            "first three, and a k of 0 or more"
        )
    weights = model.descriptor_weights().detach().cpu().numpy().T  # (N_DESCRIPTORS, members)
    rows = []
    for number, start in enumerate(tqdm(starts, "climbing", unit="start", leave=False)):
        rng = np.random.default_rng([seed, number])
        edit, begin = start, describe(start) @ weights
        gain, liked = np.zeros(weights.shape[1]), judge.utility(start)
        for step in range(steps + 1):
            rows.append(
                {"step": step, "song": start.song.sha256, "start": number}
                | {"learned": gain.mean(), "gold": judge.utility(edit) - liked}
                | {"sd": gain.std()}
            )
            changed = [_changed(edit, rng) for _ in range(tries)]
            gains = np.stack([describe(one) @ weights for one in changed]) - begin
            bounds = gains.mean(axis=1) - k * gains.std(axis=1)
            if bounds.max() > gain.mean() - k * gain.std():
                edit, gain = changed[bounds.argmax()], gains[bounds.argmax()]
    return pd.DataFrame(rows)


def _changed(edit: Edit, rng: np.random.Generator) -> Edit:
    """Return the edit with another action on a run of beats; at least one beat is played."""
    actions = edit.actions.copy()
    first = rng.integers(len(actions))
    actions[first : first + rng.choice(_RUNS)] = rng.integers(N_ACTIONS)
    if (actions == Action.CUT).all():
        return edit
    return Edit(edit.song, actions, edit.target)
