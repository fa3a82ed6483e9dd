"""Plots of learning experiments: learning curves, over-optimisation, the parts of a score."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, NullLocator

from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.explain import Explanation, SeamPart
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, figure_of, new_figure, styled
from rlhf_lib.steps.evaluation import EVEN

_MARKERS = "os^Dv"
#: Panels per row in a plot of several tastes.
_COLUMNS = 5
#: Bars in an explanation; one more bar holds the sum of the smaller parts.
_BARS = 10


@styled
def learning_curves(
    table: pd.DataFrame,
    ylabel: str = "accuracy on held-out songs",
    goal: float | None = None,
    title: str = "",
    fig: Figure | SubFigure | None = None,
) -> Figure:
    """Draw a figure of merit over the number of answers, one panel for each taste.

    The x axis is logarithmic above the smallest number of answers, so that 0 is shown too.

    Parameters
    ----------
    table : DataFrame
        taste, pairs (answers learned from), value, low, high (95 % interval). Optional: line (one
        curve for each name within a panel), ceiling (the best that can be reached, one value
        for each taste).
    ylabel : str
        What `value` is, with its unit.
    goal : float, optional
        The target, dashed in every panel.

    Raises
    ------
    InputError
        When no row of the table learned from an answer.
    """
    numbers = np.unique(table["pairs"])
    if not (numbers > 0).any():
        raise InputError("no row of the table learned from an answer; run the experiment first")
    tastes = list(dict.fromkeys(table["taste"]))
    names = list(dict.fromkeys(table["line"])) if "line" in table else [""]
    columns = min(_COLUMNS, len(tastes))
    rows = -(-len(tastes) // columns)
    fig = new_figure(0.9 + 2.1 * max(columns, 2), 0.9 + 2.1 * rows) if fig is None else fig
    grid = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, taste in zip(grid.flat, tastes, strict=False):
        ours = table[table["taste"] == taste]
        if goal is not None:
            ax.axhline(goal, color=style.BLACK, linewidth=1, linestyle="--", label="goal")
        if "ceiling" in ours:
            ceiling = ours["ceiling"].iloc[0]
            ax.axhline(ceiling, color=style.GREEN, linewidth=1.2, linestyle=":", label="ceiling")
        for number, name in enumerate(names):
            curve = ours[ours["line"] == name] if name else ours
            curve = curve.sort_values("pairs")
            colour = style.CYCLE[number % len(style.CYCLE)]
            ax.fill_between(
                curve["pairs"], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0
            )
            ax.plot(
                curve["pairs"],
                curve["value"],
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4,
                color=colour,
                label=name or "value, 95 % interval",
            )
        ax.set_xscale("symlog", base=2, linthresh=numbers[numbers > 0].min(), linscale=0.7)
        ax.xaxis.set_major_locator(FixedLocator(numbers))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([f"{number:g}" for number in numbers], fontsize=7.5)
        ax.set_title(str(taste))
    for ax in grid.flat[len(tastes) :]:
        ax.remove()
    for ax in grid.flat[max(len(tastes) - columns, 0) : len(tastes)]:
        ax.tick_params(labelbottom=True)
    fig.supxlabel("answers learned from", fontsize=9.5)
    fig.supylabel(ylabel, fontsize=9.5)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure_of(fig)


@styled
def over_optimisation(
    table: pd.DataFrame,
    stop: float | None = None,
    ylabel: str = "gain since the start\n(learned: sd; true: utility)",
    ax: Axes | None = None,
) -> Figure:
    """Draw learned and true reward over the distance from the start (Gao et al., 2023).

    The best true reward is marked; where the learned reward rises after that mark, the policy
    exploits the model.

    Parameters
    ----------
    table : DataFrame
        kl (nats per plan, from the start of the run), learned and gold (gains since the
        start), low and high (95 % interval of gold).
    stop : float, optional
        The KL at which training would have stopped automatically.
    ylabel : str
        What both gains are, with their units.

    Raises
    ------
    InputError
        When the table is empty.
    """
    if table.empty:
        raise InputError("the table of learned and true reward is empty; run the experiment first")
    ax = axes_or_new(ax, 6.5, 3.8)
    table = table.sort_values("kl")
    kl = table["kl"].to_numpy()
    ax.axhline(0, color=style.GREY, linewidth=1, linestyle=":")
    ax.plot(
        kl, table["learned"], "o-", markersize=4, color=style.BLUE, label="learned (used by PPO)"
    )
    ax.fill_between(kl, table["low"], table["high"], color=style.ORANGE, alpha=0.2, linewidth=0)
    ax.plot(
        kl, table["gold"], "s-", markersize=4, color=style.ORANGE, label="true (simulated taste)"
    )
    best = float(table.loc[table["gold"] >= table["gold"].max() - EVEN, "kl"].max())
    ax.axvline(best, color=style.GREEN, linestyle="--", label=f"true reward best: KL {best:.2g}")
    if best < kl.max():
        ax.axvspan(best, kl.max(), color=style.VERMILLION, alpha=0.08, linewidth=0)
    if stop is not None:
        ax.axvline(stop, color=style.PURPLE, linestyle="-.", label=f"stop: KL {stop:.2g}")
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, max(kl.max(), stop or 0) * 1.02 or 1)
    ax.set_xlabel("KL from the start (nats per plan, square-root scale)")
    ax.set_ylabel(ylabel)
    ax.set_title("Learned against true reward")
    ax.legend(loc="best")
    return figure_of(ax)


@styled
def explanation(
    explained: Explanation,
    against: Explanation | None = None,
    unit: str = "logits",
    fig: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the parts of a score: a bar for each descriptor, beside it the part of each seam.

    Parameters
    ----------
    explained : Explanation
        From `rlhf_lib.learning.reward.explain.explain`.
    against : Explanation, optional
        Of another edit of the same song: the bars are then the differences, and its seams are
        drawn below. Only differences within a song are meaningful.
    unit : str
        Of the scores: logits, until the model is renormalised.
    """
    other = against
    parts = dict(explained.by_descriptor) | {"transformer": explained.transformer}
    total = explained.score
    if other is not None:
        theirs = dict(other.by_descriptor) | {"transformer": other.transformer}
        parts = {name: value - theirs[name] for name, value in parts.items()}
        total -= other.score
    else:
        parts["the same for all edits"] = explained.offset
    ranked = sorted(parts.items(), key=lambda part: -abs(part[1]))
    ranked = [(name.replace("_", " "), value) for name, value in ranked if abs(value) > 1e-9]
    if len(ranked) > _BARS + 1:
        rest = ranked[_BARS:]
        ranked = [*ranked[:_BARS], (f"{len(rest)} more", sum(value for _, value in rest))]
    strips = [explained.seams] if other is None else [explained.seams, other.seams]
    fig = new_figure(10, 1.2 + 0.24 * (len(ranked) + 1)) if fig is None else fig
    layout = [["parts", f"seams {number}"] for number in range(len(strips))]
    axes = list(fig.subplot_mosaic(layout, width_ratios=[1, 1.15]).values())
    _bars(axes[0], [*ranked, ("sum", total)], other is not None)
    axes[0].set_xlabel(f"score ({unit})")
    for ax, seams, name in zip(axes[1:], strips, ("the first", "the other"), strict=False):
        _seams(ax, seams, f"Seams of {name} edit" if other else "Contribution of each seam")
    last = max((seam.place for seams in strips for seam in seams), default=1.0)
    least = min((seam.total for seams in strips for seam in seams), default=-1.0)
    for ax in axes[1:]:  # one scale for both, with room for the text next to the last seam
        ax.set_xlim(0, 1.3 * last)
        ax.set_ylabel(unit)
        ax.set_ylim(min(1.25 * least, 0), max(ax.get_ylim()[1], -0.2 * least))
    axes[-1].set_xlabel("time in the edit (s)")
    return figure_of(fig)


