"""The style of all plots, and the figure type that a notebook displays.

The colours are Okabe and Ito's (2008, "Color Universal Design"), which can be distinguished with
every common kind of colour blindness. The background is white in light and dark notebooks.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
#: Colours of lines and marks, in the order of use.
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, BLACK)
#: For values in order (a place in the song), and for values around zero.
IN_ORDER, AROUND_ZERO = "viridis", "RdBu_r"

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "legend.fontsize": "small",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
    "svg.hashsalt": "rlhf_lib",  # equal plots give equal files
    "text.parse_math": False,  # names come from files: a $ in them is a $
}


class Plot(Figure):
    """A matplotlib figure that a notebook shows once, with pyplot or without."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function draw in this style, whatever style is set outside."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Plot:
    """Return an empty figure of this size in inches."""
    figure = Plot(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax`, or the only axes of a new figure of this size in inches."""
    return new_figure(width, height).subplots() if ax is None else ax


def figure_of(place: Axes | Figure | SubFigure) -> Figure:
    """Return the whole figure that axes or a part of a figure belong to."""
    return place.get_figure(root=True)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as .png or .svg, by the suffix of the path, and return the path.

    Raises
    ------
    InputError
        When the suffix is another one, or the file cannot be written.
    """
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"{path}: plots are written to .png or .svg files")
    with atomic_path(path) as part:
        if path.suffix == ".svg":
            part.write_bytes(svg(figure))
        else:
            figure.savefig(part, format="png", dpi=150)
    return path


def svg(figure: Figure) -> bytes:
    """Return a figure as a self-contained SVG file; equal plots give equal bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
