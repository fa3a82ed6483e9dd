"""The whole loop on composed songs with a simulated rater: one run, one table, one report."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.app.demo_report import DemoResults, write_demo_report
from rlhf_lib.app.profiles import Profile, profile_named
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import Manifest, PolicyRef
from rlhf_lib.feedback.quality.report import write_quality_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.policy.training import PolicyHistory, PolicyTraining
from rlhf_lib.learning.reward.fit import RewardHistory, RewardTraining
from rlhf_lib.learning.reward.pretraining import Pretraining
from rlhf_lib.listening.run_rater import run_rater
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.paths import file_sha256
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.candidates import candidate_edits, generate_candidates
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model
from rlhf_lib.steps.cycle import Cycle
from rlhf_lib.steps.evaluation import (
    accuracy_table,
    compare_policies,
    judged_comparisons,
    lengths_by_temperature,
)
from rlhf_lib.steps.train_policy import train_initial_policy, train_rlhf_stable
from rlhf_lib.steps.train_reward_model import train_from_feedback, train_initial_reward_model


def run_demo(folder: str | Path, seed: int = 0, profile: str = "full") -> pd.DataFrame:
    """Run every step, print the results, write ``report.html``; return the win-rate table.

    Parameters
    ----------
    folder : path
        New or empty; songs, audio, models, feedback, curves and report are written there.
    profile : str
        See `rlhf_lib.app.profiles`.

    Raises
    ------
    InputError
        When the folder is not empty, or the profile is unknown.
    """
    size, began = profile_named(profile), time.monotonic()
    folder = Path(folder).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; give another --run_dir or remove it")
    rater = SimulatedRater("simulated_smooth", "smooth", seed=seed)
    demo = _Demo(folder, size, seed, rater)
    with _step("composing and analysing songs"):
        songs, held_out = demo.songs()
    with _step("reward model v8, pretrained on synthetic raters"):
        v8_history = demo.initial_reward_model(songs)
    with _step("policy v14 by PPO"):
        demo.initial_policy(songs)
    with _step("candidates"):
        manifest = demo.candidates(songs)
    with _step("preferences of a simulated rater"):
        n_answers = demo.preferences(manifest, songs)
    with _step("reward model v9 from the preferences"):
        v9_history = demo.reward_model()
    with _step("policy v15 by PPO"):
        v15_history = demo.policy(songs)
    with _step("evaluation on held-out songs"):
        wins, accuracies, lengths = demo.evaluation(held_out)
    results = DemoResults(
        n_songs=len(songs),
        n_held_out=len(held_out),
        n_answers=n_answers,
        taste=str(rater.taste),
        minutes=(time.monotonic() - began) / 60,
        wins=wins,
        accuracies=accuracies,
        lengths=lengths,
        v8_history=v8_history,
        v9_history=v9_history,
        v15_history=v15_history,
    )
    for title, table in results.tables().items():
        print(f"\n{title}\n{table.round(3).to_string(index=False)}")
    listen = manifest.songs[0]
    sounds = [(f"{listen.name}, original", demo.cycle.candidates / listen.path)]
    sounds += [(one.id, demo.cycle.candidates / one.path) for one in listen.candidates[:5]]
    path = write_demo_report(folder / "report.html", results, sounds)
    print(f"\n{results.minutes:.1f} minutes; report, audio and models in {path.parent}")
    return wins


@dataclass(frozen=True)
class _Demo:
    """The steps of the loop in one folder."""

    folder: Path
    size: Profile
    seed: int
    rater: SimulatedRater

    @property
    def cycle(self) -> Cycle:
        return Cycle(1, self.folder / "models", self.folder / "eval_outputs", self.folder / "runs")

    def songs(self) -> tuple[list[Song], list[Song]]:
        n_songs = self.size.n_songs + self.size.n_held_out
        compose_songs(self.folder / "songs", n_songs, self.seed, self.size.seconds)
        songs, _ = load_songs(self.folder / "songs")
        return songs[: self.size.n_songs], songs[self.size.n_songs :]

    def initial_reward_model(self, songs: list[Song]) -> RewardHistory:
        settings = Pretraining(self.size.groups_per_song, epochs=self.size.pretraining_epochs)
        path = self.cycle.reward_before
        return train_initial_reward_model(songs, path, settings, self.seed)[1]

    def initial_policy(self, songs: list[Song]) -> None:
        settings = PolicyTraining(episodes=self.size.initial_episodes, seed=self.seed)
        place = self.cycle.policy_before
        run_dir = self.folder / "runs" / place.stem
        train_initial_policy(songs, self.cycle.reward_before, place.parent, run_dir, settings)

    def candidates(self, songs: list[Song]) -> Manifest:
        path = self.cycle.policy_before
        policy, about = load_policy(path)
        ref = PolicyRef(name=about["name"], sha256=file_sha256(path))
        per_song = self.size.candidates_per_song
        return generate_candidates(songs, policy, ref, self.cycle.candidates, per_song, self.seed)

    def preferences(self, manifest: Manifest, songs: list[Song]) -> int:
        store = PreferenceStore(self.folder / "feedback")
        session = AnnotationSession(manifest, store, self.rater.rater_id, "simulated", self.seed)
        by_id = {entry.id: song for entry, song in zip(manifest.songs, songs, strict=True)}
        answers = run_rater(session, self.rater, by_id)
        write_quality_report(store)
        return len(answers)

    def reward_model(self) -> RewardHistory:
        _, history, _ = train_from_feedback(
            self.folder / "feedback",
            self.cycle.reward_before,
            self.cycle.candidates,
            self.cycle.reward.parent,
            RewardTraining(seed=self.seed),
        )
        return history

    def policy(self, songs: list[Song]) -> PolicyHistory:
        _, history = train_rlhf_stable(
            self.cycle.reward,
            self.cycle.policy_before,
            songs,
            self.cycle.policy.parent,
            self.cycle.run,
            PolicyTraining(episodes=self.size.episodes, seed=self.seed),
        )
        return history

    def evaluation(
        self, held_out: list[Song]
    ) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
        """Return win rates, accuracies of both reward models, lengths by temperature."""
        new, old = (load_policy(path)[0] for path in (self.cycle.policy, self.cycle.policy_before))
        v8, v9 = (
            load_reward_model(path)[0] for path in (self.cycle.reward_before, self.cycle.reward)
        )
        wins = compare_policies(new, old, held_out, self.rater, v9, self.seed)
        per_song = candidate_edits(old, held_out, self.size.candidates_per_song, self.seed)
        pairs = judged_comparisons(per_song, self.rater)
        accuracies = {"v8": accuracy_table(v8, pairs), "v9": accuracy_table(v9, pairs)}
        return (
            wins,
            accuracies,
            lengths_by_temperature([e.edit for edits in per_song for e in edits]),
        )


@contextmanager
def _step(title: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"== {title}", flush=True)
    yield
    print(f"   {time.monotonic() - began:.1f} s", flush=True)
