"""Measure how cost grows with beats, songs, pairs and the size of the ensemble.

    python benchmarks/growth.py [--write]

Each step is timed at doubling sizes, in turn, in one thread. The exponent is the slope of log time
over log size in the larger half of the sizes: 1 is linear. With ``--write`` the plot is written to
docs/images/growth.png.
"""

import os

from rlhf_lib.editing.descriptors import N_ADDITIVE

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import FixedLocator, NullLocator  # noqa: E402
from measuring import arguments, made_up_song, publish, side_by_side  # noqa: E402

from rlhf_lib.analysis.beats import estimate_beats  # noqa: E402
from rlhf_lib.analysis.downmix import ANALYSIS_RATE, Downmix  # noqa: E402
from rlhf_lib.analysis.features import beat_features  # noqa: E402
from rlhf_lib.editing.edit import Action, Edit  # noqa: E402
from rlhf_lib.learning.planning import stretch  # noqa: E402
from rlhf_lib.learning.planning.planner import Plan  # noqa: E402
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors  # noqa: E402
from rlhf_lib.learning.policy.policy import TARGETS, Policy, PolicyConfig  # noqa: E402
from rlhf_lib.learning.reward.fit import RewardTraining, fit  # noqa: E402
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel  # noqa: E402
from rlhf_lib.learning.reward.synthetic import (  # noqa: E402
    SYNTHETIC_WEIGHTS,
    descriptor_scale,
    synthetic_comparisons,
)
from rlhf_lib.paths import resolve  # noqa: E402
from rlhf_lib.plots import save  # noqa: E402
from rlhf_lib.plots.style import GREY, new_figure, styled  # noqa: E402

PICTURE = "docs/images/growth.png"
PERIOD = 0.5  # s per beat
#: Up to two hours of music.
LONG_BEATS = (900, 1800, 3600, 7200, 14400)
BEATS, SONGS, PAIRS, MEMBERS = (
    (128, 256, 512, 1024),
    (1, 2, 4, 8, 16, 32),
    (25, 50, 100, 200),
    (1, 2, 4, 8, 16),
)


@dataclass(frozen=True)
class Growth:
    """A step that is timed at growing sizes: `prepare(size)` returns the call to time."""

    step: str
    over: str
    sizes: Sequence[int]
    prepare: Callable[[int], Callable[[], object]]
    why: str = ""


def drums(beats: int) -> Downmix:
    """Return noise bursts on every beat, in the form that the analysis reads."""
    length = round(beats * PERIOD * ANALYSIS_RATE)
    time = np.arange(length) / ANALYSIS_RATE % PERIOD
    noise = np.random.default_rng(0).standard_normal(length)
    samples = (0.1 * noise * (np.exp(-time / 0.05) + 0.05)).astype(np.float32)
    return Downmix(samples, length, ANALYSIS_RATE, 0.5)


def analysis(beats: int):
    sound = drums(beats)
    return lambda: beat_features(sound, estimate_beats(sound).times)


def table_of_values(beats: int):
    song = made_up_song(beats)
    tensors = SongTensors.build([song], FeatureScale.fit([song]))
    return lambda: Plan.build(tensors, SYNTHETIC_WEIGHTS[:N_ADDITIVE])


def editing(songs: list, **config):
    policy = Policy(PolicyConfig(**config), SYNTHETIC_WEIGHTS)

    def edits():
        stretch._table.cache_clear()  # so that the tables of steps are made each time
        policy.edits(songs, TARGETS)

    return edits


def model_for(songs: list, members: int = 5) -> RewardModel:
    torch.manual_seed(0)
    scale = FeatureScale.fit(songs)
    config = RewardConfig(members=members)
    return RewardModel(config, scale, descriptor_scale(songs, 0), SYNTHETIC_WEIGHTS).eval()