def _bars(ax: Axes, parts: list[tuple[str, float]], difference: bool) -> None:
    values = np.array([value for _, value in parts])
    rows = np.arange(len(parts))
    colours = [style.BLUE if value > 0 else style.VERMILLION for value in values]
    ax.barh(rows, values, color=[*colours[:-1], style.BLACK], height=0.65)
    ax.axvline(0, color=style.BLACK, linewidth=0.8)
    for row, value in zip(rows, values, strict=True):
        side = 1 if value >= 0 else -1
        ax.annotate(
            f"{value:+.2f}",
            (value, row),
            (3 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=7.5,
        )
    ax.set_yticks(rows, [name for name, _ in parts])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(parts) - 0.4, -0.6)
    ax.margins(x=0.12)
    ax.grid(False, axis="y")
    ax.set_title("Parts of the difference in score" if difference else "Parts of the score")


def _seams(ax: Axes, seams: tuple[SeamPart, ...], title: str) -> None:
    places = np.array([seam.place for seam in seams])
    totals = np.array([seam.total for seam in seams])
    ax.axhline(0, color=style.BLACK, linewidth=0.8)
    ax.vlines(places, 0, totals, color=style.GREY, linewidth=1.5)
    colours = [style.BLUE if total > 0 else style.VERMILLION for total in totals]
    ax.scatter(places, totals, color=colours, s=28, zorder=3)
    if len(seams):
        worst = int(totals.argmin())
        causes = seams[worst].by_descriptor
        cause = min(causes, key=causes.get)
        ax.annotate(
            f"{totals[worst]:+.2f}, mostly {cause}",
            (places[worst], totals[worst]),
            (6, -2),
            textcoords="offset points",
            fontsize=7.5,
            va="center",
            zorder=4,
        )
    ax.set_title(f"{title} ({len(seams)})")
