"""The parts of a score: per descriptor and per seam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    DESCRIPTOR_TABLE,
    N_ADDITIVE,
    describe,
    describe_steps,
)
from rlhf_lib.editing.edit import Edit

if TYPE_CHECKING:
    import pandas as pd

    from rlhf_lib.learning.reward.model import RewardModel


@dataclass(frozen=True)
class SeamPart:
    """The part of the score that one seam contributes.

    Attributes
    ----------
    place : float
        Its time, s from the start of the edit.
    left, reached : int
        The beats before and after it, as numbers in the song.
    by_descriptor : dict
        Additive descriptor → its part of the score.
    """

    place: float
    left: int
    reached: int
    by_descriptor: dict[str, float]

    @property
    def total(self) -> float:
        """The sum over all descriptors."""
        return sum(self.by_descriptor.values())


@dataclass(frozen=True)
class Explanation:
    """A score and its parts; ensemble means, renormalised.

    Attributes
    ----------
    score : float
        The sum of `by_descriptor`, `transformer` and `offset`.
    by_descriptor : dict
        Descriptor → its part of the score.
    transformer : float
        The transformer's part of the score.
    offset : float
        The constant of the renormalisation, the same for every edit.
    seams : tuple of SeamPart
        In playing order. They are the part of `by_descriptor` that comes from seams.
    """

    score: float
    by_descriptor: dict[str, float]
    transformer: float
    offset: float
    seams: tuple[SeamPart, ...]


def explain(model: RewardModel, edit: Edit) -> Explanation:
    """Return the parts of the score of an edit.

    Examples
    --------
    The worst seam is ``min(explain(model, edit).seams, key=lambda seam: seam.total)``.
    """
    weights = model.linear_weights().mean(axis=0)
    mean, std = model.normal.tolist()
    transformer = float(model.score_parts([edit])[1].mean()) / std
    parts = dict(zip(DESCRIPTOR_NAMES, (describe(edit) * weights).tolist(), strict=True))
    offset = -mean / std
    score = sum(parts.values()) + transformer + offset
    return Explanation(score, parts, transformer, offset, seam_parts(edit, weights))


def seam_parts(edit: Edit, weights: np.ndarray) -> tuple[SeamPart, ...]:
    """Return what each seam adds to a linear score, in playing order.

    Parameters
    ----------
    edit : Edit
    weights : (N_DESCRIPTORS,) array
    """
    order, steps = edit.order, describe_steps(edit) * weights[:N_ADDITIVE]
    return tuple(
        SeamPart(
            float(edit.times[place]),
            int(order[place - 1]),
            int(order[place]),
            dict(zip(ADDITIVE_NAMES, steps[place].tolist(), strict=True)),
        )
        for place in edit.seams
    )


def seam_table(model: RewardModel, edits: Sequence[Edit]) -> pd.DataFrame:
    """Return all seams of edits of one song, the lowest contribution to the score first.

    A jump that several edits make is listed once, of the first edit.

    Returns
    -------
    DataFrame
        edit (place in `edits`), place (s, from the start of the edit), adds (to the score), left
        and reached (beats of the song), sung (P(inside a sung line) before and after the seam,
        added up: 0 … 2), mostly (the descriptor with the lowest part).
    """
    import pandas as pd  # here: edit_song needs this module, and not pandas, which takes a while

    rows = [
        {
            "edit": number,
            "place": seam.place,
            "adds": seam.total,
            "left": seam.left,
            "reached": seam.reached,
            "sung": float(edit.song.sung_bounds[[seam.left + 1, seam.reached]].sum()),
            "mostly": min(seam.by_descriptor, key=seam.by_descriptor.get),
        }
        for number, edit in enumerate(edits)
        for seam in explain(model, edit).seams
    ]
    columns = ["edit", "place", "adds", "left", "reached", "sung", "mostly"]
    table = pd.DataFrame(rows, columns=columns).drop_duplicates(["left", "reached"])
    return table.sort_values("adds", ignore_index=True)


def weight_changes(model: RewardModel, parent: RewardModel) -> dict[str, float]:
    """Return how far each descriptor's weight moved from the parent's, the largest change first.

    Means over the ensemble, per typical difference of the descriptor between two edits.
    """
    new, old = (each.descriptor_weights().detach().mean(0) for each in (model, parent))
    moved = dict(
        zip(DESCRIPTOR_NAMES, ((new - old) * model.descriptor_scale).tolist(), strict=True)
    )
    return dict(sorted(moved.items(), key=lambda one: -abs(one[1])))


def reasons(edit: Edit, other: Edit, weights: np.ndarray) -> dict[str, float]:
    """Return why a linear score is higher or lower for one edit of a song than for another.

    Returns
    -------
    dict
        What the edit has more or less of, in the words of the table of descriptors → its part of
        the difference of the scores; the largest parts first.
    """
    more = describe(edit) - describe(other)
    parts = {
        one.more if gap > 0 else one.less: gap * weight
        for one, gap, weight in zip(DESCRIPTOR_TABLE, more.tolist(), weights.tolist(), strict=True)
        if gap * weight != 0
    }
    return dict(sorted(parts.items(), key=lambda part: -abs(part[1])))
