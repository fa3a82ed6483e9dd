"""The 38 structure features: the place of a beat in its song."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from rlhf_lib.analysis.bars import PHRASE_BARS, Bars
from rlhf_lib.analysis.feature_table import (
    FEATURE_GROUPS,
    FEATURE_NAMES,
    JOIN_WINDOWS,
    LAGS,
    N_FEATURES,
    N_SOUND,
)
from rlhf_lib.analysis.joins import JoinCosts
from rlhf_lib.analysis.likeness import beat_points, typical_unlikeness
from rlhf_lib.analysis.metre import change
from rlhf_lib.analysis.sections import Section

_LEVEL = FEATURE_NAMES.index("rms_mean")
#: Beats of a passage; a repeat of it is at least this many beats away.
_PASSAGE = 8
#: Least distance of a repeat that counts for the hook, in beats; at most a quarter of the song.
_AFAR = 32
#: Sections are at least this many bars long.
_SECTION_BARS = 4
#: Rows computed at once; bounds the memory for songs of an hour.
_BLOCK = 512


def structure_features(
    sound: np.ndarray,
    beat_times: np.ndarray,
    duration: float,
    bars: Bars,
    sections: Sequence[Section] = (),
) -> np.ndarray:
    """Return the structure features of each beat.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
    beat_times : (n_beats,) float array
        Seconds.
    duration : float
        Length of the song in s.
    bars : Bars
    sections : sequence of Section
        Given sections; without any their bounds are estimated.

    Returns
    -------
    (n_beats, 38) float64 array
        The last 38 rows of `FEATURE_TABLE`, in their units; always finite.
    """
    points = beat_points(sound)
    typical = typical_unlikeness(points)
    joins = JoinCosts(sound, beat_times, bars)
    novelty = np.stack([change(points, span) for span in (4, 8, 16)], axis=1)
    change_here = novelty[:, 1:].sum(axis=1)
    lengths = np.diff(beat_times, append=beat_times[-1] + joins.periods[-1])
    groups = {
        "metre": _metre(bars, change_here),
        "novelty": novelty,
        "segment": _segments(change_here, sound[:, _LEVEL], bars, sections),
        "repetition": _repetition(points, typical, sound[:, _LEVEL]),
        "lag_similarity": _lag_similarity(points, typical),
        "best_join": best_joins(joins),
        "offset": np.log2(
            np.stack([lengths / joins.periods, joins.periods / np.median(lengths)], axis=1)
        ),
        "position": (beat_times / duration)[:, None],
    }
    features = np.empty((len(points), N_FEATURES - N_SOUND))
    for name, values in groups.items():
        place = FEATURE_GROUPS[name]
        features[:, place.start - N_SOUND : place.stop - N_SOUND] = values
    return features


def _metre(bars: Bars, novelty: np.ndarray) -> np.ndarray:
    place, length = bars.place, bars.length
    first = 0  # bar of the phrase: sections that were given begin with a phrase
    if not len(bars.section_starts):
        # Of the four possible phrase starts, the one with the most novelty over the song.
        first = max(
            range(PHRASE_BARS),
            key=lambda start: novelty[bars.downbeats[start::PHRASE_BARS]].sum(),
        )
    in_phrase = (bars.phrase_bar - first) % PHRASE_BARS * length + place
    bar_turn = 2 * np.pi * place / length
    phrase_turn = 2 * np.pi * in_phrase / (PHRASE_BARS * length)
    return np.column_stack(
        [
            place[:, None] == np.arange(4),
            np.sin(bar_turn),
            np.cos(bar_turn),
            np.sin(phrase_turn),
            np.cos(phrase_turn),
            length == 3,
        ]
    )


def _segments(
    novelty: np.ndarray, level: np.ndarray, bars: Bars, sections: Sequence[Section]
) -> np.ndarray:
    """Return beats since and until the section's bounds, and its level relative to the song's."""
    from scipy.signal import find_peaks  # here: importing it takes half a second

    n_beats = len(novelty)
    if sections:
        inner = [beat for section in sections for beat in (section.start, section.stop)]
    else:
        at_bars = novelty[bars.downbeats]
        peaks, _ = find_peaks(
            at_bars, distance=_SECTION_BARS, prominence=0.5 * at_bars.std() + 1e-9
        )
        inner = bars.downbeats[peaks]
    bounds = np.union1d([0, n_beats], inner).astype(int)
    section = np.searchsorted(bounds, np.arange(n_beats), side="right") - 1
    means = np.add.reduceat(level, bounds[:-1]) / np.diff(bounds)
    return np.column_stack(
        [
            np.arange(n_beats) - bounds[section],
            bounds[section + 1] - np.arange(n_beats),
            means[section] - level.mean(),
        ]
    )


def _repetition(points: np.ndarray, typical: float, level: np.ndarray) -> np.ndarray:
    """Return the likeness of the best repeat, and the hook value."""
    n_beats = len(points)
    padded = np.pad(points, ((_PASSAGE // 2, _PASSAGE // 2 - 1), (0, 0)), mode="edge")
    passages = np.lib.stride_tricks.sliding_window_view(padded, _PASSAGE, axis=0)
    passages = passages.reshape(n_beats, -1).astype(np.float32) / np.sqrt(_PASSAGE * typical)
    lengths = (passages**2).sum(axis=1)
    beats = np.arange(n_beats)
    afar = min(_AFAR, n_beats // 4)
    best, often = np.empty(n_beats), np.empty(n_beats)
    for first in range(0, n_beats, _BLOCK):
        rows = beats[first : first + _BLOCK]
        squared = lengths[rows, None] + lengths - 2 * passages[rows] @ passages.T
        squared[np.abs(rows[:, None] - beats) < _PASSAGE] = np.inf
        likeness = np.exp2(-np.maximum(squared, 0))
        best[rows] = likeness.max(axis=1)
        # A random pair has a likeness of 0.5; a repeat must be clearly above. It must also be far
        # away, because bars within a section always resemble each other.
        likeness[np.abs(rows[:, None] - beats) < afar] = 0
        often[rows] = np.maximum(likeness - 0.7, 0).sum(axis=1)
    loud = uniform_filter1d(level.astype(np.float64), 2 * _PASSAGE, mode="nearest")
    hook = np.cbrt(_ranks(often) ** 2 * _ranks(loud))
    return np.stack([best, uniform_filter1d(hook, _PASSAGE, mode="nearest")], axis=1)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the share of values that lie below each, ties in the middle, 0 … 1."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    return (below + not_above) / (2 * len(values))


def _lag_similarity(points: np.ndarray, typical: float) -> np.ndarray:
    similarity = np.zeros((len(points), len(LAGS)))
    for column, lag in enumerate(LAGS):
        size = abs(lag)
        unlike = ((points[size:] - points[:-size]) ** 2).sum(axis=1)
        place = slice(size, None) if lag < 0 else slice(None, -size)
        similarity[place, column] = np.exp2(-unlike / typical)
    return similarity


def best_joins(joins: JoinCosts) -> np.ndarray:
    """Return the least mean cost of skipping some beats after and before each beat.

    Returns
    -------
    (n_beats, 10) float64 array
        For each of JOIN_WINDOWS the best join that leaves after this beat, then for each the
        best join that lands on this beat; 1 where the song is too short for one.
    """
    n_beats = joins.n_beats
    beats = np.arange(n_beats)
    least = np.ones((n_beats, 2 * len(JOIN_WINDOWS)))
    for window, (shortest, longest) in enumerate(JOIN_WINDOWS):
        skipped = np.arange(shortest, longest + 1)
        costs = np.ones((n_beats, len(skipped)))
        for first in range(0, n_beats, _BLOCK):
            i = beats[first : first + _BLOCK, None]
            j = i + 1 + skipped
            mean = joins.costs(i, np.minimum(j, n_beats - 1)).mean(axis=-1)
            costs[first : first + _BLOCK] = np.where(j < n_beats, mean, 1.0)
        least[:, window] = costs.min(axis=1)
        sources = beats[:, None] - 1 - skipped
        landing = np.where(
            sources >= 0, costs[np.maximum(sources, 0), np.arange(len(skipped))], 1.0
        )
        least[:, len(JOIN_WINDOWS) + window] = landing.min(axis=1)
    return least


def hook_values(features: np.ndarray) -> np.ndarray:
    """Return how much each beat belongs to the song's hook, (n_beats,) float64 in 0 … 1.

    The hook feature (repeated often and loud), stretched so that the song's 5th and 95th
    percentiles become 0 and 1.

    Parameters
    ----------
    features : (n_beats, 125) float array
    """
    hook = features[:, FEATURE_NAMES.index("hook")].astype(np.float64)
    low, high = np.quantile(hook, [0.05, 0.95])
    return np.clip((hook - low) / max(high - low, 0.05), 0.0, 1.0)
