"""What the same answers teach under other likelihoods, and what fewer of them teach."""

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.fit import (
    RewardTraining,
    fit_pair_data,
    parameters,
    set_parameters,
)
from rlhf_lib.learning.reward.likelihood import LIKELIHOODS
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.learning.reward.pair_data import PairData
from rlhf_lib.steps.evaluation import clustered_rate, wins

#: Numbers of pairs at which a curve is measured, as far as there are as many.
_NUMBERS = (0, 5, 10, 20, 40, 80, 160, 320, 640)
#: A number above this share of all pairs is left out: the next point is all of them.
_NEARLY_ALL = 0.8


def fits_by_likelihood(
    parent: RewardModel, train: Sequence[Comparison], held_out: Sequence[Comparison], seed: int = 0
) -> pd.DataFrame:
    """Fit the same pairs under each likelihood; the parent is not changed.

    Returns
    -------
    DataFrame
        One row per likelihood: train_accuracy, valid_accuracy, valid_loss (Bradley–Terry, nats).

    Raises
    ------
    InputError
        When there are no pairs on a side.
    """
    data, check = PairData(train, parent), PairData(held_out, parent)
    model, start, rows = copy.deepcopy(parent), parameters(parent), {}
    for likelihood in tqdm(LIKELIHOODS, "fits", unit="fit", leave=False):
        settings = RewardTraining(likelihood=likelihood, seed=seed)
        rows[likelihood] = fit_pair_data(model, data, check, settings).epochs[-1]
        set_parameters(model, start)
    return pd.DataFrame(rows).T[["train_accuracy", "valid_accuracy", "valid_loss"]]


def fits_by_pairs(
    parent: RewardModel,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    orders: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit growing parts of the training pairs, and test each fit; the parent is not changed.

    Parameters
    ----------
    orders : int
        Random orders in which the pairs are added; the curve is their mean.

    Returns
    -------
    DataFrame
        pairs, value (accuracy on decided held-out pairs), low and high (95 % interval, clustered
        by song), taste ("this feedback"), as `rlhf_lib.plots.learning_curves` draws it.

    Raises
    ------
    InputError
        When there are no pairs on a side, or every held-out pair is a tie.
    """
    decided = [pair for pair in held_out if pair.preference != 0.5]
    data, check = PairData(train, parent), PairData(decided, parent)
    numbers = [n for n in _NUMBERS if n < _NEARLY_ALL * len(data)] + [len(data)]
    model, start, sign = copy.deepcopy(parent), parameters(parent), np.sign(check.answers - 0.5)
    right = {n: [] for n in numbers}
    with tqdm(total=orders * len(numbers), desc="fits", unit="fit", leave=False) as bar:
        for order in range(orders):
            places = np.random.default_rng([seed, order]).permutation(len(data))
            for n in numbers:
                if n:
                    some = places[:n]
                    part = data.answered(some, data.answers[some], data.strengths[some])
                    fit_pair_data(model, part, None, RewardTraining(seed=seed))
                gaps = check.score_differences(parameters(model)).mean(axis=1)
                right[n].append(wins(gaps * sign, np.zeros(len(check))))
                set_parameters(model, start)
                bar.update()
    songs = [pair.a.song.sha256 for pair in decided]
    rates = {n: vars(clustered_rate(np.mean(each, axis=0), songs)) for n, each in right.items()}
    table = pd.DataFrame(rates).T.rename_axis("pairs").reset_index()
    return table[["pairs", "value", "low", "high"]].assign(taste="this feedback")
