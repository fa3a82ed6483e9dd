"""When beats and notes sound: from a tempo and beats to seconds."""

from collections.abc import Callable, Sequence

import numpy as np

from rlhf_lib.composer.score import Note
from rlhf_lib.composer.styles import Style
from rlhf_lib.errors import InputError

TempoCurve = Callable[[float], float] | Sequence[tuple[float, float]]


def beat_edges(curve: TempoCurve, seconds: float, beats_per_bar: int) -> np.ndarray:
    """Return beat starts and the end of the last, from 0, (n + 1,) s: whole bars, ≈ `seconds`."""
    tempo = curve if callable(curve) else _interpolated(curve)
    edges = [0.0]
    while True:
        bar = edges[-1:]
        for _ in range(beats_per_bar):
            beat = len(edges) + len(bar) - 2
            bpm = float(tempo(beat))
            if not 40 <= bpm <= 300:
                raise InputError(f"tempo_curve gives {bpm!r} bpm at beat {beat}; use 40 to 300")
            bar.append(bar[-1] + 60 / bpm)
        if len(edges) > 1 and (bar[0] + bar[-1]) / 2 > seconds:
            return np.array(edges)
        edges += bar[1:]


def _interpolated(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    try:
        table = np.array(points, dtype=float)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1:] != (2,) or not (np.diff(table[:, 0]) > 0).all():
        raise InputError(
            f"tempo_curve is {points!r}; give (beat, bpm) pairs in order of rising beats, or a "
            "function"
        )
    return lambda beat: float(np.interp(beat, table[:, 0], table[:, 1]))


def note_times(
    notes: list[Note], edges: np.ndarray, style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return onset and end of each note in s, with a player's small timing errors."""
    grid = np.arange(len(edges))
    starts = np.array([note.start for note in notes])
    stops = np.minimum(starts + [note.length for note in notes], grid[-1])
    wobble = np.clip(rng.normal(0, 1, len(notes)), -2, 2) * style.looseness
    wobble *= [0.5 if note.role == "drums" else 1.0 for note in notes]
    onsets = np.maximum(np.interp(starts, grid, edges) + wobble, 0)
    return onsets, np.maximum(np.interp(stops, grid, edges), onsets + 0.03)
