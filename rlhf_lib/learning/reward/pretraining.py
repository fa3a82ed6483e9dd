"""Pretraining of the transformer on auxiliary tasks, before there is any feedback.

Each task is a synthetic rater: random weights over numbers that describe an edit. The raters
compare good and bad edits of the same songs, and the transformer learns to predict the preferences
of each (multi-task learning: Caruana, 1997). A person's taste is then fitted as a mix of the
auxiliary scores, which takes far fewer answers than training the transformer on them. The synthetic
raters weigh the descriptors and further numbers: which sounds are kept, from which part of the
song, and in pieces of which size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from rlhf_lib.analysis.feature_table import FEATURE_NAMES, N_SOUND
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, N_DESCRIPTORS, describe
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.reward.fit import RewardHistory
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.learning.reward.synthetic import synthetic_groups

#: Parts of equal length that a song, and an edit, is divided into.
_PARTS = 4
#: Pieces up to these lengths (beats) are counted.
_PIECES = (4, 8, 16, 32, 64)
_COURSE = [FEATURE_NAMES.index(name) for name in ("rms_mean", "onset_mean")]
#: Names of the numbers that a synthetic rater may weigh, see `auxiliary_descriptors`.
AUXILIARY_NAMES = (
    *DESCRIPTOR_NAMES,
    *(f"sound: {name}" for name in FEATURE_NAMES[:N_SOUND]),
    *(f"quarter {k} of the song" for k in range(1, _PARTS + 1)),
    *(f"{what} in quarter {k}" for k in range(1, _PARTS + 1) for what in ("level", "activity")),
    *(f"pieces up to {beats} beats" for beats in _PIECES),
)
#: Most numbers that one synthetic rater weighs.
_MOST = 4
#: Typical utility difference of a synthetic rater, in units of the logistic noise.
_DECIDEDNESS = 1.5
#: Share of the steps in which the learning rate rises: a tenth, and a little more, because the
#: schedule divides by zero when a tenth is exactly one step.
_RISE = 0.1 + 1e-9


@dataclass(frozen=True)
class Pretraining:
    """Settings of pretraining.

    Attributes
    ----------
    groups_per_song, group : int
        Number of groups of edits of one length, and edits per group; all pairs within a group
        are compared.
    epochs, groups_per_step : int
    lr : float
        Peak learning rate; it rises over the first tenth and falls to 0 (Smith & Topin, 2018).
    """

    groups_per_song: int = 12
    group: int = 4
    epochs: int = 4
    groups_per_step: int = 6
    lr: float = 5e-4


def bradley_terry_loss(gap: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
    """Return −log P(answer) where P(a preferred) = σ(gap); a tie counts half for each side.

    Parameters
    ----------
    gap : tensor
        score(a) − score(b).
    preference : tensor, broadcast with `gap`
        1, ½ or 0, or any value between.
    """
    return F.binary_cross_entropy_with_logits(gap, preference.expand_as(gap), reduction="none")


def auxiliary_descriptors(edit: Edit) -> np.ndarray:
    """Return the numbers that a synthetic rater may weigh, as `AUXILIARY_NAMES` names them.

    The descriptors; the mean of each sound feature over the played beats; the share of the played
    beats that comes from each quarter of the song; level and activity of each quarter of the edit;
    the share of the edit in pieces up to given lengths.
    """
    song, order = edit.song, edit.order
    sound = song.features[:, :N_SOUND].astype(np.float64)
    played = ((sound - sound.mean(axis=0)) / np.maximum(sound.std(axis=0), 1e-6))[order]
    origin = np.bincount(order * _PARTS // song.n_beats, minlength=_PARTS) / len(order)
    parts = np.array_split(played[:, _COURSE], _PARTS)
    course = np.concatenate([p.mean(axis=0) if len(p) else np.zeros(2) for p in parts])
    pieces = np.diff(np.concatenate([[0], edit.seams, [len(order)]]))
    short = [pieces[pieces <= size].sum() / len(order) for size in _PIECES]
    return np.concatenate([describe(edit), played.mean(axis=0), origin, course, short])


def random_tastes(count: int, n_numbers: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weights of synthetic raters, (count, n_numbers).

    Each weighs one to four numbers; half of the choices on average are descriptors.
    """
    weights = np.zeros((count, n_numbers))
    for row in weights:
        for _ in range(rng.integers(1, _MOST + 1)):
            named = rng.random() < 0.5
            low, high = (0, N_DESCRIPTORS) if named else (N_DESCRIPTORS, n_numbers)
            row[rng.integers(low, high)] += rng.normal()
    return weights


