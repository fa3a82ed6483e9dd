"""Fitting a reward model to comparisons (Bradley & Terry, 1952; Christiano et al., 2017).

The transformer is not changed after pretraining. A fit changes the weights of the descriptors and
the mix of the auxiliary scores. These few numbers have a prior around the weights of the first
model: ten answers move them a little, and with four hundred the answers dominate. It is sparse: a
few weights may move far (Tipping, 2001). The prior mean is that of the first model in every cycle:
each fit reads all answers again, so a prior around the last fit would count the old answers twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import expit

from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.laplace import around, covariance, descend, draws, sparse
from rlhf_lib.learning.reward.likelihood import LIKELIHOODS
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.learning.reward.pair_data import PairData
from rlhf_lib.learning.reward.posterior import NegativeLogPosterior, Prior, split


@dataclass(frozen=True)
class RewardTraining:
    """Settings of one fit.

    Attributes
    ----------
    epochs : int
        Passes over all pairs, at most, in each of the five fits (`laplace.sparse` and the last);
        the optimum usually comes earlier.
    likelihood : str
        How answers depend on score differences, see `likelihood`.
    prior_scale : float
        Scale of the Student-t prior on the descriptor weights, in logits per typical difference of
        a descriptor; 0 leaves them as they are. Its mean is the prior mean
        (`RewardModel.prior_mean`) times a factor that is fitted too, see `posterior`.
    prior_degrees : float
        Degrees of freedom of this prior; `math.inf` makes it Gaussian.
    mix_prior_sd : float
        Standard deviation of the Gaussian prior on the transformer's part of the score as a whole;
        0, the default, leaves it out: it adds nothing for any simulated rater (docs/results.md).
    seed : int
        Of the draws by which the members differ.
    """

    epochs: int = 100
    likelihood: str = "ordinal"
    prior_scale: float = 0.2
    prior_degrees: float = 1.0
    mix_prior_sd: float = 0.0
    seed: int = 0


@dataclass
class RewardHistory:
    """The course of a fit.

    Attributes
    ----------
    epochs : list of dict
        epoch, train_loss, train_accuracy, and with held-out pairs valid_loss,
        valid_accuracy, all of the ensemble mean. Epoch 0 is the model before training.
    best_epoch : int
        Epoch of the lowest held-out loss (the last when nothing is held out).
    best_state : dict
        Parameters at that epoch.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)


def fit(
    model: RewardModel,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    config: RewardTraining,
    report: Callable[[dict[str, float]], None] | None = None,
) -> RewardHistory:
    """Fit `model` in place and return its history.

    The members of the ensemble are draws from the posterior; their mean is its mode.

    Parameters
    ----------
    report : callable, optional
        Called with each epoch's line.

    Raises
    ------
    InputError
        When there are no pairs to train on, or the likelihood is unknown.
    """
    check = PairData(held_out, model) if held_out else None
    return fit_pair_data(model, PairData(train, model), check, config, report)


def fit_pair_data(
    model: RewardModel,
    data: PairData,
    check: PairData | None,
    config: RewardTraining,
    report: Callable[[dict[str, float]], None] | None = None,
) -> RewardHistory:
    """Fit as `fit` does, to differences between edits that are already computed."""
    if config.likelihood not in LIKELIHOODS:
        raise InputError(
            f"unknown likelihood {config.likelihood!r}; choose one of {', '.join(LIKELIHOODS)}"
        )
    paths = _paths(model, data, config)
    history = RewardHistory()
    for epoch, now in enumerate(paths):
        line = {"epoch": epoch, **_line("train", now, data)}
        if check is not None:
            line |= _line("valid", now, check)
        history.epochs.append(line)
        if report is not None:
            report(line)
    history.best_epoch = len(history.epochs) - 1
    if check is not None:
        history.best_epoch = int(np.argmin([line["valid_loss"] for line in history.epochs]))
    set_parameters(model, paths[history.best_epoch])
    history.best_state = {name: value.clone() for name, value in model.state_dict().items()}
    set_parameters(model, paths[-1])
    return history


def _paths(model: RewardModel, data: PairData, config: RewardTraining) -> np.ndarray:
    """Return all members' parameters after each pass, (passes + 1, members, n_parameters).

    The start comes first. All passes are those of the last fit, under the estimated prior.
    """
    start = parameters(model)
    prior_mean = model.prior_mean.double().cpu().numpy()
    prior = Prior.of(
        prior_mean, start.shape[1], config.prior_scale, config.prior_degrees, config.mix_prior_sd
    )
    objective = NegativeLogPosterior(data, start.mean(0), prior, LIKELIHOODS[config.likelihood])
    objective = sparse(objective, config.epochs)
    passes = descend(objective, objective.begin(), config.epochs)
    spread = covariance(objective, passes[-1])
    moves = draws(spread, len(start), np.random.default_rng(config.seed))
    free, bounds = prior.free, objective.bounds()[: len(spread)]
    paths = np.repeat(start[None], len(passes), axis=0)
    for path, values in zip(paths[1:], passes[1:], strict=True):
        path[:, free] = around(split(values)[0], moves, bounds)
    return paths


def parameters(model: RewardModel) -> np.ndarray:
    """Return what `fit` changes, (members, N_DESCRIPTORS + auxiliary tasks) float64."""
    both = torch.cat([model.linear, model.mix], dim=1)
    return both.detach().double().cpu().numpy()


def set_parameters(model: RewardModel, values: np.ndarray) -> None:
    """Set the parameters of a model to values returned by `parameters`."""
    n = model.linear.shape[1]
    with torch.no_grad():
        model.linear.copy_(torch.from_numpy(values[:, :n]))
        model.mix.copy_(torch.from_numpy(values[:, n:]))


def _line(name: str, parameters: np.ndarray, data: PairData) -> dict[str, float]:
    difference = data.score_differences(parameters).mean(axis=1)
    numbers = _loss_and_accuracy(difference, data.answers)
    return {f"{name}_{key}": value for key, value in numbers.items()}


def _loss_and_accuracy(difference: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    decided = answers != 0.5
    right = ((difference > 0) == (answers > 0.5))[decided]
    return {
        "loss": float((np.logaddexp(0, difference) - answers * difference).mean()),
        "accuracy": float(right.mean()) if len(right) else 0.5,
    }


def loss_and_accuracy(model: RewardModel, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return loss and accuracy of the ensemble mean; the accuracy leaves out ties.

    Returns
    -------
    dict
        loss (nats, Bradley–Terry), accuracy (share of decided pairs), pairs, decided.
    """
    difference = model.score_differences([c.edits for c in comparisons]).mean(axis=1)
    answers = np.array([c.preference for c in comparisons])
    counts = {"pairs": len(comparisons), "decided": int((answers != 0.5).sum())}
    return _loss_and_accuracy(difference, answers) | counts


def probabilities(model: RewardModel, comparisons: Sequence[Comparison]) -> np.ndarray:
    """Return P(a preferred) for each pair: the mean over the ensemble, (n_pairs,)."""
    return expit(model.score_differences([c.edits for c in comparisons])).mean(axis=1)
