"""How the seconds before and after a bound between two beats sound, compared with each other.

`joins` compares single beats and their edges. This compares longer spans: whether what follows a
join sounds like what the song plays there, and whether an edit begins and ends as the song does.
All is measured in units of what this song does: the median difference of two random bounds.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.joins import as_grid, mean_of_contexts, squared_distances
from rlhf_lib.analysis.likeness import typical_unlikeness

#: Seconds before and after a bound that are compared.
SPAN = 2.0
#: What is compared, in the order of the last axis of `Surroundings.jumps`.
JUMPS = ("harmony", "level")
#: A song whose random spans differ by less than this counts as differing by this: harmony as the
#: distance of the roots of two chromas, level and timbre in dB.
_LEAST = {"harmony": 0.05, "level": 0.5, "timbre": 2.0}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The spans around the bounds of one song's beats; bound p lies before beat p.

    Parameters
    ----------
    sound : (n_beats, ≥ 87) float array
        Beat features; only the sound columns are read.
    durations : (n_beats,) float array
        Length of each beat in s.
    """

    sound: np.ndarray
    durations: np.ndarray

    @property
    def n_beats(self) -> int:
        """Number of beats of the song."""
        return len(self.durations)

    @cached_property
    def _before_after(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return for each aspect the means over SPAN s before and after each bound."""
        sound = self.sound.astype(np.float64)
        aspects = {
            "harmony": np.sqrt(np.maximum(sound[:, FEATURE_GROUPS["chroma"]], 0.0)),
            "level": sound[:, FEATURE_GROUPS["rms"]][:, :1],
            "timbre": sound[:, FEATURE_GROUPS["mfcc_mean"]][:, 1:],
        }
        bounds = np.concatenate([[0.0], np.cumsum(self.durations)])
        first, last = np.maximum(bounds - SPAN, 0.0), np.minimum(bounds + SPAN, bounds[-1])
        return {
            name: (
                _means(values, self.durations, bounds, first, bounds),
                _means(values, self.durations, bounds, bounds, last),
            )
            for name, values in aspects.items()
        }

    @cached_property
    def _scale(self) -> dict[str, float]:
        """Median distance of two random spans."""
        return {
            name: max(np.sqrt(typical_unlikeness(after[: self.n_beats])), _LEAST[name])
            for name, (_, after) in self._before_after.items()
        }

    def jumps(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Return how far harmony and level jump when beat j is played right after beat i.

        The seconds after the join are compared with those that the song plays after beat i, and
        the seconds before it with those that it plays before beat j; at the song's ends only the
        comparison that exists counts, and where there is none the cost is 1.

        Parameters
        ----------
        i, j : int arrays of beats 0 … n_beats − 1, broadcast together
            A grid (one axis each) is computed by matrix products.

        Returns
        -------
        (..., 2) float32 array in 0 … 1
            In the order of JUMPS: 1 − 2^(−d / m), d the distance of the spans, m its median
            over random bounds of this song (0.5 is a random place); exactly 0 where j == i + 1.
        """
        i, j = np.broadcast_arrays(np.asarray(i), np.asarray(j))
        out = np.empty((*i.shape, len(JUMPS)), dtype=np.float32)
        i, j = as_grid(i, j)
        for column, name in enumerate(JUMPS):
            before, after = self._before_after[name]
            apart = mean_of_contexts(
                i + 1 < self.n_beats,
                j > 0,
                np.sqrt(squared_distances(after, i + 1, j)),
                np.sqrt(squared_distances(before, i + 1, j)),
            )
            out[..., column] = _share(apart / self._scale[name])
        out[j == i + 1] = 0.0
        return out

    @cached_property
    def as_beginning(self) -> np.ndarray:
        """How unlike the song's beginning the SPAN s from each bound on are, (n_beats + 1,).

        Mean over timbre and harmony of 1 − 2^(−d / m), as in `jumps`; 0 at the beginning.
        """
        return self._unlike(1, 0)

    @cached_property
    def as_ending(self) -> np.ndarray:
        """How unlike the song's ending the SPAN s up to each bound are, (n_beats + 1,)."""
        return self._unlike(0, self.n_beats)

    def _unlike(self, side: int, place: int) -> np.ndarray:
        parts = []
        for name in ("timbre", "harmony"):
            spans = self._before_after[name][side]
            apart = np.linalg.norm(spans - spans[place], axis=1)
            parts.append(_share(apart / self._scale[name]))
        return np.mean(parts, axis=0)


def _share(apart: np.ndarray) -> np.ndarray:
    return -np.expm1(-np.log(2) * apart)


def _means(
    values: np.ndarray,
    durations: np.ndarray,
    bounds: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
) -> np.ndarray:
    """Return the means of beat values over the seconds [first, last); 0 for an empty span."""
    running = np.concatenate(
        [np.zeros((1, values.shape[1])), np.cumsum(values * durations[:, None], axis=0)]
    )
    ends, starts = (
        np.stack([np.interp(at, bounds, column) for column in running.T], axis=1)
        for at in (last, first)
    )
    return (ends - starts) / np.maximum(last - first, 1e-9)[:, None]
