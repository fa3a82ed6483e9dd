"""Find the marks in a plot."""

import numpy as np
from matplotlib.figure import Figure


def only_axes(figure: Figure):
    return figure.axes[0]


def line(ax, label: str):
    """Return the line, or the marks of the error bars, with this label."""
    for found in ax.lines:
        if found.get_label() == label:
            return found
    return next(c for c in ax.containers if c.get_label() == label).lines[0]


def segments_of(ax, label: str) -> np.ndarray:
    return np.array(
        next(c for c in ax.collections if c.get_label() == label).get_segments(), dtype=float
    )


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def y_labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]
