"""Pairs of edits and which one was preferred: the training data of a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlhf_lib.editing.edit import Edit


@dataclass(frozen=True)
class Comparison:
    """Two edits of one song and the answer.

    Attributes
    ----------
    a, b : Edit
    preference : float
        1 when a was preferred, 0 when b was, ½ for a tie.
    weight : float
        How much this answer counts.
    strength : int
        1 slight, 2 moderate, 3 strong; 0 for a tie, or when the strength is unknown.
    """

    a: Edit
    b: Edit
    preference: float
    weight: float = 1.0
    strength: int = 0

    @property
    def edits(self) -> tuple[Edit, Edit]:
        """Both edits, a first."""
        return self.a, self.b


def split_by_song(
    comparisons: Sequence[Comparison], held_out: float, seed: int
) -> tuple[list[Comparison], list[Comparison]]:
    """Split comparisons into training and held-out ones; no song is in both.

    At least one song is held out when there are two or more.
    """
    ids = sorted({c.a.song.sha256 for c in comparisons})
    if len(ids) < 2:
        return list(comparisons), []
    count = min(len(ids) - 1, max(1, round(held_out * len(ids))))
    out = set(np.random.default_rng(seed).permutation(ids)[:count].tolist())
    train = [c for c in comparisons if c.a.song.sha256 not in out]
    return train, [c for c in comparisons if c.a.song.sha256 in out]
