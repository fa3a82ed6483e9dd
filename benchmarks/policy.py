"""Time how a policy plans, climbs and learns.

    python benchmarks/policy.py [--songs 10] [--seconds 120] [--write]

Ten composed songs of two minutes at five lengths, analysed before. The search of 24 plans is timed
against the same plans as the environment makes them (tables in torch, walked bar by bar, described
one by one), which is how they were made before plans were compiled.
"""

import os
import tempfile
from pathlib import Path
from unittest import mock

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import pandas as pd
import torch
from measuring import arguments, publish, ratio, side_by_side, spread

from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.editing.descriptors import describe
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import Plan
from rlhf_lib.learning.planning.plans import plans
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import member_scores, own_weights, reweighted
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.planning.stretch import stretches
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import TARGETS, Policy, PolicyConfig
from rlhf_lib.learning.policy.ppo import PPOConfig, collect, update
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS

SEARCHED, EPISODES = 24, 3840
GOALS = {"search": 5.0, "pool and climb": 5.0, "PPO": 10.0}


def in_the_environment(song: Song, tensors: SongTensors, weights: np.ndarray) -> np.ndarray:
    """Return the best of 24 plans at each length, made by the environment."""
    targets = torch.tensor(TARGETS, dtype=torch.float64)
    which = torch.arange(len(weights)).repeat_interleave(len(targets))
    env = EditingEnv(Plan.build(tensors, weights), which, targets.repeat(len(weights)))
    env.walk(lambda slots, values: values.argmax(dim=1))
    described = np.stack([describe(edit) for edit in env.edits()])
    return (described @ SYNTHETIC_WEIGHTS).reshape(len(weights), -1).argmax(axis=0)


def compiled(song: Song, weights) -> np.ndarray:
    """Return the same, by compiled plans and descriptors."""
    (stretch,) = stretches(song)
    choices = plans(stretch, weights, TARGETS)
    flat, targets = choices.reshape(-1, choices.shape[2]), np.tile(TARGETS, len(weights))
    scores = member_scores(stretch, Reward(weights=SYNTHETIC_WEIGHTS), flat, targets)
    return scores.reshape(len(weights), -1).argmax(axis=0)


def learn(policy: Policy, songs: list[Song]) -> None:
    """Draw 3,840 episodes and update after every 128 of them."""
    config, network = PPOConfig(episodes_per_update=128, draws=16), PlanNetwork.of(policy, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    generator = torch.Generator().manual_seed(0)
    reward = policy.last.reward()
    for _ in range(EPISODES // config.episodes_per_update):
        batch = collect(network, songs, reward.parts, config, generator)
        update(network, None, optimizer, batch, config)
    network.store()


def main() -> None:
    """Print the table; with ``--write``, write it too."""
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120.0)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, RLHF_WORKSPACE=folder),
    ):
        compose_songs(Path(folder) / "songs", args.songs, 0, args.seconds)
        songs, _ = load_songs(Path(folder) / "songs")
    rng = np.random.default_rng(0)
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS + 0.1 * rng.normal(size=(5, 40)))
    several = own_weights(policy.weights) + reweighted(policy.weights, SEARCHED - 1, 1.0, rng)
    scale = FeatureScale.fit(songs)
    tensors = {song: SongTensors.build([song] * SEARCHED, scale) for song in songs}
    runs = {
        "search of 24 plans": lambda: [compiled(song, several) for song in songs],
        "… in the environment": lambda: [
            in_the_environment(song, tensors[song], several.additive) for song in songs
        ],
        "108 plans and 300 changes": lambda: policy.edits(songs, TARGETS),
        f"PPO, {EPISODES:,} episodes": lambda: learn(policy, songs),
    }
    times = dict(zip(runs, side_by_side(runs, args.rounds).values(), strict=True))
    search, environment, edits, ppo = times.values()
    goals = (
        f"{GOALS['search']:g} × faster: {_reached(environment / search, GOALS['search'])}",
        "",
        f"≤ {GOALS['pool and climb']:g} s: {_reached(GOALS['pool and climb'] / edits, 1)}",
        f"≤ {GOALS['PPO']:g} s: {_reached(GOALS['PPO'] / ppo, 1)}",
    )
    n_edits = args.songs * len(TARGETS)
    rows = [
        {
            "step": name,
            "s": spread(seconds),
            "/ search": ratio(seconds, search),
            "ms an edit": spread(1000 * seconds / n_edits) if seconds is not ppo else "",
            "goal": goal,
        }
        for (name, seconds), goal in zip(times.items(), goals, strict=True)
    ]
    about = (
        f"{args.songs} composed songs of {args.seconds:g} s, analysed before, five lengths each; "
        f"a reward of five members; {torch.get_num_threads()} threads."
    )
    publish("policy", pd.DataFrame(rows), about, args.write)


def _reached(value: np.ndarray, least: float) -> str:
    return "reached" if np.median(value) >= least else "not reached"


if __name__ == "__main__":
    main()
