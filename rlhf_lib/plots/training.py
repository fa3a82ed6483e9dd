"""Plots of training, and of the weights of reward models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rlhf_lib.editing.descriptors import (
    DESCRIPTOR_NAMES,
    N_ADDITIVE,
    N_DESCRIPTORS,
    describe,
)
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.fit import RewardHistory
from rlhf_lib.plots import style
from rlhf_lib.plots.style import count_axis, figure_of, new_figure, short_name, styled
from rlhf_lib.raters.simulated import SimulatedRater

if TYPE_CHECKING:
    from rlhf_lib.learning.reward.model import RewardModel

#: Loss of a Bradley–Terry model that predicts ½ for every pair.
_CHANCE_LOSS = float(np.log(2))
#: With up to this many epochs, each is marked.
_FEW_EPOCHS = 30
_REWARDS = {
    "combined": style.BLACK,
    "learned": style.BLUE,
    "dense": style.ORANGE,
    "held_out": style.GREEN,
}


@styled
def reward_curves(history: RewardHistory, fig: Figure | SubFigure | None = None) -> Figure:
    """Draw loss and accuracy of a reward model over its epochs, the best epoch marked.

    An epoch is a pass over all pairs; epoch 0, where there is one, is the model before training.

    Raises
    ------
    InputError
        When the history is empty.
    """
    if not history.epochs:
        raise InputError("the history holds no epochs; train the reward model first")
    fig = new_figure(9, 3.2) if fig is None else fig
    table = pd.DataFrame(history.epochs)
    for ax, name, unit, chance in zip(
        fig.subplots(1, 2),
        ("loss", "accuracy"),
        (" (nats per pair)", " (share of decided pairs)"),
        (_CHANCE_LOSS, 0.5),
        strict=True,
    ):
        ax.axhline(chance, color=style.GREY, linewidth=1, linestyle=":", label="chance")
        for part, label, colour in (
            ("train", "training pairs", style.BLUE),
            ("valid", "held-out pairs", style.VERMILLION),
        ):
            if f"{part}_{name}" in table:
                known = table.dropna(subset=f"{part}_{name}")
                ax.plot(
                    known["epoch"],
                    known[f"{part}_{name}"],
                    marker="o" if len(table) <= _FEW_EPOCHS else "",
                    markersize=3.5,
                    color=colour,
                    label=label,
                )
        ax.axvline(
            history.best_epoch,
            color=style.GREEN,
            linewidth=1.5,
            linestyle="--",
            label=f"best epoch: {history.best_epoch}",
        )
        count_axis(ax, table["epoch"].tolist())
        ax.set_xlabel("epoch (pass over the pairs)")
        ax.set_ylabel(name + unit)
        ax.set_title(name.capitalize())
    ax.set_ylim(min(0.4, ax.get_ylim()[0]), 1.02)
    ax.legend(loc="best")
    return figure_of(fig)


@styled
def policy_curves(
    rows: Sequence[Mapping[str, float]],
    window: int = 5,
    best_episode: int | None = None,
    fig: Figure | SubFigure | None = None,
) -> Figure:
    """Draw rewards, KL and loss of a policy over its training.

    Parameters
    ----------
    rows : list of dict
        ``PolicyHistory.rows``: episode, combined and the other parts of the reward, held_out, kl,
        loss.
    window : int
        Rewards are running means over this many rows; the band is one standard deviation
        within the window on either side.
    best_episode : int, optional
        The episode to mark.

    Raises
    ------
    InputError
        When there are no rows, or the window is shorter than 1.
    """
    if not rows or window < 1:
        raise InputError(f"{len(rows)} rows and window {window}; both must be at least 1")
    fig = new_figure(10, 3.8) if fig is None else fig
    table = pd.DataFrame(list(rows))
    episode = table["episode"]
    marker = "o" if len(table) == 1 else "-"
    panels = fig.subplot_mosaic([["reward", "kl"], ["reward", "loss"]], width_ratios=[1.7, 1])
    ax = panels["reward"]
    ax.axhline(0, color=style.GREY, linewidth=1, linestyle=":")
    for name, colour in _REWARDS.items():
        if name not in table:
            continue
        if name == "held_out":
            ax.plot(episode, table[name], marker, color=colour, label="held-out songs")
            continue
        rolling = table[name].rolling(window, min_periods=1)
        mean, spread = rolling.mean(), rolling.std(ddof=0)
        ax.fill_between(
            episode, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0
        )
        ax.plot(episode, mean, marker, color=colour, label=name)
    ax.set_xlabel("episodes")
    ax.set_ylabel("gain of a draw over the plan at the start")
    ax.set_title(f"Reward, running mean of {window} rows ± 1 sd")
    for name, unit in (("kl", "KL from start\n(nats per plan)"), ("loss", "PPO loss")):
        panels[name].plot(episode, table[name], marker, color=style.PURPLE, linewidth=1.4)
        panels[name].set_ylabel(unit)
    panels["kl"].set_title("KL and loss")
    panels["kl"].set_ylim(0, None)
    panels["kl"].tick_params(labelbottom=False)
    panels["loss"].set_xlabel("episodes")
    for panel in panels.values():
        count_axis(panel, episode.tolist())
    if best_episode is not None:
        for panel in panels.values():
            panel.axvline(
                best_episode,
                color=style.GREEN,
                linestyle="--",
                linewidth=1.5,
                label=f"best: episode {best_episode}",
            )
    ax.legend(loc="best", ncols=2)
    return figure_of(fig)


@styled
def weights(
    models: Mapping[str, RewardModel],
    rater: SimulatedRater | None = None,
    pairs: Sequence[Comparison] = (),
    fig: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the weights of the linear heads of reward models: ensemble mean and range.

    The left panel has the additive descriptors, the right one those of the whole edit.

    Weights are given per typical difference of a descriptor between two edits, so that they
    compare across descriptors.

    Parameters
    ----------
    models : dict of name → RewardModel
        One or several, e.g. ``{"v8": v8, "v9": v9}``.
    rater : SimulatedRater, optional
        Its taste is drawn next to them, in log-odds of its votes.
    pairs : sequence of Comparison, optional
        The typical difference is the root mean square over these; without them it is the
        first model's ``descriptor_scale``, of the pairs it was first trained on.

    Raises
    ------
    InputError
        When there is no model.
    """
    if not models:
        raise InputError("no reward model to draw; give at least one under its name")
    fig = new_figure(10, 5.2) if fig is None else fig
    scale = next(iter(models.values())).descriptor_scale.cpu().numpy()
    if len(pairs):
        gaps = np.stack([describe(pair.a) - describe(pair.b) for pair in pairs])
        scale = np.sqrt((gaps**2).mean(axis=0))
    weights_of = {
        name: model.descriptor_weights().detach().cpu().numpy() * scale
        for name, model in models.items()
    }
    drawn = {
        f"{short_name(name)} (mean and range of {len(each)})": each
        for name, each in weights_of.items()
    }
    taste = None if rater is None else rater.descriptor_weights * scale / (rater.noise or 1.0)
    parts = {
        "Sums over joins": range(N_ADDITIVE),
        "Whole edit": range(N_ADDITIVE, N_DESCRIPTORS),
    }
    for ax, (title, rows) in zip(fig.subplots(1, 2, sharex=True), parts.items(), strict=True):
        _weights_of(ax, drawn, taste, list(rows))
        ax.set_title(title)
    fig.supxlabel("log-odds of being preferred, per typical difference of two edits", fontsize=9.5)
    fig.suptitle("Weights of the linear head", x=0.01, ha="left", fontweight="bold", fontsize=11)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure_of(fig)


