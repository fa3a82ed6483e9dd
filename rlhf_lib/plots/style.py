"""The style of all plots, and the figure type that a notebook displays.

The colours are Okabe and Ito's (2008, "Color Universal Design"), which can be distinguished with
every common kind of colour blindness. A notebook shows plots on a transparent ground, with text and
axes in a grey that can be read in light and dark themes; files have a white ground and black text.
"""

import functools
import io
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
#: Replaces black and grey in notebooks: contrast above 4 on white and on almost black.
INK = "#7A7A7A"
#: Colours of lines and marks, in the order of use.
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, BLACK)
#: For values in order (a place in the song), and for values around zero.
IN_ORDER, AROUND_ZERO = "viridis", "RdBu_r"

#: The fonts of the plots. The others are used where installed, for Chinese, Japanese and Korean.
_FONT = "DejaVu Sans"
_OTHER_FONTS = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "KR", "TC", "HK")),
    *("Source Han Sans SC", "Source Han Sans CN", "Source Han Sans", "WenQuanYi Zen Hei"),
    *("WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB"),
    *("Hiragino Sans", "Yu Gothic", "Meiryo", "IPAexGothic", "TakaoPGothic"),
    *("Malgun Gothic", "Apple SD Gothic Neo", "NanumGothic", "Arial Unicode MS"),
)
#: Columns of the longest name that is drawn in full.
_LONGEST_NAME = 24

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
        with _on_any_ground(self):
            self.savefig(buffer, format="png", transparent=True)
        return buffer.getvalue()


@contextmanager
def _on_any_ground(figure: Figure) -> Iterator[None]:
    """Draw black and grey in `INK`, and light grey in a transparent `INK`, for a while."""
    figure.draw_without_rendering()  # makes the ticks
    before, after = [], []  # all are read before any is changed: some follow from others
    for artist in figure.findobj():
        if isinstance(artist, Collection) and artist.get_array() is not None:
            continue  # its colours are data
        for part in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            get, put = (getattr(artist, f"{do}_{part}", None) for do in ("get", "set"))
            if not (get and put):
                continue
            colours = to_rgba_array(get())
            value = colours[:, :3].mean(axis=1)
            grey = (np.ptp(colours[:, :3], axis=1) < 0.02) & (colours[:, 3] > 0)
            dark, light = grey & (value < 0.56), grey & (value > 0.8) & (value < 0.99)
            if not (dark | light).any():
                continue
            before += [(put, get()), (artist.set_alpha, artist.get_alpha())]
            colours[dark | light, :3] = to_rgba(INK)[:3]
            if light.any():
                thin = isinstance(artist, Line2D | LineCollection)
                after.append((artist.set_alpha, 0.3 if thin else 0.5))
            after.append((put, colours if isinstance(artist, Collection) else colours[0]))
    for put, colour in after:
        put(colour)
    try:
        yield
    finally:
        for put, colour in before:
            put(colour)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function draw in this style, whatever style is set outside."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(_STYLE | {"font.family": list(_families())}):
            return draw(*args, **kwargs)

    return wrapper


@functools.cache
def _families() -> tuple[str, ...]:
    """Return the fonts of the plots that are installed; the first ones are used first."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return (_FONT, *(name for name in _OTHER_FONTS if name in installed))


@functools.cache
def _is_drawn(character: str) -> bool:
    """Return whether the fonts hold a character, as regular text and in bold titles."""
    faces = [
        [font_manager.FontProperties(family=family, weight=weight) for family in _families()]
        for weight in ("normal", "bold")
    ]
    return character.isprintable() and all(
        any(_face(face).get_char_index(ord(character)) for face in of_weight) for of_weight in faces
    )


def _face(properties: font_manager.FontProperties):
    return font_manager.get_font(font_manager.findfont(properties, fallback_to_default=False))


def short_name(name: object, longest: int = _LONGEST_NAME) -> str:
    """Return the name of a rater, song or model as it is drawn.

    Names of more than `longest` columns are shortened in the middle. Characters that no font
    holds are escaped, such as \\u5f20, because they would be drawn as boxes.
    """
    pieces = [
        one if _is_drawn(one) else one.encode("ascii", "backslashreplace").decode()
        for one in str(name)
    ]
    pieces = [one if one.isprintable() else repr(one)[1:-1] for one in pieces]
    if sum(map(_columns, pieces)) <= longest:
        return "".join(pieces)
    start, end = _fitting(pieces, longest // 2), _fitting(pieces[::-1], longest // 2)[::-1]
    return "".join([*start, "…", *end])


def _columns(piece: str) -> int:
    return 2 if unicodedata.east_asian_width(piece[0]) in "WF" else len(piece)


def _fitting(pieces: list[str], columns: int) -> list[str]:
    return pieces[: bisect(list(accumulate(map(_columns, pieces))), columns)]


def count_axis(ax: Axes, places: Sequence[float]) -> None:
    """Make x an axis of whole numbers, such as epochs; one alone is drawn in the middle."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    if len(set(places)) == 1:
        ax.set_xlim(places[0] - 0.5, places[0] + 0.5)


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
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=150)
            few = Image.open(buffer).convert("RGB")
            few = few.quantize(256, dither=Image.Dither.NONE)
            few.save(part, format="png", optimize=True)  # a third of the size, and looks the same
    return path


def svg(figure: Figure) -> bytes:
    """Return a figure as a self-contained SVG file; equal plots give equal bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
