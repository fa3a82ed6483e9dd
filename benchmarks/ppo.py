"""Compare our PPO with Stable-Baselines3's on the same songs, network, epochs and batch.

    python benchmarks/ppo.py [--songs 8] [--episodes 128] [--device cuda] [--write]

Peers, unmodified: PPO of Stable-Baselines3 and MaskablePPO of sb3-contrib, on the gymnasium
environment. MaskablePPO is the fair comparison: like ours it takes only allowed actions. PPO has no
masks and is a little faster for this reason. Ours runs without the KL penalty and the search over
plans, which the peers don't have. A round is one rollout and its update.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from measuring import arguments, made_up_song, publish, ratio, side_by_side, spread
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.gym_env import SongEditing
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig, every_target
from rlhf_lib.learning.policy.ppo import PPOConfig, collect, update
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS

GOAL, GOAL_BEATS = 3.0, 100_000
CONFIG = PPOConfig()
PARALLEL = 16


class RolloutEnd(BaseCallback):
    """Records when the last rollout ended."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.time = time.perf_counter()


def our_round(policy: Policy, env: EditingEnv, shares: list[float]) -> Callable[[], None]:
    """Return a call of one rollout and update; it appends the rollout's time in s to `shares`."""
    generator = torch.Generator(device=env.song.device).manual_seed(0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=CONFIG.lr, eps=1e-5, fused=True)

    def run() -> None:
        began = time.perf_counter()
        batch = collect(policy, env, None, generator, CONFIG.tau)
        shares.append(time.perf_counter() - began)
        update(policy, None, optimizer, env, batch, CONFIG, generator)

    return run


def peer_round(
    kind: type, env: EditingEnv, decisions: int, shares: list[float]
) -> Callable[[], None]:
    """Return the same call for a peer, with the same settings."""
    model = kind(
        "MlpPolicy",
        DummyVecEnv([lambda: SongEditing(env.plan)] * PARALLEL),
        n_steps=decisions // PARALLEL,
        batch_size=decisions // PARALLEL * PARALLEL // CONFIG.minibatches,
        n_epochs=CONFIG.epochs,
        learning_rate=CONFIG.lr,
        gamma=CONFIG.gamma,
        gae_lambda=CONFIG.gae_lambda,
        clip_range=CONFIG.clip,
        ent_coef=CONFIG.entropy_coef,
        vf_coef=CONFIG.value_coef,
        max_grad_norm=CONFIG.max_grad_norm,
        policy_kwargs={"net_arch": {"pi": [256, 256], "vf": [256, 256]}},
        device=env.song.device,
        seed=0,
    )
    callback = RolloutEnd()

    def run() -> None:
        began = time.perf_counter()
        model.learn(decisions // PARALLEL * PARALLEL, callback)
        shares.append(callback.time - began)

    return run


def main() -> None:
    """Print the table; with ``--write``, write it too."""
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    songs = [made_up_song(320 + 16 * (k % 6), seed=k) for k in range(args.songs)]
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(search=1), SYNTHETIC_WEIGHTS, FeatureScale.fit(songs))
    env = every_target(policy.to(args.device), songs)
    chosen = torch.arange(args.episodes, device=args.device) % len(env.song)
    env = EditingEnv(env.plan, env.song[chosen], env.target[chosen])
    decisions = int(env.n_units.sum())
    shares = {"ours": [], "MaskablePPO": [], "PPO": []}
    runs = {
        "ours": our_round(policy, env, shares["ours"]),
        "MaskablePPO": peer_round(MaskablePPO, env, decisions, shares["MaskablePPO"]),
        "PPO": peer_round(PPO, env, decisions, shares["PPO"]),
    }
    whole = side_by_side(runs, args.rounds)
    rows = []
    for name, seconds in whole.items():
        rollout = np.array(shares[name][1:])
        ours = np.array(shares["ours"][1:])
        rows.append(
            {
                "": name,
                "decisions/s": spread(decisions / seconds, ",.0f"),
                "rollout alone": spread(decisions / rollout, ",.0f"),
                "update alone": spread(decisions / (seconds - rollout), ",.0f"),
                "time / ours": ratio(seconds, whole["ours"]),
                "rollout / ours": ratio(rollout, ours),
                "update / ours": ratio(seconds - rollout, whole["ours"] - ours),
            }
        )
    peer = np.median(whole["MaskablePPO"] / whole["ours"])
    beats = int(env.tensors.n_beats[env.song].sum())
    speeds = {"rollout and update": whole["ours"], "rollout alone": np.array(shares["ours"][1:])}
    speed = " and ".join(f"{spread(beats / s, ',.0f')} ({name})" for name, s in speeds.items())
    about = (
        f"One rollout and its update: {args.episodes} episodes on {args.songs} made-up songs, "
        f"{decisions:,} decisions at bar lines, {beats:,} beats; network 889→256→256 for policy "
        f"and for value, {CONFIG.epochs} epochs of {CONFIG.minibatches} minibatches, on "
        f"{args.device} with {torch.get_num_threads()} threads. Ours walks {speed} beats/s. Goals "
        f"on 2 cores: {GOAL:g} × MaskablePPO, {_reached(peer >= GOAL)}; {GOAL_BEATS:,} beats/s "
        f"with the update, {_reached(np.median(beats / whole['ours']) >= GOAL_BEATS)}."
    )
    publish("ppo", pd.DataFrame(rows), about, args.write)


def _reached(yes: bool) -> str:
    return "reached" if yes else "not reached"


if __name__ == "__main__":
    main()
