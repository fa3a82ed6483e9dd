"""Draw the README's picture: a song, its edit before there is feedback, and after fifty answers.

The rater is simulated and likes edits that build up; the answers are about four other songs.
Writes docs/images/loop.png.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.reward.fit import RewardTraining, fit
from rlhf_lib.plots import style
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))  # lab: asking a rater, following the answers
from lab.policies import asked, reference_edits, refined  # noqa: E402

TASTE, ANSWERS, KEEP = "arc", 50, 0.5
COLOURS = {
    "intro": style.SKY,
    "verse": style.BLUE,
    "chorus": style.ORANGE,
    "bridge": style.GREEN,
    "outro": style.GREY,
}


def taught(old: Policy, songs: list[Song]) -> Policy:
    """Ask a simulated rater about edits of the songs and return the policy that follows."""
    rater = SimulatedRater("simulated", TASTE, noise=0.3)
    answers = asked(old, songs, rater, ANSWERS, seed=0, per_song=10)
    model, _ = load_reward_model(ROOT / "models/reward_model_v8.pt")
    fit(model, answers, [], RewardTraining(seed=0))
    return refined(old, model, reference_edits(old, songs))


def draw_row(ax: Axes, row: int, edit: Edit, parts: np.ndarray) -> None:
    """Draw beats in playing order: as high as they are loud, in the colours of the song's parts."""
    level = edit.song.features[:, FEATURE_NAMES.index("rms_mean")]
    low, high = np.quantile(level, [0.02, 0.98])
    height = 0.12 + 0.66 * np.clip((level - low) / (high - low), 0, 1)
    colours = [COLOURS[parts[beat]] for beat in edit.order]
    floor, starts, widths = row + 0.4, edit.times[:-1], np.diff(edit.times) * 0.86
    ax.bar(starts, -height[edit.order], widths, floor, align="edge", color=colours)
    seams = edit.seam_times
    ax.vlines(seams, row - 0.42, floor, color=style.VERMILLION, linewidth=1.5)
    ax.plot(seams, np.full(len(seams), row - 0.42), "v", color=style.VERMILLION, ms=6)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        compose_songs(folder, n_songs=8, seed=21, seconds=90.0)
        songs, _ = load_songs(folder, cache_dir=Path(folder) / "cache")
        song, others = songs[1], songs[4:]
        truth = json.loads(song.path.with_suffix(".truth.json").read_text("utf-8"))
    old, _ = load_policy(ROOT / "models/policy_v14.pt")
    new = taught(old, others)
    like = SimulatedRater("simulated", TASTE, noise=0.0).utility
    (before,), (after,) = (policy.edits([song], [KEEP]) for policy in (old, new))
    if like(after) <= like(before):
        sys.exit("the answers did not help on this song; choose another seed")

    parts = np.full(song.n_beats, "intro", dtype=object)
    for section in truth["sections"]:
        start = truth["beat_times"][section["start_beat"]]
        parts[song.beat_times > start - 0.1] = section["name"]
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    ax = figure.subplots()
    for row, edit in enumerate((Edit.without(song), before, after)):
        draw_row(ax, row, edit, parts)
    labels = ("the song", "half of it,\nbefore feedback", f"after {ANSWERS} answers\nto “A or B?”")
    ax.set_yticks(range(3), labels, size=10)
    ax.set_ylim(2.6, -0.6)
    ax.set_xlim(0, song.duration)
    ax.tick_params(left=False)
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.set_xlabel("time (s)", size=9)
    heard = {name: Patch(color=colour) for name, colour in COLOURS.items() if name in parts}
    seam = Line2D([], [], color=style.VERMILLION, marker="v")
    names = [*heard, "seam"]
    ax.legend([*heard.values(), seam], names, loc="lower right", fontsize=9, frameon=False)
    figure.savefig(ROOT / "docs/images/loop.png", dpi=100, facecolor="white")


if __name__ == "__main__":
    main()
