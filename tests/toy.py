"""Songs without sound, for tests of code that works on beats alone, and weights for them."""

from pathlib import Path

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS

#: Of the synthetic rater, without sung lines and lost ends. By random features all of a song may be
#: sung; with these two terms one cut in the middle is the best edit under nearly all weights.
TOY_WEIGHTS = np.where(np.isin(DESCRIPTOR_NAMES, ["sung", "lost_ends"]), 0.0, SYNTHETIC_WEIGHTS)


def toy_song(
    n_beats: int,
    seed: int = 0,
    period: float = 0.5,
    beats_per_bar: int = 4,
    downbeats: np.ndarray | None = None,
    **columns: np.ndarray,
) -> Song:
    """Return a song of random features in repeating sections, `period` s per beat.

    Its bars have `beats_per_bar` beats, unless `downbeats` are given. `columns` are values of
    features by their names.
    """
    rng = np.random.default_rng(seed)
    sections = rng.normal(size=(4, 32, len(FEATURE_NAMES)))
    plan = rng.integers(0, 4, size=n_beats // 32 + 1)
    features = np.concatenate([sections[k] for k in plan])[:n_beats]
    features = features + 0.3 * rng.normal(size=features.shape)
    for name, values in columns.items():
        features[:, FEATURE_NAMES.index(name)] = values
    rate = 8000
    return Song(
        song_id=f"toy_{seed}",
        path=Path(f"toy_{seed}.wav"),
        sha256=f"{seed:064x}",
        sample_rate=rate,
        n_samples=round(n_beats * period * rate),
        beat_times=np.arange(n_beats) * period,
        downbeats=np.arange(0, n_beats, beats_per_bar) if downbeats is None else downbeats,
        features=features,
    )


def with_network(policy: Policy) -> Policy:
    """Give the last stage of a policy a network, as it is at the start of its training."""
    from rlhf_lib.learning.policy.plan_network import PlanNetwork  # toy songs need no PyTorch

    PlanNetwork.of(policy, seed=0).store()
    return policy
