"""Shared code of the benchmarks: timing in turn, tables, docs/performance.md.

    args = arguments(__doc__).parse_args()
    s = side_by_side({"ours": render, "peer": peer_render}, args.rounds)  # seconds
    rows = [{"who": who, "s": spread(s[who]), "/ ours": ratio(s[who], s["ours"])} for who in s]
    publish("rendering", pd.DataFrame(rows), "Ten minutes of stereo.", args.write)

`publish` prints the table. With `write` it also replaces the text between ``<!-- rendering -->``
and the next ``<!-- end -->`` in docs/performance.md; the text around the marks is written by hand.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.analysis.song import Song
from rlhf_lib.paths import atomic_path, resolve

REPORT = "docs/performance.md"


def arguments(doc: str) -> argparse.ArgumentParser:
    """Return a parser with ``--write`` and ``--rounds``; `doc` is the script's docstring."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of timings of each side")
    parser.add_argument("--write", action="store_true", help=f"write the table to {REPORT}")
    return parser


def seconds(run: Callable[[], object]) -> float:
    """Return the duration of one call in s."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def side_by_side(
    runs: Mapping[str, Callable[[], object]], rounds: int = 5
) -> dict[str, np.ndarray]:
    """Time calls in turn, so that other load on the machine affects all of them equally.

    Each is called once before, without timing.

    Returns
    -------
    dict
        Name → (rounds,) array in s.
    """
    for run in runs.values():
        run()
    times = [[seconds(run) for run in runs.values()] for _ in range(rounds)]
    return dict(zip(runs, np.array(times).T, strict=True))


def spread(values: np.ndarray, form: str = ",.3g") -> str:
    """Return the median with the smallest and the largest value."""
    low, middle, high = (format(float(f(values)), form) for f in (np.min, np.median, np.max))
    return f"{middle} ({low}–{high})"


def ratio(more: np.ndarray, less: np.ndarray) -> str:
    """Return `more` / `less`, round by round: median (smallest–largest)."""
    return f"{spread(np.asarray(more) / np.asarray(less), '.2f')} ×"


def publish(name: str, table: pd.DataFrame, about: str, write: bool) -> None:
    """Print a table and its description; with `write`, write both to docs/performance.md."""
    print(f"\n{about}\n{table.to_string(index=False)}\n{machine()}", flush=True)
    if not write:
        return
    path = resolve(REPORT)
    text = path.read_text(encoding="utf-8")
    body = f"{about}\n\n{markdown(table)}\n\n*{machine()}*"
    with atomic_path(path) as part:
        part.write_text(between(text, name, body), encoding="utf-8")


def machine() -> str:
    """Return the machine that the figures depend on: processor, cores, versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "librosa"))
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {cores} cores; Python {platform.python_version()}, {packages}."


def made_up_song(n_beats: int, seed: int = 0, beats_per_bar: int = 4) -> Song:
    """Return a song of random features in repeating sections, without sound; 0.5 s per beat."""
    rng = np.random.default_rng(seed)
    sections = rng.normal(size=(4, 32, len(FEATURE_NAMES)))
    features = np.concatenate(sections[rng.integers(0, 4, n_beats // 32 + 1)])[:n_beats]
    return Song(
        song_id=f"made_up_{seed}",
        path=Path(f"made_up_{seed}.wav"),
        sha256=f"{seed:064x}",
        sample_rate=8000,
        n_samples=4000 * n_beats,
        beat_times=np.arange(n_beats) * 0.5,
        downbeats=np.arange(0, n_beats, beats_per_bar),
        features=(features + 0.3 * rng.normal(size=features.shape)).astype(np.float32),
    )


def between(text: str, name: str, body: str) -> str:
    """Return the text with `body` between ``<!-- name -->`` and the next ``<!-- end -->``."""
    start = text.index(f"<!-- {name} -->") + len(f"<!-- {name} -->")
    return f"{text[:start]}\n{body}\n{text[text.index('<!-- end -->', start) :]}"


def markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, without its index; missing values are empty cells."""
    rows = [[str(name) for name in table.columns], ["---"] * len(table.columns)]
    rows += [["" if pd.isna(v) else str(v) for v in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
