"""The course of a policy's climb: learned and true reward over the changes that it tries.

A climb that goes on too long, or that trusts the mean of the ensemble, finds edits that score high
under the reward model only (Gao et al., 2023). The course shows what limits this: how many changes
are tried, and by how much a change must be sure to be better (`planning.search`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.search import K_CHANGES
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy
from rlhf_lib.raters.simulated import SimulatedRater

#: Numbers of changes after which a course is recorded; a policy tries 300.
TRIED = (0, 30, 100, 300, 1000, 3000)


def climb(
    new: Policy,
    old: Policy,
    songs: list[Song],
    judge: SimulatedRater,
    k: float = K_CHANGES,
    tried: Sequence[int] = TRIED,
    targets: Sequence[float] = CUTTING_TARGETS,
) -> pd.DataFrame:
    """Let a policy climb from its best plans, and record what the climb gains.

    Parameters
    ----------
    new : Policy
        Climbs the linear reward of its last stage.
    old : Policy
        The start: gains are counted from its edits. For example the parent of `new`.
    judge : SimulatedRater
        Gives the utility that is recorded; the climb does not use it.
    k : float
        Of the lower confidence bound of a change; 0 climbs the mean of the members.
    tried : sequence of int
        Numbers of changes after which the edits are recorded; at 0 they are the best plans.
    targets : sequence of float
        Keep ratios.

    Returns
    -------
    DataFrame
        tried, song, target, learned (mean gain over the members) and sd (their standard
        deviation), gold (gain in utility).

    Raises
    ------
    InputError
        When there are no songs, a number of changes is negative, or `k` is.
    """
    if not songs or not len(tried) or min(tried) < 0 or k < 0:
        raise InputError(
            f"{len(songs)} songs, changes {tuple(tried)}, k {k}; give at least one song and one "
            "number of changes, and no negative number"
        )
    reward, starts = new.last.reward(), old.edits(songs, targets)
    scores = reward.members(starts)
    liked = np.array([judge.utility(edit) for edit in starts])
    tables = []
    for count in tried:  # a longer climb begins with the shorter one
        edits = new.only(climb=count, k_changes=k).edits(songs, targets)
        gains = reward.members(edits) - scores
        about = {
            "tried": count,
            "song": [edit.song.sha256 for edit in edits],
            "target": [edit.target for edit in edits],
        }
        gold = np.array([judge.utility(edit) for edit in edits]) - liked
        learned = {"learned": gains.mean(axis=1), "sd": gains.std(axis=1)}
        tables.append(pd.DataFrame(about | learned | {"gold": gold}))
    return pd.concat(tables, ignore_index=True)
