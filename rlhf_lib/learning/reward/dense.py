"""The dense reward: what is good about an edit before anyone was asked.

Four terms judge every join (transition quality, energy flow, phrase completeness, tempo
consistency); the hook should survive, the intro and the ending should not be missing, odd
beats may go. It is a fixed set of weights over the additive descriptors, so the best edit under
it is known exactly (`planner`). Join costs enter squared: a linear cost is exploited by one
long jump to the last beat.
"""

import numpy as np

from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, describe_steps, weight_vector
from rlhf_lib.editing.edit import Edit

#: The four dense rewards and the descriptor each one reads.
DENSE_TERMS = {
    "tempo consistency": "tempo",
    "energy flow": "energy",
    "phrase completeness": "phrase",
    "transition quality": "transition",
}

#: Weights of the dense reward. A seam with the worst possible transition costs as much as
#: losing half of the hook.
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
    """Return the dense reward of an edit (the higher the better, no fixed range)."""
    return float(describe_steps(edit).sum(axis=0, dtype=np.float64) @ DENSE_WEIGHTS)


def dense_terms(edit: Edit) -> dict[str, float]:
    """Return the four dense rewards of an edit, each in [0, 1].

    1 minus the mean squared cost over the seams; 1 for an edit without seams.
    """
    steps = describe_steps(edit)
    seams = max(1.0, float(steps[:, ADDITIVE_NAMES.index("seams")].sum()))
    return {
        name: 1.0 - float(steps[:, ADDITIVE_NAMES.index(descriptor)].sum()) / seams
        for name, descriptor in DENSE_TERMS.items()
    }