def scoring(beats: int):
    song = made_up_song(beats)
    cut = np.where(np.arange(beats) // 4 % 5 == 4, Action.CUT, Action.KEEP)
    edits = [Edit(song, np.roll(cut, 4 * k), 0.8) for k in range(4)]
    model = model_for([made_up_song(128)])
    return lambda: model.score(edits)


def fitting(pairs: int, members: int = 5):
    songs = [made_up_song(96, seed=seed) for seed in range(5)]
    comparisons = synthetic_comparisons(songs, pairs // 5, 0)
    model = model_for(songs, members)
    return lambda: fit(model, comparisons, [], RewardTraining())


STEPS = (
    Growth("analysis", "beats", BEATS, analysis, "frames; joins within fixed windows"),
    Growth(
        "values for the environment",
        "beats",
        BEATS,
        table_of_values,
        "every remaining length × every bar × every next bar",
    ),
    Growth(
        "five edits, planned",
        "beats",
        LONG_BEATS,
        lambda beats: editing([made_up_song(beats)], search=False),
        "stretches of at most 800 beats, one by one; what sounds odd is found among all beats",
    ),
    Growth(
        "reward of four edits",
        "beats",
        BEATS,
        scoring,
        "descriptors only: the transformer has no part in the score",
    ),
    Growth(
        "five edits, planned",
        "songs",
        SONGS[:4],
        lambda n: editing([made_up_song(192, seed=seed) for seed in range(n)], search=False),
        "one song after the other",
    ),
    Growth(
        "five edits, searched",
        "beats",
        LONG_BEATS,
        lambda beats: editing([made_up_song(beats)]),
        "the same; changes are described stretch by stretch",
    ),
    Growth("fitting the reward", "pairs", PAIRS, fitting, "each edit is read once"),
    Growth(
        "fitting the reward",
        "members",
        MEMBERS,
        lambda members: fitting(50, members),
        "edits are read once and one fit is made for all members",
    ),
)


def exponents(sizes: Sequence[int], times: np.ndarray) -> np.ndarray:
    """Return the slope of log time over log size in the larger half of the sizes, per round."""
    half = len(sizes) // 2
    return np.array(
        [np.polyfit(np.log(sizes[half - 1 :]), np.log(row), 1)[0] for row in times.T[:, half - 1 :]]
    )


@styled
def drawn(measured: list[tuple[Growth, np.ndarray]]) -> Figure:
    """Plot seconds over size, one panel per kind of size; dotted: linear."""
    kinds = list(dict.fromkeys(growth.over for growth, _ in measured))
    figure = new_figure(10.5, 3.1)
    for ax, kind in zip(figure.subplots(1, len(kinds)), kinds, strict=True):
        for marker, (growth, times) in zip(
            "os^Dv", (one for one in measured if one[0].over == kind), strict=False
        ):
            middle = np.median(times, axis=1)
            sizes = np.array(growth.sizes)
            ax.plot(sizes, middle, marker=marker, markersize=5, label=growth.step)
            ax.fill_between(sizes, times.min(axis=1), times.max(axis=1), alpha=0.2)
            ax.plot(sizes, middle[0] * sizes / sizes[0], ":", color=GREY, linewidth=1)
        ax.set(xscale="log", yscale="log", xlabel=kind, title=f"Against {kind}")
        ticks = sorted(
            {size for growth, _ in measured if growth.over == kind for size in growth.sizes}
        )
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
        labels = [f"{tick / 1000:.2g}k" if tick >= 1000 else str(tick) for tick in ticks]
        crowded = len(ticks) > 6  # then every other size is named
        ax.set_xticklabels(
            ["" if crowded and place % 2 else label for place, label in enumerate(labels)]
        )
        ax.legend(loc="upper left")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend
    figure.axes[0].set_ylabel("seconds (dotted: linear)")
    return figure


def main() -> None:
    """Print the table; with ``--write``, write it and the plot."""
    args = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    measured, rows = [], []
    for growth in STEPS:
        runs = {str(size): growth.prepare(size) for size in growth.sizes}
        times = np.array(list(side_by_side(runs, args.rounds).values()))
        slopes = exponents(growth.sizes, times)
        measured.append((growth, times))
        first, last = (np.median(times[k]) for k in (0, -1))
        rows.append(
            {
                "step": growth.step,
                "against": f"{growth.sizes[0]} … {growth.sizes[-1]} {growth.over}",
                "s": f"{first:.3g} … {last:.3g}",
                "exponent": f"{np.median(slopes):.2f} ({slopes.min():.2f}–{slopes.max():.2f})",
                "why": growth.why,
            }
        )
        print(rows[-1], flush=True)
    about = (
        "Exponent of the growth over the larger half of the sizes, 1 being linear; one thread, "
        "made-up songs.\n\n![Seconds against size](images/growth.png)"
    )
    publish("growth", pd.DataFrame(rows), about, args.write)
    if args.write:
        print(save(drawn(measured), resolve(PICTURE)))


if __name__ == "__main__":
    main()