def _weights_of(
    ax: Axes, drawn: Mapping[str, np.ndarray], taste: np.ndarray | None, rows: list[int]
) -> None:
    """Draw some rows of weights, (members, N_DESCRIPTORS) each."""
    count = len(drawn) + (taste is not None)
    places = np.arange(len(rows))
    for number, (label, weights) in enumerate(drawn.items()):
        each = weights[:, rows]
        mean = each.mean(axis=0)
        ax.errorbar(
            mean,
            places + 0.6 * ((number + 0.5) / count - 0.5),
            xerr=np.maximum([mean - each.min(axis=0), each.max(axis=0) - mean], 0),
            fmt="o",
            markersize=4,
            capsize=2,
            linewidth=1.3,
            color=style.CYCLE[number % len(style.CYCLE)],
            label=label,
        )
    if taste is not None:
        ax.plot(
            taste[rows],
            places + 0.6 * ((count - 0.5) / count - 0.5),
            "D",
            markersize=4,
            markerfacecolor="white",
            color=style.VERMILLION,
            label="simulated taste",
        )
    ax.axvline(0, color=style.BLACK, linewidth=0.8)
    ax.set_yticks(places, [DESCRIPTOR_NAMES[row].replace("_", " ") for row in rows])
    ax.tick_params(axis="y", length=0, labelsize=8.5)
    ax.set_ylim(len(rows) - 0.4, -0.6)
