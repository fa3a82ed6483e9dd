"""Beats per bar and the first bar line, estimated from the sound of the beats."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES
from rlhf_lib.analysis.likeness import beat_points, typical_unlikeness

#: Beats that lie 2 or more apart, but fewer than this, are compared: multiples of the bar against
#: the rest. The confidence compares more bars, so it needs longer lags.
_METRE_LAGS, _CONFIDENCE_LAGS = 24, 36
#: Most music has four beats per bar; three must be clearly more regular than four.
_TRIPLE_MARGIN = 0.02
#: Bars whose regularity is compared for the confidence, and the standard deviation of a margin:
#: of 30 composed songs the one with a wrong metre has a negative margin, the others 0.025 or more.
_BARS, _METRE_SPREAD = (3, 4, 5, 7), 0.02


class Metre(NamedTuple):
    """The metre of a song and the confidence in it.

    Attributes
    ----------
    downbeats : (n_bars,) int array
        The beats that begin a bar; when estimated, every third or every fourth one.
    confidence, bar_line_confidence : float
        0 … 1; see `rlhf_lib.analysis.confidence.Confidence`.
    """

    downbeats: np.ndarray
    confidence: float = 1.0
    bar_line_confidence: float = 1.0


def estimate_metre(sound: np.ndarray) -> Metre:
    """Estimate the metre of a song: bars of 3 or of 4 beats throughout.

    Beats a whole bar apart sound more alike than others; the bar line is where chords change,
    the bass plays and sections begin.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.
    """
    points = beat_points(sound)
    lags = np.arange(2, min(_CONFIDENCE_LAGS, len(points) // 2 + 1))
    unlike = _unlikeness(points, lags)
    beats_per_bar = _beats_per_bar(unlike, lags)
    accents = _accents(sound, points)
    by_place = [
        accents[place::beats_per_bar].mean() for place in range(min(beats_per_bar, len(sound)))
    ]
    downbeat = int(np.argmax(by_place))
    return Metre(
        np.arange(downbeat, len(sound), beats_per_bar),
        _metre_confidence(unlike, lags, beats_per_bar),
        _bar_line_confidence(
            accents[: len(accents) // beats_per_bar * beats_per_bar].reshape(-1, beats_per_bar),
            downbeat,
        ),
    )


def rated(sound: np.ndarray, bars: Bars) -> Metre:
    """Return the metre of bars that another tracker found, with the confidence in it.

    That in the metre is the share of the beats that lie in bars of the usual length; that in the
    bar line is the probability, by our accents, of the first beat of these bars.
    """
    usual = bars.usual
    accents = _accents(sound, beat_points(sound))
    starts = bars.downbeats[:-1][np.diff(bars.downbeats) == usual]
    return Metre(
        bars.downbeats,
        float(np.mean(bars.length == usual)),
        _bar_line_confidence(accents[starts[:, None] + np.arange(usual)], 0),
    )


def _unlikeness(points: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return the mean squared distance of beats some lags apart, 1 = two random beats."""
    typical = typical_unlikeness(points)
    return np.array(
        [np.mean(((points[lag:] - points[:-lag]) ** 2).sum(axis=1)) / typical for lag in lags]
    )


def _beats_per_bar(unlike: np.ndarray, lags: np.ndarray) -> int:
    if 4 not in lags:
        return 4
    telling = (lags < _METRE_LAGS) & (lags % 12 > 0)  # no common multiples of 3 and 4
    regularity = {bar: _regularity(unlike[telling], lags[telling], bar) for bar in (3, 4)}
    return 3 if regularity[3] > regularity[4] + _TRIPLE_MARGIN else 4


def _regularity(unlike: np.ndarray, lags: np.ndarray, bar: int) -> float:
    """Return how much more alike beats are that lie a multiple of `bar` apart."""
    whole = lags % bar == 0
    return float(unlike[~whole].mean() - unlike[whole].mean())


def _metre_confidence(unlike: np.ndarray, lags: np.ndarray, beats_per_bar: int) -> float:
    """Return Φ(margin / _METRE_SPREAD), the margin over the next most regular bar of _BARS."""
    if len(lags) < 2 * max(_BARS):  # too few beats to compare
        return 0.5
    regularity = {bar: _regularity(unlike, lags, bar) for bar in _BARS}
    margin = regularity.pop(beats_per_bar) - max(regularity.values())
    return float(ndtr(margin / _METRE_SPREAD))


def _bar_line_confidence(bars: np.ndarray, downbeat: int) -> float:
    """Return Φ(t) of the closest rival: t of the accents' difference bar by bar (a paired test).

    `bars` holds the accents of complete bars, (n_bars, n_beats).
    """
    if len(bars) < 2:
        return 0.5
    differences = bars[:, [downbeat]] - np.delete(bars, downbeat, axis=1)
    error = differences.std(axis=0) / np.sqrt(len(bars))
    return float(ndtr((differences.mean(axis=0) / np.maximum(error, 1e-9)).min()))


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
