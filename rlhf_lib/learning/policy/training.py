"""Train a policy by PPO on a reward: logged, resumable, stopped when training goes wrong."""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import default_convert
from tqdm.auto import tqdm

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.archive import load_archive, save_archive
from rlhf_lib.learning.metrics import CsvLogger, MetricsLogger, TensorBoardLogger, log_row
from rlhf_lib.learning.planning.reward import Reward, Scores
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.learning.policy.ppo import PPOConfig, collect, update

#: Draws for each held-out song and length.
_HELD_OUT_DRAWS = 4


@dataclass(frozen=True)
class PolicyTraining:
    """Settings of one training run.

    Attributes
    ----------
    episodes : int
        Total number of edits.
    ppo : PPOConfig
    log_every, checkpoint_every : int
        Episodes. `checkpoint_every` is a multiple of ``ppo.episodes_per_update``, which is a
        multiple of `log_every` and of ``ppo.draws``.
    kl_limit : float
        Stop when the KL divergence from the start of the run exceeds this (nats per plan).
    drop_limit : float
        Stop when the held-out reward lies this far below its best value (in standard
        deviations of the reward) `patience` updates in a row.
    patience : int
    seed : int
    """

    episodes: int = 500
    ppo: PPOConfig = field(default_factory=PPOConfig)
    log_every: int = 10
    checkpoint_every: int = 50
    kl_limit: float = 40.0
    drop_limit: float = 0.3
    patience: int = 3
    seed: int = 0

    def __post_init__(self):
        if self.ppo.draws < 2:
            raise InputError(f"ppo.draws is {self.ppo.draws}; compare at least 2 draws of a plan")
        size = self.ppo.episodes_per_update
        for name, value, step in (
            ("ppo.episodes_per_update", size, self.log_every),
            ("ppo.episodes_per_update", size, self.ppo.draws),
            ("checkpoint_every", self.checkpoint_every, size),
        ):
            if step < 1 or value < 1 or value % step:
                raise InputError(f"{name} is {value}; it must be a multiple of {step}")
        if self.episodes < 1:
            raise InputError(f"episodes is {self.episodes}; train for at least 1 episode")


@dataclass
class PolicyHistory:
    """The results of a training run.

    Attributes
    ----------
    rows : list of dict
        One row every ``log_every`` episodes: episode; the parts of the reward (for a mix: dense,
        learned, combined), as gains over the mean plan at the start for the same song and length,
        means over those episodes; loss, kl and the other diagnostics of the update they belong to;
        held_out (the same gain of the whole reward for draws on held-out songs, after it).
    stopped : str
        Why training ended.
    best_episode : int
        Episodes after which the held-out reward was best; the policy is the one at that episode.
    """

    rows: list[dict[str, float]]
    stopped: str
    best_episode: int


