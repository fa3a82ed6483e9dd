"""Plot of a quality report: the raters, the sides, the candidates, the sittings."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlhf_lib.errors import InputError
from rlhf_lib.plots import style
from rlhf_lib.plots.style import figure_of, new_figure, short_name, styled
from rlhf_lib.steps.calibration import wilson_interval


@styled
def quality(report: dict[str, Any], fig: Figure | SubFigure | None = None) -> Figure:
    """Draw a quality report: reliability of raters, side bias, candidate strengths, sittings.

    Parameters
    ----------
    report : dict
        From `rlhf_lib.feedback.quality.report.quality_report`.

    Raises
    ------
    InputError
        When the report holds no answers.
    """
    raters = sorted(report["counts"]["by_rater"])
    if not raters:
        raise InputError("there are no answers to draw; rate some pairs first")
    most = max(report["strengths"], key=lambda one: sum(row["n"] for row in one["candidates"]))
    rows = len(raters) + 1, max(len(most["candidates"]), 4)
    fig = new_figure(10, 2.4 + 0.19 * sum(rows)) if fig is None else fig
    panels = fig.subplots(2, 2, height_ratios=[2 + row for row in rows])
    _trust(panels[0, 0], report, raters)
    _sides(panels[0, 1], report["side_bias"], raters)
    _strengths(panels[1, 0], most["candidates"])
    _sittings(panels[1, 1], report["fatigue"]["sittings"])
    marks = panels[0, 0].get_legend_handles_labels()
    if marks[0]:
        fig.legend(*marks, loc="outside lower left", ncols=3, title="Raters", columnspacing=1)
    return figure_of(fig)


def _rows(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")


def _trust(ax: Axes, report: dict[str, Any], raters: list[str]) -> None:
    checks = {
        rater: share | {"value": 1 - share["value"]}
        for rater, share in report["checks"]["by_rater"].items()
    }
    for shares, marker, colour, label, shift in (
        (report["agreement"]["with_others"], "o", style.BLUE, "agrees with the others", -0.2),
        (report["self_consistency"]["by_rater"], "s", style.ORANGE, "repeats own choices", 0.0),
        (checks, "^", style.GREEN, "passes obvious checks", 0.2),
    ):
        known = [
            (row, shares[name]["value"], shares[name]["n"])
            for row, name in enumerate(raters)
            if name in shares and shares[name]["n"]
        ]
        if known:
            places, values, n = np.array(known, dtype=float).T
            low, high = wilson_interval(values, n)
            ax.hlines(places + shift, low, high, color=colour, linewidth=1.2)
            ax.plot(values, places + shift, marker, color=colour, label=label, clip_on=False)
    _rows(ax, [short_name(name) for name in raters])
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("share of the cases (95 % interval)")
    ax.set_title("Raters")


def _sides(ax: Axes, bias: dict[str, Any], raters: list[str]) -> None:
    shares = [bias["first_shown_chosen"], *(bias["by_rater"].get(name) for name in raters)]
    ax.axvline(0.5, color=style.GREY, lw=1)
    for row, share in enumerate(shares):
        if share and share["n"]:
            low, high = share["interval"]
            colour = style.BLUE if low <= 0.5 <= high else style.VERMILLION
            ax.plot([low, high], [row, row], color=colour)
            ax.plot(share["value"], row, "o", color=colour)
    _rows(ax, ["everyone", *map(short_name, raters)])
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of choices (95 % interval)")
    ax.set_title("The side shown first was chosen")


def _strengths(ax: Axes, candidates: list[dict[str, Any]]) -> None:
    ax.axvline(0, color=style.GREY, lw=1)
    for row, one in enumerate(candidates):
        if one["interval"]:
            ax.plot(one["interval"], [row, row], color=style.BLUE)
        ax.plot(one["strength"], row, "o", color=style.BLUE)
    _rows(ax, [f"{short_name(one['id'])} ({one['n']})" for one in candidates])
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("strength (log-odds, 95 % interval)")
    ax.set_title("Candidates over all songs")


def _sittings(ax: Axes, sittings: list[dict[str, Any]]) -> None:
    drawn = 0
    for sitting in sittings:
        halves = [
            sitting["median_seconds"][half]["value"] for half in ("first_half", "second_half")
        ]
        if None not in halves:
            colour = style.CYCLE[drawn % len(style.CYCLE)]
            ax.plot([0, 1], halves, "o-", color=colour, label=short_name(sitting["rater_id"]))
            drawn += 1
    if drawn:
        ax.legend(loc="best")
    else:
        ax.text(0.5, 0.5, "no long sitting with times", ha="center", transform=ax.transAxes)
    ax.set_xticks([0, 1], ["first half", "second half"])
    ax.set_xlim(-0.15, 1.15)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("median seconds per answer")
    ax.set_title("Over a sitting")
