"""The material shared by all experiments: one split of songs, pairs, tastes, first models."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.policy.training import PolicyTraining
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.learning.reward.pair_data import PairData
from rlhf_lib.learning.reward.pretraining import Pretraining
from rlhf_lib.raters.outside import OUTSIDE_TASTES, judges
from rlhf_lib.raters.simulated import (
    STRENGTH_STEPS,
    TIE_MARGIN,
    noise_for_agreement,
    taste_of,
)
from rlhf_lib.raters.tastes import TASTES
from rlhf_lib.steps.candidates import candidate_edits, comparison_tasks
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model
from rlhf_lib.steps.train_policy import train_initial_policy
from rlhf_lib.steps.train_reward_model import train_initial_reward_model

PARTS = ("train", "valid", "test")
#: Share of the pairs decided by two raters of one taste on which they agree.
AGREEMENT = 0.78
#: Tastes that are additive over joins, so that a planner can follow them exactly.
ADDITIVE_TASTES = ("smooth", "hooks", "phrases")


@dataclass(frozen=True)
class Size:
    """Size of the experiments of a profile.

    Attributes
    ----------
    songs : tuple of int
        Numbers of composed songs for training, for choosing settings and for testing.
    seconds : float
        Length of each song in s.
    candidates : int
        Edits per song from which pairs are made.
    seeds, active_seeds : int
    pretraining : Pretraining
    episodes : int
        Episodes of PPO.
    pairs : tuple of int
        Numbers of answers.
    policy_pairs : tuple of int
        Numbers of answers after which a policy is trained.
    tastes : int
        Largest number of tastes for which an experiment is run.
    """

    songs: tuple[int, int, int]
    seconds: float
    candidates: int
    seeds: int
    active_seeds: int
    pretraining: Pretraining
    episodes: int
    pairs: tuple[int, ...]
    policy_pairs: tuple[int, ...]
    tastes: int


SIZES = {
    "quick": Size(
        (6, 3, 6), 60.0, 20, 1, 3, Pretraining(4, epochs=2), 100, (10, 50, 150), (50,), 2
    ),
    "full": Size(
        (14, 7, 14),
        80.0,
        25,
        5,
        10,
        Pretraining(),
        500,
        (10, 30, 50, 100, 200, 400),
        (50, 200),
        10,
    ),
}


@dataclass
class Material:
    """The material shared by all experiments.

    Attributes
    ----------
    songs, pairs, pair_data : dict
        By part: the songs; pairs of edits to compare; the differences of their edits (`PairData`).
    utility : dict
        Taste → part → utility difference of each pair.
    noise : dict
        Taste → noise with which two raters agree on AGREEMENT of the training pairs.
    v8_path, v14_path : Path
    """

    size: Size
    songs: dict[str, list[Song]]
    pairs: dict[str, list[tuple[Edit, Edit]]]
    pair_data: dict[str, PairData]
    utility: dict[str, dict[str, np.ndarray]]
    noise: dict[str, float]
    v8_path: Path
    v14_path: Path

    def v8(self) -> RewardModel:
        """Return a fresh copy of the first reward model."""
        return load_reward_model(self.v8_path)[0]

    def v14(self) -> Policy:
        """Return a fresh copy of the first policy."""
        return load_policy(self.v14_path)[0]

    def song_ids(self, part: str) -> np.ndarray:
        """Return the song of each pair, (n_pairs,) SHA-256."""
        return np.array([a.song.sha256 for a, _ in self.pairs[part]])

    def answers(
        self, taste: str, part: str, places: np.ndarray, rng: np.random.Generator
    ) -> PairData:
        """Return the pairs at `places`, answered by a simulated rater of `taste` with noise."""
        gaps = self.utility[taste][part][places]
        answers = simulated_answers(gaps, self.noise[taste], rng)
        return self.pair_data[part].answered(places, *answers)

    def vote_shares(self, taste: str, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities of a vote for a and of one for b on each pair."""
        felt, noise = self.utility[taste][part], self.noise[taste]
        return expit((felt - TIE_MARGIN) / noise), expit((-felt - TIE_MARGIN) / noise)


