"""The whole loop on composed songs with a simulated rater: one run, one table, one report."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from rlhf_lib import plots
from rlhf_lib.candidates import candidate_edits, generate_candidates
from rlhf_lib.errors import InputError
from rlhf_lib.evaluation import (
    accuracy_table,
    compare_policies,
    judged_comparisons,
    lengths_by_temperature,
)
from rlhf_lib.feedback.quality import write_quality_report
from rlhf_lib.feedback.raters import SimulatedRater
from rlhf_lib.feedback.records import PolicyRef
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.checkpoints import load_policy, load_reward_model
from rlhf_lib.learning.policy_training import PolicyTraining
from rlhf_lib.learning.pretraining import Pretraining
from rlhf_lib.music.compose import compose_songs
from rlhf_lib.music.song import load_songs
from rlhf_lib.paths import file_sha256, resolve
from rlhf_lib.profiles import profile_named
from rlhf_lib.report import Section, write_report
from rlhf_lib.studio.session import AnnotationSession, run_rater
from rlhf_lib.training import (
    train_from_feedback,
    train_policy_v14,
    train_reward_model_v8,
    train_rlhf_stable,
)


def run_demo(folder: str | Path, seed: int = 0, profile: str = "full") -> pd.DataFrame:
    """Run every step, print the results, write ``report.html``; return the win-rate table.

    Parameters
    ----------
    folder : path
        Made anew; songs, audio, models, feedback, curves and report go there.
    profile : str
        See `rlhf_lib.profiles`.

    Raises
    ------
    InputError
        When the folder holds something already, or the profile is unknown.
    """
    size, began = profile_named(profile), time.monotonic()
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; give another --run_dir or remove it")
    models, candidates_dir = folder / "models", folder / "eval_outputs"
    cache = resolve(".cache/songs")
    judge = SimulatedRater("simulated_smooth", "smooth", seed=seed)

    with _step("composing and analysing songs"):
        n_songs = size.n_songs + size.n_held_out
        compose_songs(folder / "songs", n_songs, seed, size.seconds)
        songs, _ = load_songs(folder / "songs", cache_dir=cache)
        ours, held_out = songs[: size.n_songs], songs[size.n_songs :]
    with _step("reward model v8 from synthetic judges"):
        first = Pretraining(groups_per_song=size.groups_per_song, epochs=size.epochs_v8)
        v8_path = models / "reward_model_v8.pt"
        v8, v8_history = train_reward_model_v8(ours, v8_path, first, seed)
    with _step("policy v14 by PPO"):
        plan = PolicyTraining(episodes=size.episodes_v14, seed=seed)
        v14, _ = train_policy_v14(ours, v8_path, models, folder / "runs/policy_v14", plan)
        v14_path = models / "policy_v14.pt"
    with _step("candidates"):
        ref = PolicyRef(name="policy_v14", sha256=file_sha256(v14_path))
        manifest = generate_candidates(
            ours, v14, ref, candidates_dir, size.candidates_per_song, seed
        )
    with _step("preferences of a simulated rater"):
        store = PreferenceStore(folder / "feedback")
        session = AnnotationSession(manifest, store, judge.rater_id, "simulated", seed)
        by_id = {entry.id: song for entry, song in zip(manifest.songs, ours, strict=True)}
        answers = run_rater(session, judge, by_id)
        write_quality_report(store)
    with _step("reward model v9 from the preferences"):
        _, v9_history, _ = train_from_feedback(
            store.path,
            v8_path,
            candidates_dir,
            models,
            seed=seed,
            cache_dir=cache,
        )
        v9_path = models / "reward_model_v9_feedback_final.pt"
    with _step("policy v15 by PPO"):
        plan = PolicyTraining(episodes=size.episodes_v15, seed=seed)
        v15, v15_history = train_rlhf_stable(
            v9_path, v14_path, ours, models, folder / "runs/policy_v15", plan
        )
    with _step("evaluation on songs that nothing learned from"):
        v9 = load_reward_model(v9_path)[0]
        v14 = load_policy(v14_path)[0]
        wins = compare_policies(v15, v14, held_out, judge, v9, seed)
        per_song = candidate_edits(v14, held_out, size.candidates_per_song, seed)
        pairs = judged_comparisons(per_song, judge)
        accuracies = {"v8": accuracy_table(v8, pairs), "v9": accuracy_table(v9, pairs)}
        lengths = lengths_by_temperature([e for edits in per_song for e in edits])

    durations = lengths.groupby("temperature")[["target", "keep_ratio", "duration"]].mean()
    reward_table = pd.concat(
        [table.assign(model=name) for name, table in accuracies.items()], ignore_index=True
    )[["model", *accuracies["v9"].columns]]
    tables = {
        "Win rate of v15 over v14 (simulated taste, held-out songs)": wins,
        "Accuracy of the reward models (held-out songs, noise-free taste)": reward_table,
        "Mean keep ratio and duration (s) by temperature": durations.reset_index(),
    }
    for title, table in tables.items():
        print(f"\n{title}\n{table.round(3).to_string(index=False)}")
    minutes = (time.monotonic() - began) / 60
    listen = manifest.songs[0]
    sections = [
        Section(
            "What this is",
            f"{len(ours)} composed songs were learned from, {len(held_out)} held out. All "
            f"{len(answers)} answers come from a simulated rater with the hidden taste "
            f"{judge.taste!r}; no person was asked. {minutes:.1f} minutes in all.",
        ),
        Section(
            "Is the new policy better?",
            "Share of held-out songs and lengths on which the taste, free of noise, prefers the "
            "edit; intervals clustered by song. The re-plan under the true taste is the bound.",
            table=wins,
            figure=plots.win_rates(wins),
        ),
        Section(
            "What the reward models know",
            "v8's taste is the dense reward; v9 learned from the simulated preferences. The "
            "transformer alone is silent in v8: nobody was asked yet how to mix its judges.",
            table=reward_table,
            figure=plots.accuracies(accuracies),
        ),
        Section(
            "Training v8",
            "Its transformer, on the opinions of synthetic judges.",
            figure=plots.reward_curves(v8_history),
        ),
        Section(
            "Training v9",
            "The weights of measures and opinions, on simulated preferences; an epoch is one "
            "pass of the optimiser.",
            figure=plots.reward_curves(v9_history),
        ),
        Section(
            "Fine-tuning v15",
            f"{v15_history.stopped}; best after {v15_history.best_episode} episodes.",
            figure=plots.policy_curves(v15_history.rows),
        ),
        Section(
            "Lengths",
            "Achieved against target.",
            table=tables[list(tables)[2]],
            figure=plots.durations(lengths),
        ),
        Section(
            "Listen",
            "The first song and its edits by v14.",
            audio=[("original", candidates_dir / listen.path)]
            + [(c.id, candidates_dir / c.path) for c in listen.candidates[:5]],
        ),
    ]
    path = write_report(folder / "report.html", "From songs to a better policy", sections)
    print(f"\n{minutes:.1f} minutes; report, audio and models in {path.parent}")
    return wins


@contextmanager
def _step(title: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"== {title}", flush=True)
    yield
    print(f"   {time.monotonic() - began:.1f} s", flush=True)