def train_policy(
    policy: Policy,
    reward: Reward | Scores,
    songs: list[Song],
    held_out: list[Song] | None = None,
    config: PolicyTraining | None = None,
    folder: str | Path | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    loggers: Sequence[MetricsLogger] = (),
    device: torch.device | str = "cpu",
) -> PolicyHistory:
    """Train the last stage of `policy` in place, and keep the snapshot best on held-out songs.

    A linear reward becomes the reward of the stage; if it is another one than before, training
    starts from the plan under it. Under any other reward the stage keeps its weights to plan by,
    and the trained policy edits by its mean plan, unless the reward is given to `Policy.edits`.
    The KL penalty is to the start of the run: it keeps the policy from exploiting the reward.

    An interrupted run resumes from its last checkpoint when called again with the same arguments
    and a folder, and gives the same result as an uninterrupted one. (Of a function only the name is
    compared.) A finished run is not repeated until `forget_state` is called.

    Parameters
    ----------
    policy : Policy
    reward : Reward, or function of edits
        A function takes a list of edits and returns one score for each.
    songs, held_out : lists of Song
        For training; for choosing the snapshot and for stopping when training goes wrong. Without
        `held_out` these are the training songs.
    config : PolicyTraining, optional
    folder : path, optional
        For ``metrics.csv``, TensorBoard files, checkpoints; without one nothing is written.
    report : callable, optional
        Called with each row at once; a resumed run calls it again with rows after its checkpoint.
    loggers : sequence of MetricsLogger
        Receive the rows of ``metrics.csv``, at each checkpoint, once it is saved, and at the end:
        no row comes twice, however often the run is interrupted.
    device : torch.device or str
        Where the network is trained; plans are made on the CPU.

    Raises
    ------
    InputError
        When there are no songs, or the reward does not return one finite number for each edit.
    """
    if not songs:
        raise InputError("no songs to train the policy on")
    reward, config = Reward.of(reward), config or PolicyTraining()
    policy.follow(reward)
    run = _Run(policy, config, device)
    board = None
    if folder is not None:
        folder = Path(folder)
        name = f"state_{_fingerprint(policy, reward, songs, held_out or [], config)}.pt"
        state_path = folder / name
        if state_path.is_file():
            run.restore(load_archive(state_path))
        begin = int(run.rows[-1]["episode"]) + 1 if run.rows else 0
        board = TensorBoardLogger(folder / "tensorboard", begin)
        loggers = [CsvLogger(folder / "metrics.csv", "episode", run.rows), board, *loggers]
    logged = len(run.rows)
    checked, gains = held_out or songs, _Gains(run.start, reward)
    if run.held_out_rewards == []:
        run.note_held_out(_held_out_gains(policy, checked, gains))
    bar = tqdm(total=config.episodes, initial=run.episode, desc="PPO", unit="episode", leave=False)
    while run.episode < config.episodes and not run.stopped:
        batch = collect(run.network, songs, gains, config.ppo, run.generator)
        diagnostics = update(run.network, run.reference, run.optimizer, batch, config.ppo)
        run.network.store()
        first, run.episode = run.episode, run.episode + len(batch.edits)
        bar.update(len(batch.edits))
        run.note_held_out(_held_out_gains(policy, checked, gains))
        diagnostics["held_out"] = run.held_out_rewards[-1]
        run.check(diagnostics)
        for start in range(0, len(batch.edits), config.log_every):
            chosen = slice(start, start + config.log_every)
            row = {"episode": first + start + config.log_every}
            row |= {name: float(values[chosen].mean()) for name, values in batch.parts.items()}
            row |= diagnostics
            run.rows.append(row)
            if report is not None:
                report(row)
        ended = bool(run.stopped) or run.episode >= config.episodes
        if not (ended or run.episode % config.checkpoint_every == 0):
            continue
        if folder is not None:
            save_archive(folder / f"policy_episode_{run.episode}.pt", run.snapshot())
            save_archive(state_path, run.state())
        for row in run.rows[logged:]:
            log_row(loggers, row)
        logged = len(run.rows)
    bar.close()
    if board is not None:
        board.close()
    policy.load_state_dict(run.best_state)
    return PolicyHistory(run.rows, run.stopped or "all episodes done", run.best_episode)


def forget_state(folder: str | Path) -> None:
    """Remove the states that a run in `folder` would resume from, once its result is saved."""
    for path in Path(folder).glob("state_*.pt"):
        path.unlink(missing_ok=True)


def load_snapshots(folder: str | Path, policy: Policy) -> list[tuple[int, Policy]]:
    """Return the policies that a training run saved, as (episode, policy) in order.

    Parameters
    ----------
    folder : path
        The run's folder, with its ``policy_episode_….pt``.
    policy : Policy
        A policy of the same architecture, for example the final one; it is copied.

    Raises
    ------
    InputError
        When there is no snapshot, or one does not fit the policy.
    """
    paths = list(Path(folder).glob("policy_episode_*.pt"))
    if not paths:
        raise InputError(f"no policy_episode_….pt in {folder}; train the policy first")
    snapshots = []
    for path in paths:
        content, then = load_archive(path), copy.deepcopy(policy)
        try:
            then.load_state_dict(content["state"])
            snapshots.append((int(content["episode"]), then))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} does not fit the policy: {error}") from error
    return sorted(snapshots, key=lambda snapshot: snapshot[0])