def simulated_answers(
    gaps: np.ndarray, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return answers (1, ½, 0) and strengths (0 … 3) of a rater with noise, (n,) each.

    `gaps` are the utility differences of the pairs.
    """
    felt = gaps + rng.logistic(0, noise, len(gaps))
    size = np.abs(felt)
    tie = size <= TIE_MARGIN
    strength = np.where(tie, 0, 1 + np.searchsorted(STRENGTH_STEPS, size))
    return np.where(tie, 0.5, felt > 0), strength


def prepare(size: Size, folder: Path, songs_dir: Path | None, seed: int) -> Material:
    """Return songs (composed or loaded), v8 and v14, pairs and utilities; cached in `folder`.

    Raises
    ------
    InputError
        When `songs_dir` holds fewer than 6 songs.
    """
    cache = folder / "material.pickle"
    if cache.is_file():
        with cache.open("rb") as file:
            return pickle.load(file)
    songs = _split(size, folder, songs_dir, seed)
    v8_path = folder / "models" / "reward_model_v8.pt"
    v8, _ = train_initial_reward_model(songs["train"], v8_path, size.pretraining, seed)
    training = PolicyTraining(episodes=size.episodes // 50 * 50, seed=seed)
    v14, _ = train_initial_policy(
        songs["train"], v8_path, folder / "models", folder / "v14", training
    )
    pairs = {
        part: comparable_pairs(v14, songs[part], size.candidates, seed + k)
        for k, part in enumerate(PARTS)
    }
    pair_data = {
        part: PairData([Comparison(a, b, 0.5) for a, b in some], v8) for part, some in pairs.items()
    }
    names = TASTES if songs_dir is None else _outside_tastes(songs)
    utility = {
        name: {part: _utility_gaps(name, some) for part, some in pairs.items()} for name in names
    }
    noise = {name: noise_for_agreement(each["train"], AGREEMENT) for name, each in utility.items()}
    material = Material(
        size, songs, pairs, pair_data, utility, noise, v8_path, v8_path.with_name("policy_v14.pt")
    )
    with cache.open("wb") as file:
        pickle.dump(material, file)
    return material


def _split(size: Size, folder: Path, songs_dir: Path | None, seed: int) -> dict[str, list[Song]]:
    if songs_dir is None:
        out = {}
        for place, (part, count) in enumerate(zip(PARTS, size.songs, strict=True)):
            compose_songs(folder / "songs" / part, count, seed + 100 * (place + 1), size.seconds)
            out[part] = load_songs(folder / "songs" / part)[0]
        return out
    songs, _ = load_songs(songs_dir)
    if len(songs) < 6:
        raise InputError(f"{songs_dir} holds {len(songs)} songs; the laboratory needs at least 6")
    order = np.random.default_rng(seed).permutation(len(songs))
    edges = [0, len(songs) * 2 // 5, len(songs) * 3 // 5, len(songs)]
    return {
        part: [songs[k] for k in order[edges[p] : edges[p + 1]]] for p, part in enumerate(PARTS)
    }


def _outside_tastes(songs: dict[str, list[Song]]) -> list[str]:
    """Return the tastes from outside that can judge all of the songs."""
    every = [song for some in songs.values() for song in some]
    return [name for name in OUTSIDE_TASTES if all(judges(name, song) for song in every)]


def comparable_pairs(policy: Policy, songs: list[Song], per_song: int, seed: int) -> list:
    """Return the pairs of edits that would be the tasks of a manifest of these candidates."""
    out = []
    for edits in candidate_edits(policy, songs, per_song, seed):
        by_id = {one.id: one.edit for one in edits}
        tasks = comparison_tasks("song", edits)
        out += [(by_id[task.edit_a_id], by_id[task.edit_b_id]) for task in tasks]
    return out


_UTILITIES: dict[tuple[str, str, bytes], float] = {}


def utilities(taste: str, edits: list[Edit]) -> np.ndarray:
    """Return the utility of each edit under a taste, without noise, (n_edits,).

    A process computes that of an edit once.
    """
    judge, out = taste_of(taste), []
    for edit in edits:
        key = taste, edit.song.sha256, edit.actions.tobytes()
        if key not in _UTILITIES:
            _UTILITIES[key] = judge.utility(edit)
        out.append(_UTILITIES[key])
    return np.array(out)


def _utility_gaps(name: str, pairs: list[tuple[Edit, Edit]]) -> np.ndarray:
    liked = utilities(name, [edit for pair in pairs for edit in pair])
    return liked[0::2] - liked[1::2]


def one_thread() -> None:
    """Limit torch to one thread, for workers that run in parallel."""
    torch.set_num_threads(1)
