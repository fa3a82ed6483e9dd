"""A plot that is redrawn in place during training."""

import time
from collections.abc import Callable
from typing import Any

from IPython.display import display


class LivePlot:
    """Redraws one plot in place as rows come in; call it with each row.

    Parameters
    ----------
    draw : callable
        All rows so far → figure.
    every : float
        Least time between two drawings in s; the first row is always drawn.
    """

    def __init__(self, draw: Callable[[list[dict[str, float]]], Any], every: float = 1.0):
        self.rows: list[dict[str, float]] = []
        self._draw, self._every, self._next = draw, every, 0.0
        self._place = None

    def __call__(self, row: dict[str, float]) -> None:
        """Keep a row, and draw when it is time."""
        self.rows.append(row)
        if time.monotonic() >= self._next:
            self.show(self._draw(self.rows))
            self._next = time.monotonic() + self._every

    def show(self, figure: Any) -> None:
        """Show a figure, such as the final one, in the place of the plot."""
        if self._place is None:
            self._place = display(figure, display_id=True)
        else:
            self._place.update(figure)
