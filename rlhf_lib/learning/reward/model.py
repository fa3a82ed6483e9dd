"""The reward model: predict how much a listener likes an edit.

score = linear head on the descriptors + mean per-beat reward of a transformer over the played
beats. The linear head keeps the sign of each cost and needs few pairs, and its additive part can be
planned exactly. The transformer reads the beats, each with the join that leads to it. It is
pretrained to predict the preferences of many synthetic raters (`pretraining`), one auxiliary score
for each; its part of the score is a mix of these, so that new preferences change few numbers.
The five members of the ensemble differ in their heads and, after a fit, by draws from its posterior
(`laplace`); their disagreement estimates the uncertainty of the model.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rlhf_lib.analysis.feature_table import N_FEATURES
from rlhf_lib.editing.descriptors import (
    ADDITIVE,
    N_DESCRIPTORS,
    describe_steps,
)
from rlhf_lib.editing.edit import Edit
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.planning.stretch import describe_edits

_OF_A_STEP = [k for k, one in enumerate(ADDITIVE) if one.token]
#: Per token: beat features, the step to it, the step from it, and five numbers on its place.
N_TOKEN = N_FEATURES + 2 * len(_OF_A_STEP) + 5

#: Edits of a song share most of their beats, so means per beat differ by little; the gain
#: scales these differences to the size of preferences.
GAIN = 16.0


@dataclass(frozen=True)
class RewardConfig:
    """Configuration of a reward model; the defaults give 2.63 million parameters.

    Attributes
    ----------
    width, heads, layers, feedforward : int
        The transformer.
    members : int
        Ensemble size.
    head : int
        Hidden width of each member's per-beat head.
    auxiliary_tasks : int
        Auxiliary scores that each member's head gives, one for each synthetic rater.
    window : int
        Beats read at once. Longer edits are read window by window, so the cost is linear.
    """

    width: int = 256
    heads: int = 4
    layers: int = 3
    feedforward: int = 1024
    members: int = 5
    head: int = 128
    auxiliary_tasks: int = 64
    window: int = 96


class RewardModel(nn.Module):
    """Scores edits; see the docstring of the module.

    Parameters
    ----------
    config : RewardConfig
    scale : FeatureScale
        Standardisation of the beat features.
    descriptor_scale : (N_DESCRIPTORS,) array
        Typical difference of each descriptor; descriptors are divided by it.
    weights : (N_DESCRIPTORS,) array, optional
        Weights per unit of each descriptor: the linear head starts from them, and they are the
        prior mean of later fits. All 0 by default.
    """

    def __init__(
        self,
        config: RewardConfig,
        scale: FeatureScale,
        descriptor_scale: np.ndarray,
        weights: np.ndarray | None = None,
    ):
        super().__init__()
        self.config = config
        width, members = config.width, config.members
        self.register_buffer("feature_mean", torch.tensor(scale.mean))
        self.register_buffer("feature_std", torch.tensor(scale.std))
        self.register_buffer(
            "descriptor_scale", torch.tensor(descriptor_scale, dtype=torch.float32)
        )
        self.register_buffer("position", _sinusoids(config.window, width), persistent=False)
        # Renormalisation on the reference policy (mean 0, variance 1): see `set_normal`.
        self.register_buffer("normal", torch.tensor([0.0, 1.0]))
        self.enter = nn.Sequential(nn.Linear(N_TOKEN, width), nn.GELU(), nn.Linear(width, width))
        layer = nn.TransformerEncoderLayer(
            width,
            config.heads,
            config.feedforward,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.trunk = nn.TransformerEncoder(
            layer, config.layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head_in = nn.Linear(width, members * config.head)
        # The auxiliary scores, and the weight of each in the score.
        self.auxiliary_heads = nn.Parameter(
            torch.randn(members, config.auxiliary_tasks, config.head) / config.head**0.5
        )
        self.mix = nn.Parameter(torch.zeros(members, config.auxiliary_tasks))
        # Weights per typical difference of each descriptor.
        start = np.zeros(N_DESCRIPTORS) if weights is None else weights * descriptor_scale
        self.linear = nn.Parameter(torch.tensor(start, dtype=torch.float32).repeat(members, 1))
        # The mean of the prior of every fit, see `posterior`; later versions keep it.
        self.register_buffer("prior_mean", torch.tensor(start, dtype=torch.float32))

    @property
    def feature_scale(self) -> FeatureScale:
        """The standardisation the model was trained with."""
        return FeatureScale(self.feature_mean.cpu().numpy(), self.feature_std.cpu().numpy())

    def config_dict(self) -> dict:
        """Return the configuration as plain values, for a checkpoint."""
        return asdict(self.config)

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.parameters())

    @torch.no_grad()
    def round_transformer(self) -> None:
        """Round the transformer to bfloat16, so that a checkpoint takes half the space."""
        for name, parameter in self.named_parameters():
            if name not in ("linear", "mix"):
                parameter.copy_(parameter.bfloat16())

    def descriptor_weights(self) -> torch.Tensor:
        """Return the linear head's weight per unit of each descriptor, (members, N_DESCRIPTORS).

        Before renormalisation.
        """
        return self.linear / self.descriptor_scale

    def hidden(self, tokens: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return the hidden layer of the members' heads at each beat, (B, T, members, head).

        Parameters
        ----------
        tokens : (B, T ≤ window, N_TOKEN) float32
        real : (B, T) bool
            False in the padding.
        """
        inside = self.enter(tokens) + self.position[: tokens.shape[1]]
        seen = self.trunk(inside, src_key_padding_mask=~real)
        shape = (self.config.members, self.config.head)
        return GAIN * F.gelu(self.head_in(seen)).unflatten(-1, shape)

    def auxiliary_scores(self, edits: list[Edit], batch: int = 64) -> torch.Tensor:
        """Return the auxiliary scores of whole edits, (n_edits, members, auxiliary tasks).

        Each is a mean over the beats of an edit; only differences within a song are meaningful.
        """
        device, window, scale = self.descriptor_scale.device, self.config.window, self.feature_scale
        pieces, owners = [], []
        for index, edit in enumerate(edits):
            tokens = torch.from_numpy(edit_tokens(edit, scale))
            pieces += tokens.split(window)
            owners += [index] * -(-len(tokens) // window)
        sums = torch.zeros(len(edits), self.config.members, self.config.head, device=device)
        for first in range(0, len(pieces), batch):
            tokens, real = pad(pieces[first : first + batch], device)
            owner = torch.tensor(owners[first : first + batch], device=device)
            seen = (self.hidden(tokens, real) * real[..., None, None]).sum(1)
            sums = sums.index_add(0, owner, seen)
        lengths = torch.tensor([len(edit.order) for edit in edits], device=device)
        return torch.einsum("emh,mjh->emj", sums / lengths[:, None, None], self.auxiliary_heads)

    @torch.no_grad()
    def score_parts(self, edits: list[Edit]) -> tuple[np.ndarray, np.ndarray]:
        """Return (linear, transformer) raw scores of whole edits, each (n_edits, members)."""
        linear = (self.descriptors(edits) @ self.descriptor_weights().T).cpu().numpy()
        if not self.mix.any():  # the transformer has no part in the score
            return linear, np.zeros_like(linear)
        return linear, (self.auxiliary_scores(edits) * self.mix).sum(-1).cpu().numpy()

    def descriptors(self, edits: list[Edit]) -> torch.Tensor:
        """Return the descriptors of edits on the model's device, (n_edits, N_DESCRIPTORS)."""
        values = describe_edits(edits)
        return torch.tensor(values, dtype=torch.float32, device=self.descriptor_scale.device)

    def score_differences(self, pairs: Sequence[tuple[Edit, Edit]]) -> np.ndarray:
        """Return every member's raw score(a) − score(b) in logits, (n_pairs, members)."""
        linear, transformer = self.score_parts([edit for pair in pairs for edit in pair])
        scores = linear + transformer
        return scores[0::2] - scores[1::2]

    def score(self, edits: list[Edit]) -> np.ndarray:
        """Return the renormalised score of whole edits by each member, (n_edits, members)."""
        linear, transformer = self.score_parts(edits)
        mean, std = self.normal.tolist()
        return (linear + transformer - mean) / std

    def linear_weights(self) -> np.ndarray:
        """Return the linear part of each member's score, (members, N_DESCRIPTORS), renormalised."""
        weights = self.descriptor_weights().detach() / self.normal[1]
        return weights.double().cpu().numpy()

    def set_normal(self, reference: list[Edit]) -> None:
        """Renormalise on edits of the reference policy: mean 0, variance 1 within songs.

        Keeps the weight of the KL penalty comparable from one reward model to the next (Stiennon
        et al., 2020). Only differences within a song are used, so only they set the scale.
        """
        linear, transformer = self.score_parts(reference)
        scores = (linear + transformer).mean(1)
        self.normal = torch.tensor(
            [float(scores.mean()), within_song_std(scores, reference)],
            device=self.normal.device,
        )


def within_song_std(scores: np.ndarray, edits: list[Edit]) -> float:
    """Return the pooled standard deviation of scores around the mean of their song."""
    songs = np.unique([edit.song.sha256 for edit in edits], return_inverse=True)[1]
    means = np.bincount(songs, scores) / np.bincount(songs)
    return max(float(np.sqrt(np.mean((scores - means[songs]) ** 2))), 1e-6)


def edit_tokens(edit: Edit, scale: FeatureScale) -> np.ndarray:
    """Return the tokens of an edit for the transformer, (n_played, N_TOKEN) float32."""
    order, n = edit.order, len(edit.order)
    steps = (describe_steps(edit) * _step_scale(edit.song.n_beats))[:, _OF_A_STEP]
    place = np.arange(n)
    starts = np.concatenate([[0], edit.seams])
    since = place - starts[np.searchsorted(starts, place, side="right") - 1]
    stops = np.concatenate([edit.seams, [n]])
    until = stops[np.searchsorted(stops, place, side="right")] - place
    about = np.stack(
        [
            np.tanh(since / 16),
            np.tanh(until / 16),
            place / n,
            np.full(n, edit.target),
            np.full(n, edit.keep_ratio),
        ],
        axis=1,
    )
    tokens = [scale.apply(edit.song.features[order]), steps[:-1], steps[1:], about]
    return np.concatenate(tokens, axis=1).astype(np.float32)


def pad(
    pieces: list[torch.Tensor], device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack token windows of different lengths; return (tokens, mask: False in the padding)."""
    tokens = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
    lengths = torch.tensor([len(piece) for piece in pieces])
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    return tokens.to(device), real.to(device)


def _step_scale(n_beats: int) -> np.ndarray:
    """Return factors that scale shares of the song, of order 1 / n_beats per beat, to order 1."""
    return np.array([n_beats if one.share else 1 for one in ADDITIVE], dtype=np.float64)


def _sinusoids(length: int, width: int) -> torch.Tensor:
    """Return sinusoidal positions (Vaswani et al., 2017), (length, width)."""
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
