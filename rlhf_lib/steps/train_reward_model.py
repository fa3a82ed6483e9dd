"""Train reward models from files to files: v8 on synthetic pairs, v9 and later on feedback."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.metrics import MetricsLogger, log_row
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.comparisons import Comparison, split_by_song
from rlhf_lib.learning.reward.feedback_pairs import (
    AnswerSelection,
    FeedbackPairs,
    comparisons_from_feedback,
    teaches_little,
)
from rlhf_lib.learning.reward.fit import RewardHistory, RewardTraining, fit, loss_and_accuracy
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.pretraining import Pretraining, pretrain
from rlhf_lib.learning.reward.synthetic import (
    SYNTHETIC_WEIGHTS,
    descriptor_scale,
    synthetic_comparisons,
)
from rlhf_lib.paths import atomic_path, file_sha256
from rlhf_lib.steps.candidate_files import load_rated_songs
from rlhf_lib.steps.checkpoints import load_reward_model, save_model
from rlhf_lib.steps.cycle import reward_files
from rlhf_lib.steps.devices import default_device
from rlhf_lib.steps.lineage import Parent, lineage, next_version, set_aside

FEW_PAIRS = 30
#: Synthetic pairs per song for measuring the first reward model.
SYNTHETIC_PAIRS = 20
HELD_OUT = 0.25


def train_initial_reward_model(
    songs: list[Song],
    path: str | Path,
    training: Pretraining | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    loggers: Sequence[MetricsLogger] = (),
) -> tuple[RewardModel, RewardHistory]:
    """Train the first reward model on synthetic pairs and save it.

    Its transformer is trained to predict the preferences of many synthetic raters; its linear
    head has the weights of the dense reward.

    Parameters
    ----------
    songs : list of Song
        A quarter of them is held out.
    path : path of the checkpoint
    report, loggers
        As in `train_from_feedback`.
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
        **lineage([], ours, others),
    }
    device = device or default_device()
    if Path(path).is_file():  # reuse the result of the same call after an interruption
        model, about = load_reward_model(path, device)
        if "epochs" in about and all(_same(about.get(key), facts[key]) for key in facts):
            return model, RewardHistory(about["epochs"], training.epochs, model.state_dict())
    torch.manual_seed(seed)
    scale = FeatureScale.fit(ours)
    model = RewardModel(RewardConfig(), scale, descriptor_scale(ours, seed), SYNTHETIC_WEIGHTS)
    model = model.to(device)
    history = pretrain(model, ours, others, training, seed, _both(report, loggers))
    model.eval()
    metrics = _metrics(model, train, held_out)
    set_aside(Path(path))
    save_model(path, model, **facts, metrics=metrics, epochs=history.epochs)
    return model, history


def train_from_feedback(
    feedback: str | Path,
    pretrained: str | Path,
    candidates_dir: str | Path | Sequence[str | Path],
    models_dir: str | Path,
    training: RewardTraining | None = None,
    selection: AnswerSelection | None = None,
    device: torch.device | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    loggers: Sequence[MetricsLogger] = (),
) -> tuple[RewardModel, RewardHistory, list[Comparison]]:
    """Fine-tune a reward model on collected feedback: v8 → v9, v9 → v10 ….

    Write ``reward_model_v9_feedback_best.pt`` (lowest held-out loss), ``…_final.pt`` (last
    epoch) and ``…_history.json`` into `models_dir`. Print which answers were left out, and
    warnings when there are few pairs or they can teach little (`teaches_little`).

    Parameters
    ----------
    feedback : path
        preferences.json, or the folder that holds it and ``manifests/``.
    candidates_dir : path or sequence of paths
        Folders of the manifests' audio, searched for the originals of the rated songs.
    selection : AnswerSelection, optional
        Which answers are used for training.
    report : callable, optional
        Called with each epoch's line.
    loggers : sequence of MetricsLogger
        Receive each epoch's line.

    Returns
    -------
    model, history, held_out comparisons

    Raises
    ------
    InputError
        When there are no answers, or their songs are not in the folders.
    """
    training = training or RewardTraining()
    store = PreferenceStore(feedback)
    annotations = store.current()
    if not annotations:
        raise InputError(f"no answers in {store.path}; rate or import some first")
    feedback_sha256 = file_sha256(store.path)
    pairs = _pairs(store, annotations, candidates_dir, selection or AnswerSelection())
    model, about = load_reward_model(pretrained, device or default_device())
    train, held_out = split_by_song(pairs.comparisons, HELD_OUT, training.seed)
    if not held_out:
        print("all feedback is about one song, so nothing can be held out; rate more songs")
    torch.manual_seed(training.seed)
    history = fit(model.train(), train, held_out, training, _both(report, loggers))
    model.eval()
    parents = [Parent(Path(pretrained), about)]
    name = next_version(about["name"])
    facts = {
        "name": name,
        "seed": training.seed,
        "training": asdict(training)
        | {"pairs": len(pairs.comparisons)}
        | {"pairs_from": " and ".join(sorted({a.rater_kind for a in annotations}))}
        | {"answers": pairs.n_answers, "excluded": pairs.excluded},
        "feedback_sha256": feedback_sha256,
        **lineage(parents, [c.a.song for c in train], [c.a.song for c in held_out]),
    }
    files = reward_files(models_dir, name)
    final_state = {key: value.clone() for key, value in model.state_dict().items()}
    for path, state in ((files.best, history.best_state), (files.final, final_state)):
        model.load_state_dict(state)
        set_aside(path)
        save_model(path, model, **facts, metrics=_metrics(model, train, held_out))
    with atomic_path(files.history) as part:
        part.write_text(json.dumps({"best_epoch": history.best_epoch, "epochs": history.epochs}))
    return model, history, held_out


def _both(
    report: Callable[[dict[str, float]], None] | None, loggers: Sequence[MetricsLogger]
) -> Callable[[dict[str, float]], None]:
    """Return what is called with each epoch's line."""

    def each(line: dict[str, float]) -> None:
        if report is not None:
            report(line)
        log_row(loggers, line, "epoch")

    return each


def _pairs(
    store: PreferenceStore,
    annotations: list[Annotation],
    candidates_dir: str | Path | Sequence[str | Path],
    selection: AnswerSelection,
) -> FeedbackPairs:
    """Return the comparisons for training; print which answers were left out, and warnings."""
    manifests = {
        name: store.load_manifest(name)
        for name in {a.manifest_id for a in annotations if a.manifest_id}
    }
    songs = load_rated_songs(annotations, manifests, candidates_dir)
    pairs = comparisons_from_feedback(annotations, manifests, songs, selection)
    for reason, count in pairs.excluded.items():
        print(f"left out {count} of {len(annotations)} answers: {reason}")
    if len(pairs.comparisons) < FEW_PAIRS:
        print(
            f"only {len(pairs.comparisons)} comparisons; below {FEW_PAIRS} a reward model "
            "learns little and its held-out accuracy is unreliable: collect more"
        )
    for warning in teaches_little(pairs.comparisons):
        print(f"WARNING: {warning}")
    return pairs


def _same(ours: object, others: object) -> bool:
    """Compare `about` values of two models; songs by their content, not their path."""
    if isinstance(ours, list) and isinstance(others, list):
        ours, others = ([song["sha256"] for song in songs] for songs in (ours, others))
    return ours == others


def _metrics(
    model: RewardModel, train: list[Comparison], held_out: list[Comparison]
) -> dict[str, dict[str, float]]:
    parts = {"train": train, "held_out": held_out}
    return {name: loss_and_accuracy(model, pairs) for name, pairs in parts.items() if pairs}
