"""Join costs: the costs of playing one beat right after another.

They are computed from the beat features, the beat times and the bars; no audio is read.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import median_filter

from rlhf_lib.analysis.bars import PHRASE_BARS, Bars
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.likeness import beat_points

#: The four costs of a join, in the order of the last axis of `JoinCosts.costs`.
JOIN_TERMS = ("transition", "energy", "phrase", "tempo")

#: A step in level of this many dB costs the full amount.
ENERGY_SPAN_DB = 12.0
#: A change of the beat period by this factor costs the full amount.
TEMPO_SPAN = 1.1
#: Phrase costs of a join. Same place in a bar of the same length, but half a phrase (two bars) or
#: an odd number of bars off in the four-bar phrase; half a bar off in bars of 4, 6, 8 … beats;
#: anywhere else.
HALF_PHRASE, OTHER_BAR, HALF_BAR, OFF_BEAT = 0.15, 0.3, 0.85, 1.0
#: Beats over which the local period is the median.
PERIOD_BEATS = 5
_RANDOM_PAIRS = 4096


@dataclass(frozen=True, eq=False)
class JoinCosts:
    """The join costs of one song; intermediate values are computed once.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.
    beat_times : (n_beats,) float array
        Seconds.
    bars : Bars
    """

    sound: np.ndarray
    beat_times: np.ndarray
    bars: Bars

    @property
    def n_beats(self) -> int:
        """Number of beats of the song."""
        return len(self.beat_times)

    @cached_property
    def periods(self) -> np.ndarray:
        """Local beat period in s, (n_beats,): the median over PERIOD_BEATS beats around."""
        return local_periods(self.beat_times)

    @cached_property
    def _starts(self) -> np.ndarray:
        return beat_points(self.sound, "edge_start")

    @cached_property
    def _ends(self) -> np.ndarray:
        return beat_points(self.sound, "edge_end")

    @cached_property
    def _scale(self) -> float:
        """Median distance of a random pair; a fixed seed keeps the costs reproducible."""
        i, j = np.random.default_rng(0).integers(0, self.n_beats, (2, _RANDOM_PAIRS))
        distance = self._distances(i, j)
        return max(float(np.median(distance[(j != i + 1) & np.isfinite(distance)])), 1e-6)

    @cached_property
    def _levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Level in dB at which each beat starts and ends: mean of edge and whole beat."""
        mean, _, start, end = self.sound[:, FEATURE_GROUPS["rms"]].astype(np.float64).T
        return (start + mean) / 2, (end + mean) / 2

    @cached_property
    def _phrase_costs(self) -> np.ndarray:
        """Cost of each metrical kind of beat in the place of each other, (expected, played)."""
        place, length, bar = self.bars.kinds[1].T
        same_length = length[:, None] == length
        apart = np.abs(place - place[:, None])
        costs = np.full(same_length.shape, OFF_BEAT)
        costs[same_length & (length > 2) & (2 * apart == length)] = HALF_BAR
        by_bars = np.array([0.0, OTHER_BAR, HALF_PHRASE, OTHER_BAR])
        fits = same_length & (apart == 0)
        costs[fits] = by_bars[(bar - bar[:, None]) % PHRASE_BARS][fits]
        return costs

    def costs(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Return the costs of playing beat j right after beat i.

        A join is compared with the song: beat j replaces the expected beat i + 1, and beat i
        replaces beat j − 1. At the song's ends only the neighbour that exists counts; where
        there is none (the first beat after the last) the cost is 1.

        Parameters
        ----------
        i, j : int arrays of beats 0 … n_beats − 1, broadcast together
            A grid (one axis each) is computed by matrix products, far cheaper per pair.

        Returns
        -------
        (..., 4) float32 array in 0 … 1
            In the order of JOIN_TERMS; exactly 0 where j == i + 1.

            - transition: 1 − 2^(−d / m), d the mean squared distance of timbre, timbre at the
              beat's edge, chroma (cosine) and onset between the played and the expected beats,
              m its median over random pairs of this song: 0.5 is a random pair.
            - energy: difference in level between the played and the expected beats, in units of
              ENERGY_SPAN_DB, at most 1.
            - phrase: 0 when beat j has the place of the expected beat in a bar of the same length
              and in the four-bar phrase; else HALF_PHRASE, OTHER_BAR, HALF_BAR or OFF_BEAT.
            - tempo: |log2| of the ratio of the local beat periods; a ratio of TEMPO_SPAN or more
              costs 1.
        """
        i, j = np.broadcast_arrays(np.asarray(i), np.asarray(j))
        costs = np.empty((*i.shape, len(JOIN_TERMS)), dtype=np.float32)
        i, j = as_grid(i, j)
        skipped = j - i - 1
        octaves = np.log2(self.periods) / np.log2(TEMPO_SPAN)
        costs[..., 0] = -np.expm1(-np.log(2) / self._scale * self._distances(i, j))
        costs[..., 1] = np.minimum(1.0, self._level_steps(i, j) / ENERGY_SPAN_DB)
        kind = self.bars.kinds[0]
        costs[..., 2] = self._phrase_costs[kind[i + 1], kind[j]]
        costs[..., 3] = np.minimum(1.0, np.abs(octaves[j] - octaves[i]))
        costs[skipped == 0] = 0.0
        return costs

    def _distances(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        following, preceding = np.minimum(i + 1, self.n_beats - 1), np.maximum(j - 1, 0)
        return self._by_context(
            i,
            j,
            squared_distances(self._starts, following, j),
            squared_distances(self._ends, i, preceding),
        )

    def _level_steps(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        starts, ends = self._levels
        following, preceding = np.minimum(i + 1, self.n_beats - 1), np.maximum(j - 1, 0)
        return self._by_context(
            i, j, np.abs(starts[following] - starts[j]), np.abs(ends[i] - ends[preceding])
        )

    def _by_context(self, i, j, after: np.ndarray, before: np.ndarray) -> np.ndarray:
        return mean_of_contexts(i + 1 < self.n_beats, j > 0, after, before)


def mean_of_contexts(
    has_after: np.ndarray, has_before: np.ndarray, after: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Return the mean over the contexts that exist, inf where there is none."""
    count = has_after.astype(np.int8) + has_before
    mean = (after * has_after + before * has_before) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.inf)


def local_periods(beat_times: np.ndarray) -> np.ndarray:
    """Return the local beat period in s, the median over PERIOD_BEATS beats around each."""
    lengths = np.diff(beat_times)
    return median_filter(np.append(lengths, lengths[-1]), PERIOD_BEATS, mode="nearest")


def squared_distances(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the squared distances of the rows a and b of `points`.

    Parameters
    ----------
    points : (n, d) array
    a, b : int arrays, broadcast together
        An (A, 1) and a (1, B) array form a grid, which matrix products compute far faster.
    """
    if a.ndim == 2 and b.ndim == 2 and a.shape[1] == b.shape[0] == 1:
        rows, columns = points[a[:, 0]], points[b[0]]
        lengths = (rows**2).sum(axis=1)[:, None] + (columns**2).sum(axis=1)
        return np.maximum(lengths - 2 * rows @ columns.T, 0.0)
    difference = points[a] - points[b]
    return np.einsum("...d,...d->...", difference, difference)


def as_grid(i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return i as one column and j as one row where they form a grid, else both as they are."""
    if i.ndim == 2 and i.size > 0 and bool((i == i[:, :1]).all() and (j == j[:1]).all()):
        return i[:, :1], j[:1]
    return i, j
