"""Fitting a reward model to comparisons (Bradley & Terry, 1952; Christiano et al., 2017).

The transformer keeps what `pretraining` taught it; preferences decide what the score is made
of: the weights of the named measures and the mix of the judges' opinions. These few numbers
have a Gaussian prior around what the first model weighs, so that ten answers move them a little
and four hundred as far as they must, and an optimum that is found exactly in seconds (L-BFGS-B:
Byrd et al., 1995). The prior's centre stays the first model in every cycle: a later fit reads
all answers again, and would count the old ones twice if it started from what they taught.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch.nn import functional as F

from rlhf_lib.errors import InputError
from rlhf_lib.learning.active import ensemble_gaps
from rlhf_lib.learning.comparisons import Comparison
from rlhf_lib.learning.likelihood import LIKELIHOODS
from rlhf_lib.learning.reward_model import RewardModel
from rlhf_lib.music.measures import DIRECTION, measure

#: Prior on the logarithm of the size that the anchor's weights have for a rater, in logits: mean,
#: standard deviation. The anchor was never asked how decided people are.
ANCHOR_SIZE = (-1.0, 1.0)


@dataclass(frozen=True)
class RewardTraining:
    """Settings of one fit.

    Attributes
    ----------
    epochs : int
        Passes over all pairs, at most; the optimum usually comes earlier.
    likelihood : str
        How answers follow from score differences, see `likelihood`.
    prior : float
        Standard deviation of the Gaussian prior on the linear head's weights, in logits per
        typical difference of a measure; 0 leaves them as they are. Its mean is the anchor
        (`RewardModel.anchor`) times a size that is fitted too, see `ANCHOR_SIZE`.
    mix_prior : float
        The same for the transformer's part of the score as a whole.
    """

    epochs: int = 100
    likelihood: str = "ordinal"
    prior: float = 0.5
    mix_prior: float = 0.5


@dataclass
class RewardHistory:
    """What a fit left behind.

    Attributes
    ----------
    epochs : list of dict
        epoch, train_loss, train_accuracy, and where pairs were held out valid_loss,
        valid_accuracy: of the ensemble mean. Epoch 0 is the model before training.
    best_epoch : int
        Epoch of the lowest held-out loss (the last when nothing is held out).
    best_state : dict
        Parameters at that epoch.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)


