"""Over-optimisation on purpose: change an edit, step by step, wherever the reward likes it better.

A policy that plans stays among sensible edits. This search does not: it cuts, loops and moves beats
anywhere, and so finds what only the reward model likes (Gao et al., 2023). It shows how far a
reward can be trusted, and what keeps a search honest.
"""

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.raters import SimulatedRater
from rlhf_lib.learning.reward_model import RewardModel
from rlhf_lib.music.edit import N_ACTIONS, Action, Edit
from rlhf_lib.music.measures import measure

#: How many beats a change may touch.
_RUNS = (1, 1, 2, 4, 4, 8)


def climb(
    model: RewardModel,
    judge: SimulatedRater,
    starts: list[Edit],
    steps: int = 60,
    tries: int = 12,
    caution: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Climb the linear head of a reward model from each start; note what the taste thinks of it.

    In each step `tries` random changes are looked at; the one that gains most is made. What counts
    as gain is the members' mean less `caution` times their spread: with caution, a change has to
    please nearly all of them (a lower confidence bound).

    Parameters
    ----------
    starts : list of Edit
        Such as random cuts; a plan leaves little to climb.
    caution : float
        0 or more.

    Returns
    -------
    DataFrame
        step, song, start (its number), learned (logits) and gold (utility), gains over the start,
        doubt (sd of the members' gains).

    Raises
    ------
    InputError
        When there is no start, or a number is out of range.
    """
    if not starts or steps < 1 or tries < 1 or caution < 0:
        raise InputError(
            f"{len(starts)} starts, {steps} steps, {tries} tries, caution {caution}; give at "
            "least one of the first three, and no negative caution"
        )
    weights = model.weights().detach().cpu().numpy().T  # (measures, members)
    rows = []
    for number, start in enumerate(tqdm(starts, "climbing", unit="start", leave=False)):
        rng = np.random.default_rng([seed, number])
        edit, begin = start, measure(start) @ weights
        gain, liked = np.zeros(weights.shape[1]), judge.utility(start)
        for step in range(steps + 1):
            rows.append(
                {"step": step, "song": start.song.sha256, "start": number}
                | {"learned": gain.mean(), "gold": judge.utility(edit) - liked}
                | {"doubt": gain.std()}
            )
            changed = [_changed(edit, rng) for _ in range(tries)]
            gains = np.stack([measure(one) @ weights for one in changed]) - begin
            worth = gains.mean(axis=1) - caution * gains.std(axis=1)
            if worth.max() > gain.mean() - caution * gain.std():
                edit, gain = changed[worth.argmax()], gains[worth.argmax()]
    return pd.DataFrame(rows)


def _changed(edit: Edit, rng: np.random.Generator) -> Edit:
    """Return the edit with another action on a run of beats; something is always left to hear."""
    actions = edit.actions.copy()
    first = rng.integers(len(actions))
    actions[first : first + rng.choice(_RUNS)] = rng.integers(N_ACTIONS)
    if (actions == Action.CUT).all():
        return edit
    return Edit(edit.song, actions, edit.target)
