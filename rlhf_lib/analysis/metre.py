"""Beats per bar and the first bar line, estimated from the sound of the beats."""

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES
from rlhf_lib.analysis.likeness import beat_points, typical_unlikeness

#: Lags compared: multiples of the bar against the rest, without common multiples of 3 and 4.
_LAGS = np.array([lag for lag in range(2, 24) if lag % 12])
#: Most music has four beats per bar; three must be clearly more regular than four.
_TRIPLE_MARGIN = 0.02


def estimate_metre(sound: np.ndarray) -> tuple[int, int]:
    """Estimate the metre of a song.

    Beats a whole number of bars apart sound more alike than others. Chords change, the bass
    plays and sections begin at bar lines.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.

    Returns
    -------
    beats_per_bar : int
        3 or 4.
    downbeat : int
        The first beat that begins a bar, 0 … beats_per_bar − 1.
    """
    points = beat_points(sound)
    beats_per_bar = _beats_per_bar(points)
    accents = _accents(sound, points)
    by_place = [
        accents[place::beats_per_bar].mean() for place in range(min(beats_per_bar, len(sound)))
    ]
    return beats_per_bar, int(np.argmax(by_place))


def _beats_per_bar(points: np.ndarray) -> int:
    lags = _LAGS[: np.searchsorted(_LAGS, len(points) // 2, side="right")]
    if 4 not in lags:
        return 4
    typical = typical_unlikeness(points)
    unlike = np.array(
        [np.mean(((points[lag:] - points[:-lag]) ** 2).sum(axis=1)) / typical for lag in lags]
    )
    triple, quadruple = lags % 3 == 0, lags % 4 == 0
    regularity = {
        bar: unlike[~whole].mean() - unlike[whole].mean()
        for bar, whole in ((3, triple), (4, quadruple))
    }
    return 3 if regularity[3] > regularity[4] + _TRIPLE_MARGIN else 4


def _accents(sound: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return how much each beat sounds like the first of a bar, (n_beats,)."""
    chroma = sound[:, FEATURE_GROUPS["chroma"]].astype(np.float64)
    bass = sound[:, FEATURE_GROUPS["bands"]][:, :2].mean(axis=1)
    cues = [
        (1.0, change(chroma / np.linalg.norm(chroma, axis=1, keepdims=True), 2)),
        (0.5, bass - np.convolve(np.pad(bass, 4, mode="edge"), np.ones(9) / 9, "valid")),
        (0.5, sound[:, FEATURE_NAMES.index("onset_start")]),
        (1.0, change(points, 8) ** 2),  # squared: only the strongest changes mark sections
    ]
    return sum(weight * cue / max(float(cue.std()), 1e-9) for weight, cue in cues)


def change(points: np.ndarray, span: int) -> np.ndarray:
    """Return how much the points change at each beat, (n_beats,).

    The squared distance between the means over the `span` beats before and the `span` beats
    from this one on: J. Foote's checkerboard novelty ("Automatic audio segmentation using a
    measure of audio novelty", ICME 2000) for inner products and a flat kernel. Scaled down where
    the song's ends leave fewer beats.
    """
    beats = np.arange(len(points))
    running = np.concatenate([np.zeros((1, points.shape[1])), np.cumsum(points, axis=0)])
    first, last = np.maximum(beats - span, 0), np.minimum(beats + span, len(points))
    before = (running[beats] - running[first]) / np.maximum(beats - first, 1)[:, None]
    after = (running[last] - running[beats]) / (last - beats)[:, None]
    fullness = np.minimum(beats - first, last - beats) / span
    return ((after - before) ** 2).sum(axis=1) * fullness
