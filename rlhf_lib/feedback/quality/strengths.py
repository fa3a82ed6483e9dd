"""How strong each candidate is: Bradley–Terry, with bootstrap intervals.

P(x preferred to y) = σ(s_x − s_y) (Bradley & Terry, 1952, Biometrika 39); a tie counts half for
each side. A weak Gaussian prior keeps strengths finite where a candidate always wins, which is
common with few answers about one song.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from rlhf_lib.feedback.annotation import VOTE_FOR_A, Annotation

#: Standard deviation of the prior on a strength, in logits: 3 allows one candidate to win
#: nineteen of twenty against another.
PRIOR_SD = 3.0
REPLICATES = 500
#: With fewer answers an interval would only show the prior.
MIN_ANSWERS = 5
_STEPS = 50


def bradley_terry(wins: np.ndarray, prior_sd: float = PRIOR_SD) -> np.ndarray:
    """Return the most probable strengths given these wins, by Newton's method.

    Parameters
    ----------
    wins : (..., n, n) float array
        wins[..., x, y]: how often x was preferred to y; ties as ½ on both sides.
    prior_sd : float
        In logits.

    Returns
    -------
    (..., n) float array
        Logits, with mean 0.
    """
    games = wins + np.swapaxes(wins, -1, -2)
    n = wins.shape[-1]
    strengths = np.zeros(wins.shape[:-1])
    for _ in range(_STEPS):
        chance = expit(strengths[..., :, None] - strengths[..., None, :])
        slope = (wins - games * chance).sum(-1) - strengths / prior_sd**2
        curve = games * chance * (1 - chance)
        bend = np.eye(n) * (curve.sum(-1)[..., None] + 1 / prior_sd**2) - curve
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        # From strengths of 0 a step of over one logit can overshoot where the curve is flat.
        strengths = strengths + np.clip(step, -1.0, 1.0)
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return strengths - strengths.mean(-1, keepdims=True)


def strengths_report(annotations: Sequence[Annotation], seed: int = 0) -> list[dict[str, Any]]:
    """Return the strengths of the candidates of each manifest: over all songs, and by song.

    Over all songs, candidates with the same id (``temp_0.5``) count as one. The 95 % intervals
    resample songs with all their answers, or single answers when there is only one song.
    """
    groups: dict[str | None, dict[str, list[Annotation]]] = defaultdict(lambda: defaultdict(list))
    for annotation in annotations:
        groups[annotation.manifest_id][annotation.song_id].append(annotation)
    rng = np.random.default_rng(seed)
    return [
        {
            "manifest_id": manifest_id,
            "candidates": _strengths(list(songs.values()), rng),
            "songs": [
                {"song_id": song_id, "candidates": _strengths([[one] for one in answers], rng)}
                for song_id, answers in sorted(songs.items())
            ],
        }
        for manifest_id, songs in groups.items()
    ]


def _strengths(clusters: list[list[Annotation]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return the strength of each candidate in these answers, resampled cluster by cluster."""
    if len(clusters) == 1:
        clusters = [[answer] for answer in clusters[0]]
    answers = [answer for cluster in clusters for answer in cluster]
    counts = Counter(name for one in answers for name in (one.edit_a_id, one.edit_b_id))
    names = sorted(counts)
    place = {name: number for number, name in enumerate(names)}
    wins = np.zeros((len(clusters), len(names), len(names)))
    for number, cluster in enumerate(clusters):
        for one in cluster:
            a, b = place[one.edit_a_id], place[one.edit_b_id]
            share = VOTE_FOR_A[one.preference]
            wins[number, a, b] += share
            wins[number, b, a] += 1 - share
    strengths = bradley_terry(wins.sum(0))
    intervals: list[Any] = [None] * len(names)
    if len(answers) >= MIN_ANSWERS:
        draws = rng.multinomial(
            len(clusters), np.full(len(clusters), 1 / len(clusters)), REPLICATES
        )
        again = bradley_terry(np.tensordot(draws.astype(float), wins, 1))
        intervals = np.quantile(again, (0.025, 0.975), axis=0).T.tolist()
    rows = [
        {"id": name, "strength": float(strength), "interval": interval, "n": counts[name]}
        for name, strength, interval in zip(names, strengths, intervals, strict=True)
    ]
    return sorted(rows, key=lambda row: -row["strength"])
