"""Shorten a song with a policy: one edit of a wanted length, or several that differ."""

import numpy as np

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, N_ADDITIVE, describe
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import own_weights, reweighted, whole_edits
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS

#: The smallest share of a song that an edit may keep.
LEAST_KEEP = 0.2
#: Two variants differ by at least this much, see `difference`.
LEAST_DIFFERENCE = 0.25
#: What a further variant may lose in reward against the first, on the scale of the dense reward.
#: Larger losses mean cuts that are plainly bad, such as a beat that is heard twice.
MOST_LOSS = 2.0
#: Lengths are printed to 0.1 s; an edit of the printed length is possible.
_ROUNDING = 0.05
#: What a plan for a further variant pays for each beat that earlier variants play: none to much.
#: Each is tried under `_SETS` sets of weights.
_REPETITION_COSTS = (0.0, 0.02, 0.05, 0.1, 0.3)
_SETS = 8

#: Added weight of `sung` for edits that spare singing, on the scale of the dense reward; chosen
#: from −0.5 to −4 on recorded songs (docs/learning.md).
SUNG_WEIGHT = -0.5


def sparing_singing(policy: Policy) -> Policy:
    """Return a policy that also avoids cuts in sung lines (the descriptor `sung`).

    Its one more stage has the reward of `policy` and `SUNG_WEIGHT` for `sung`, relative to the size
    of the policy's weights. It needs edits with the song's own beginning and end: elsewhere the
    cheapest way to cut no line is to crop the song.

    A policy whose last reward is a function has no weights to add to; it is returned as it is.
    """
    if not policy.last.linear:
        return policy
    weights = policy.last.weights.copy()
    weights[:, DESCRIPTOR_NAMES.index("sung")] += SUNG_WEIGHT * _scale(policy.weights)
    return policy.child(Reward(weights=weights))


def _scale(weights: np.ndarray) -> float:
    """Return the size of a reward's weights, relative to those of the dense reward."""
    return float(np.linalg.norm(weights[:N_ADDITIVE]) / np.linalg.norm(DENSE_WEIGHTS))


def shorten(policy: Policy, constraints: Constraints, keep: float, variants: int = 1) -> list[Edit]:
    """Return edits of one song and one length, the policy's own first.

    Each further variant is, of many plans, the one with the highest reward that differs from all
    before it. The plans are made under random re-weightings of the policy's reward and under
    costs of what earlier variants play. One that loses more than `MOST_LOSS` is not returned.

    Parameters
    ----------
    policy : Policy
    constraints : Constraints
        The song, and what its edits must keep.
    keep : float
        Length of the edit / length of the song, 0.2 … 1. It is reached within half a unit (bar),
        counted in half beats; close to 1, within a unit of the song's length, as no edit is longer
        than its song.
    variants : int
        How many edits; fewer are returned when no more that are good differ by
        `LEAST_DIFFERENCE`.

    Raises
    ------
    InputError
        When the length cannot be reached; the message gives the nearest possible one.
    """
    song = constraints.song
    if variants < 1:
        raise InputError(f"variants is {variants}; ask for at least one edit")
    keep = _checked(song, keep)
    constraints.check_length(keep)
    weights = policy.weights
    own = policy.edits([song], (keep,), constraints=[constraints])
    chosen = [edit for edit in own if constraints.allows(edit)]
    least = max((float(describe(edit) @ weights) for edit in chosen), default=-np.inf)
    least -= MOST_LOSS * _scale(weights)
    while len(chosen) < variants:
        pool = [
            edit for edit in _plans(constraints, keep, weights, chosen) if constraints.allows(edit)
        ]
        new = [e for e in pool if all(difference(e, c) >= LEAST_DIFFERENCE for c in chosen)]
        rewards = [float(describe(edit) @ weights) for edit in new]
        if not new or max(rewards) < least:
            break
        chosen.append(new[int(np.argmax(rewards))])
    if not chosen:
        raise InputError(
            f"{song.song_id}: no edit of {keep * song.duration:.1f} s keeps what must stay; "
            "protect less or ask for another length"
        )
    return chosen


def difference(one: Edit, other: Edit) -> float:
    """Return how much two edits of a song differ, 0: not at all, 1: as much as they can.

    The number of beats that one plays and the other does not, both ways, over the most that is
    possible for edits of this length.
    """
    n = one.song.n_beats
    plays = [np.bincount(edit.order, minlength=n) for edit in (one, other)]
    length = int(max(plays[0].sum(), plays[1].sum()))
    most = 2 * max(min(length, n - length), 1)
    return float(np.abs(plays[0] - plays[1]).sum() / most)


def _plans(
    constraints: Constraints, keep: float, weights: np.ndarray, chosen: list[Edit]
) -> list[Edit]:
    """Return plans of a song, also under costs of what `chosen` edits play."""
    song = constraints.song
    played = np.zeros(song.n_beats)
    for edit in chosen:
        played += np.bincount(edit.order, minlength=song.n_beats) / len(chosen)
    rng = np.random.default_rng(0)
    several = own_weights(weights) + reweighted(weights, _SETS - 1, 1.0, rng)
    return [
        edit
        for cost in (_REPETITION_COSTS if chosen else _REPETITION_COSTS[:1])
        for edit in whole_edits(song, several, keep, constraints, cost * played)
    ]


def _checked(song: Song, keep: float) -> float:
    """Return the share to keep, or refuse it; a length that was rounded is taken as meant."""
    name, whole, wanted = song.song_id, song.duration, keep * song.duration
    if not wanted <= whole + _ROUNDING:
        raise InputError(
            f"{name} lasts {whole:.1f} s, so an edit of {wanted:.1f} s would be longer; ask for at "
            f"most {whole:.1f} s"
        )
    if wanted < LEAST_KEEP * whole - _ROUNDING:
        raise InputError(
            f"{name} lasts {whole:.1f} s; an edit of {wanted:.1f} s keeps {keep:.0%} of it. "
            f"At least {LEAST_KEEP:.0%} must stay: ask for {LEAST_KEEP * whole:.1f} s or more"
        )
    return min(max(keep, LEAST_KEEP), 1.0)
