"""The plots of results and answers show the right numbers."""

import numpy as np
import pandas as pd
import pytest
from artists import legend, line, only_axes, y_labels
from feedback_examples import answer

from rlhf_lib import plots
from rlhf_lib.errors import InputError

# evaluation ----------------------------------------------------------------------------------


def test_calibration_shows_bins_and_error():
    figure = plots.calibration([0.2, 0.8, 0.4, 0.9, 1.0], [0, 1, 1, 1, 0.5], bins=2)
    ax, counts = figure.axes
    assert line(ax, "model").get_xydata() == pytest.approx(np.array([[0.3, 0.5], [0.9, 5 / 6]]))
    assert "ECE 0.120, 5 pairs" in ax.get_title("left")
    assert [bar.get_height() for bar in counts.patches] == [2, 3]


WIN_RATES = pd.DataFrame(
    {
        "line": ["new policy", "bound", "new policy"],
        "mode": ["greedy", "greedy", "sampled"],
        "win_rate": [0.8, 0.9, 0.6],
        "low": [0.7, 0.85, 0.65],  # the last interval does not contain its rate
        "high": [0.9, 1.0, 0.7],
        "votes": [0.7, 0.75, 0.55],
        "n": 40,
        "n_songs": 10,
    }
)


def test_win_rates_are_a_forest():
    ax = only_axes(plots.win_rates(WIN_RATES))
    assert line(ax, "greedy").get_xdata().tolist() == [0.8, 0.9]
    assert line(ax, "sampled").get_xdata().tolist() == [0.6]
    assert line(ax, "noisy votes").get_xdata().tolist() == [0.7, 0.75, 0.55]
    assert y_labels(ax) == ["new policy", "bound"]
    bars = next(c for c in ax.containers if c.get_label() == "greedy").lines[2][0].get_segments()
    assert np.array(bars)[:, :, 0] == pytest.approx(np.array([[0.7, 0.9], [0.85, 1.0]]))
    assert ax.texts[0].get_text() == "0.80 [0.70, 0.90]"
    assert ax.lines[0].get_xdata() == [0.5, 0.5]
    assert "10 held-out songs, 40 comparisons" in ax.get_title("left")
    ax = only_axes(plots.win_rates(WIN_RATES.drop(columns="votes")))
    assert "noisy votes" not in ax.get_legend_handles_labels()[1]


def test_win_rates_by_song_run_from_worst_to_best():
    comparisons = pd.DataFrame({"song": list("aabbcc"), "win": [1, 1, 0, 0.5, 1, 0]})
    ax = only_axes(plots.win_rates_by_song(comparisons))
    assert line(ax, "one song (Wilson)").get_xdata().tolist() == [0.25, 0.5, 1.0]
    assert y_labels(ax) == ["b (n = 2)", "c (n = 2)", "a (n = 2)", "all"]
    assert any(label.startswith("all songs: 0.58 [") for label in legend(ax))


def test_accuracies_of_several_models():
    table = pd.DataFrame(
        {
            "scorer": ["model", "longer"],
            "accuracy": [0.8, 0.5],
            "low": 0.4,
            "high": 0.9,
            "pairs": 20,
        }
    )
    ax = only_axes(plots.accuracies({"v8": table, "v9": table.assign(accuracy=[0.9, 0.5])}))
    assert line(ax, "v8").get_xdata().tolist() == [0.8, 0.5]
    assert line(ax, "v9").get_xdata().tolist() == [0.9, 0.5]
    assert y_labels(ax) == ["model", "longer"]
    assert "20 decided pairs" in only_axes(plots.accuracies(table)).get_title("left")
    with pytest.raises(InputError, match="no accuracy table"):
        plots.accuracies({})


def test_over_optimisation_marks_the_best_true_reward():
    table = pd.DataFrame({"episode": [0, 50, 100], "learned": [0, 1, 2], "gold": [0, 0.5, 0.2]})
    ax = only_axes(plots.reward_course(table))
    assert line(ax, "true reward best: 50").get_xdata() == [50, 50]
    assert line(ax, "learned reward (used by PPO)").get_ydata().tolist() == [0, 1, 2]
    assert line(ax, "true reward (simulated taste)").get_ydata().tolist() == [0, 0.5, 0.2]


# feedback ------------------------------------------------------------------------------------


def test_answers_show_each_rater_on_the_seven_point_row():
    old = answer(song_id="s1", preference="b", strength=3)
    given = [
        old,
        answer(song_id="s1", preference="a", strength=2, supersedes=old.annotation_id),
        answer(song_id="s2", preference="tie", strength=0),
        answer(song_id="s3", preference="tie", strength=0, cant_tell=True),
        answer(song_id="s1", preference="a", strength=1, rater_id="sim", rater_kind="simulated"),
        answer(song_id="s2", preference="b", strength=1, rater_id="sim", rater_kind="simulated"),
    ]
    spread, agreement = plots.answers(given).axes
    counts = {
        bars.get_label(): [bar.get_width() for bar in bars.patches] for bars in spread.containers
    }
    assert counts["a, moderate"] == [1, 0]
    assert counts["a, slight"] == [0, 1]
    assert counts["tie"] == [1, 0]
    assert counts["b, slight"] == [0, 1]
    assert counts["b, strong"] == [0, 0]  # superseded
    assert counts["can't tell"] == [1, 0]
    assert y_labels(spread) == ["ann", "sim\n(simulated)"]
    assert spread.get_title("left") == "5 answers: 50% a, 25% b, 25% tie"
    assert agreement.containers[0].lines[0].get_xdata().tolist() == [0.5]
    assert y_labels(agreement) == ["ann and sim (2)"]


def test_answers_of_one_rater_have_one_panel():
    assert len(plots.answers([answer()]).axes) == 1
    with pytest.raises(InputError, match="no answers"):
        plots.answers([])


def test_disagreement_marks_the_chosen_pairs():
    ax = only_axes(plots.disagreement([0.1, 0.2, 0.3, 0.1], chosen=[2], bins=2))
    chosen, rest = ([bar.get_height() for bar in bars] for bars in ax.containers)
    assert (chosen, rest) == ([0, 1], [2, 1])
    assert legend(ax) == ["chosen (1)", "not chosen (3)"]
    with pytest.raises(InputError, match="no pairs"):
        plots.disagreement([])
