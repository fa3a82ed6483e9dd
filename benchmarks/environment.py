"""Measure the editing environment alone: beats walked per second.

    python benchmarks/environment.py [--episodes 256] [--device cuda] [--write]

Parallel episodes, one song each, take random allowed actions from start to end. The time includes
the observations: state slots, planned values of all nine actions and the mask. The gymnasium
environment, with the same rules for one song at a time, is timed too.
"""

import numpy as np
import pandas as pd
import torch
from measuring import arguments, made_up_song, publish, ratio, side_by_side, spread

from rlhf_lib.editing.descriptors import N_ADDITIVE, N_DESCRIPTORS
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import NEVER, Plan
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.policy.gym_env import SongEditing
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS

GOAL = 200_000
SINGLE = 4


def walk(env: EditingEnv, generator: torch.Generator) -> None:
    """Walk all episodes at once."""
    env.reset()
    while env.unit < env.horizon:
        _, values = env.observe()
        allowed = (values > NEVER).float()
        env.step(torch.multinomial(allowed, 1, generator=generator).squeeze(1))
    env.left.cpu()  # wait for the device


def walk_singly(env: SongEditing, rng: np.random.Generator) -> None:
    """Walk the first few songs one by one."""
    for song in range(SINGLE):
        env.reset(options={"song": song})
        done = False
        while not done:
            action = rng.choice(np.flatnonzero(env.action_masks()))
            _, _, done, _, _ = env.step(action)


def main() -> None:
    """Print the table; with ``--write``, write it too."""
    parser = arguments(__doc__)
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    songs = [made_up_song(320 + 16 * (k % 6), seed=k) for k in range(args.episodes)]
    plan = Plan.build(SongTensors.build(songs, FeatureScale.fit(songs), args.device), DENSE_WEIGHTS)
    which = torch.arange(args.episodes)
    env = EditingEnv(plan, which, torch.tensor(CUTTING_TARGETS)[which % len(CUTTING_TARGETS)])
    generator = torch.Generator(device=args.device).manual_seed(0)
    dense = np.pad(DENSE_WEIGHTS, (0, N_DESCRIPTORS - N_ADDITIVE))
    single, rng = SongEditing(songs, Reward(weights=dense)), np.random.default_rng(0)
    runs = {
        f"{args.episodes} songs at once": lambda: walk(env, generator),
        "gymnasium, one by one": lambda: walk_singly(single, rng),
    }
    times = side_by_side(runs, args.rounds)
    rates = {}
    for name, some in zip(runs, (songs, songs[:SINGLE]), strict=True):
        rates[name] = sum(song.n_beats for song in some) / times[name]
    slowest = min(rates.values(), key=np.median)
    rows = [
        {"environment": name, "beats/s": spread(rate, ",.0f"), "/ singly": ratio(rate, slowest)}
        for name, rate in rates.items()
    ]
    best = np.median(rates[f"{args.episodes} songs at once"])
    about = (
        f"{args.episodes} made-up songs of 320 to 400 beats, random allowed actions, decisions at "
        f"bar lines, on {args.device} with {torch.get_num_threads()} threads. Goal on 2 cores, "
        f"256 songs: {GOAL:,} beats/s; {'reached' if best >= GOAL else 'not reached'}."
    )
    publish("environment", pd.DataFrame(rows), about, args.write)


if __name__ == "__main__":
    main()
