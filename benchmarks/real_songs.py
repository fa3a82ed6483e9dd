"""Recorded songs: where v14 cuts them, and what feedback of raters from outside teaches.

    python benchmarks/real_songs.py FOLDER            # prints the tables
    python benchmarks/real_songs.py FOLDER --write    # and writes them to docs/results.md
    python benchmarks/real_songs.py OTHERS --output_dir runs/untouched --write untouched

A song whose sung lines are known (``song.sung.json`` beside it, see docs/data-formats.md) is also
judged by the taste `lyrics`; parts that cannot be measured are named. Edits and utilities are
kept in --output_dir and not computed again.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from lab.material import AGREEMENT, one_thread, utilities
from lab.policies import reference_edits, refined
from lab.recorded import LINES_WEIGHT, V8, WITH_ENDS, Recorded, halves, prepare_recorded
from lab.rewards import fitted, member_gaps
from measuring import between, markdown

from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.learning.reward.fit import (
    RewardTraining,
    fit_pair_data,
    parameters,
    set_parameters,
)
from rlhf_lib.paths import atomic_path, resolve
from rlhf_lib.raters.lyrics import read_sung_lines, sung_file
from rlhf_lib.raters.outside import OUTSIDE_TASTES
from rlhf_lib.raters.simulated import STRENGTH_STEPS
from rlhf_lib.steps.checkpoints import load_reward_model
from rlhf_lib.steps.evaluation import EVEN, clustered_rate, wins

REPORT = "docs/results.md"
#: Numbers of noisy answers; a loss at either end beyond this many s is counted.
ANSWERS, LOST_SECONDS = (50, 200), 4.0
#: An edit of one seam at most this many beats from its start or end is little more than a crop.
NEARLY_CROP = 16
#: Songs that a taste must be able to judge: two for each half.
FEWEST = 4


def main() -> None:
    """Measure, print, and with --write document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="recorded songs")
    parser.add_argument("--output_dir", default="runs/real_songs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--write",
        nargs="?",
        const="real_songs",
        metavar="MARK",
        help=f"write the tables to {REPORT}, where the mark stands (real_songs or untouched)",
    )
    args = parser.parse_args()
    output, began = resolve(args.output_dir), time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    recorded = prepare_recorded(args.folder, output, args.jobs)
    print(f"edits and utilities: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    tables, skipped = {}, []
    silent = [song.song_id for song in recorded.songs if not sung_file(song).is_file()]
    if silent:
        skipped.append(f"no sung lines, so not judged by lyrics: {', '.join(silent)}")
    if len(silent) < len(recorded.songs):
        tables["Where the edits cut"] = seam_table(recorded)
    tastes = [name for name in OUTSIDE_TASTES if len(recorded.judged(name)) >= FEWEST]
    for name in OUTSIDE_TASTES:
        if name not in tastes:
            skipped.append(f"{name}: fewer than {FEWEST} songs that it can judge")
    title = "What sparing singing changes, by the noiseless taste (start and end kept by both)"
    tables[title] = sparing_table(recorded, tastes)
    work = [delayed(learning)(output, name, k, args.seeds) for name in tastes for k in (0, 1)]
    work += [delayed(predictability)(output, name) for name in tastes]
    rows = pd.concat(Parallel(args.jobs, batch_size=1)(work))
    tables["Pairs of one length ranked as by the noiseless taste"] = accuracy_table(rows)
    tables["Win rate over v14 on unseen songs, by the noiseless taste"] = win_table(rows)
    minutes = (time.monotonic() - began) / 60
    about = (
        f"{len(recorded.songs)} songs, {len(recorded.songs) - len(silent)} of them with known sung "
        f"lines; two raters agree on {AGREEMENT:.0%} of the pairs; {args.seeds} seeds; "
        f"{minutes:.0f} minutes."
    )
    skips = "\n".join(f"Skipped: {skip}." for skip in skipped)
    print(f"\n{about}\n{skips}")
    for title, table in tables.items():
        print(f"\n== {title}\n{table.to_string(index=False)}")
    if args.write:
        body = "\n\n".join(f"**{title}**\n\n{markdown(table)}" for title, table in tables.items())
        path = resolve(REPORT)
        text = between(path.read_text("utf-8"), args.write, f"{about}\n{skips}\n\n{body}")
        with atomic_path(path) as part:
            part.write_text(text, encoding="utf-8")


# --- where the edits cut


def seam_table(recorded: Recorded) -> pd.DataFrame:
    """Return where the edits of each policy cut, by length, on songs whose lines are known."""
    names = {
        "v14": "v14",
        "with ends": "v14 with the song's start and end",
        "sparing singing": "the same, sparing singing",
        "random": "random bar cuts",
        "v14 and lines": f"v14's reward and the true lines × {LINES_WEIGHT:g}, exact",
        "lines alone": "the true lines alone, exact",
    }
    rows = [
        {"policy": names[policy], "length": edit.target} | _cuts(edit)
        for song, edits in zip(recorded.songs, recorded.edits, strict=True)
        if sung_file(song).is_file()
        for policy in names
        for edit in edits[policy]
    ]
    table = pd.DataFrame(rows)
    every = table.assign(length="all")
    lines = []
    for (policy, length), some in pd.concat([table, every]).groupby(
        ["policy", "length"], sort=False
    ):
        seams = some["seams"].sum()
        line = {"policy": policy, "length": length, "seams an edit": f"{some['seams'].mean():.1f}"}
        for share in ("a side in a line", "both sides in a line", "a side in a note"):
            line[share] = f"{some[share].sum() / seams:.0%}" if seams else ""
        for share in (f"loses > {LOST_SECONDS:g} s of an end", "only a crop", "nearly a crop"):
            line[share] = f"{some[share].mean():.0%}"
        lines.append(line)
    order = {name: place for place, name in enumerate(names.values())}
    return pd.DataFrame(sorted(lines, key=lambda line: order[line["policy"]]))


def _cuts(edit: Edit) -> dict[str, float]:
    song = edit.song
    times = song.beat_bounds / song.sample_rate
    sung, order = read_sung_lines(song), edit.order
    sides = times[np.stack([order[edit.seams - 1] + 1, order[edit.seams]])]
    in_line = sung.in_line(sides)
    lost = max(times[order[0]], times[-1] - times[order[-1] + 1])
    shortest = int(np.diff(edit.segments).min())
    return {
        "seams": len(edit.seams),
        "a side in a line": int(in_line.any(axis=0).sum()),
        "both sides in a line": int(in_line.all(axis=0).sum()),
        "a side in a note": int(sung.in_note(sides).any(axis=0).sum()),
        f"loses > {LOST_SECONDS:g} s of an end": float(lost > LOST_SECONDS),
        "only a crop": float(len(edit.seams) == 0 and len(order) < song.n_beats),
        "nearly a crop": float(len(edit.seams) == 1 and shortest <= NEARLY_CROP),
    }


def sparing_table(recorded: Recorded, tastes: list[str]) -> pd.DataFrame:
    """Return win rates and gains of v14 sparing singing over v14, one row for each taste."""
    rows = []
    for taste in tastes:
        songs = recorded.judged(taste)
        plain, sparing = (
            np.concatenate([recorded.utility[k][taste, policy] for k in songs])
            for policy in WITH_ENDS
        )
        owner = np.repeat(songs, len(CUTTING_TARGETS)).astype(str)
        rate = clustered_rate(wins(sparing, plain), owner)
        gain = f"{(sparing - plain).mean():.2f}"
        rows.append({"taste": taste, "songs": len(songs), "win rate": str(rate), "gain": gain})
    return pd.DataFrame(rows)


# --- what feedback teaches

_RECORDED: dict[Path, Recorded] = {}


def _again(output: Path) -> Recorded:
    """Return the material, read once per worker, so that its raters know the songs already."""
    one_thread()
    if output not in _RECORDED:
        _RECORDED[output] = prepare_recorded(Path(), output, 1)
    return _RECORDED[output]


def predictability(output: Path, taste: str) -> pd.DataFrame:
    """Return how well descriptors predict a taste: all answers without noise, song left out.

    Columns: taste, line, song, right.
    """
    recorded = _again(output)
    v8, _ = load_reward_model(resolve(V8))
    start, rows = parameters(v8), []
    judged = recorded.judged(taste)
    for song in judged:
        ours, others = (
            np.flatnonzero(np.isin(recorded.pairs[:, 0], some))
            for some in ([song], np.setdiff1d(judged, song))
        )
        felt = recorded.gaps(taste, others)
        size = np.where(np.abs(felt) > EVEN, np.abs(felt), 0)
        strength = np.where(size > 0, 1 + np.searchsorted(STRENGTH_STEPS, size), 0)
        set_parameters(v8, start)
        data = recorded.data.answered(others, np.where(size > 0, felt > 0, 0.5), strength)
        fit_pair_data(v8, data, None, RewardTraining())
        gap = recorded.data.answered(ours, ours, ours).score_differences(parameters(v8))
        felt = recorded.gaps(taste, ours)
        rows += _right(_fewer_cuts(recorded, ours), felt, taste, "fewer cuts", song)
        rows += _right(gap.mean(axis=1), felt, taste, "noiseless", song)
    return pd.DataFrame(rows)


def _fewer_cuts(recorded: Recorded, pairs: np.ndarray) -> np.ndarray:
    """Return how many seams more the second edit of each pair has."""
    edits = [recorded.edits[k]["candidates"] for k, _, _ in recorded.pairs[pairs]]
    each = zip(edits, recorded.pairs[pairs], strict=True)
    return np.array([len(some[j].seams) - len(some[i].seams) for some, (_, i, j) in each])


def learning(output: Path, taste: str, half: int, seeds: int) -> pd.DataFrame:
    """Return accuracies and wins of what one half of the songs teaches, on the other half.

    Columns: taste, line, song, and right (of a pair) or win and gain (of an edit over v14's).
    """
    recorded = _again(output)
    material = halves(recorded, taste)[half]
    places = {song.sha256: k for k, song in enumerate(recorded.songs)}
    songs = np.array([places[sha256] for sha256 in material.song_ids("test")])
    old_policy, rows = material.v14(), []
    reference = reference_edits(old_policy, material.songs["train"])
    tested = [k for k in recorded.judged(taste) if k in songs]
    old = np.concatenate([recorded.utility[k][taste, "v14"] for k in tested])
    best = np.array([recorded.best(taste, k, t) for k in tested for t in CUTTING_TARGETS])
    for answers in (0, *ANSWERS):
        for seed in range(seeds if answers else 1):
            model = fitted(material, taste, answers, seed, RewardTraining()) if answers else None
            model = model or material.v8()
            gap = member_gaps(material, model, "test").mean(axis=1)
            felt = material.utility[taste]["test"]
            for song in tested:
                ours = songs == song
                rows += _right(gap[ours], felt[ours], taste, str(answers), song)
            if not answers:
                continue
            policy = refined(old_policy, model, reference)
            new = utilities(taste, policy.edits(material.songs["test"]))
            best = np.maximum(best, new)
            rows += _won(new, old, taste, str(answers), tested)
    return pd.DataFrame(rows + _won(best, old, taste, "ceiling", tested))


def _right(gap: np.ndarray, felt: np.ndarray, taste: str, line: str, song: int) -> list[dict]:
    """Return one row for each pair that the taste decides."""
    right = wins(np.sign(felt) * gap, np.zeros(len(gap)))
    return [
        {"taste": taste, "line": line, "song": song, "right": value}
        for value in right[np.abs(felt) > EVEN]
    ]


def _won(new: np.ndarray, old: np.ndarray, taste: str, line: str, songs: list[int]) -> list[dict]:
    """Return one row for each song and length."""
    each = np.repeat(songs, len(CUTTING_TARGETS))
    return [
        {"taste": taste, "line": line, "song": song, "win": won, "gain": gain}
        for song, won, gain in zip(each, wins(new, old), new - old, strict=True)
    ]


def accuracy_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the share of pairs ranked as by the noiseless taste, one row for each taste."""
    names = {
        "0": "v8",
        "fewer cuts": "fewer cuts",
        "noiseless": "all answers, no noise, song left out",
    }
    return _table(rows.dropna(subset="right"), "right", names)


def win_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return win rates over v14 and mean gains in utility, one row for each taste."""
    rows = rows.dropna(subset="win")
    gains = rows.groupby(["taste", "line"])["gain"].mean()
    table = _table(rows, "win", {"ceiling": "best known edit"})
    for line in ("50", "200", "ceiling"):
        table[f"gain, {line}"] = [f"{gains[taste, line]:.2f}" for taste in table["taste"]]
    return table


def _table(rows: pd.DataFrame, value: str, names: dict[str, str]) -> pd.DataFrame:
    out = []
    for taste, some in rows.groupby("taste", sort=False):
        line = {"taste": taste, "songs": some["song"].nunique()}
        for name, each in some.groupby("line", sort=False):
            rate = clustered_rate(each[value].to_numpy(float), each["song"].astype(str))
            line[names.get(name, f"{name} answers")] = str(rate)
        out.append(line)
    return pd.DataFrame(out)


if __name__ == "__main__":
    main()
