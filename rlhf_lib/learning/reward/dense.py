"""The dense reward: a fixed reward for edits, used before there is feedback.

Four terms rate every join (transition quality, energy flow, phrase completeness, tempo
consistency). Further terms reward keeping the hook, and penalise a missing intro or ending and odd
beats. The reward is a fixed set of weights over the additive descriptors, so the best edit under
it can be computed exactly (`planning.plans`). Join costs enter squared: a linear cost would be
exploited by one long jump to the last beat.
"""

import numpy as np

from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, describe_steps, weight_vector
from rlhf_lib.editing.edit import Edit

#: The four terms for joins, and the descriptor of each.
DENSE_TERMS = {
    "tempo consistency": "tempo",
    "energy flow": "energy",
    "phrase completeness": "phrase",
    "transition quality": "transition",
}

#: Weights of the dense reward. A seam with the worst possible transition costs as much as
#: the loss of half of the hook.
DENSE_WEIGHTS = weight_vector(
    {
        "seams": -0.1,
        "transition": -1.5,
        "energy": -0.75,
        "phrase": -1.5,
        "tempo": -0.75,
        "loops": -0.5,
        "returns": -0.5,
        "intro": -0.75,
        "ending": -1.0,
        "hook": 3.0,
        "oddity": -1.0,
    },
    ADDITIVE_NAMES,
)
DENSE_WEIGHTS.flags.writeable = False


def dense_reward(edit: Edit) -> float:
    """Return the dense reward of an edit (higher is better, no fixed range)."""
    return float(describe_steps(edit).sum(axis=0, dtype=np.float64) @ DENSE_WEIGHTS)


def dense_terms(edit: Edit) -> dict[str, float]:
    """Return the four terms for joins of an edit, each in [0, 1].

    1 minus the mean squared cost over the seams; 1 for an edit without seams.
    """
    steps = describe_steps(edit)
    seams = max(1.0, float(steps[:, ADDITIVE_NAMES.index("seams")].sum()))
    return {
        name: 1.0 - float(steps[:, ADDITIVE_NAMES.index(descriptor)].sum()) / seams
        for name, descriptor in DENSE_TERMS.items()
    }
