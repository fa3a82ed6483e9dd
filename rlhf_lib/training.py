"""The training steps from files to files: what notebooks and commands call."""

import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from rlhf_lib.candidates import load_rated_songs
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.checkpoints import (
    load_policy,
    load_reward_model,
    save_model,
)
from rlhf_lib.learning.combined_reward import CombinedReward
from rlhf_lib.learning.comparisons import (
    SYNTHETIC_WEIGHTS,
    Comparison,
    measure_scale,
    split_by_song,
    synthetic_comparisons,
)
from rlhf_lib.learning.feedback_pairs import MIN_CONFIDENCE, comparisons_from_feedback
from rlhf_lib.learning.plan_search import greedy_edits
from rlhf_lib.learning.policy import TARGETS, Policy, PolicyConfig, every_target, rollout
from rlhf_lib.learning.policy_training import (
    PolicyHistory,
    PolicyTraining,
    forget_state,
    train_policy,
)
from rlhf_lib.learning.pretraining import Pretraining, pretrain
from rlhf_lib.learning.reward_model import RewardConfig, RewardModel
from rlhf_lib.learning.reward_training import (
    RewardHistory,
    RewardTraining,
    fit,
    judge,
)
from rlhf_lib.learning.song_tensors import FeatureScale
from rlhf_lib.lineage import merged, next_version, set_aside, song_list
from rlhf_lib.music.song import Song
from rlhf_lib.paths import atomic_path, file_sha256

FEW_PAIRS = 30
#: Synthetic pairs per song that v8's own taste is checked on.
SYNTHETIC_PAIRS = 20
HELD_OUT = 0.25
#: Share of the learned reward once people were asked. The dense part only breaks ties: with
#: 20 % of it policies followed new tastes less, with none they were free to exploit the model by
#: reordering (chosen by a few runs on validation songs).
REFINED_SHARE = 0.95
Report = Callable[[dict[str, float]], None]