class _Run:
    """Everything that changes during training; saved and restored as a whole."""

    def __init__(self, policy: Policy, config: PolicyTraining, device: torch.device | str):
        self.policy, self.config = policy, config
        self.network = PlanNetwork.of(policy, config.seed, device)
        self.network.store()
        self.start = copy.deepcopy(policy)
        self.reference = PlanNetwork(self.start.last).to(device).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.ppo.lr, eps=1e-5)
        self.generator = torch.Generator(device=device).manual_seed(config.seed)
        self.episode = 0
        self.rows: list[dict[str, float]] = []
        self.held_out_rewards: list[float] = []
        self.best_rewards = np.empty(0)
        self.best_state = copy.deepcopy(policy.state_dict())
        self.best_episode = 0
        self.stopped = ""

    def note_held_out(self, rewards: np.ndarray) -> None:
        """Keep the policy if it is clearly the best so far on the held-out songs.

        Clearly: by more than two standard errors of the difference, paired by draw. The test is
        made after every update, so that one standard error (Breiman et al., 1984) would often be
        passed by chance.
        """
        gain = rewards - self.best_rewards if len(self.best_rewards) else np.array([np.inf])
        error = gain.std() / np.sqrt(len(gain)) if len(self.best_rewards) else 0.0
        if gain.mean() > 2 * error:
            self.best_state = copy.deepcopy(self.policy.state_dict())
            self.best_episode = self.episode
            self.best_rewards = rewards
        self.held_out_rewards.append(float(rewards.mean()))

    def check(self, diagnostics: dict[str, float]) -> None:
        """Set `stopped` when training has gone wrong."""
        bad = [name for name, value in diagnostics.items() if not math.isfinite(value)]
        best, recent = max(self.held_out_rewards), self.held_out_rewards[-self.config.patience :]
        if bad:
            self.stopped = f"{bad[0]} is not a number"
        elif diagnostics["kl"] > self.config.kl_limit:
            self.stopped = f"KL {diagnostics['kl']:.3f} passed its limit {self.config.kl_limit}"
        elif len(recent) == self.config.patience and max(recent) < best - self.config.drop_limit:
            self.stopped = f"held-out reward fell from {best:.3f} to {recent[-1]:.3f}"

    def snapshot(self) -> dict:
        """Return the current policy, for a later look at the course of training."""
        return {"episode": self.episode, "state": self.policy.state_dict()}

    def state(self) -> dict:
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "episode": self.episode,
            "rows": self.rows,
            "held_out_rewards": self.held_out_rewards,
            "best_rewards": self.best_rewards,
            "best_state": self.best_state,
            "best_episode": self.best_episode,
            "stopped": self.stopped,
        }

    def restore(self, state: dict) -> None:
        self.policy.load_state_dict(state["policy"])
        self.network.read()
        self.optimizer.load_state_dict(default_convert(state["optimizer"]))
        self.generator.set_state(torch.from_numpy(state["generator"]))
        for name in (
            "best_rewards",
            "episode",
            "rows",
            "held_out_rewards",
            "best_state",
            "best_episode",
            "stopped",
        ):
            setattr(self, name, state[name])


class _Gains:
    """The parts of a reward as gains over the mean plan of `start` for the same song and length.

    Songs and lengths differ more in reward than plans do; a log of gains shows the learning.
    """

    def __init__(self, start: Policy, reward: Reward):
        self.start, self.reward = start.only(search=False), reward
        self._known: dict[tuple[Song, float], dict[str, float]] = {}

    def __call__(self, edits: list[Edit]) -> dict[str, np.ndarray]:
        for song, target in {(edit.song, edit.target) for edit in edits} - self._known.keys():
            parts = self.reward.parts(self.start.edits([song], (target,)))
            self._known[song, target] = {name: float(value[0]) for name, value in parts.items()}
        before = [self._known[edit.song, edit.target] for edit in edits]
        return {
            name: values - np.array([each[name] for each in before])
            for name, values in self.reward.parts(edits).items()
        }


def _held_out_gains(policy: Policy, songs: list[Song], gains: _Gains) -> np.ndarray:
    """Return the gains of draws for each song and length, the same noise in every call."""
    drawn = policy.only(draws=1, search=False)
    edits = [e for k in range(_HELD_OUT_DRAWS) for e in drawn.edits(songs, greedy=False, seed=k)]
    return gains(edits)["combined"]


def _fingerprint(
    policy: Policy,
    reward: Reward,
    songs: list[Song],
    held_out: list[Song],
    config: PolicyTraining,
) -> str:
    """Return a hash of the run's inputs: a state is resumed only by the run that wrote it."""
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    digest.update("".join(song.sha256 for song in songs).encode())
    digest.update(b"held out")
    digest.update("".join(song.sha256 for song in held_out).encode())
    for value in policy.state_dict().values():
        digest.update(value.tobytes())
    digest.update(reward.name.encode())
    return digest.hexdigest()[:16]
