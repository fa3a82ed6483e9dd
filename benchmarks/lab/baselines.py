"""What a policy is compared with besides v14: direct preference optimisation, and best of n."""

from dataclasses import dataclass

import numpy as np
import torch

from lab.material import Material, simulated_answers, utilities
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import describe
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.policy.direct import DirectTraining, draw_pairs, train_directly
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.reward.model import RewardModel

SAMPLES = 16


@dataclass(frozen=True)
class Samples:
    """Edits that a policy draws, and their descriptors.

    Attributes
    ----------
    edits : list of list of Edit
        SAMPLES lists with one edit for each song and length.
    descriptors : (SAMPLES, edits, N_DESCRIPTORS) array
    """

    edits: list[list[Edit]]
    descriptors: np.ndarray

    @classmethod
    def of(cls, policy: Policy, songs: list[Song]) -> "Samples":
        """Draw the edits of songs."""
        edits = [policy.edits(songs, greedy=False, seed=seed) for seed in range(SAMPLES)]
        return cls(edits, np.array([[describe(edit) for edit in some] for some in edits]))

    def best(self, model: RewardModel) -> list[Edit]:
        """Return, for each song and length, the edit that a linear reward model likes best."""
        scores = self.descriptors @ model.linear_weights().mean(axis=0)
        return [self.edits[k][place] for place, k in enumerate(scores.argmax(axis=0))]


def directly_trained(
    material: Material,
    old: Policy,
    taste: str,
    n_pairs: int,
    seed: int,
    training: DirectTraining | None = None,
) -> Policy:
    """Return a policy trained on answers about pairs of its own draws, without a reward model.

    Its distribution over plans starts anew around the plan under v14's reward: that of v14 has
    become narrow. The rater has the noise of the other experiments.
    """
    policy = old.child(old.last.reward())
    network, generator = PlanNetwork.of(policy, seed), torch.Generator().manual_seed(seed)
    pairs = draw_pairs(network, material.songs["train"], n_pairs, generator)
    felt = utilities(taste, [edit for pair in pairs.edits for edit in pair])
    rng = np.random.default_rng([seed, n_pairs])
    answers, _ = simulated_answers(felt[0::2] - felt[1::2], material.noise[taste], rng)
    train_directly(network, pairs, answers, training)
    return policy
