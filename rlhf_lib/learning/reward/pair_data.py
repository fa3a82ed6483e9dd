"""The data of a fit: the difference between the two edits of each comparison, and the answer."""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from rlhf_lib.editing.descriptors import describe
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.model import RewardModel


class PairData:
    """Differences between the two edits of each comparison, computed once, and the answers.

    Parameters
    ----------
    comparisons : sequence of Comparison
    model : RewardModel
        Provides the auxiliary scores and the descriptor scale.

    Attributes
    ----------
    inputs : (n_pairs, members, N_DESCRIPTORS + auxiliary tasks) float64 array
        Edit a − edit b: descriptors, in units of their typical difference, and auxiliary scores.
    answers : (n_pairs,) float64 array
        1, ½, 0: a, tie, b.
    strengths : (n_pairs,) int array
    weights : (n_pairs,) float64 array

    Raises
    ------
    InputError
        When there are no comparisons.
    """

    def __init__(self, comparisons: Sequence[Comparison], model: RewardModel):
        if not comparisons:
            raise InputError("no comparisons to train on; collect or simulate preferences first")
        edits = [edit for c in comparisons for edit in (c.a, c.b)]
        descriptors = np.stack([describe(edit) for edit in edits])
        descriptors = descriptors[0::2] - descriptors[1::2]
        descriptors = descriptors / model.descriptor_scale.cpu().numpy()
        with torch.no_grad():
            scores = model.auxiliary_scores(edits).double().cpu().numpy()
        scores = scores[0::2] - scores[1::2]
        descriptors = np.repeat(descriptors[:, None], scores.shape[1], axis=1)
        self.inputs = np.concatenate([descriptors, scores], axis=2)
        self.answers = np.array([c.preference for c in comparisons])
        self.strengths = np.array([c.strength for c in comparisons])
        self.weights = np.array([c.weight for c in comparisons])

    def __len__(self) -> int:
        return len(self.answers)

    def answered(
        self, places: Sequence[int], answers: np.ndarray, strengths: np.ndarray
    ) -> "PairData":
        """Return the pairs at `places` with other answers, each of weight 1."""
        out = copy.copy(self)
        out.inputs = self.inputs[places]
        out.answers, out.strengths = np.asarray(answers, float), np.asarray(strengths, int)
        out.weights = np.ones(len(out.answers))
        return out

    def score_differences(self, parameters: np.ndarray) -> np.ndarray:
        """Return every member's score(a) − score(b) in logits, (n_pairs, members).

        Parameters
        ----------
        parameters : (members, N_DESCRIPTORS + auxiliary tasks) array
            See `rlhf_lib.learning.reward.fit.parameters`.
        """
        return np.einsum("nmf,mf->nm", self.inputs, parameters)
