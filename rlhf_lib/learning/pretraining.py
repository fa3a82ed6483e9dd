"""Teaching the transformer what tastes can turn on, before anyone was asked.

Many synthetic judges with random tastes compare good and bad edits of the same songs; the
transformer learns to answer as each of them would. A person's taste is then sought as a mix of
these opinions, which takes far fewer answers than training the transformer on them would
(multi-task learning: Caruana, 1997). The judges weigh what is named (`measures`) and what is
not: which sounds are kept, from where, in pieces of which size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from rlhf_lib.errors import InputError
from rlhf_lib.learning.comparisons import synthetic_groups
from rlhf_lib.learning.reward_model import RewardModel
from rlhf_lib.learning.reward_training import RewardHistory, bradley_terry_loss
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.feature_names import FEATURE_NAMES, N_SOUND
from rlhf_lib.music.measures import MEASURES, measure
from rlhf_lib.music.song import Song

#: Parts that song and edit are cut into, to say where beats come from and how an edit runs.
_PARTS = 4
#: Lengths (beats) of the pieces that are counted.
_PIECES = (4, 8, 16, 32, 64)
_COURSE = [FEATURE_NAMES.index(name) for name in ("rms_mean", "onset_mean")]
#: Most descriptors that one judge weighs.
_MOST = 4
#: Typical size of a judge's utility differences, in units of the logistic noise.
_DECIDEDNESS = 1.5
#: Share of the steps in which the learning rate rises: a tenth, and a little more, because the
#: schedule divides by zero where that is exactly one step.
_RISE = 0.1 + 1e-9


@dataclass(frozen=True)
class Pretraining:
    """Settings.

    Attributes
    ----------
    groups_per_song, group : int
        Groups of edits of one length, edits in each; all pairs within a group are judged.
    epochs, groups_per_step : int
    lr : float
        Peak learning rate; it rises over the first tenth and falls to 0 (Smith & Topin, 2018).
    """

    groups_per_song: int = 12
    group: int = 4
    epochs: int = 4
    groups_per_step: int = 6
    lr: float = 5e-4


def describe(edit: Edit) -> np.ndarray:
    """Return what a synthetic judge may weigh, (n_descriptors,) float64.

    The named measures; the mean of each sound feature over what is played; for each quarter of
    the song its share of what is played; for each quarter of the edit its level and activity;
    the share of the edit in pieces up to some lengths.
    """
    song, order = edit.song, edit.order
    sound = song.features[:, :N_SOUND].astype(np.float64)
    played = ((sound - sound.mean(axis=0)) / np.maximum(sound.std(axis=0), 1e-6))[order]
    origin = np.bincount(order * _PARTS // song.n_beats, minlength=_PARTS) / len(order)
    parts = np.array_split(played[:, _COURSE], _PARTS)
    course = np.concatenate([p.mean(axis=0) if len(p) else np.zeros(2) for p in parts])
    pieces = np.diff(np.concatenate([[0], edit.seams, [len(order)]]))
    short = [pieces[pieces <= size].sum() / len(order) for size in _PIECES]
    return np.concatenate([measure(edit), played.mean(axis=0), origin, course, short])


def random_tastes(count: int, n_descriptors: int, rng: np.random.Generator) -> np.ndarray:
    """Return weights of judges over the descriptors, (count, n_descriptors).

    Each weighs one to four of them; every second choice is a named measure.
    """
    weights = np.zeros((count, n_descriptors))
    for row in weights:
        for _ in range(rng.integers(1, _MOST + 1)):
            named = rng.random() < 0.5
            low, high = (0, len(MEASURES)) if named else (len(MEASURES), n_descriptors)
            row[rng.integers(low, high)] += rng.normal()
    return weights


@dataclass(frozen=True)
class _Judged:
    """Groups of edits and what the judges say: P(first preferred), (groups, pairs, judges)."""

    groups: list[list[Edit]]
    answers: torch.Tensor

    @classmethod
    def collect(cls, songs: list[Song], config: Pretraining, n_judges: int, seed: int) -> "_Judged":
        groups = synthetic_groups(songs, config.groups_per_song, config.group, seed)
        known = np.stack([[describe(edit) for edit in group] for group in groups])
        spread = (known - known.mean(axis=1, keepdims=True)).std(axis=(0, 1))
        tastes = random_tastes(n_judges, known.shape[-1], np.random.default_rng(seed))
        utility = known / np.where(spread > 1e-6, spread, np.inf) @ tastes.T
        first, second = np.triu_indices(config.group, 1)
        gaps = utility[:, first] - utility[:, second]
        gaps *= _DECIDEDNESS / np.maximum(np.sqrt((gaps**2).mean(axis=(0, 1))), 1e-6)
        return cls(groups, torch.sigmoid(torch.tensor(gaps, dtype=torch.float32)))

    def part(self, songs: list[Song]) -> "_Judged":
        """Return the groups about these songs."""
        ids = {song.sha256 for song in songs}
        places = [k for k, group in enumerate(self.groups) if group[0].song.sha256 in ids]
        return _Judged([self.groups[k] for k in places], self.answers[places])

    def loss(self, model: RewardModel, chosen: Sequence[int]) -> tuple[torch.Tensor, float]:
        """Return the mean loss of all members on some groups, and their accuracy."""
        size = len(self.groups[0])
        first, second = np.triu_indices(size, 1)
        said = model.opinions([edit for k in chosen for edit in self.groups[k]])
        said = said.unflatten(0, (len(chosen), size))
        gap = said[:, first] - said[:, second]  # (groups, pairs, members, judges)
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
    """Train the transformer of `model` in place, on the opinions of synthetic judges.

    Parameters
    ----------
    songs, held_out : lists of Song
        Learned from; only judged on. The second may be empty.
    report : callable, optional
        Called with each epoch's line.

    Raises
    ------
    InputError
        When there are no songs.
    """
    if not songs:
        raise InputError("no songs to pretrain on")
    judged = _Judged.collect([*songs, *held_out], config, model.config.judges, seed)
    ours, others = judged.part(songs), judged.part(held_out)
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
    history.best_epoch = config.epochs
    history.best_state = {name: value.clone() for name, value in model.state_dict().items()}
    return history
