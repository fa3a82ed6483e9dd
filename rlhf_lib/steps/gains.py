"""How much better edits are: on one scale, with intervals, and by the number of plans tried."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import own_weights, reweighted, whole_edits
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.learning.reward.synthetic import random_cuts

#: Random single cuts whose mean is the 0 of the scale, for each song and length.
_CUTS = 20
#: Draws of songs in a bootstrap.
_DRAWS = 2000


def on_one_scale(
    made: Mapping[str, Sequence[Edit]],
    optimum: Sequence[Edit],
    utility: Callable[[Edit], float],
    seed: int = 0,
) -> pd.DataFrame:
    """Return what edits are worth between a random cut and the optimum.

    0 is the mean of 20 random single cuts of the same length, 1 the optimum. Values are means over
    songs, after means over the lengths of a song.

    Parameters
    ----------
    made : dict of name → edits
        In the order of `optimum`: of the same songs, at the same lengths. Several draws may follow
        each other; they are averaged.
    optimum : sequence of Edit
    utility : callable
        Of one edit.

    Returns
    -------
    DataFrame
        "random cut", then the names, then "optimum" → mean, lowest and highest (single songs),
        songs (their number). A song on which the optimum is no better than the random cuts has no
        scale and is left out.

    Raises
    ------
    InputError
        When a number of edits does not fit the optimum's, or no song has a scale.
    """
    rng = np.random.default_rng(seed)
    cuts = [
        np.mean([utility(cut) for cut in _random_cuts(edit, rng)])
        for edit in tqdm(optimum, "random cuts", unit="edit", leave=False)
    ]
    values = {"random cut": cuts}
    for name, edits in {**made, "optimum": optimum}.items():
        if not edits or len(edits) % len(optimum):
            raise InputError(
                f"{len(edits)} edits of {name!r} do not fit {len(optimum)} of the optimum; give "
                "one, or equally many draws, for each"
            )
        each = np.array([utility(edit) for edit in edits])
        values[name] = each.reshape(-1, len(optimum)).mean(axis=0)
    by_song = pd.DataFrame(values).groupby([edit.song.song_id for edit in optimum]).mean()
    span = by_song["optimum"] - by_song["random cut"]
    by_song, span = by_song[span > 0], span[span > 0]
    if span.empty:
        raise InputError(
            "on no song is the optimum better than random cuts, so there is no scale; give "
            "another utility"
        )
    scaled = by_song.sub(by_song["random cut"], axis=0).div(span, axis=0)
    table = {"mean": scaled.mean(), "lowest": scaled.min(), "highest": scaled.max()}
    return pd.DataFrame(table).assign(songs=len(span))


def _random_cuts(edit: Edit, rng: np.random.Generator) -> list[Edit]:
    return [random_cuts(edit.song, edit.target, 1, rng) for _ in range(_CUTS)]


def gains_with_intervals(
    utilities: Mapping[str, Sequence[float]], songs: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Return the mean gain of each policy over the first one.

    Parameters
    ----------
    utilities : dict of name → (n,) floats
        Of edits of the same songs at the same lengths, in the same order.
    songs : (n,) strings
        The song of each edit.

    Returns
    -------
    DataFrame
        name → gain (mean over songs), low and high (95 % interval, bootstrapped over songs).
    """
    table = pd.DataFrame(utilities)
    by_song = table.sub(table.iloc[:, 0], axis=0).groupby(list(songs)).mean()
    drawn = np.random.default_rng(seed).integers(len(by_song), size=(_DRAWS, len(by_song)))
    low, high = np.quantile(by_song.to_numpy()[drawn].mean(axis=1), [0.025, 0.975], axis=0)
    return pd.DataFrame({"gain": by_song.mean(), "low": low, "high": high})


def gain_by_plans(
    reward: Reward,
    weights: np.ndarray,
    songs: Sequence[Song],
    n_plans: int = 100,
    targets: Sequence[float] = CUTTING_TARGETS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what the best of the first n plans gains over the plan under `weights`.

    Plans are exact under `weights`, (N_DESCRIPTORS,), and under random re-weightings of them; the
    best one is found by `reward`.

    Returns
    -------
    DataFrame
        Index: plans tried, 1 … `n_plans`; one column per keep ratio: the mean gain over the songs.
    """
    rng = np.random.default_rng(seed)
    tried = own_weights(weights) + reweighted(weights, n_plans - 1, 1.0, rng)
    gains = {}
    for target in tqdm(targets, "plans", unit="length", leave=False):
        scores = np.stack([reward.scores(whole_edits(song, tried, target)) for song in songs])
        best = np.maximum.accumulate(scores, axis=1)
        gains[f"keep ratio {target:.2f}"] = (best - scores[:, :1]).mean(axis=0)
    return pd.DataFrame(gains, pd.RangeIndex(1, n_plans + 1, name="plans tried"))
