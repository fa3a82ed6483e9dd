"""Plots of edits: the part of the song over time, the dense rewards, the lengths."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.whole_edit import LENGTH_UNIT
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward import dense as dense_reward
from rlhf_lib.learning.reward.dense import DENSE_TERMS
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, figure_of, short_name, styled


@styled
def edit_map(
    edits: Edit | Sequence[Edit], labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Figure:
    """Draw which part of the song an edit plays over time.

    One edit: the place in the song against the time in the edit, one bar per segment.
    Several: one row per edit, coloured by the place in the song. Seams are marked.

    Parameters
    ----------
    edits : Edit or sequence of Edit
    labels : sequence of str, optional
        One per edit, e.g. ``"temperature 0.5"``; by default the keep ratio.

    Raises
    ------
    InputError
        When there is no edit, or the labels are not one per edit.
    """
    edits = [edits] if isinstance(edits, Edit) else list(edits)
    labels = [f"keep ratio {edit.keep_ratio:.2f}" for edit in edits] if labels is None else labels
    if not edits or len(labels) != len(edits):
        raise InputError(f"{len(labels)} labels for {len(edits)} edits; give one for each")
    if len(edits) == 1:
        return _edit_diagonal(edits[0], labels[0], ax)
    ax = axes_or_new(ax, 10, 1.2 + 0.45 * len(edits))
    longest = max(edit.song.duration for edit in edits)
    for row, edit in enumerate(edits):
        ends = edit.times
        bounds = edit.song.beat_bounds / edit.song.sample_rate
        mesh = ax.pcolormesh(
            ends,
            [row - 0.36, row + 0.36],
            bounds[edit.order][None, :],
            cmap=style.IN_ORDER,
            vmin=0,
            vmax=longest,
            rasterized=True,
        )
        seams = ends[edit.seams]
        ax.vlines(seams, row - 0.36, row + 0.36, color="white", linewidth=2.5)
        ax.plot(
            seams,
            np.full(len(seams), row - 0.36),
            linestyle="",
            marker="v",
            color=style.VERMILLION,
            markersize=5,
            label="" if row else "seams",
        )
    ax.set_yticks(range(len(edits)), [short_name(label, 40) for label in labels])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(edits) - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.set_xlim(0, max(edit.duration for edit in edits))
    ax.set_xlabel("time in the edit (s)")
    ax.set_title("Part of the song played over time")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.01, aspect=12)
    bar.set_label("place in the song (s)")
    return figure_of(ax)


def _edit_diagonal(edit: Edit, label: str, ax: Axes | None) -> Figure:
    ax = axes_or_new(ax, 7, 4.2)
    ends = edit.times
    bounds = edit.song.beat_bounds / edit.song.sample_rate
    places = np.concatenate([[0], edit.seams, [len(edit.order)]])
    for number, (start, stop) in enumerate(edit.segments):
        ax.plot(
            ends[places[number : number + 2]],
            bounds[[start, stop]],
            color=style.BLUE,
            linewidth=5,
            solid_capstyle="butt",
            label="" if number else "segments",
        )
    ax.vlines(
        ends[edit.seams],
        bounds[edit.segments[:-1, 1]],
        bounds[edit.segments[1:, 0]],
        color=style.VERMILLION,
        linestyle=(0, (2, 1)),
        linewidth=1.5,
        label="seams",
    )
    ax.set_xlim(0, None)
    ax.set_ylim(0, edit.song.duration)
    ax.set_xlabel("time in the edit (s)")
    ax.set_ylabel("place in the song (s)")
    count = len(edit.seams)
    names = f"{short_name(edit.song.song_id)}, {short_name(label, 40)}"
    ax.set_title(f"{names}: {count} seam{'s' * (count != 1)}")
    ax.legend(loc="upper left")
    return figure_of(ax)


@styled
def dense_terms(edits: Sequence[Edit], labels: Sequence[str], ax: Axes | None = None) -> Figure:
    """Draw the four dense rewards of edits.

    Edits that share a label are drawn as small dots around their mean.

    Raises
    ------
    InputError
        When there is no edit, or the labels are not one per edit.
    """
    if not edits or len(labels) != len(edits):
        raise InputError(f"{len(labels)} labels for {len(edits)} edits; give one for each")
    ax = axes_or_new(ax, 8, 3.4)
    table = pd.DataFrame([dense_reward.dense_terms(edit) for edit in edits]).assign(
        label=list(labels)
    )
    groups = table.groupby("label", sort=False)
    places = np.arange(len(DENSE_TERMS))
    for number, (label, group) in enumerate(groups):
        shift = 0.7 * ((number + 0.5) / len(groups) - 0.5)
        colour = style.CYCLE[number % len(style.CYCLE)]
        values = group[list(DENSE_TERMS)].to_numpy()
        if len(values) > 1:
            ax.plot(places + shift, values.T, ".", color=colour, alpha=0.35, markersize=5)
        ax.plot(
            places + shift,
            values.mean(axis=0),
            "o",
            color=colour,
            label=short_name(label, 40),
            markersize=7,
        )
    for place in places[1:]:
        ax.axvline(place - 0.5, color="#E4E4E4", linewidth=0.8)
    ax.set_xticks(places, [name.replace(" ", "\n") for name in DENSE_TERMS])
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.grid(False, axis="x")
    ax.set_ylabel("dense reward (1 = no fault)")
    # Keep differences of a hundredth small.
    ax.set_ylim(min(ax.get_ylim()[0], 0.9), 1.005)
    ax.set_title("The four dense rewards")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure_of(ax)


@styled
def durations(table: pd.DataFrame, ax: Axes | None = None) -> Figure:
    """Draw achieved keep ratios against their targets.

    Parameters
    ----------
    table : DataFrame
        From `rlhf_lib.steps.evaluation.lengths_by_temperature`: song, temperature, target,
        keep_ratio.
    """
    ax = axes_or_new(ax, 6.5, 3.8)
    targets = table.groupby("temperature")["target"].first()
    ax.fill_between(
        targets.index,
        targets - LENGTH_UNIT,
        targets + LENGTH_UNIT,
        color=style.SKY,
        alpha=0.35,
        linewidth=0,
        label=f"target ± {LENGTH_UNIT}",
    )
    ax.plot(targets.index, targets, color=style.BLUE, linewidth=1, label="target")
    songs = pd.factorize(table["song"])[0]
    shift = 0.05 * ((songs + 0.5) / (songs.max() + 1) - 0.5)
    ax.plot(
        table["temperature"] + shift,
        table["keep_ratio"],
        "o",
        color=style.VERMILLION,
        markersize=4,
        alpha=0.8,
        label="one edit",
    )
    ax.set_xticks(targets.index)
    ax.set_xlabel("temperature")
    ax.set_ylabel("keep ratio (edit / song)")
    off = (table["keep_ratio"] - table["target"]).abs()
    ax.set_title(
        f"Lengths of {len(table)} edits of {songs.max() + 1} songs, "
        f"at most {off.max():.3f} from target"
    )
    ax.legend(loc="lower left")
    return figure_of(ax)
