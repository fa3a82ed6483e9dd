"""Names, fonts, grounds and axes of the plots, for any name and any theme."""

import io
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from artists import only_axes, y_labels
from feedback_examples import answer, sitting
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from rlhf_lib import plots
from rlhf_lib.feedback.quality.report import quality_report
from rlhf_lib.learning.reward.fit import RewardHistory
from rlhf_lib.plots import style

CJK = ("张伟", "山田太郎", "김철수")
LONG = "Maximiliane " * 16 + "Z"  # 193 letters


@pytest.fixture
def no_other_fonts(monkeypatch):
    """Only DejaVu Sans is installed, which holds no Chinese, Japanese or Korean."""
    monkeypatch.setattr(style, "_families", lambda: ("DejaVu Sans",))
    style._is_drawn.cache_clear()
    yield
    style._is_drawn.cache_clear()


def glyph_warnings(recwarn) -> list[str]:
    return [str(one.message) for one in recwarn if "Glyph" in str(one.message)]


# names ---------------------------------------------------------------------------------------


def test_missing_glyphs_are_escaped_without_a_warning(no_other_fonts, recwarn):
    figure = plots.answers([answer(rater_id=name) for name in CJK])
    escaped = [r"\u5c71\u7530\u592a\u90ce", r"\u5f20\u4f1f", r"\uae40\ucca0\uc218"]
    assert y_labels(figure.axes[0]) == escaped
    assert style.svg(figure) and figure._repr_png_()
    assert not glyph_warnings(recwarn)


def test_no_name_is_drawn_as_boxes(recwarn):
    """With the fonts of this machine, whatever they are."""
    figure = plots.quality(
        quality_report([one for name in CJK for one in sitting(6, rater_id=name)])
    )
    assert figure._repr_png_()
    assert not glyph_warnings(recwarn)


def test_glyphs_of_an_installed_font_are_drawn(monkeypatch):
    held = {ord(character) for character in "张伟"}

    class Face:
        def get_char_index(self, code):
            return int(code in held)

    monkeypatch.setattr(style, "_face", lambda properties: Face())
    style._is_drawn.cache_clear()
    try:
        assert style.short_name("张伟") == "张伟"
        assert style.short_name("김") == r"\uae40"
    finally:
        style._is_drawn.cache_clear()


def test_short_names(no_other_fonts):
    assert style.short_name("ann") == "ann"
    assert style.short_name("x" * 24) == "x" * 24
    assert style.short_name("a" * 100 + "b" * 100) == "a" * 12 + "…" + "b" * 12
    assert style.short_name("a" * 10 + "b" * 10, 8) == "aaaa…bbbb"
    assert style.short_name("张" * 200) == r"\u5f20\u5f20…\u5f20\u5f20"
    assert style.short_name("a\nb\x00\ud800🎹") == r"a\nb\x00\ud800\U0001f3b9"
    assert style.short_name(9) == "9"


def test_a_long_name_leaves_room_for_the_marks():
    wins = pd.DataFrame({"song": [LONG, "b"], "win": [1.0, 0.0]})
    for figure in (
        plots.quality(quality_report([*sitting(12, rater_id=LONG), *sitting(12, day=2)])),
        plots.win_rates_by_song(wins),
        plots.answers([answer(rater_id=LONG), answer(rater_id="b" + LONG)]),
    ):
        figure.draw_without_rendering()
        assert min(ax.get_position().width for ax in figure.axes) > 0.15


# grounds -------------------------------------------------------------------------------------


def luminance(colour) -> float:
    """Return the relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("ground", ["#FFFFFF", "#111111"])
def test_ink_can_be_read_on_light_and_dark_grounds(ground):
    low, high = sorted((luminance(style.INK), luminance(ground)))
    assert (high + 0.05) / (low + 0.05) >= 4


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).reshape(-1, 4).astype(int)


def with_every_grey():
    """Return a plot with text, axes, a grid, a grey line and light bars."""
    return plots.calibration([0.2, 0.8, 0.4, 0.9, 1.0], [0, 1, 1, 1, 0.5], bins=2)


def test_a_notebook_shows_ink_on_a_transparent_ground():
    pixels = pixels_of(with_every_grey()._repr_png_())
    assert np.mean(pixels[:, 3] == 0) > 0.4
    grey = pixels[(np.ptp(pixels[:, :3], axis=1) < 4) & (pixels[:, 3] == 255), 0]
    assert len(grey)
    assert np.abs(grey - 255 * to_rgba(style.INK)[0]).max() <= 3
    assert ((pixels[:, 3] > 60) & (pixels[:, 3] < 100)).any()  # the grid


def colours_of(figure) -> Counter:
    return Counter(re.findall(r"#[0-9a-f]{6}|opacity: [0-9.]+", style.svg(figure).decode()))


def test_files_are_black_on_white_after_a_notebook_showed_the_plot(tmp_path):
    figure = with_every_grey()
    before = colours_of(figure)
    figure._repr_png_()
    assert colours_of(figure) == before
    assert style.INK.lower() not in before
    pixels = pixels_of(plots.save(figure, tmp_path / "plot.png").read_bytes())
    assert (pixels[:, 3] == 255).all()
    assert pixels[0].tolist() == [255] * 4
    assert pixels[:, :3].sum(axis=1).min() < 60


# axes ----------------------------------------------------------------------------------------


def ticks(ax) -> list[float]:
    low, high = ax.get_xlim()
    return [tick for tick in ax.get_xticks() if low <= tick <= high]


def test_one_epoch_is_one_whole_number():
    epoch = {"epoch": 1, "train_loss": 0.6, "train_accuracy": 0.7}
    for ax in plots.reward_curves(RewardHistory([epoch], best_epoch=1)).axes:
        assert ticks(ax) == [1]
    table = pd.DataFrame({"loss": [0.5]}, index=pd.Index([1], name="epoch"))
    ax = only_axes(plots.lines(table, "loss"))
    assert ticks(ax) == [1]
    assert ax.lines[0].get_marker() == "o"


def test_one_row_of_a_policy_is_drawn():
    row = {"episode": 20, "dense": 0.0, "learned": 3.0, "combined": 2.0}
    figure = plots.policy_curves([row | {"held_out": 0.1, "kl": 0.01, "loss": -0.1}])
    for ax in figure.axes:
        assert ticks(ax) == [20]
        values = [line for line in ax.lines if len(line.get_xdata()) == 1]  # not the line at 0
        assert values
        assert all(line.get_marker() == "o" for line in values)


def test_epochs_have_no_fractions():
    table = pd.DataFrame({"loss": [3.0, 2.0, 1.0]}, index=pd.Index([1, 2, 3], name="epoch"))
    assert ticks(only_axes(plots.lines(table, "loss"))) == [1, 2, 3]
