"""Simulated raters: a hidden taste, and noise that can be set so that they agree as people do."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.raters.outside import OUTSIDE_TASTES, OutsideTaste
from rlhf_lib.raters.rater import Answer
from rlhf_lib.raters.tastes import TASTES, Taste

#: Utility differences at which a preference becomes moderate (2) and strong (3).
STRENGTH_STEPS = (0.75, 1.75)

#: Noisy differences up to this size are a tie.
TIE_MARGIN = 0.1


@dataclass(frozen=True)
class SimulatedRater:
    """A simulated person: a hidden taste and noisy votes.

    The choice follows Bradley and Terry (1952): the utility difference plus logistic noise of
    scale `noise`, so that P(a over b) = 1 / (1 + exp(−(U(a) − U(b)) / noise)) except for ties.
    The noise depends on the seed, the rater, the song, the two edits, which of them is shown
    first, and the occasion. Answers therefore do not depend on the order of the tasks, and a task
    repeated with swapped sides gets new noise, as with a person.

    Parameters
    ----------
    rater_id : str
    taste : str or mapping
        A name in `TASTES` or in `OUTSIDE_TASTES`, or weights over names of descriptors and of
        hidden criteria (see `rlhf_lib.editing.descriptors` and `rlhf_lib.raters.criteria`).
    noise : float
        Scale of the logistic noise in units of utility; with 0, the taste alone decides. See
        `noise_for_agreement`.
    tie_margin : float
        Noisy differences up to this size are a tie.
    seed : int
    side_bias : float
        Added to the difference in favour of the edit shown first.
    carelessness : float
        Share of answers, 0 … 1, drawn at random from the seven-point scale.

    Raises
    ------
    InputError
        For an unknown taste, descriptor or criterion, no weight at all, a weight that is not
        finite, a negative noise or margin, or a carelessness outside 0 … 1.
    """

    rater_id: str
    taste: str | Mapping[str, float]
    noise: float = 0.5
    tie_margin: float = TIE_MARGIN
    seed: int = 0
    side_bias: float = 0.0
    carelessness: float = 0.0
    rater_kind: ClassVar[Literal["simulated"]] = "simulated"

    def __post_init__(self):
        for name in ("noise", "tie_margin"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} of rater {self.rater_id!r} is {value!r}; give 0 or more")
        if not math.isfinite(self.side_bias):
            raise InputError(f"side_bias of rater {self.rater_id!r} is {self.side_bias!r}")
        if not 0 <= self.carelessness <= 1:
            raise InputError(
                f"carelessness of rater {self.rater_id!r} is {self.carelessness!r}; give 0 … 1"
            )
        _ = self._taste  # an unknown taste fails here, not at the first comparison

    @cached_property
    def _taste(self) -> Taste | OutsideTaste:
        return taste_of(self.taste)

    @property
    def descriptor_weights(self) -> np.ndarray:
        """The weights of the taste over the descriptors, (N_DESCRIPTORS,); see `Taste`."""
        return self._taste.descriptor_weights

    def utility(self, edit: Edit) -> float:
        """Return the utility of an edit for the hidden taste, without noise."""
        return self._taste.utility(edit)

    def compare(self, song: Song, a: Edit, b: Edit, occasion: int = 0) -> Answer:
        """Vote on two edits of a song; see the class for the rule.

        Parameters
        ----------
        song : Song
        a, b : Edit
            `a` is the one shown first.
        occasion : int
            Another number gives other noise for the same two edits on the same sides.
        """
        rng = self._draws(song, a, b, occasion)
        noise = rng.logistic(0, self.noise)
        if rng.random() < self.carelessness:
            return _at_random(rng)
        gains = self._taste.parts(a) - self._taste.parts(b)
        same = np.array_equal(a.actions, b.actions) and a.target == b.target
        difference = float(gains.sum()) + self.side_bias + (0.0 if same else noise)
        size = abs(difference)
        # A difference of 1 unit gives a confidence of 0.88, one of 0.42 units gives 0.7.
        confidence = round(1 / (1 + math.exp(-2 * min(size, 50.0))), 3)
        if size <= self.tie_margin:
            return Answer("tie", 0, confidence, "simulated: too close to call")
        side = 1 if difference > 0 else -1
        return Answer(
            preference="a" if side > 0 else "b",
            strength=1 + int(np.searchsorted(STRENGTH_STEPS, size)),
            confidence=confidence,
            reasoning=f"simulated: {self._taste.reason(side * gains)}",
        )

    def _draws(self, song: Song, a: Edit, b: Edit, occasion: int) -> np.random.Generator:
        """Return a random generator for this answer alone."""
        shown = [edit.actions.tobytes() + repr(edit.target).encode() for edit in (a, b)]
        asked = f"{self.seed}/{self.rater_id}/{song.song_id}/{occasion}".encode()
        digest = hashlib.sha256(b"\0".join([asked, *shown])).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def taste_of(taste: str | Mapping[str, float]) -> Taste | OutsideTaste:
    """Return a taste, given its name in `TASTES` or `OUTSIDE_TASTES`, or its weights.

    Raises
    ------
    InputError
        For an unknown name, or weights that `Taste` refuses.
    """
    if not isinstance(taste, str):
        return Taste(dict(taste))
    if taste in OUTSIDE_TASTES:
        return OUTSIDE_TASTES[taste]
    if taste in TASTES:
        return Taste(TASTES[taste])
    raise InputError(
        f"unknown taste {taste!r}; the tastes are {', '.join(TASTES)}; on recorded songs also "
        f"{', '.join(OUTSIDE_TASTES)}"
    )


def _at_random(rng: np.random.Generator) -> Answer:
    """Return one of the seven answers, all equally likely."""
    signed = int(rng.integers(-3, 4))
    preference = "tie" if signed == 0 else "a" if signed > 0 else "b"
    return Answer(preference, abs(signed), 0.5, "simulated: answered without listening")


def noise_for_agreement(
    gaps: np.ndarray, agreement: float = 0.78, tie_margin: float = TIE_MARGIN
) -> float:
    """Return the noise at which two independent raters of one taste reach an agreement.

    Agreement is the share of pairs on which both prefer the same edit, among those without a
    tie: with one gap and no ties p² + (1 − p)², p = 1 / (1 + exp(−gap / noise)).

    Parameters
    ----------
    gaps : (n,) array
        Utility differences of the pairs.
    agreement : float
        Between 0.5 and 1.
    tie_margin : float
        That of the raters.

    Returns
    -------
    float
        Scale of the logistic noise, for `SimulatedRater`.

    Raises
    ------
    InputError
        When there are no gaps or they are all 0, one is not finite, or no noise gives this
        agreement.
    """
    gaps = _checked_gaps(gaps)
    size = float(np.abs(gaps).max())
    if size == 0:
        raise InputError("all utility differences are 0; raters of this taste agree by chance")

    def surplus(log_noise: float) -> float:
        p, q = _vote_shares(gaps, math.exp(log_noise), tie_margin)
        return float((p**2 + q**2).sum() / ((p + q) ** 2).sum()) - agreement

    # From noise too small to matter to noise far larger than every gap.
    low, high = math.log(size) - 7.0, math.log(size) + 7.0
    if not surplus(high) < 0 < surplus(low):
        raise InputError(
            f"no noise makes two raters agree on {agreement!r} of these pairs; it can be "
            f"{surplus(high) + agreement:.3f} to {surplus(low) + agreement:.3f}"
        )
    return math.exp(brentq(surplus, low, high, xtol=1e-10))


def noise_ceiling(gaps: np.ndarray, noise: float, tie_margin: float = TIE_MARGIN) -> float:
    """Return the accuracy that a perfect model of the taste reaches against one rater's votes.

    Ties do not count. With one gap and no ties the accuracy is max(p, 1 − p).

    Parameters
    ----------
    gaps : (n,) array
        Utility differences of the pairs.
    noise, tie_margin : float
        The rater's.

    Raises
    ------
    InputError
        When there are no gaps, one is not finite, or every vote is a tie.
    """
    p, q = _vote_shares(_checked_gaps(gaps), noise, tie_margin)
    decided = float((p + q).sum())
    if decided == 0:
        raise InputError(f"every vote is a tie at a margin of {tie_margin!r} without noise")
    return float(np.maximum(p, q).sum()) / decided


def _checked_gaps(gaps: np.ndarray) -> np.ndarray:
    gaps = np.asarray(gaps, dtype=np.float64).ravel()
    if len(gaps) == 0 or not np.isfinite(gaps).all():
        raise InputError(f"got {len(gaps)} utility differences; give one or more, all finite")
    return gaps


def _vote_shares(
    gaps: np.ndarray, noise: float, tie_margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of a vote for the first and for the second edit, (n,) each."""
    if noise == 0:
        return (gaps > tie_margin).astype(float), (gaps < -tie_margin).astype(float)
    return expit((gaps - tie_margin) / noise), expit((-gaps - tie_margin) / noise)
