"""Time the steps of one feedback cycle.

    python benchmarks/steps.py [--songs 10] [--seconds 120] [--episodes 500] [--pairs 50] [--write]

It runs on composed songs in a temporary folder, with answers of a simulated rater. Reward model v8
and policy v14 are first made with little training; their sizes are those of full models, so the
times are realistic.
"""

import os
import tempfile
import warnings
from pathlib import Path
from unittest import mock

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import pandas as pd
import torch
from measuring import arguments, publish, seconds, spread

from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.feedback.manifest import PolicyRef
from rlhf_lib.feedback.quality.report import write_quality_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.policy.training import PolicyTraining
from rlhf_lib.learning.reward.fit import RewardTraining
from rlhf_lib.learning.reward.pretraining import Pretraining
from rlhf_lib.listening.run_rater import run_rater
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.paths import file_sha256
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.candidates import generate_candidates
from rlhf_lib.steps.checkpoints import load_policy
from rlhf_lib.steps.evaluation import compare_policies
from rlhf_lib.steps.train_policy import train_initial_policy, train_rlhf_stable
from rlhf_lib.steps.train_reward_model import train_from_feedback, train_initial_reward_model

GOALS = {"reward model from answers": 60, "policy by PPO": 60, "one cycle": 300}


class Cycle:
    """One feedback cycle in a folder, step by step."""

    def __init__(self, folder: Path, songs: list[Song], args):
        self.folder, self.songs, self.args = folder, songs, args
        self.models, self.device = folder / "models", torch.device(args.device)
        self.v8, self.v14 = self.models / "reward_model_v8.pt", self.models / "policy_v14.pt"

    def prepare(self) -> None:
        """Make v8 and v14 with little training."""
        first = Pretraining(groups_per_song=1, epochs=1)
        train_initial_reward_model(self.songs, self.v8, first, device=self.device)
        few = PolicyTraining(episodes=50)
        runs = self.folder / "runs_v14"
        train_initial_policy(self.songs, self.v8, self.models, runs, few, self.device)

    def candidates(self) -> None:
        """Plan and render five candidates per song into a new folder."""
        self.rendered = Path(tempfile.mkdtemp(dir=self.folder))
        policy, about = load_policy(self.v14)
        ref = PolicyRef(name=about["name"], sha256=file_sha256(self.v14))
        self.manifest = generate_candidates(self.songs, policy, ref, self.rendered)

    def answers(self) -> None:
        """Collect the answers of a simulated rater."""
        store = PreferenceStore(self.folder / "feedback")
        rater = SimulatedRater("simulated_smooth", "smooth")
        session = AnnotationSession(
            self.manifest, store, rater.rater_id, "simulated", max_tasks=self.args.pairs
        )
        entries = zip(self.manifest.songs, self.songs, strict=True)
        run_rater(session, rater, {entry.id: song for entry, song in entries})

    def report(self) -> None:
        """Write the quality report."""
        write_quality_report(PreferenceStore(self.folder / "feedback"))

    def reward(self) -> None:
        """Fit v9 from v8."""
        train_from_feedback(
            self.folder / "feedback",
            self.v8,
            self.rendered,
            self.models,
            RewardTraining(epochs=20),
            device=self.device,
        )

    def policy(self) -> None:
        """Train v15 from v14."""
        with tempfile.TemporaryDirectory() as runs:
            train_rlhf_stable(
                self.models / "reward_model_v9_feedback_final.pt",
                self.v14,
                self.songs,
                self.models,
                runs,
                PolicyTraining(episodes=self.args.episodes),
                self.device,
            )

    def evaluation(self) -> None:
        """Compare v15 with v14."""
        new, old = (load_policy(self.models / f"policy_v{k}.pt")[0] for k in (15, 14))
        compare_policies(new, old, self.songs, SimulatedRater("judge", "smooth"))


def main() -> None:
    """Print the table; with ``--write``, write it too."""
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    # In a separate workspace, so that analysed songs are not cached in the repository.
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.dict(os.environ, RLHF_WORKSPACE=name),
    ):
        folder = Path(name)
        compose_songs(folder / "songs", args.songs, 0, args.seconds)
        songs, _ = load_songs(folder / "songs")
        cycle = Cycle(folder, songs, args)
        cycle.prepare()
        steps = {
            "candidates, rendered": cycle.candidates,
            "reward model from answers": cycle.reward,
            "policy by PPO": cycle.policy,
            "quality report": cycle.report,
            "evaluation": cycle.evaluation,
        }
        cycle.candidates()
        cycle.answers()
        times = {step: [] for step in steps}
        for _ in range(args.rounds):
            for step, run in steps.items():
                times[step].append(seconds(run))
    table = {step: np.array(values) for step, values in times.items()}
    table["one cycle"] = sum(table.values())
    rows = [
        {"step": step, "s": spread(values, ".1f")}
        | {"goal": f"≤ {GOALS[step]} s" if step in GOALS else ""}
        for step, values in table.items()
    ]
    about = (
        f"{args.songs} composed songs of {args.seconds:g} s, analysed before; 5 candidates each; "
        f"{args.pairs} simulated answers, at most 20 epochs; {args.episodes} episodes of PPO under "
        f"the learned reward; evaluation on the same songs; on {args.device} with "
        f"{torch.get_num_threads()} threads."
    )
    publish("steps", pd.DataFrame(rows), about, args.write)


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    main()
