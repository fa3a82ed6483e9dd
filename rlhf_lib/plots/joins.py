"""Plot of the cost of jumping from one place of a song to another."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, step_descriptors
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, figure_of, short_name, styled

_COSTS = ("seams", "transition", "energy", "phrase", "tempo", "sung")
_OF_A_JOIN = [ADDITIVE_NAMES.index(name) for name in _COSTS]


@styled
def join_map(song: Song, edit: Edit | None = None, ax: Axes | None = None) -> Figure:
    """Draw the cost of every jump between the song's decision points, in dense reward.

    Parameters
    ----------
    song : Song
    edit : Edit, optional
        Of this song; its joins are marked.
    """
    ax = axes_or_new(ax, 6.4, 5)
    points = song.decision_points
    # (resumed at, left before), as the axes are drawn
    steps = step_descriptors(song, points[None, 1:] - 1, points[:, None])[..., _OF_A_JOIN]
    cost = steps @ -DENSE_WEIGHTS[_OF_A_JOIN]
    seconds = song.beat_bounds / song.sample_rate
    edges = np.append(seconds[points], song.duration)
    mesh = ax.pcolormesh(edges[1:], edges, cost, cmap="magma_r", vmin=0, rasterized=True)
    ax.plot([0, song.duration], [0, song.duration], color=style.SKY, linewidth=1, label="play on")
    if edit is not None:
        left, resumed = edit.order[edit.seams - 1], edit.order[edit.seams]
        ax.plot(
            seconds[left + 1],
            seconds[resumed],
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=style.BLUE,
            markeredgewidth=2,
            label="joins of the edit",
        )
    ax.set_xlim(0, song.duration)
    ax.set_ylim(0, song.duration)
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_xlabel("song left at (s)")
    ax.set_ylabel("song resumed at (s)")
    ax.set_title(f"{short_name(song.song_id)}: cost of a jump", pad=20)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label("cost (dense reward)")
    return figure_of(ax)
