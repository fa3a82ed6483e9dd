"""Training a reward model on comparisons (Bradley & Terry, 1952; Christiano et al., 2017)."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from rlhf_lib.errors import InputError
from rlhf_lib.learning.comparisons import Comparison
from rlhf_lib.learning.reward_model import RewardModel, edit_tokens, pad
from rlhf_lib.music.measures import MEASURES, measure


@dataclass(frozen=True)
class RewardTraining:
    """Settings of one training run.

    Attributes
    ----------
    epochs, batch : int
        Passes over the pairs, pairs per step.
    lr : float
        Learning rate of transformer and linear head.
    alone : float
        Weight of a second loss that asks the transformer to answer without the linear head;
        without it the transformer learns nothing where the measures explain the pairs.
    linear_steps : int
        Steps of the linear head alone on all pairs at once, before the first epoch.
    linear_lr : float
        Learning rate of those steps.
    prior : float
        Standard deviation of the Gaussian prior that holds the linear head's parameters to
        where they started: with few pairs the model stays near its parent.
    """

    epochs: int = 20
    batch: int = 16
    lr: float = 1e-4
    alone: float = 0.0
    linear_steps: int = 300
    linear_lr: float = 3e-2
    prior: float = 1.0


@dataclass
class RewardHistory:
    """What a training run left behind.

    Attributes
    ----------
    epochs : list of dict
        epoch, train_loss, train_accuracy, and where pairs were held out valid_loss,
        valid_accuracy.
    best_epoch : int
        Epoch of the lowest held-out loss (training loss when nothing is held out); 0 is the
        model before training.
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
        1, ½ or 0.
    """
    return F.binary_cross_entropy_with_logits(gap, preference.expand_as(gap), reduction="none")


def fit(
    model: RewardModel,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    config: RewardTraining,
    seed: int,
    report: Callable[[dict[str, float]], None] | None = None,
) -> RewardHistory:
    """Train `model` in place and return its history.

    First the linear head alone finds its optimum (sixteen numbers, all pairs at once, a
    second), then all parameters train together: the transformer only has to learn what the
    named measures don't tell. Each member of the ensemble sees its own bootstrap of the pairs
    (Poisson weights). The transformer reads one window of each edit per step, at the same
    relative place in both.

    Parameters
    ----------
    report : callable, optional
        Called with each epoch's line.

    Raises
    ------
    InputError
        When there are no pairs to train on.
    """
    if not train:
        raise InputError("no comparisons to train on; collect or simulate preferences first")
    device = model.direction.device
    rng = np.random.default_rng(seed)
    data = _Pairs(train, model)
    bootstrap = torch.as_tensor(
        rng.poisson(1.0, size=(len(train), model.config.members)), dtype=torch.float32
    )
    history = RewardHistory()
    _keep_best(history, model, held_out, {"epoch": 0})
    pull = _prior(model, config, len(train))
    _fit_linear(model, data, bootstrap.to(device), config, pull)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    steps = config.epochs * -(-len(train) // config.batch)
    bar = tqdm(total=steps, desc="reward model", unit="step", leave=False)
    for epoch in range(1, config.epochs + 1):
        order = rng.permutation(len(train))
        total, right, counted = 0.0, 0.0, 0.0
        for first in range(0, len(order), config.batch):
            chosen = order[first : first + config.batch]
            linear, heard = data.gaps(model, chosen, rng)
            gap = linear + heard
            answers = data.preference[chosen, None].to(device)
            weight = (data.weight[chosen, None] * bootstrap[chosen]).to(device)
            loss = bradley_terry_loss(gap, answers)
            if config.alone:
                loss = loss + config.alone * bradley_terry_loss(heard, answers)
            loss = (loss * weight).mean()
            optimizer.zero_grad()
            (loss + pull()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            bar.update()
            with torch.no_grad():
                mean_gap = gap.mean(1).cpu()
                answer = data.preference[chosen]
                total += float(bradley_terry_loss(mean_gap, answer).sum())
                decided = answer != 0.5
                right += float(((mean_gap > 0) == (answer > 0.5))[decided].sum())
                counted += float(decided.sum())
        line = {
            "epoch": epoch,
            "train_loss": total / len(train),
            "train_accuracy": right / max(counted, 1.0),
        }
        _keep_best(history, model, held_out, line)
        if report is not None:
            report(line)
    bar.close()
    return history


def judge(model: RewardModel, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return loss and accuracy of the ensemble mean on whole edits; ties don't count as either.

    Returns
    -------
    dict
        loss (nats), accuracy (share of decided pairs), pairs, decided.
    """
    edits = [edit for c in comparisons for edit in (c.a, c.b)]
    linear, transformer = model.score_parts(edits)
    scores = torch.from_numpy((linear + transformer).mean(1))
    gap = scores[0::2] - scores[1::2]
    answers = torch.tensor([c.preference for c in comparisons], dtype=gap.dtype)
    decided = answers != 0.5
    right = ((gap > 0) == (answers > 0.5))[decided].float()
    return {
        "loss": float(bradley_terry_loss(gap, answers).mean()),
        "accuracy": float(right.mean()) if len(right) else 0.5,
        "pairs": len(comparisons),
        "decided": int(decided.sum()),
    }


