"""The reward model: how much a listener would like an edit.

score = linear head on the named measures + mean per-beat reward of a transformer over what is
heard. In the linear head a cost stays a cost; it needs few pairs, and its additive part can be
planned exactly. The transformer sees the beats themselves, each with the join it is reached by.
It was taught the opinions of many synthetic judges (`pretraining`); its part of the score is a
mix of those opinions, so that new preferences have few numbers to find.
Five members differ in their heads and in the pairs they saw, so that their disagreement tells
where the model is unsure (Osband et al., 2016).
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rlhf_lib.learning.song_tensors import N_FEATURES, FeatureScale
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.measures import ADDITIVE, MEASURES, measure, measure_steps

#: Per token: beat features, the step to it, the step from it, and five numbers on its place.
N_TOKEN = N_FEATURES + 2 * len(ADDITIVE) + 5

#: Edits of a song share most of their beats, so means per beat differ by little; the gain lets
#: them differ by as much as preferences do.
GAIN = 16.0


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
    judges : int
        Synthetic judges whose opinions the heads speak.
    window : int
        Beats seen at once. Longer edits are read window by window, so the cost is linear.
    """

    width: int = 256
    heads: int = 4
    layers: int = 3
    feedforward: int = 1024
    members: int = 5
    head: int = 128
    judges: int = 64
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
        Weights per unit of each measure that the linear head starts from, and that later fits
        are drawn to (`anchor`).
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
        # What each judge would say, and how much of it the score takes.
        self.judges = nn.Parameter(
            torch.randn(members, config.judges, config.head) / config.head**0.5
        )
        self.mix = nn.Parameter(torch.zeros(members, config.judges))
        # Weights per typical difference of each measure.
        start = np.zeros(len(MEASURES)) if prior is None else prior * measure_scale
        self.linear = nn.Parameter(torch.tensor(start, dtype=torch.float32).repeat(members, 1))
        # Where every fit is drawn to, see `reward_training`; later versions keep it.
        self.register_buffer("anchor", torch.tensor(start, dtype=torch.float32))

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
        """Return the linear head's weight per unit of each measure, (members, measures).

        Before renormalisation.
        """
        return self.linear / self.measure_scale

    def hidden(self, tokens: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Return what the members' heads make of each beat, (B, T, members, head).

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

    def opinions(self, edits: list[Edit], batch: int = 64) -> torch.Tensor:
        """Return what every judge thinks of whole edits, (n_edits, members, judges).

        The mean over the beats of an edit; only differences within a song mean anything.
        """
        device, window, scale = self.measure_scale.device, self.config.window, self.feature_scale
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
        return torch.einsum("emh,mjh->emj", sums / lengths[:, None, None], self.judges)

    @torch.no_grad()
    def score_parts(self, edits: list[Edit]) -> tuple[np.ndarray, np.ndarray]:
        """Return (linear, transformer) raw scores of whole edits, each (n_edits, members)."""
        linear = self.measures(edits) @ self.weights().T
        heard = (self.opinions(edits) * self.mix).sum(-1)
        return linear.cpu().numpy(), heard.cpu().numpy()

    def measures(self, edits: list[Edit]) -> torch.Tensor:
        """Return the named measures of edits on the model's device, (n_edits, measures)."""
        values = np.stack([measure(edit) for edit in edits])
        return torch.tensor(values, dtype=torch.float32, device=self.measure_scale.device)

    def score(self, edits: list[Edit]) -> np.ndarray:
        """Return the renormalised score of whole edits by each member, (n_edits, members)."""
        linear, transformer = self.score_parts(edits)
        mean, std = self.normal.tolist()
        return (linear + transformer - mean) / std

    def linear_weights(self) -> np.ndarray:
        """Return the linear part of the score, (measures,): ensemble mean, renormalised."""
        mean = self.weights().detach().mean(0) / self.normal[1]
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


def _step_scale(n_beats: int) -> np.ndarray:
    """The shares (hook, oddity, length) of one beat are of order 1 / n; bring them to 1."""
    scale = np.ones(len(ADDITIVE))
    for name in ("hook", "oddity", "length", "level", "activity"):
        scale[ADDITIVE.index(name)] = n_beats
    return scale


def _sinusoids(length: int, width: int) -> torch.Tensor:
    """Sinusoidal positions (Vaswani et al., 2017), (length, width)."""
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