def default_device() -> torch.device:
    """Return CUDA when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train_reward_model_v8(
    songs: list[Song],
    path: str | Path,
    training: Pretraining | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    report: Report | None = None,
) -> tuple[RewardModel, RewardHistory]:
    """Train the first reward model on synthetic pairs and save it.

    Its transformer learns the opinions of many synthetic judges; its own taste is the dense
    reward, written into its linear head.

    Parameters
    ----------
    songs : list of Song
        A quarter of them is held out.
    path : path of the checkpoint
    """
    training = training or Pretraining()
    pairs = synthetic_comparisons(songs, SYNTHETIC_PAIRS, seed)
    train, held_out = split_by_song(pairs, HELD_OUT, seed)
    spared = {c.a.song.sha256 for c in held_out}
    ours = [song for song in songs if song.sha256 not in spared]
    others = [song for song in songs if song.sha256 in spared]
    facts = {
        "name": "reward_model_v8",
        "seed": seed,
        "training": asdict(training) | {"pairs_from": "synthetic"},
        "parents": {},
        "songs": song_list(ours),
        "held_out": song_list(others),
    }
    device = device or default_device()
    if Path(path).is_file():  # made by the same call: an interrupted run need not start over
        model, about = load_reward_model(path, device)
        if "epochs" in about and all(_same(about.get(key), facts[key]) for key in facts):
            return model, RewardHistory(about["epochs"], training.epochs, model.state_dict())
    torch.manual_seed(seed)
    scale = FeatureScale.fit(ours)
    model = RewardModel(RewardConfig(), scale, measure_scale(ours, seed), SYNTHETIC_WEIGHTS)
    model = model.to(device)
    history = pretrain(model, ours, others, training, seed, report)
    model.eval()
    metrics = _metrics(model, train, held_out)
    set_aside(Path(path))
    save_model(path, model, **facts, metrics=metrics, epochs=history.epochs)
    return model, history


def train_policy_v14(
    songs: list[Song],
    reward_model: str | Path,
    models_dir: str | Path,
    run_dir: str | Path,
    training: PolicyTraining | None = None,
    device: torch.device | None = None,
    report: Report | None = None,
) -> tuple[Policy, PolicyHistory]:
    """Train the first policy against the first reward model; save policy_v14, policy_final."""
    training = training or PolicyTraining(episodes=1000)
    device = device or default_device()
    model, about = load_reward_model(reward_model, device)
    torch.manual_seed(training.seed)
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS, model.feature_scale).to(device)
    reference = greedy_edits(every_target(policy, songs, TARGETS))
    return _train_and_save(
        policy,
        CombinedReward(model, reference),
        songs,
        training,
        Path(models_dir) / "policy_v14.pt",
        Path(run_dir),
        {about["name"]: file_sha256(reward_model)},
        [about],
        report,
    )


def train_from_feedback(
    feedback: str | Path,
    pretrained: str | Path,
    candidates_dir: str | Path | Sequence[str | Path],
    models_dir: str | Path,
    training: RewardTraining | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    device: torch.device | None = None,
    report: Report | None = None,
    warn: Callable[[str], None] = print,
    exclude_raters: Collection[str] = (),
    max_failed_checks: int | None = None,
) -> tuple[RewardModel, RewardHistory, list[Comparison]]:
    """Fine-tune a reward model on collected feedback: v8 → v9, v9 → v10 ….

    Writes ``reward_model_v9_feedback_best.pt`` (lowest held-out loss), ``…_final.pt`` (last
    epoch) and ``…_history.json`` into `models_dir`.

    Parameters
    ----------
    feedback : path
        preferences.json, or the folder that holds it and ``manifests/``.
    candidates_dir : path or sequence of paths
        Folders of the manifests' audio, searched for the originals of the rated songs.
    min_confidence : float
        Answers with a confidence at or below it are left out.
    warn : callable
        Told what was left out, and when there are few pairs.
    exclude_raters : collection of str
        Raters whose answers are left out.
    max_failed_checks : int, optional
        Raters who failed more obvious checks are left out.

    Returns
    -------
    model, history, held_out comparisons
    """
    training = training or RewardTraining()
    store = PreferenceStore(feedback)
    annotations = store.current()
    if not annotations:
        raise InputError(f"no answers in {store.path}; rate some, or bring some in, first")
    feedback_sha256 = file_sha256(store.path)
    manifests = {
        name: store.load_manifest(name)
        for name in {a.manifest_id for a in annotations if a.manifest_id}
    }
    songs = load_rated_songs(annotations, manifests, candidates_dir, cache_dir)
    pairs = comparisons_from_feedback(
        annotations, manifests, songs, min_confidence, exclude_raters, max_failed_checks
    )
    for reason, count in pairs.excluded.items():
        warn(f"left out {count} of {len(annotations)} answers: {reason}")
    if len(pairs.comparisons) < FEW_PAIRS:
        warn(
            f"only {len(pairs.comparisons)} comparisons; below {FEW_PAIRS} a reward model "
            "learns little and its held-out accuracy means little: collect more"
        )
    kinds = sorted({a.rater_kind for a in annotations})
    model, about = load_reward_model(pretrained, device or default_device())
    train, held_out = split_by_song(pairs.comparisons, HELD_OUT, seed)
    if not held_out:
        warn("all feedback is about one song, so nothing can be held out; rate more songs")
    torch.manual_seed(seed)
    history = fit(model.train(), train, held_out, training, seed, report)
    model.eval()
    name = next_version(about["name"])
    place = Path(models_dir) / f"{name}_feedback"
    facts = {
        "name": name,
        "seed": seed,
        "training": asdict(training)
        | {"pairs": len(pairs.comparisons), "pairs_from": " and ".join(kinds)}
        | {"answers": pairs.n_answers, "excluded": pairs.excluded},
        "parents": {about["name"]: file_sha256(pretrained)},
        "feedback_sha256": feedback_sha256,
        "songs": merged(song_list([c.a.song for c in train]), about["songs"]),
        "held_out": song_list([c.a.song for c in held_out]),
    }
    final_state = {key: value.clone() for key, value in model.state_dict().items()}
    for kind, state in (("best", history.best_state), ("final", final_state)):
        model.load_state_dict(state)
        set_aside(Path(f"{place}_{kind}.pt"), warn)
        save_model(f"{place}_{kind}.pt", model, **facts, metrics=_metrics(model, train, held_out))
    with atomic_path(f"{place}_history.json") as part:
        part.write_text(json.dumps({"best_epoch": history.best_epoch, "epochs": history.epochs}))
    return model, history, held_out


def train_rlhf_stable(
    reward_model: str | Path,
    policy: str | Path,
    songs: list[Song],
    models_dir: str | Path,
    run_dir: str | Path,
    training: PolicyTraining | None = None,
    device: torch.device | None = None,
    report: Report | None = None,
) -> tuple[Policy, PolicyHistory]:
    """Fine-tune a policy by PPO against a reward model: v14 → v15, v15 → v16 ….

    Songs that the reward model held out are held out here too.
    """
    training = training or PolicyTraining()
    device = device or default_device()
    model, model_about = load_reward_model(reward_model, device)
    parent, about = load_policy(policy, device)
    reference = rollout(parent, every_target(parent, songs, TARGETS), greedy=True)
    return _train_and_save(
        parent,
        CombinedReward(model, reference, REFINED_SHARE),
        songs,
        training,
        Path(models_dir) / f"{next_version(about['name'])}.pt",
        Path(run_dir),
        {about["name"]: file_sha256(policy), model_about["name"]: file_sha256(reward_model)},
        [about, model_about],
        report,
    )


def _train_and_save(
    policy: Policy,
    reward: CombinedReward,
    songs: list[Song],
    training: PolicyTraining,
    path: Path,
    run_dir: Path,
    parents: dict[str, str],
    abouts: list[dict],
    report: Report | None,
) -> tuple[Policy, PolicyHistory]:
    """Train, then save with the songs that this policy or any of its parents learned from."""
    learned_from = merged(*(about["songs"] for about in abouts))
    spared = merged(*(about["held_out"] for about in abouts))
    spared_ids = {song["sha256"] for song in spared} - {song["sha256"] for song in learned_from}
    train, held_out = _split_songs(songs, spared_ids, training.seed)
    history = train_policy(policy, reward, train, held_out, training, run_dir, report)
    last = history.rows[-1]
    set_aside(path)
    save_model(
        path,
        policy,
        name=path.stem,
        seed=training.seed,
        training=asdict(training)
        | {"stopped": history.stopped, "best_episode": history.best_episode},
        metrics={key: float(last[key]) for key in ("dense", "learned", "combined", "kl")},
        parents=parents,
        songs=merged(song_list(train), learned_from),
        held_out=song_list(held_out),
    )
    with atomic_path(path.with_name("policy_final.pt")) as part:
        shutil.copyfile(path, part)
    forget_state(run_dir)
    return policy, history


def _same(ours: object, others: object) -> bool:
    """Compare what is known of two models; songs by their content, wherever they lie."""
    if isinstance(ours, list) and isinstance(others, list):
        ours, others = ([song["sha256"] for song in songs] for songs in (ours, others))
    return ours == others


def _split_songs(songs: list[Song], spared: set[str], seed: int) -> tuple[list[Song], list[Song]]:
    """Hold out the songs that the parents held out; a quarter when there is none of them."""
    held_out = [song for song in songs if song.sha256 in spared]
    if not held_out or len(held_out) == len(songs):
        count = round(HELD_OUT * len(songs))
        chosen = np.random.default_rng(seed).permutation(len(songs))[:count]
        held_out = [songs[i] for i in sorted(chosen)]
    return [song for song in songs if song not in held_out], held_out


def _metrics(
    model: RewardModel, train: list[Comparison], held_out: list[Comparison]
) -> dict[str, dict[str, float]]:
    parts = {"train": train, "held_out": held_out}
    return {name: judge(model, pairs) for name, pairs in parts.items() if pairs}