def measure_scale(comparisons: Sequence[Comparison]) -> np.ndarray:
    """Return the root mean square difference of each measure over pairs, (16,); 1 where none."""
    gaps = np.stack([measure(c.a) - measure(c.b) for c in comparisons])
    size = np.sqrt((gaps**2).mean(0))
    return np.where(size > 1e-6, size, 1.0)


class _Pairs:
    """Comparisons as tensors; the tokens of each edit are built once."""

    def __init__(self, comparisons: Sequence[Comparison], model: RewardModel):
        scale = model.feature_scale
        self.window = model.config.window
        self.device = model.direction.device
        self.edits = edits = [edit for c in comparisons for edit in (c.a, c.b)]
        self.tokens = [torch.from_numpy(edit_tokens(edit, scale)) for edit in edits]
        self.measures = torch.as_tensor(
            np.stack([measure(edit) for edit in edits]), dtype=torch.float32
        ).view(-1, 2, len(MEASURES))
        self.preference = torch.tensor([c.preference for c in comparisons])
        self.weight = torch.tensor([c.weight for c in comparisons])

    def transformer_gap(self, model: RewardModel) -> torch.Tensor:
        """Score difference of all pairs by the transformer alone, (n_pairs, members)."""
        scores = torch.from_numpy(model.score_parts(self.edits)[1]).to(self.device)
        return scores[0::2] - scores[1::2]

    def gaps(
        self, model: RewardModel, chosen: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score differences of the chosen pairs by the linear head and by the transformer.

        (n, members) each; the transformer reads one random window per edit.
        """
        pieces = []
        for index, place in zip(chosen, rng.random(len(chosen)), strict=True):
            for tokens in self.tokens[2 * index : 2 * index + 2]:
                first = int(place * max(0, len(tokens) - self.window + 1))
                pieces.append(tokens[first : first + self.window])
        tokens, real = pad(pieces, self.device)
        measures = (self.measures[chosen, 0] - self.measures[chosen, 1]).to(self.device)
        heard = model.mean_rewards(tokens, real)
        return measures @ model.weights().T, heard[0::2] - heard[1::2]


def _prior(model: RewardModel, config: RewardTraining, n_pairs: int) -> Callable[[], torch.Tensor]:
    """Return the prior's share of the mean loss, as a function of the model as it is then."""
    start = model.linear.detach().clone()
    strength = 1 / (2 * config.prior**2 * n_pairs)
    return lambda: strength * (model.linear - start).square().sum(1).mean()


def _fit_linear(
    model: RewardModel,
    data: _Pairs,
    bootstrap: torch.Tensor,
    config: RewardTraining,
    pull: Callable[[], torch.Tensor],
) -> None:
    """Bring the linear head to its optimum while the transformer stays as it is."""
    with torch.no_grad():
        rest = data.transformer_gap(model)
    optimizer = torch.optim.Adam([model.linear], lr=config.linear_lr)
    gaps = (data.measures[:, 0] - data.measures[:, 1]).to(rest.device)
    answers = data.preference[:, None].to(rest.device)
    weight = data.weight[:, None].to(rest.device) * bootstrap
    for _ in range(config.linear_steps):
        loss = bradley_terry_loss(gaps @ model.weights().T + rest, answers) * weight
        optimizer.zero_grad()
        (loss.mean() + pull()).backward()
        optimizer.step()


def _keep_best(
    history: RewardHistory, model: RewardModel, held_out: Sequence[Comparison], line: dict
) -> None:
    if held_out:
        valid = judge(model, held_out)
        line |= {"valid_loss": valid["loss"], "valid_accuracy": valid["accuracy"]}
    history.epochs.append(line)
    name = "valid_loss" if held_out else "train_loss"
    losses = [row.get(name, np.inf) for row in history.epochs]
    if losses[-1] == min(losses):
        history.best_epoch = line["epoch"]
        history.best_state = copy.deepcopy(model.state_dict())
