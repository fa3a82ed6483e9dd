"""The reward that policies are trained on: mostly the learned reward, partly the dense one."""

from collections.abc import Sequence

import numpy as np

from rlhf_lib.editing.descriptors import N_ADDITIVE, N_DESCRIPTORS
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.stretch import describe_edits
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.learning.reward.model import RewardModel, within_song_std

LEARNED_SHARE = 0.8


class CombinedReward(Reward):
    """``learned_share`` · learned + (1 − ``learned_share``) · dense, both renormalised.

    Linear, unless the transformer has a part in the model's score.

    Parameters
    ----------
    model : RewardModel or None
        None: the dense reward alone.
    reference : sequence of Edit
        Edits of the reference policy; both rewards are scaled to mean 0 and variance 1
        within songs on them.
    learned_share : float
    """

    def __init__(
        self,
        model: RewardModel | None,
        reference: Sequence[Edit],
        learned_share: float = LEARNED_SHARE,
    ):
        self.model = model
        self.share = learned_share if model is not None else 0.0
        reference = list(reference)
        dense = describe_edits(reference)[:, :N_ADDITIVE] @ DENSE_WEIGHTS
        self._dense_mean, self._dense_std = float(dense.mean()), within_song_std(dense, reference)
        weights = np.zeros(N_DESCRIPTORS)
        weights[:N_ADDITIVE] = (1 - self.share) * DENSE_WEIGHTS / self._dense_std
        linear = True
        if model is not None:
            model.set_normal(reference)
            weights = weights + self.share * model.linear_weights()
            linear = not bool(model.mix.any())
        super().__init__(None if linear else self._combined, weights)

    def parts(self, edits: list[Edit]) -> dict[str, np.ndarray]:
        """Return dense, learned and combined reward of each edit, (n_edits,) each.

        Without a model, learned is 0.
        """
        dense = describe_edits(edits)[:, :N_ADDITIVE] @ DENSE_WEIGHTS
        dense = (dense - self._dense_mean) / self._dense_std
        learned = np.zeros(len(edits))
        if self.model is not None:
            learned = self.model.score(edits).mean(1)
        return {
            "dense": dense,
            "learned": learned,
            "combined": self.share * learned + (1 - self.share) * dense,
        }

    def _combined(self, edits: list[Edit]) -> np.ndarray:
        return self.parts(edits)["combined"]
