"""How alike beats sound: beats are points, their squared distance is the unlikeness."""

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES

#: Parts of a beat's sound: columns, weight, and the least spread to scale by (in the columns'
#: unit). The level is left out: it has a join cost of its own.
_TIMBRE = (list(range(1, 13)), 0.35, 1.0)
_ONSET = ([FEATURE_NAMES.index(name) for name in ("onset_mean", "onset_start")], 0.15, 0.5)
_EDGE_WEIGHT, _EDGE_SPREAD = 0.25, 1.0
_CHROMA_WEIGHT, _CHROMA_SPREAD = 0.25, 0.05
_RANDOM_PAIRS = 4096
#: Beats of a passage, and the share of a random pair's distance below which two are alike.
_PASSAGE = 4
_ALIKE = 0.25


def beat_points(sound: np.ndarray, edge: str | None = None) -> np.ndarray:
    """Return beats as points.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.
    edge : "edge_start", "edge_end" or None
        The edge of the beat to compare besides the whole beat.

    Returns
    -------
    (n_beats, n_dimensions) float64 array
        Squared distances add up timbre (MFCC), chroma (1 − cosine), onset strength and the
        edge's timbre, each scaled to the song's own spread; two random beats are about 1 apart.
    """
    parts = [_TIMBRE, _ONSET]
    if edge is not None:
        place = FEATURE_GROUPS[edge]
        parts.append((list(range(place.start, place.stop)), _EDGE_WEIGHT, _EDGE_SPREAD))
    points = []
    for columns, weight, spread in parts:
        values = sound[:, columns].astype(np.float64)
        deviation = values.std(axis=0)
        floor = max(spread, 0.1 * float(deviation.max()))
        values = (values - values.mean(axis=0)) / np.maximum(deviation, floor)
        points.append(_weighted(values, weight, 0.1))
    chroma = sound[:, FEATURE_GROUPS["chroma"]].astype(np.float64)
    chroma /= np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)
    points.append(_weighted(chroma - chroma.mean(axis=0), _CHROMA_WEIGHT, _CHROMA_SPREAD))
    return np.concatenate(points, axis=1)


def typical_unlikeness(points: np.ndarray) -> float:
    """Return the median squared distance of two random beats (fixed seed), at least 1e-6."""
    a, b = np.random.default_rng(0).integers(0, len(points), (2, _RANDOM_PAIRS))
    squared = ((points[a] - points[b]) ** 2).sum(axis=1)[a != b]
    return max(float(np.median(squared)), 1e-6)


def kinds(points: np.ndarray) -> np.ndarray:
    """Return the number of the kind each beat belongs to, in order of first appearance.

    A beat gets the kind of the earlier passage it resembles most if their mean squared distance
    over the four beats around is below a quarter of a random pair's, else a new kind (leader
    clustering: Hartigan, 1975).

    Parameters
    ----------
    points : (n_beats, n_dimensions) float array
        See `beat_points`.

    Returns
    -------
    (n_beats,) int array
    """
    limit = _ALIKE * typical_unlikeness(points)
    padded = np.pad(points, ((1, _PASSAGE - 2), (0, 0)), mode="edge")
    passages = np.lib.stride_tricks.sliding_window_view(padded, _PASSAGE, axis=0)
    passages = passages.reshape(len(points), -1) / np.sqrt(_PASSAGE)
    lengths = (passages**2).sum(axis=1)
    leaders: list[int] = []
    kind = np.empty(len(points), dtype=int)
    for beat, passage in enumerate(passages):
        if leaders:
            squared = lengths[leaders] + lengths[beat] - 2 * passages[leaders] @ passage
            nearest = int(squared.argmin())
            if squared[nearest] < limit:
                kind[beat] = nearest
                continue
        kind[beat] = len(leaders)
        leaders.append(beat)
    return kind


def _weighted(values: np.ndarray, weight: float, floor: float) -> np.ndarray:
    """Scale points so that the mean squared distance of two random ones is `weight`."""
    spread = np.sqrt(2 * values.var(axis=0).sum())
    return values * (np.sqrt(weight) / max(float(spread), floor))
