"""The plots of learning experiments show the right numbers."""

import pandas as pd
import pytest
from artists import line

from rlhf_lib import plots
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.explain import Explanation, SeamPart


def curves(**columns) -> pd.DataFrame:
    rows = [
        {"taste": taste, "pairs": pairs, "value": value, "low": value - 0.1, "high": value + 0.1}
        for taste, values in (("smooth", (0.5, 0.7, 0.9)), ("arc", (0.4, 0.5, 0.6)))
        for pairs, value in zip((0, 10, 100), values, strict=True)
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_each_taste_has_its_panel_and_its_curve():
    figure = plots.learning_curves(curves(), goal=0.8)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["smooth", "arc"]
    shown = [line(ax, "value, 95 % interval") for ax in figure.axes]
    assert [one.get_xdata().tolist() for one in shown] == [[0, 10, 100]] * 2
    assert shown[0].get_ydata().tolist() == [0.5, 0.7, 0.9]
    assert shown[1].get_ydata().tolist() == [0.4, 0.5, 0.6]
    band = figure.axes[1].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.3)
    assert band[:, 1].max() == pytest.approx(0.7)
    assert [line(ax, "goal").get_ydata()[0] for ax in figure.axes] == [0.8, 0.8]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0", "10", "100"]


def test_several_curves_and_a_ceiling_in_one_panel():
    smooth = curves()[lambda table: table["taste"] == "smooth"].assign(line="ours", ceiling=0.95)
    better = smooth.assign(line="other", value=smooth["value"] + 0.02)
    (ax,) = plots.learning_curves(pd.concat([smooth, better])).axes
    assert line(ax, "other").get_ydata().tolist() == pytest.approx([0.52, 0.72, 0.92])
    assert line(ax, "ours").get_color() != line(ax, "other").get_color()
    assert line(ax, "ours").get_marker() != line(ax, "other").get_marker()
    assert line(ax, "ceiling").get_ydata()[0] == 0.95


def test_learning_curves_need_answers():
    with pytest.raises(InputError, match="no row"):
        plots.learning_curves(curves(pairs=0))


def test_the_turn_of_the_true_reward_is_marked():
    table = pd.DataFrame({"kl": [0.4, 0.0, 0.1], "learned": [2.0, 0.0, 1.0]})
    table = table.assign(gold=[-0.5, 0.0, 0.3], low=[-0.6, 0.0, 0.2], high=[-0.4, 0.0, 0.4])
    (ax,) = plots.over_optimisation(table, stop=0.2).axes
    assert line(ax, "learned (used by PPO)").get_xdata().tolist() == [0.0, 0.1, 0.4]
    assert line(ax, "true (simulated taste)").get_ydata().tolist() == [0.0, 0.3, -0.5]
    assert line(ax, "true reward best: KL 0.1").get_xdata()[0] == 0.1
    assert line(ax, "stop: KL 0.2").get_xdata()[0] == 0.2
    assert ax.patches[0].get_extents().width > 0  # the part after the turn is shaded


def test_a_true_reward_that_never_turns_is_not_shaded():
    table = pd.DataFrame({"kl": [0.0, 0.1], "learned": [0.0, 1.0], "gold": [0.0, 1.0]})
    (ax,) = plots.over_optimisation(table.assign(low=table["gold"], high=table["gold"])).axes
    assert not ax.patches
    nothing = pd.DataFrame(0.0, range(3), ["learned", "gold", "low", "high"])
    (ax,) = plots.over_optimisation(nothing.assign(kl=[0.0, 0.1, 0.2])).axes
    assert not ax.patches
    with pytest.raises(InputError, match="empty"):
        plots.over_optimisation(table[:0])


def explained(transition: float, hook: float, transformer: float, seams=()) -> Explanation:
    parts = {"transition": transition, "hook": hook, "level": 0.0}
    offset = 0.25
    return Explanation(
        transition + hook + transformer + offset, parts, transformer, offset, tuple(seams)
    )


def bars(ax) -> dict[str, float]:
    names = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(names, [bar.get_width() for bar in ax.patches], strict=True))


def test_bars_add_up_to_the_score():
    top, _ = plots.explanation(explained(-1.0, 2.0, 0.5)).axes
    shown = bars(top)
    assert next(iter(shown)) == "hook"  # the largest first
    assert shown.pop("sum") == 1.75
    assert shown == {
        "hook": 2.0,
        "transition": -1.0,
        "transformer": 0.5,
        "the same for all edits": 0.25,
    }
    assert sum(shown.values()) == 1.75


def test_against_another_edit_the_bars_are_differences():
    axes = plots.explanation(explained(-1.0, 2.0, 0.5), explained(-3.0, 2.0, 0.25)).axes
    assert bars(axes[0]) == {"transition": 2.0, "transformer": 0.25, "sum": 2.25}
    assert len(axes) == 3


def test_small_parts_are_summed_up():
    parts = {f"m{k}": float(20 - k) for k in range(15)}
    whole = Explanation(sum(parts.values()), parts, 0.0, 0.0, ())
    shown = bars(plots.explanation(whole).axes[0])
    assert shown["5 more"] == 10 + 9 + 8 + 7 + 6
    assert len(shown) == 12


def test_each_seam_is_drawn_at_its_time_and_the_worst_is_named():
    seams = [
        SeamPart(12.0, 3, 9, {"transition": -0.5, "phrase": -0.25}),
        SeamPart(30.0, 20, 40, {"transition": -0.25, "phrase": -1.0}),
        SeamPart(50.0, 60, 61, {"transition": 0.0, "phrase": 0.5}),
    ]
    _, ax = plots.explanation(explained(-1.0, 2.0, 0.5, seams)).axes
    (dots,) = [c for c in ax.collections if len(c.get_offsets()) == 3]
    assert dots.get_offsets().tolist() == [[12.0, -0.75], [30.0, -1.25], [50.0, 0.5]]
    colours = [tuple(colour) for colour in dots.get_facecolors()]
    assert colours[0] == colours[1] != colours[2]
    assert [note.get_text() for note in ax.texts] == ["-1.25, mostly phrase"]
    assert ax.get_xlabel() == "time in the edit (s)"
