"""Plain curves in the project's style: for equations, worked examples, learning curves."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlhf_lib.errors import InputError
from rlhf_lib.plots import style
from rlhf_lib.plots.style import axes_or_new, count_axis, figure_of, styled


@styled
def lines(
    table: pd.DataFrame,
    ylabel: str,
    title: str = "",
    low: pd.DataFrame | None = None,
    high: pd.DataFrame | None = None,
    level: float | None = None,
    marker: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw each column of a table against its index.

    Parameters
    ----------
    table : DataFrame of numbers
        The index is x and its name the label; the columns' names are the legend.
    low, high : DataFrame, optional
        Bounds of an interval around the columns they share with `table`.
    level : float, optional
        Where a dotted line is drawn across, e.g. chance.
    marker : str
        Of the single values; none by default.

    Raises
    ------
    InputError
        When the table is empty, or only one of `low` and `high` is given.
    """
    if table.empty or (low is None) != (high is None):
        raise InputError("lines needs a table with values, and low and high together or not at all")
    ax = axes_or_new(ax, 6.5, 3.2)
    if level is not None:
        ax.axhline(level, color=style.GREY, linewidth=1, linestyle=":")
    x = table.index.to_numpy()
    if pd.api.types.is_integer_dtype(x):
        count_axis(ax, x)
    marker = marker or ("o" if len(x) == 1 else "")
    for number, name in enumerate(table.columns):
        colour = style.CYCLE[number % len(style.CYCLE)]
        if low is not None and name in low and name in high:
            bounds = (np.asarray(bound[name], dtype=float) for bound in (low, high))
            ax.fill_between(x, *bounds, color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, table[name], marker=marker, markersize=5, color=colour, label=str(name))
    ax.set_xlabel(table.index.name or "")
    ax.set_ylabel(ylabel)
    ax.set_title(title)
    if len(table.columns) > 1:
        ax.legend(loc="best")
    return figure_of(ax)
