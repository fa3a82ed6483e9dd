"""The reward model: how much a listener would like an edit.

score = linear head on the named measures + mean per-beat reward of a transformer over what is
heard. The linear head has non-negative priors (a cost stays a cost) and needs few pairs; its
additive part can be planned exactly. The transformer sees the beats themselves, each with the
join it is reached by. Five members share the trunk and differ in their heads and in the pairs
they saw, so that their disagreement tells where the model is unsure (Osband et al., 2016).
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rlhf_lib.learning.song_tensors import N_FEATURES, FeatureScale
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.measures import ADDITIVE, DIRECTION, MEASURES, measure, measure_steps

#: Per token: beat features, the step to it, the step from it, and five numbers on its place.
N_TOKEN = N_FEATURES + 2 * len(ADDITIVE) + 5

#: Edits of a song share most of their beats, so means per beat differ by little; the gain lets
#: them differ by as much as preferences do.
GAIN = 16.0
#: Where a signed weight of the linear head starts when nothing is known, in standard units.
SMALLEST_WEIGHT = 0.05


@dataclass(frozen=True)
class RewardConfig:
    """What rebuilds a reward model; the defaults make 2.63 million parameters.

    Attributes
    ----------
    width, heads, layers, feedforward : int
        The transformer.
    members : int
        Ensemble size.
    head : int
        Hidden width of each member's per-beat head.
    window : int
        Beats seen at once. Longer edits are read window by window, so the cost is linear.
    """

    width: int = 256
    heads: int = 4
    layers: int = 3
    feedforward: int = 1024
    members: int = 5
    head: int = 128
    window: int = 96


class RewardModel(nn.Module):
    """Scores edits; see the module's text.

    Parameters
    ----------
    config : RewardConfig
    scale : FeatureScale
        Standardisation of the beat features.
    measure_scale : (len(MEASURES),) array
        Typical size of each measure's differences; measures are divided by it.
    prior : (len(MEASURES),) array, optional
        Weights per unit of each measure that the linear head starts from.
    """

    def __init__(
        self,
        config: RewardConfig,
        scale: FeatureScale,
        measure_scale: np.ndarray,
        prior: np.ndarray | None = None,
    ):
        super().__init__()
        self.config = config
        width, members = config.width, config.members
        self.register_buffer("feature_mean", torch.tensor(scale.mean))
        self.register_buffer("feature_std", torch.tensor(scale.std))
        self.register_buffer("measure_scale", torch.tensor(measure_scale, dtype=torch.float32))
        self.register_buffer("direction", torch.as_tensor(DIRECTION, dtype=torch.float32))
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
        self.head_out = nn.Parameter(torch.zeros(members, config.head))
        start = _linear_start(np.zeros(len(MEASURES)) if prior is None else prior, measure_scale)
        self.linear = nn.Parameter(start.repeat(members, 1))

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

    def weights(self) -> torch.Tensor:
        """Return the linear head's weight per unit of each measure, (members, 16).

        Costs are ≤ 0 and goods ≥ 0 by construction; before renormalisation.
        """
        signed = torch.where(
            self.direction == 0, self.linear, self.direction * F.softplus(self.linear)
        )
        return signed / self.measure_scale

    def beat_rewards(self, tokens: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return the reward of each beat, (B, T, members).

        Parameters
        ----------
        tokens : (B, T ≤ window, N_TOKEN) float32
        real : (B, T) bool
            False in the padding.
        """
        inside = self.enter(tokens) + self.position[: tokens.shape[1]]
        seen = self.trunk(inside, src_key_padding_mask=~real)
        hidden = F.gelu(self.head_in(seen)).unflatten(-1, self.head_out.shape)
        return GAIN * (hidden * self.head_out).sum(-1)

    def mean_rewards(self, tokens: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return the mean per-beat reward of windows, (B, members); see `beat_rewards`."""
        beats = self.beat_rewards(tokens, real) * real[..., None]
        return beats.sum(1) / real.sum(1, keepdim=True)

    @torch.no_grad()
    def score_parts(self, edits: list[Edit], batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Return (linear, transformer) raw scores of whole edits, each (n_edits, members)."""
        device, window = self.direction.device, self.config.window
        scale = self.feature_scale
        measures = torch.as_tensor(
            np.stack([measure(edit) for edit in edits]), dtype=torch.float32, device=device
        )
        pieces, owners = [], []
        for index, edit in enumerate(edits):
            tokens = torch.from_numpy(edit_tokens(edit, scale))
            pieces += tokens.split(window)
            owners += [index] * -(-len(tokens) // window)
        sums = torch.zeros(len(edits), self.config.members, device=device)
        lengths = torch.zeros(len(edits), 1, device=device)
        for first in range(0, len(pieces), batch):
            part = pieces[first : first + batch]
            tokens, real = pad(part, device)
            owner = torch.tensor(owners[first : first + batch], device=device)
            rewards = (self.beat_rewards(tokens, real) * real[..., None]).sum(1)
            sums.index_add_(0, owner, rewards)
            lengths.index_add_(0, owner, real.sum(1, keepdim=True).float())
        linear = measures @ self.weights().T
        return linear.cpu().numpy(), (sums / lengths).cpu().numpy()

    def score(self, edits: list[Edit]) -> np.ndarray:
        """Return the renormalised score of whole edits by each member, (n_edits, members)."""
        linear, transformer = self.score_parts(edits)
        mean, std = self.normal.tolist()
        return (linear + transformer - mean) / std

    def additive_weights(self) -> np.ndarray:
        """Return the additive part of the score as weights, ensemble mean, renormalised."""
        mean = self.weights().detach().mean(0)[: len(ADDITIVE)] / self.normal[1]
        return mean.double().cpu().numpy()

    def set_normal(self, reference: list[Edit]) -> None:
        """Renormalise on edits of the reference policy: mean 0, variance 1 within songs.

        Keeps the weight of the leash meaningful from one reward model to the next (Stiennon
        et al., 2020). Only differences within a song ever count, so only they set the scale.
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
    """Return what the transformer reads of an edit, (n_played, N_TOKEN) float32."""
    order, n = edit.order, len(edit.order)
    steps = measure_steps(edit) * _step_scale(edit.song.n_beats)
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
    """Stack token windows of different lengths; return (tokens, which are real)."""
    tokens = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
    lengths = torch.tensor([len(piece) for piece in pieces])
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    return tokens.to(device), real.to(device)


def _linear_start(weights: np.ndarray, scale: np.ndarray) -> torch.Tensor:
    """Return the parameters that make `weights`; a weight of 0 starts small, on its own side."""
    size = np.abs(weights * scale)
    inverse = np.log(np.expm1(np.maximum(size, SMALLEST_WEIGHT)))
    return torch.tensor(np.where(DIRECTION == 0, weights * scale, inverse), dtype=torch.float32)


def _step_scale(n_beats: int) -> np.ndarray:
    """The shares (hook, oddity, length) of one beat are of order 1 / n; bring them to 1."""
    scale = np.ones(len(ADDITIVE))
    for name in ("hook", "oddity", "length"):
        scale[ADDITIVE.index(name)] = n_beats
    return scale


def _sinusoids(length: int, width: int) -> torch.Tensor:
    """Sinusoidal positions (Vaswani et al., 2017), (length, width)."""
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