def bradley_terry_loss(gap: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
    """Return −log P(answer) where P(a preferred) = σ(gap); a tie counts half for each side.

    Parameters
    ----------
    gap : tensor
        score(a) − score(b).
    preference : tensor, broadcast with `gap`
        1, ½ or 0, or anything between.
    """
    return F.binary_cross_entropy_with_logits(gap, preference.expand_as(gap), reduction="none")


class Gaps:
    """What distinguishes the two edits of each comparison, computed once.

    Attributes
    ----------
    inputs : (n_pairs, members, measures + judges) float64 array
        Differences of measures (in their typical size) and opinions.
    answers : (n_pairs,) float64 array
        1, ½, 0: a, tie, b.
    strengths : (n_pairs,) int array
    weights : (n_pairs,) float64 array
    """

    def __init__(self, comparisons: Sequence[Comparison], model: RewardModel):
        edits = [edit for c in comparisons for edit in (c.a, c.b)]
        measures = np.stack([measure(edit) for edit in edits])
        measures = (measures[0::2] - measures[1::2]) / model.measure_scale.cpu().numpy()
        with torch.no_grad():
            opinions = model.opinions(edits).double().cpu().numpy()
        opinions = opinions[0::2] - opinions[1::2]
        measures = np.repeat(measures[:, None], opinions.shape[1], axis=1)
        self.inputs = np.concatenate([measures, opinions], axis=2)
        self.answers = np.array([c.preference for c in comparisons])
        self.strengths = np.array([c.strength for c in comparisons])
        self.weights = np.array([c.weight for c in comparisons])

    def __len__(self) -> int:
        return len(self.answers)

    def answered(self, places: Sequence[int], answers: np.ndarray, strengths: np.ndarray) -> "Gaps":
        """Return the pairs at `places` with other answers, each of weight 1."""
        out = copy.copy(self)
        out.inputs = self.inputs[places]
        out.answers, out.strengths = np.asarray(answers, float), np.asarray(strengths, int)
        out.weights = np.ones(len(out.answers))
        return out


def fit(
    model: RewardModel,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    config: RewardTraining,
    seed: int,
    report: Callable[[dict[str, float]], None] | None = None,
) -> RewardHistory:
    """Fit `model` in place and return its history.

    Each member of the ensemble sees its own Bayesian bootstrap of the pairs (Rubin, 1981).

    Parameters
    ----------
    report : callable, optional
        Called with each epoch's line.

    Raises
    ------
    InputError
        When there are no pairs to train on, or the likelihood is unknown.
    """
    if not train:
        raise InputError("no comparisons to train on; collect or simulate preferences first")
    check = Gaps(held_out, model) if held_out else None
    return fit_gaps(model, Gaps(train, model), check, config, seed, report)


def fit_gaps(
    model: RewardModel,
    data: Gaps,
    check: Gaps | None,
    config: RewardTraining,
    seed: int,
    report: Callable[[dict[str, float]], None] | None = None,
) -> RewardHistory:
    """Do what `fit` does, with what distinguishes the edits already known."""
    if config.likelihood not in LIKELIHOODS:
        raise InputError(
            f"unknown likelihood {config.likelihood!r}; choose one of {', '.join(LIKELIHOODS)}"
        )
    rng = np.random.default_rng(seed)
    start, anchor = parameters(model), model.anchor.double().cpu().numpy()
    counts = rng.exponential(size=(model.config.members, len(data)))
    counts *= len(data) / counts.sum(axis=1, keepdims=True)
    paths = [
        _optimum(start[m], anchor, data.inputs[:, m], data, counts[m], config)
        for m in range(model.config.members)
    ]
    history = RewardHistory()
    for epoch in range(max(len(path) for path in paths)):
        now = np.stack([path[min(epoch, len(path) - 1)] for path in paths])
        line = {"epoch": epoch, **_line("train", now, data)}
        if check is not None:
            line |= _line("valid", now, check)
        history.epochs.append(line)
        if report is not None:
            report(line)
    history.best_epoch = len(history.epochs) - 1
    if check is not None:
        history.best_epoch = int(np.argmin([line["valid_loss"] for line in history.epochs]))
    for epoch in (history.best_epoch, len(history.epochs) - 1):
        now = np.stack([path[min(epoch, len(path) - 1)] for path in paths])
        set_parameters(model, now)
        if epoch == history.best_epoch:
            history.best_state = {k: v.clone() for k, v in model.state_dict().items()}
    return history


def _optimum(
    start: np.ndarray,
    anchor: np.ndarray,
    inputs: np.ndarray,
    data: Gaps,
    counts: np.ndarray,
    config: RewardTraining,
) -> list[np.ndarray]:
    """Return one member's parameters after each pass, the start first.

    What is sought, in this order: the free parameters, the logarithm of the anchor's size, the
    likelihood's shape.
    """
    likelihood = LIKELIHOODS[config.likelihood]
    n, n_mix = len(start), len(start) - len(anchor)
    anchor = np.concatenate([anchor, np.zeros(n_mix)])
    spread = np.full(n, config.prior)
    spread[n - n_mix :] = config.mix_prior / np.sqrt(max(n_mix, 1))
    direction = np.concatenate([DIRECTION, np.zeros(n_mix)])
    free = spread > 0
    weight = counts * data.weights
    low = np.where(direction > 0, 0.0, -np.inf)[free]
    high = np.where(direction < 0, 0.0, np.inf)[free]
    n_free = int(free.sum())
    centre, doubt = np.append(ANCHOR_SIZE[0], np.zeros(3)), np.append(ANCHOR_SIZE[1], [0.5] * 3)

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        parameters, rest = start.copy(), values[n_free:]
        parameters[free] = values[:n_free]
        loss, by_gap, by_shape = likelihood(
            inputs @ parameters, data.answers, data.strengths, rest[1:]
        )
        expected = np.exp(rest[0]) * anchor[free]
        move, other = (values[:n_free] - expected) / spread[free], (rest - centre) / doubt
        pull = move / spread[free]
        gradient = np.concatenate(
            [(weight * by_gap) @ inputs[:, free] + pull, [-pull @ expected], weight @ by_shape]
        )
        gradient[n_free:] += other / doubt
        return float(weight @ loss + (move @ move + other @ other) / 2), gradient

    path = [start.copy()]

    def keep(values: np.ndarray) -> None:
        path.append(start.copy())
        path[-1][free] = values[:n_free]

    bounds = np.stack([np.append(low, [-6.0] + [-3.0] * 3), np.append(high, [3.0] * 4)], axis=1)
    begin = np.append(np.clip(start[free], low, high), np.zeros(4))
    minimize(
        objective,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=keep,
        options={"maxiter": config.epochs},
    )
    return path


def parameters(model: RewardModel) -> np.ndarray:
    """Return what `fit` moves, (members, measures + judges) float64; see `Gaps.inputs`."""
    both = torch.cat([model.linear, model.mix], dim=1)
    return both.detach().double().cpu().numpy()


def set_parameters(model: RewardModel, values: np.ndarray) -> None:
    """Put what `parameters` returned back into a model."""
    n = model.linear.shape[1]
    with torch.no_grad():
        model.linear.copy_(torch.from_numpy(values[:, :n]))
        model.mix.copy_(torch.from_numpy(values[:, n:]))


def _line(name: str, parameters: np.ndarray, data: Gaps) -> dict[str, float]:
    gap = np.einsum("nmf,mf->nm", data.inputs, parameters).mean(axis=1)
    return {f"{name}_{key}": value for key, value in _judged(gap, data.answers).items()}


def _judged(gap: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    decided = answers != 0.5
    right = ((gap > 0) == (answers > 0.5))[decided]
    return {
        "loss": float((np.logaddexp(0, gap) - answers * gap).mean()),
        "accuracy": float(right.mean()) if len(right) else 0.5,
    }


def judge(model: RewardModel, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return loss and accuracy of the ensemble mean on whole edits; ties don't count as either.

    Returns
    -------
    dict
        loss (nats, Bradley–Terry), accuracy (share of decided pairs), pairs, decided.
    """
    gap = preference_gaps(model, comparisons)
    answers = np.array([c.preference for c in comparisons])
    counts = {"pairs": len(comparisons), "decided": int((answers != 0.5).sum())}
    return _judged(gap, answers) | counts


def preference_gaps(model: RewardModel, comparisons: Sequence[Comparison]) -> np.ndarray:
    """Return the ensemble mean's raw score difference of each pair, in logits, (n_pairs,)."""
    return ensemble_gaps(model, [(c.a, c.b) for c in comparisons]).mean(axis=1)


def probabilities(model: RewardModel, comparisons: Sequence[Comparison]) -> np.ndarray:
    """Return P(a preferred) for each pair: the mean over the ensemble, (n_pairs,)."""
    return expit(ensemble_gaps(model, [(c.a, c.b) for c in comparisons])).mean(axis=1)
