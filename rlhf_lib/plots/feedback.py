"""Plots of the answers of raters, and of the pairs to ask about next."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.history import current_annotations
from rlhf_lib.feedback.quality.agreement import agreement_report
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, figure_of, new_figure, short_name, styled
from rlhf_lib.steps.calibration import wilson_interval

#: The seven-point scale and "can't tell": (preference, strength) → label, colour.
_SCALE = {
    ("a", 3): ("a, strong", "#0072B2"),
    ("a", 2): ("a, moderate", "#56B4E9"),
    ("a", 1): ("a, slight", "#B5DDF4"),
    ("tie", 0): ("tie", "#BDBDBD"),
    ("b", 1): ("b, slight", "#F7D89B"),
    ("b", 2): ("b, moderate", "#E69F00"),
    ("b", 3): ("b, strong", "#D55E00"),
}


@styled
def answers(annotations: Sequence[Annotation], fig: Figure | SubFigure | None = None) -> Figure:
    """Draw the distribution of each rater's answers over the seven-point scale.

    With several raters a second panel shows how often two of them chose the same edit, with
    Wilson's 95 % interval. Superseded answers, and those to obvious checks, are left out.

    Raises
    ------
    InputError
        When there are no answers.
    """
    current = [one for one in current_annotations(list(annotations)) if not one.is_check]
    if not current:
        raise InputError("there are no answers to draw; rate some pairs first")
    decided = [answer for answer in current if not answer.cant_tell]
    raters = sorted({(answer.rater_id, answer.rater_kind) for answer in current})
    pairs = agreement_report(decided)["cohen_kappa"]
    height = 1.25 + 0.45 * max(len(raters), len(pairs))
    fig = new_figure(10 if pairs else 7.5, height) if fig is None else fig
    panels = fig.subplots(
        1, 2 if pairs else 1, squeeze=False, width_ratios=[1.7, 1][: 1 + bool(pairs)]
    )[0]
    ax = panels[0]
    rows = np.arange(len(raters))
    left = np.zeros(len(raters))
    kinds = [
        (label, colour, [(a.preference, a.strength) == key and not a.cant_tell for a in current])
        for key, (label, colour) in _SCALE.items()
    ]
    kinds.append(("can't tell", "#4D4D4D", [a.cant_tell for a in current]))
    index = {rater: row for row, rater in enumerate(raters)}
    owner = np.array([index[a.rater_id, a.rater_kind] for a in current])
    for label, colour, chosen in kinds:
        counts = np.bincount(owner[np.array(chosen)], minlength=len(raters))
        ax.barh(rows, counts, left=left, color=colour, height=0.6, label=label)
        left += counts
    names = [
        short_name(name) + ("" if kind == "human" else "\n(simulated)") for name, kind in raters
    ]
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(raters) - 0.5, -0.5)
    ax.grid(False, axis="y")
    ax.set_xlabel("answers")
    shares = [np.mean([a.preference == name for a in decided] or [0]) for name in ("a", "b", "tie")]
    ax.set_title(
        f"{len(current)} answers: "
        + ", ".join(f"{s:.0%} {n}" for s, n in zip(shares, ("a", "b", "tie"), strict=True))
    )
    fig.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=8, columnspacing=1
    )
    if pairs:
        _agreement(panels[1], pairs)
    return figure_of(fig)


def _agreement(ax: Axes, pairs: list[dict]) -> None:
    share = np.array([pair["agreement"]["value"] for pair in pairs])
    n = np.array([pair["agreement"]["n"] for pair in pairs])
    low, high = wilson_interval(share, n)
    rows = np.arange(len(pairs))
    ax.errorbar(
        share, rows, xerr=[share - low, high - share], fmt="o", capsize=2.5, color=style.BLUE
    )
    names = [
        f"{' and '.join(short_name(rater, 16) for rater in pair['raters'])} ({count})"
        for pair, count in zip(pairs, n, strict=True)
    ]
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(pairs) - 0.5, -0.5)
    ax.set_xlim(0, 1.02)
    ax.grid(False, axis="y")
    ax.set_xlabel("same choice (95 % interval)")
    ax.set_title("Agreement")


@styled
def disagreement(
    values: Sequence[float],
    chosen: Sequence[int] = (),
    bins: int = 30,
    ax: Axes | None = None,
) -> Figure:
    """Draw how far the ensemble disagrees over pairs, and which pairs were chosen to ask about.

    Parameters
    ----------
    values : (n_pairs,) floats
        From `rlhf_lib.learning.reward.active.disagreement`.
    chosen : sequence of int
        Places of the chosen pairs, from `rlhf_lib.learning.reward.active.select`.

    Raises
    ------
    InputError
        When there is no pair.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        raise InputError("there are no pairs to draw; generate candidates first")
    picked = np.zeros(len(values), dtype=bool)
    picked[np.asarray(chosen, dtype=int)] = True
    ax = axes_or_new(ax, 6.5, 3.4)
    ax.hist(
        [values[picked], values[~picked]],
        bins=bins,
        stacked=True,
        color=[style.VERMILLION, "#BDBDBD"],
        label=[f"chosen ({picked.sum()})", f"not chosen ({(~picked).sum()})"],
    )
    ax.plot(values[picked], np.zeros(picked.sum()), "|", color=style.BLACK, ms=9, clip_on=False)
    ax.set_xlabel("disagreement (sd over the ensemble of P(a preferred))")
    ax.set_ylabel("pairs")
    ax.set_title(f"Disagreement of the ensemble: {len(values)} pairs")
    ax.legend()
    return figure_of(ax)