@dataclass(frozen=True)
class _AuxiliaryTasks:
    """Groups of edits, and P(first preferred) of each synthetic rater, (groups, pairs, tasks)."""

    groups: list[list[Edit]]
    answers: torch.Tensor

    @classmethod
    def collect(
        cls, songs: list[Song], config: Pretraining, n_tasks: int, seed: int
    ) -> "_AuxiliaryTasks":
        groups = synthetic_groups(songs, config.groups_per_song, config.group, seed)
        known = np.stack([[auxiliary_descriptors(edit) for edit in group] for group in groups])
        spread = (known - known.mean(axis=1, keepdims=True)).std(axis=(0, 1))
        tastes = random_tastes(n_tasks, known.shape[-1], np.random.default_rng(seed))
        utility = known / np.where(spread > 1e-6, spread, np.inf) @ tastes.T
        first, second = np.triu_indices(config.group, 1)
        gaps = utility[:, first] - utility[:, second]
        gaps *= _DECIDEDNESS / np.maximum(np.sqrt((gaps**2).mean(axis=(0, 1))), 1e-6)
        return cls(groups, torch.sigmoid(torch.tensor(gaps, dtype=torch.float32)))

    def part(self, songs: list[Song]) -> "_AuxiliaryTasks":
        """Return the groups of these songs."""
        ids = {song.sha256 for song in songs}
        places = [k for k, group in enumerate(self.groups) if group[0].song.sha256 in ids]
        return _AuxiliaryTasks([self.groups[k] for k in places], self.answers[places])

    def loss(self, model: RewardModel, chosen: Sequence[int]) -> tuple[torch.Tensor, float]:
        """Return the mean loss of all members on some groups, and their accuracy."""
        size = len(self.groups[0])
        first, second = np.triu_indices(size, 1)
        scores = model.auxiliary_scores([edit for k in chosen for edit in self.groups[k]])
        scores = scores.unflatten(0, (len(chosen), size))
        gap = scores[:, first] - scores[:, second]  # (groups, pairs, members, tasks)
        answer = self.answers[list(chosen)].to(gap.device)[:, :, None]
        same = (gap.detach().mean(dim=2) > 0) == (answer.squeeze(2) > 0.5)
        return bradley_terry_loss(gap, answer).mean(), float(same.float().mean())


def pretrain(
    model: RewardModel,
    songs: list[Song],
    held_out: list[Song],
    config: Pretraining,
    seed: int,
    report: Callable[[dict[str, float]], None] | None = None,
) -> RewardHistory:
    """Train the transformer of `model` in place, on the preferences of synthetic raters.

    Parameters
    ----------
    songs, held_out : lists of Song
        For training; for measuring only. The second may be empty.
    report : callable, optional
        Called with each epoch's line.

    Raises
    ------
    InputError
        When there are no songs.
    """
    if not songs:
        raise InputError("no songs to pretrain on; give at least one")
    tasks = _AuxiliaryTasks.collect([*songs, *held_out], config, model.config.auxiliary_tasks, seed)
    ours, others = tasks.part(songs), tasks.part(held_out)
    rng = np.random.default_rng(seed)
    steps = -(-len(ours.groups) // config.groups_per_step)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=config.epochs * steps, pct_start=_RISE
    )
    history = RewardHistory()
    bar = tqdm(total=config.epochs * steps, desc="pretraining", unit="step", leave=False)
    for epoch in range(1, config.epochs + 1):
        rows = []
        for chosen in np.array_split(rng.permutation(len(ours.groups)), steps):
            loss, accuracy = ours.loss(model, chosen)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            bar.update()
            rows.append((len(chosen), len(chosen) * loss.item(), len(chosen) * accuracy))
        count, loss_sum, right = np.sum(rows, axis=0).tolist()
        line = {"epoch": epoch, "train_loss": loss_sum / count, "train_accuracy": right / count}
        if others.groups:
            with torch.no_grad():
                loss, accuracy = others.loss(model, range(len(others.groups)))
            line |= {"valid_loss": float(loss), "valid_accuracy": accuracy}
        history.epochs.append(line)
        if report is not None:
            report(line)
    bar.close()
    model.round_transformer()
    history.best_epoch = config.epochs
    history.best_state = {name: value.clone() for name, value in model.state_dict().items()}
    return history
