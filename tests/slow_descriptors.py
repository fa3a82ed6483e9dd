"""The descriptors written anew, from the words of their table, in plain and slow Python."""

from itertools import pairwise

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import ADDITIVE_NAMES, DESCRIPTOR_NAMES, choruses


def played(actions) -> list[int]:
    """Return the source beats in playing order, place by place."""
    actions, out = [int(action) for action in actions], []
    for place in range(len(actions) + 5):
        if place < len(actions):
            out += [place] * {0: 1, 1: 0, 2: 2, 3: 3, 4: 4}.get(actions[place], 0)
        out += [
            beat
            for beat in range(len(actions))
            if actions[beat] >= 5 and beat + actions[beat] - 4 == place
        ]
    return out


def slow_steps(song: Song, order: list[int]) -> list[dict[str, float]]:
    """Return the additive descriptors of each step of a playing order, the start and end too."""
    n, time = song.n_beats, song.beat_durations / song.duration
    shares = {
        "hook": song.hook_values / song.hook_values.sum(),
        "oddity": song.oddity / song.oddity.sum(),
        "length": time,
        "level": _deviation(song, "rms_mean") * time,
        "activity": _deviation(song, "onset_mean") * time,
    }
    rows = []
    for before, after in pairwise([None, *order, None]):
        row = dict.fromkeys(ADDITIVE_NAMES, 0.0)
        leaves = before is not None and before + 1 != after
        enters = after is not None and (before is None or before + 1 != after)
        if leaves:
            row["sung"] += song.sung_bounds[before + 1]
        if enters:
            row["sung"] += song.sung_bounds[after]
        if before is None:
            row["intro"] = min(1.0, after / 16)
            row["lost_ends"] = np.log2(1 + after / 8)
            row["strange_ends"] = song.surroundings.as_beginning[after]
        if after is None:
            missing = n - 1 - before
            row["ending"] = 0.5 + 0.5 * min(1.0, missing / 16) if missing else 0.0
            row["lost_ends"] = np.log2(1 + missing / 8)
            row["strange_ends"] = song.surroundings.as_ending[before + 1]
        if after is not None:
            row |= {name: share[after] for name, share in shares.items()}
            if before is not None and after <= before:
                row["hook"] = 0.0  # a repeated hook counts once
        if leaves and enters:
            places = np.array([before]), np.array([after])
            row["seams"], row["loops"], row["returns"] = 1, after == before, after < before
            costs = song.joins.costs(*places)[0] ** 2
            row |= zip(("transition", "energy", "phrase", "tempo"), costs, strict=True)
            jumps = song.surroundings.jumps(*places)[0] ** 2
            row |= zip(("harmony_jump", "level_jump"), jumps, strict=True)
        rows.append(row)
    return rows


def _deviation(song, name):
    values = song.features[:, FEATURE_NAMES.index(name)].astype(float)
    mean = np.average(values, weights=song.beat_durations)
    return (values - mean) / np.sqrt(np.average((values - mean) ** 2, weights=song.beat_durations))


def slow_descriptors(song: Song, actions, target: float) -> np.ndarray:
    """Return all descriptors of an edit, in the order of the table."""
    order = played(actions)
    steps = slow_steps(song, order)
    out = {name: sum(float(step[name]) for step in steps) for name in ADDITIVE_NAMES}
    pieces = [[order[0]]]
    for before, after in pairwise(order):
        if after == before + 1:
            pieces[-1].append(after)
        else:
            pieces.append([after])
    lengths = [len(piece) for piece in pieces]
    duration = sum(song.beat_durations[beat] for beat in order)
    loops, returns = (out[name] / (duration / 60) for name in ("loops", "returns"))
    out["worst_seam"] = max(float(step["transition"]) for step in steps)
    out["close_seams"] = sum(length < 8 for length in lengths[1:-1])
    out["seam_rate"] = ((len(pieces) - 1) / (duration / 60) / 10) ** 2
    out["looped"], out["reordered"] = loops / (1 + loops), returns / (1 + returns)
    out["short_pieces"] = sum(length for length in lengths if length < 16) / len(order)
    again = dict.fromkeys(("again_16", "again_32", "again_64", "again_long"), 0)
    for place, beat in enumerate(order):
        alike = [other for other in range(place) if song.kinds[order[other]] == song.kinds[beat]]
        if alike:
            ago = place - alike[-1]
            limit = next((most for most in (16, 32, 64) if ago <= most), "long")
            again[f"again_{limit}"] += 1 / len(order)
    shares = [
        len(set(piece) & set(range(start, stop))) / (stop - start)
        for piece in pieces
        for start, stop in choruses(song).tolist()
    ]
    level = song.features[:, FEATURE_NAMES.index("rms_mean")].astype(float)
    heard, points = level[order], min(32, song.n_beats, len(order))
    ours, theirs = (
        np.array([one[len(one) * k // points : len(one) * (k + 1) // points].mean()
                  for k in range(points)])
        for one in (heard, level)
    )  # fmt: skip
    for number, eighth in enumerate(np.array_split(heard, 8), 1):
        out[f"level_{number}"] = (eighth.mean() - heard.mean()) / 10 if len(eighth) else 0.0
    out |= again | {
        "whole_chorus": max(shares, default=0.0),
        "energy_arc": 1 - min(1, np.abs(ours - theirs).mean() / 10),
        "length_error": min(4, abs(duration / song.duration - target) / 0.03),
    }
    return np.array([out[name] for name in DESCRIPTOR_NAMES])


def slow_table(song: Song) -> np.ndarray:
    """Return the additive descriptors of every step, (n + 1, n + 1, N_ADDITIVE)."""
    n = song.n_beats
    table = np.zeros((n + 1, n + 1, len(ADDITIVE_NAMES)))
    for beat in range(n):
        start, *_, end = slow_steps(song, [beat])
        table[n, beat], table[beat, n] = list(start.values()), list(end.values())
        for after in range(n):
            table[beat, after] = list(slow_steps(song, [beat, after])[1].values())
    return table
