"""The plots show the right numbers; their appearance is not tested."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from artists import line, only_axes, segments_of, y_labels
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from toy import toy_song

from rlhf_lib import plots
from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.sections import Section
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, N_DESCRIPTORS
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.fit import RewardHistory
from rlhf_lib.plots import style
from rlhf_lib.raters.simulated import SimulatedRater


@pytest.fixture
def song():
    return toy_song(32)  # 0.5 s a beat, 4 to the bar, 8000 Hz: 16 s


def edit_of(song, cut: range, target: float = 0.75) -> Edit:
    actions = np.zeros(song.n_beats, int)
    actions[list(cut)] = 1
    return Edit(song, actions, target)


# song ----------------------------------------------------------------------------------------


def sound(song) -> Audio:
    samples = np.zeros((song.n_samples, 1), np.float32)
    samples[12_000] = 0.5  # 1.5 s
    samples[40_000] = -0.25  # 5 s
    return Audio(samples, song.sample_rate)


def test_waveform_shows_peaks_beats_and_bars(song):
    ax = only_axes(plots.waveform(song, sound(song)))
    shape = next(c for c in ax.collections if c.get_label() == "waveform").get_paths()[0].vertices
    assert shape[shape[:, 1].argmax()] == pytest.approx([1.5, 0.5], abs=0.02)
    assert shape[shape[:, 1].argmin()] == pytest.approx([5.0, -0.25], abs=0.02)
    assert segments_of(ax, "bars")[:, 0, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert len(segments_of(ax, "beats")) == 24
    assert ax.get_xlim() == (0, 16)
    assert ax.get_xlabel() == "time (s)"


def test_waveform_marks_cuts_seams_and_sections(song):
    edit = edit_of(song, range(8, 16))
    ax = only_axes(plots.waveform(song, sound(song), edit, [(0, "intro"), (8, "chorus")]))
    assert segments_of(ax, "seams")[:, 0, 0].tolist() == [4, 8]
    cut = next(c for c in ax.collections if c.get_label() == "cut").get_paths()[0].vertices
    assert (cut[:, 0].min(), cut[:, 0].max()) == (4, 8)
    assert [text.get_text() for text in ax.texts] == ["intro", "chorus"]


def test_given_sections_are_written_above_the_plots(song):
    sections = (Section("intro", 0, 16, 0.0), Section("verse", 16, 32, 0.0))
    given = replace(song, sections=sections)
    for figure in (plots.waveform(given, sound(song)), plots.feature_map(given)):
        texts = figure.axes[0].texts
        assert [(text.get_text(), text.xy[0]) for text in texts] == [("intro", 0), ("verse", 8)]
    ax = only_axes(plots.waveform(given, sound(song), sections=[]))
    assert not ax.texts


def test_the_end_of_a_section_before_a_gap_is_marked_without_a_name(song):
    given = replace(song, sections=(Section("verse", 4, 12, 0.0), Section("end", 16, 24, 0.0)))
    texts = only_axes(plots.waveform(given, sound(song))).texts
    assert [(text.get_text(), text.xy[0]) for text in texts] == [
        ("verse", 2),
        ("", 6),
        ("end", 8),
        ("", 12),
    ]


def test_a_name_that_is_wider_than_its_section_does_not_reach_into_the_next(song):
    """Pictures with and without the next name: right of its line only that name is added."""
    pictures = []
    for name in ("a", "as wide as can be"):
        figure = plots.waveform(song, sound(song), sections=[(2.0, name), (3.0, "b")])
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()).astype(int))
        line = figure.axes[0].transData.transform((3.0, 0))[0]
    columns = np.flatnonzero((pictures[0] != pictures[1]).any(axis=(0, 2)))
    assert len(columns) and columns.max() <= np.ceil(line)


def test_the_title_names_all_metres(song):
    changing = replace(song, downbeats=np.array([0, 4, 8, 11, 14, 19, 23, 27, 31]))
    title = only_axes(plots.waveform(changing, sound(song))).get_title(loc="left")
    assert title.endswith("32 beats, 3, 4 and 5 to the bar")


def test_waveform_of_a_part(song):
    ax = only_axes(plots.waveform(song, sound(song), span=(4, 99)))
    assert ax.get_xlim() == (4, 16)


def test_waveform_refuses_what_does_not_fit(song):
    with pytest.raises(InputError, match="samples"):
        plots.waveform(song, Audio(np.zeros((100, 1)), 8000))
    with pytest.raises(InputError, match="outside the song"):
        plots.waveform(song, sound(song), span=(20, 30))


def test_feature_map_standardises_each_feature(song):
    figure = plots.feature_map(song)
    values = np.asarray(only_axes(figure).collections[0].get_array())
    assert values.shape == (125, 32)
    assert np.mean(values, axis=1) == pytest.approx(np.zeros(125), abs=1e-6)
    assert np.std(values, axis=1) == pytest.approx(np.ones(125))
    assert y_labels(only_axes(figure)) == [name.replace("_", " ") for name in FEATURE_GROUPS]
    assert "standard deviations" in figure.axes[1].get_ylabel()


def test_feature_map_draws_a_constant_feature_as_zero(song):
    features = song.features.copy()
    features[:, 3] = 7.0
    constant = type(song)(**{**song.__dict__, "features": features})
    values = only_axes(plots.feature_map(constant)).collections[0].get_array()
    assert np.all(values[3] == 0)


# edits ---------------------------------------------------------------------------------------


def test_one_edit_is_a_map_of_segments(song):
    ax = only_axes(plots.edit_map(edit_of(song, range(8, 16))))
    drawn = [found.get_xydata().tolist() for found in ax.lines]
    assert drawn == [[[0, 0], [4, 4]], [[4, 8], [12, 16]]]
    assert segments_of(ax, "seams").tolist() == [[[4, 4], [4, 8]]]
    assert "1 seam" in ax.get_title("left") and "keep ratio 0.75" in ax.get_title("left")


def test_several_edits_are_rows(song):
    edits = [edit_of(song, range(0)), edit_of(song, range(8, 16))]
    ax = only_axes(plots.edit_map(edits, ["cool", "warm"]))
    assert y_labels(ax) == ["cool", "warm"]
    rows = [c for c in ax.collections if c.get_array() is not None]
    assert rows[1].get_array().ravel().tolist() == [*np.arange(0, 4, 0.5), *np.arange(8, 16, 0.5)]
    assert [found.get_xdata().tolist() for found in ax.lines] == [[], [4]]
    assert ax.get_xlim() == (0, 16)


def test_labels_must_match_edits(song):
    with pytest.raises(InputError, match="2 labels for 1 edits"):
        plots.edit_map(edit_of(song, range(4)), ["x", "y"])
    with pytest.raises(InputError, match="0 labels for 0 edits"):
        plots.dense_terms([], [])


def test_dense_terms_show_each_edit_and_the_mean(song):
    whole = edit_of(song, range(0), 1.0)
    others = [edit_of(song, range(8, 16)), edit_of(song, range(4, 12))]
    ax = only_axes(plots.dense_terms([whole, *others], ["all", "cut", "cut"]))
    assert line(ax, "all").get_ydata().tolist() == [1, 1, 1, 1]
    dots = np.array([d.get_ydata() for d in ax.lines if d.get_marker() == "."])
    assert dots.shape == (2, 4)
    assert line(ax, "cut").get_ydata() == pytest.approx(dots.mean(axis=0))
    assert ax.get_xticklabels()[0].get_text() == "tempo\nconsistency"


def test_durations_show_band_and_edits():
    table = pd.DataFrame(
        {
            "song": ["x", "x", "y", "y"],
            "temperature": [0.1, 0.5, 0.1, 0.5],
            "target": [1.0, 0.83, 1.0, 0.83],
            "keep_ratio": [1.0, 0.84, 1.0, 0.81],
        }
    )
    ax = only_axes(plots.durations(table))
    assert line(ax, "one edit").get_ydata().tolist() == [1.0, 0.84, 1.0, 0.81]
    assert line(ax, "target").get_xydata().tolist() == [[0.1, 1.0], [0.5, 0.83]]
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.8, 1.03))
    assert "0.020" in ax.get_title("left")


# training ------------------------------------------------------------------------------------


def test_reward_curves():
    epochs = [
        {"epoch": 0, "valid_loss": 0.8, "valid_accuracy": 0.5},
        {
            "epoch": 1,
            "train_loss": 0.6,
            "train_accuracy": 0.7,
            "valid_loss": 0.5,
            "valid_accuracy": 0.8,
        },
    ]
    loss, accuracy = plots.reward_curves(RewardHistory(epochs, best_epoch=1)).axes
    assert line(loss, "held-out pairs").get_xydata().tolist() == [[0, 0.8], [1, 0.5]]
    assert line(loss, "training pairs").get_xydata().tolist() == [[1, 0.6]]
    assert line(accuracy, "held-out pairs").get_ydata().tolist() == [0.5, 0.8]
    assert line(loss, "best epoch: 1").get_xdata() == [1, 1]
    assert line(loss, "chance").get_ydata()[0] == pytest.approx(0.693, abs=1e-3)
    assert "nats" in loss.get_ylabel()


def test_reward_curves_without_held_out_pairs():
    epochs = [{"epoch": 0}, {"epoch": 1, "train_loss": 0.6, "train_accuracy": 0.7}]
    loss, _ = plots.reward_curves(RewardHistory(epochs, best_epoch=1)).axes
    assert line(loss, "training pairs").get_ydata().tolist() == [0.6]
    with pytest.raises(InputError, match="no epochs"):
        plots.reward_curves(RewardHistory())


def test_policy_curves_average_over_the_window():
    rows = [
        {"episode": 10 * k, "dense": 0.0, "learned": 3.0 * k, "combined": 2.0 * k}
        | {"held_out": 0.1 * k, "kl": 0.01 * k, "loss": -0.1 * k}
        for k in (1, 2, 3)
    ]
    figure = plots.policy_curves(rows, window=2, best_episode=20)
    reward, kl, loss = figure.axes
    assert line(reward, "learned").get_ydata().tolist() == [3, 4.5, 7.5]
    assert line(reward, "held-out songs").get_ydata() == pytest.approx([0.1, 0.2, 0.3])
    band = reward.collections[0].get_paths()[0].vertices  # combined: 2, (2, 4), (4, 6)
    assert (band[:, 1].min(), band[:, 1].max()) == (2, 6)
    assert kl.lines[0].get_ydata() == pytest.approx([0.01, 0.02, 0.03])
    assert loss.lines[0].get_ydata() == pytest.approx([-0.1, -0.2, -0.3])
    assert line(reward, "best: episode 20").get_xdata() == [20, 20]
    alone = [{name: row[name] for name in row if name not in ("dense", "learned")} for row in rows]
    lines = plots.policy_curves(alone, window=1).axes[0].lines
    assert [one.get_label() for one in lines[1:]] == ["combined", "held-out songs"]
    with pytest.raises(InputError, match="0 rows"):
        plots.policy_curves([])


def linear_head(weights, scale: float):
    weights = torch.tensor(weights)
    return SimpleNamespace(
        descriptor_weights=lambda: weights, descriptor_scale=torch.full((weights.shape[1],), scale)
    )


def test_weights_show_mean_range_and_taste():
    n = N_DESCRIPTORS
    model = linear_head([[1.0] * n, [4.0] * n], scale=2.0)
    rater = SimulatedRater("sim", {"seams": -1.5}, noise=0.5)
    additive, whole = plots.weights({"v9": model}, rater).axes
    for ax in (additive, whole):
        assert set(line(ax, "v9 (mean and range of 2)").get_xdata()) == {5.0}
        bars = ax.containers[0].lines[2][0].get_segments()
        assert bars[0][:, 0].tolist() == [2, 8]
    tastes = [line(ax, "simulated taste").get_xdata().tolist() for ax in (additive, whole)]
    assert tastes[0] + tastes[1] == [-6.0] + [0.0] * (n - 1)
    assert y_labels(additive) + y_labels(whole) == [
        name.replace("_", " ") for name in DESCRIPTOR_NAMES
    ]
    with pytest.raises(InputError, match="no reward model"):
        plots.weights({})


def test_weights_per_difference_of_given_pairs(song):
    whole, half = edit_of(song, range(0)), edit_of(song, range(16, 32))
    model = linear_head([[2.0] * N_DESCRIPTORS], scale=1.0)
    pairs = [Comparison(whole, half, 1.0), Comparison(half, whole, 1.0)]
    panels = plots.weights({"v9": model}, pairs=pairs).axes
    values = [value for ax in panels for value in line(ax, "v9 (mean and range of 1)").get_xdata()]
    shown = dict(zip(DESCRIPTOR_NAMES, values, strict=True))
    assert shown["length"] == pytest.approx(2 * 0.5)  # the lengths differ by half of the song
    assert shown["ending"] == pytest.approx(2 * 1.0)  # the whole ending is missing
    assert shown["seams"] == 0  # neither has one


# style ---------------------------------------------------------------------------------------


def test_plots_draw_into_given_axes_and_figures(song):
    outer = Figure()
    left, right = outer.subfigures(1, 2)
    ax = left.subplots()
    assert plots.edit_map(edit_of(song, range(8)), ax=ax) is outer
    epochs = [{"epoch": 1, "train_loss": 0.6, "train_accuracy": 0.7}]
    assert plots.reward_curves(RewardHistory(epochs, 1), fig=right) is outer
    assert len(right.axes) == 2


def test_the_style_does_not_leak(song):
    before = dict(matplotlib.rcParams)
    figure = plots.edit_map(edit_of(song, range(8)))
    assert dict(matplotlib.rcParams) == before
    assert same_color(figure.get_facecolor(), "white")


def test_a_notebook_shows_a_plot_as_png(song):
    assert plots.edit_map(edit_of(song, range(8)))._repr_png_().startswith(b"\x89PNG")


def test_equal_plots_are_equal_svg_files(song):
    first, second = (style.svg(plots.edit_map(edit_of(song, range(8)))) for _ in range(2))
    assert first == second
    assert b"<svg" in first
