"""Plots of evaluation results, with the uncertainty of every figure."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, NullLocator

from rlhf_lib.errors import InputError
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, count_axis, figure_of, new_figure, short_name, styled
from rlhf_lib.steps.calibration import calibration_error, calibration_table, wilson_interval
from rlhf_lib.steps.evaluation import EVEN, clustered_rate

_MODES = {"greedy": ("o", style.BLUE), "sampled": ("s", style.ORANGE)}


@styled
def calibration(
    probability: Sequence[float],
    outcome: Sequence[float],
    bins: int = 10,
    ax: Axes | None = None,
) -> Figure:
    """Draw how often edit a was preferred against the predicted probability.

    Points carry Wilson's 95 % intervals; the bars below show how many pairs each bin holds.
    See `rlhf_lib.steps.calibration.calibration_table` for the arguments.
    """
    table = calibration_table(probability, outcome, bins)
    ax = axes_or_new(ax, 4.8, 4.4)
    counts = ax.twinx()
    widths = table["stop"] - table["start"]
    bars = counts.bar(table["start"], table["n"], widths, align="edge", color="#DCDCDC")
    counts.set_ylim(0, 5 * table["n"].max())
    counts.set_axis_off()
    ax.set_zorder(counts.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle="--", label="calibrated")
    _interval(ax, table["predicted"], table["observed"], table, "y", "o", style.BLUE, "model")
    for row in table.itertuples():
        counts.annotate(
            row.n,
            ((row.start + row.stop) / 2, row.n),
            (0, 1),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color="#555555",
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("predicted probability that a is preferred")
    ax.set_ylabel("share in which a was preferred")
    ax.set_title(
        f"Calibration: ECE {calibration_error(table):.3f}, {table['n'].sum()} pairs, 95 % intervals"
    )
    handles, labels = ax.get_legend_handles_labels()
    ax.legend([*handles, bars], [*labels, "number of pairs"], loc="upper left")
    return figure_of(ax)


@styled
def win_rates(table: pd.DataFrame, ax: Axes | None = None) -> Figure:
    """Draw win rates against the old policy as a forest plot.

    Parameters
    ----------
    table : DataFrame
        From `rlhf_lib.steps.evaluation.compare_policies`: line, mode, win_rate, low, high, and
        with a simulated rater votes.
    """
    lines = list(dict.fromkeys(table["line"]))
    ax = axes_or_new(ax, 8.5, 1.5 + 0.5 * len(lines))
    ax.axvline(0.5, color=style.BLACK, linewidth=1, linestyle="--")
    place = table["line"].map(lines.index) + table["mode"].map({"greedy": -0.16, "sampled": 0.16})
    for mode, (marker, colour) in _MODES.items():
        rows = table[table["mode"] == mode]
        _interval(ax, rows["win_rate"], place[rows.index], rows, "x", marker, colour, mode)
    if "votes" in table:
        ax.plot(
            table["votes"],
            place,
            "|",
            color=style.VERMILLION,
            markersize=9,
            markeredgewidth=1.8,
            label="noisy votes",
        )
    _write_rates(ax, place, table, "win_rate")
    ax.set_yticks(range(len(lines)), lines)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(lines) - 0.5, -0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.grid(False, axis="y")
    ax.set_xlabel("win rate against the old policy (bars: 95 % interval, clustered by song)")
    songs, pairs = table["n_songs"].max(), table["n"].max()
    ax.set_title(f"Win rates on {songs} held-out songs, {pairs} comparisons", pad=18)
    _legend_above(ax)
    return figure_of(ax)


@styled
def win_rates_by_song(comparisons: pd.DataFrame, seed: int = 0, ax: Axes | None = None) -> Figure:
    """Draw the win rate on each song, and on all of them.

    Parameters
    ----------
    comparisons : DataFrame
        One row per comparison: song, and win (1 won, ½ even, 0 lost). Songs are drawn from the
        worst to the best.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        When there is no comparison.
    """
    overall = clustered_rate(comparisons["win"].tolist(), comparisons["song"].tolist(), seed)
    groups = comparisons.groupby("song")["win"].agg(["mean", "size"]).sort_values("mean")
    ax = axes_or_new(ax, 7, 1.6 + 0.27 * len(groups))
    low, high = wilson_interval(groups["mean"], groups["size"])
    rows = pd.DataFrame({"low": low, "high": high})
    places = np.arange(len(groups))
    ax.axvline(0.5, color=style.BLACK, linewidth=1, linestyle="--")
    _interval(ax, groups["mean"], places, rows, "x", "o", style.BLUE, "one song (Wilson)")
    ax.errorbar(
        overall.value,
        len(groups) + 0.3,
        xerr=[[overall.value - overall.low], [overall.high - overall.value]],
        fmt="D",
        markersize=7,
        capsize=3,
        color=style.VERMILLION,
        label=f"all songs: {overall} (bootstrap by song)",
    )
    names = [f"{short_name(song)} (n = {size})" for song, size in groups["size"].items()]
    ax.set_yticks([*places, len(groups) + 0.3], [*names, "all"])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(groups) + 0.9, -0.7)
    ax.set_xlim(-0.02, 1.02)
    ax.grid(False, axis="y")
    ax.set_xlabel("win rate (95 % intervals)")
    ax.set_title("Win rate by song", pad=18)
    _legend_above(ax)
    return figure_of(ax)


@styled
def accuracies(tables: pd.DataFrame | Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Figure:
    """Draw how often each scorer ranks a pair as the raters did.

    Parameters
    ----------
    tables : DataFrame, or dict of name → DataFrame
        From `rlhf_lib.steps.evaluation.accuracy_table`: scorer, accuracy, low, high, pairs. Several
        models under their names are drawn side by side.

    Raises
    ------
    InputError
        When there is no table.
    """
    named = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    if not named:
        raise InputError("no accuracy table to draw; give at least one")
    scorers = list(dict.fromkeys(name for table in named.values() for name in table["scorer"]))
    ax = axes_or_new(ax, 8, 1.4 + (0.28 + 0.16 * len(named)) * len(scorers))
    ax.axvline(0.5, color=style.BLACK, linewidth=1, linestyle="--")
    for number, (name, table) in enumerate(named.items()):
        place = table["scorer"].map(scorers.index) + 0.6 * ((number + 0.5) / len(named) - 0.5)
        colour = style.CYCLE[number % len(style.CYCLE)]
        _interval(
            ax, table["accuracy"], place, table, "x", "os^Dv"[number % 5], colour, short_name(name)
        )
        _write_rates(ax, place, table, "accuracy")
    ax.set_yticks(range(len(scorers)), scorers)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(scorers) - 0.5, -0.5)
    ax.set_xlim(0, 1.02)
    ax.grid(False, axis="y")
    ax.set_xlabel("accuracy (bars: 95 % interval, clustered by song; dashed: chance)")
    pairs = max(table["pairs"].max() for table in named.values())
    ax.set_title(f"Accuracy on {pairs} decided pairs", pad=18 if len(named) > 1 else 6)
    if len(named) > 1:
        _legend_above(ax)
    return figure_of(ax)


@styled
def reward_course(table: pd.DataFrame, ax: Axes | None = None) -> Figure:
    """Draw learned and true reward over training, and mark the best true reward.

    Where the learned reward rises after that mark, the policy exploits the model.

    Parameters
    ----------
    table : DataFrame
        From `rlhf_lib.steps.evaluation.gold_course`: episode, learned, gold; with low and high, the
        interval of gold, there is a band.
    """
    ax = axes_or_new(ax, 6.5, 3.6)
    ax.axhline(0, color=style.GREY, linewidth=1, linestyle=":")
    if "low" in table:
        band = {"color": style.ORANGE, "alpha": 0.2, "linewidth": 0}
        ax.fill_between(table["episode"], table["low"], table["high"], **band)
    for name, label, colour, marker in (
        ("learned", "learned reward (used by PPO)", style.BLUE, "o"),
        ("gold", "true reward (simulated taste)", style.ORANGE, "s"),
    ):
        ax.plot(table["episode"], table[name], marker, ls="-", ms=4, color=colour, label=label)
    best = table.loc[table["gold"] >= table["gold"].max() - EVEN, "episode"].max()
    ax.axvline(best, color=style.GREEN, linestyle="--", label=f"true reward best: {best}")
    if best < table["episode"].max():
        ax.axvspan(best, table["episode"].max(), color=style.VERMILLION, alpha=0.08, linewidth=0)
    count_axis(ax, table["episode"].tolist())
    ax.set_xlabel("episodes")
    ax.set_ylabel("gain since the start\n(learned: sd; true: utility)")
    ax.set_title("Learned against true reward")
    ax.legend(loc="best")
    return figure_of(ax)


def _interval(ax, value, place, rows, axis: str, marker: str, colour: str, label: str) -> None:
    """Draw values with their intervals ``rows[["low", "high"]]`` along one axis.

    Along x, `place` is y. Along y, `value` is where on x, and `place` the value itself.
    """
    measured = np.asarray(value if axis == "x" else place, dtype=float)
    # A bootstrap interval need not contain its value.
    error = np.maximum([measured - rows["low"], rows["high"] - measured], 0)
    ax.errorbar(
        value,
        place,
        **{f"{axis}err": error},
        fmt=marker,
        color=colour,
        markersize=6,
        capsize=2.5,
        linewidth=1.5,
        label=label,
    )


def _write_rates(ax: Axes, place: pd.Series, table: pd.DataFrame, column: str) -> None:
    """Write value and interval of each row to the right of the axes."""
    for y, row in zip(place, table.to_dict("records"), strict=True):
        ax.annotate(
            f"{row[column]:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
            (1, y),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )


def _legend_above(ax: Axes) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.1)


@styled
def climbs(courses: Mapping[str, pd.DataFrame], fig: Figure | SubFigure | None = None) -> Figure:
    """Draw learned and true reward while policies climb the learned one.

    Parameters
    ----------
    courses : dict of name → DataFrame
        From `rlhf_lib.steps.climb.climb`: tried, song, learned, gold. The bands of gold are
        95 % intervals, bootstrapped over songs.

    Raises
    ------
    InputError
        When there is no course.
    """
    if not courses:
        raise InputError("no course to draw; climb a reward first")
    fig = new_figure(10, 3.6) if fig is None else fig
    left, right = fig.subplots(1, 2)
    for number, (name, course) in enumerate(courses.items()):
        colour = style.CYCLE[number % len(style.CYCLE)]
        means = course.groupby("tried")[["learned", "gold"]].mean()
        left.plot(means.index, means["learned"], "o-", markersize=4, color=colour, label=name)
        by_song = course.pivot_table(index="song", columns="tried", values="gold")
        drawn = np.random.default_rng(0).integers(len(by_song), size=(1000, len(by_song)))
        low, high = np.quantile(by_song.to_numpy()[drawn].mean(axis=1), [0.025, 0.975], axis=0)
        right.fill_between(means.index, low, high, color=colour, alpha=0.15, linewidth=0)
        right.plot(means.index, means["gold"], color=colour)
        best = means["gold"].idxmax()
        right.plot(best, means["gold"][best], "o", color=colour, markersize=6)
    for ax, title, unit in (
        (left, "Learned reward", "gain over the old policy (sd)"),
        (right, "True reward (simulated taste), best marked", "gain over the old policy (utility)"),
    ):
        ax.axhline(0, color=style.GREY, linewidth=1, linestyle=":")
        ax.set_xscale("symlog", linthresh=max(min(means.index[means.index > 0], default=1), 1))
        ax.set_xlim(0, max(means.index.max(), 1) * 1.1)
        ax.xaxis.set_major_locator(FixedLocator(means.index))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([f"{count:,}" for count in means.index])
        ax.set_xlabel("changes tried on the best plan")
        ax.set_ylabel(unit)
        ax.set_title(title)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(courses))
    return figure_of(fig)
