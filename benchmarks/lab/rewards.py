"""Reward models: accuracy, noise ceiling, calibration, likelihoods, priors, active learning."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit

from lab.material import Material
from rlhf_lib.learning.reward.active import RULES, select
from rlhf_lib.learning.reward.fit import RewardTraining, fit_pair_data, parameters
from rlhf_lib.learning.reward.likelihood import LIKELIHOODS
from rlhf_lib.learning.reward.model import RewardModel
from rlhf_lib.steps.evaluation import clustered_rate

#: Settings of the fit that are compared, each varied alone.
SETTINGS = {
    "likelihood": tuple(LIKELIHOODS),
    "prior_scale": (0.1, 0.2, 0.4),
    "prior_degrees": (1.0, 2.0, np.inf),
    "mix_prior_sd": (0.0, 0.5, 1.0),
}
ACTIVE_START, ACTIVE_STEP, ACTIVE_END = 10, 10, 100


def fitted(
    material: Material, taste: str, n_pairs: int, seed: int, config: RewardTraining
) -> RewardModel:
    """Return v8 fine-tuned on `n_pairs` random answers of a simulated rater."""
    rng = np.random.default_rng([seed, n_pairs])
    places = rng.permutation(len(material.pairs["train"]))[:n_pairs]
    model = material.v8()
    data = material.answers(taste, "train", places, rng)
    fit_pair_data(model, data, None, replace(config, seed=seed))
    return model


def member_gaps(material: Material, model: RewardModel, part: str) -> np.ndarray:
    """Return each member's score difference of each pair, (n_pairs, members)."""
    return material.pair_data[part].score_differences(parameters(model))


def correctness(material: Material, taste: str, part: str, gap: np.ndarray) -> tuple:
    """Return the expected agreement with a vote, and the weight P(decided), of each pair."""
    for_a, for_b = material.vote_shares(taste, part)
    decided = for_a + for_b
    right = np.where(gap == 0, decided / 2, np.where(gap > 0, for_a, for_b))
    return right, decided


def accuracy_rows(material: Material, taste: str, part: str, gap: np.ndarray, **about) -> dict:
    """Return one row: accuracy against votes with its interval, ceiling, noise-free accuracy."""
    right, decided = correctness(material, taste, part, gap)
    felt = material.utility[taste][part]
    best = np.maximum(*material.vote_shares(taste, part))
    rate = clustered_rate(right / decided, material.song_ids(part))
    return {
        "taste": taste,
        **about,
        "accuracy": float(right.sum() / decided.sum()),
        "low": rate.low,
        "high": rate.high,
        "ceiling": float(best.sum() / decided.sum()),
        "gold": float(np.mean(np.where(gap == 0, 0.5, (gap > 0) == (felt > 0)))),
    }


def ece(material: Material, taste: str, part: str, model: RewardModel, bins: int = 10) -> float:
    """Return the expected calibration error of P(a) among decided votes, equal-mass bins."""
    predicted = expit(member_gaps(material, model, part)).mean(axis=1)
    for_a, for_b = material.vote_shares(taste, part)
    # Both orders of every pair: which edit is called a is arbitrary.
    predicted = np.concatenate([predicted, 1 - predicted])
    actual = np.concatenate([for_a, for_b]) / np.tile(for_a + for_b, 2)
    order = np.argsort(predicted)
    gaps = [
        abs(predicted[chunk].mean() - actual[chunk].mean()) * len(chunk)
        for chunk in np.array_split(order, bins)
    ]
    return float(np.sum(gaps) / len(order))


def accuracies(material: Material, taste: str) -> pd.DataFrame:
    """Return accuracy on test songs by number of pairs, and that of two baselines and of v8."""
    rows = []
    pairs = material.pairs["test"]
    baselines = {
        "v8": member_gaps(material, material.v8(), "test").mean(axis=1),
        "longer is better": np.array([a.duration - b.duration for a, b in pairs]),
        "cooler temperature": np.array([a.target - b.target for a, b in pairs]),
    }
    for name, gap in baselines.items():
        rows.append(accuracy_rows(material, taste, "test", gap, model=name, pairs=0, seed=0))
    for n_pairs in material.size.pairs:
        for seed in range(material.size.seeds):
            model = fitted(material, taste, n_pairs, seed, RewardTraining())
            gap = member_gaps(material, model, "test").mean(axis=1)
            about = {"model": "reward model", "pairs": n_pairs, "seed": seed}
            row = accuracy_rows(material, taste, "test", gap, **about)
            rows.append(row | {"ece": ece(material, taste, "test", model)})
    return pd.DataFrame(rows)


def settings(material: Material, taste: str) -> pd.DataFrame:
    """Compare likelihoods, priors and the transformer's part on the validation songs.

    Columns: taste, setting, value, pairs, seed, song, and for each song the sums over its pairs of
    P(right) and of the same for a perfect model of the taste (best).
    """
    rows = []
    best = np.maximum(*material.vote_shares(taste, "valid"))
    songs = material.song_ids("valid")
    for n_pairs in (p for p in (50, 200) if p <= max(material.size.pairs)):
        for seed in range(min(3, material.size.seeds)):
            for name, values in SETTINGS.items():
                for value in values:
                    config = replace(RewardTraining(), **{name: value})
                    model = fitted(material, taste, n_pairs, seed, config)
                    gap = member_gaps(material, model, "valid").mean(axis=1)
                    right, _ = correctness(material, taste, "valid", gap)
                    for song in np.unique(songs):
                        ours = songs == song
                        rows.append(
                            {"taste": taste, "setting": name, "value": value, "pairs": n_pairs}
                            | {"seed": seed, "song": song}
                            | {"right": right[ours].sum(), "best": best[ours].sum()}
                        )
    return pd.DataFrame(rows)


def active(material: Material, taste: str) -> pd.DataFrame:
    """Return accuracy by number of answers when pairs are chosen by each rule."""
    rows = []
    pool = len(material.pairs["train"])
    for seed in range(material.size.active_seeds):
        for rule in RULES:
            rng = np.random.default_rng(seed)
            asked = rng.permutation(pool)[:ACTIVE_START]
            while True:
                model = material.v8()
                noise = np.random.default_rng([seed, 1])
                answers = material.answers(taste, "train", np.arange(pool), noise)
                data = answers.answered(asked, answers.answers[asked], answers.strengths[asked])
                fit_pair_data(model, data, None, RewardTraining(seed=seed))
                gap = member_gaps(material, model, "test").mean(axis=1)
                about = {"rule": rule, "pairs": len(asked), "seed": seed}
                rows.append(accuracy_rows(material, taste, "test", gap, **about))
                if len(asked) >= min(ACTIVE_END, pool - ACTIVE_STEP):
                    break
                left = np.setdiff1d(np.arange(pool), asked)
                gaps = member_gaps(material, model, "train")[left]
                chosen = select(gaps, ACTIVE_STEP, rule, 0.2, rng)
                asked = np.concatenate([asked, left[chosen]])
    return pd.DataFrame(rows)
