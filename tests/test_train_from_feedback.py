"""The fit reports answers that can teach nothing."""

import pytest
import torch
from rating_material import small_manifest, small_songs

from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.fit import RewardTraining
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS, descriptor_scale
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.steps import train_reward_model as module
from rlhf_lib.steps.checkpoints import save_model
from rlhf_lib.steps.evaluation import accuracy_table

SONGS = small_songs(4)
MANIFEST = small_manifest(SONGS)  # 4 songs of 10 pairs; edit a is always the longer one


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Return a function that fits a small model to the answers and returns what is printed."""
    songs = list(SONGS.values())
    monkeypatch.setattr(module, "load_rated_songs", lambda *_: {s.sha256: s for s in songs})
    torch.manual_seed(0)
    small = RewardConfig(width=16, heads=2, layers=1, feedforward=32, members=2, head=8)
    scale = descriptor_scale(songs, 0)
    model = RewardModel(small, FeatureScale.fit(songs), scale, SYNTHETIC_WEIGHTS)
    save_model(tmp_path / "v8.pt", model, name="reward_model_v8", songs=[], held_out=[], parents={})

    def run(store):
        settings = RewardTraining(epochs=2)
        fitted = module.train_from_feedback(
            store.path, tmp_path / "v8.pt", tmp_path, tmp_path, settings
        )
        return fitted, capsys.readouterr().out

    return run


def answers_of(tmp_path, **raters) -> PreferenceStore:
    """Store the answers of raters who each give every pair the same choice, by edit."""
    store = PreferenceStore(tmp_path / "feedback")
    for rater, preference in raters.items():
        session = AnnotationSession(MANIFEST, store, rater, overlap=1.0, repeat_share=0.0)
        while session.task is not None:
            side = "left" if session.task.shown_first == preference else "right"
            choice = "tie" if preference == "tie" else side
            session.answer(choice, 0 if choice == "tie" else 2)
    return store


@pytest.mark.parametrize(
    ("raters", "told"),
    [
        ({"ann": "a"}, "WARNING: edit a was preferred in 40 of 40 decided comparisons"),
        ({"ann": "b"}, "WARNING: edit b was preferred in 40 of 40 decided comparisons"),
        ({"ann": "tie"}, "WARNING: all 40 comparisons are ties"),
        (
            {"ann": "a", "bob": "b"},
            "WARNING: raters contradict each other on 40 of the 40 pairs that several rated",
        ),
    ],
)
def test_answers_that_can_teach_nothing_are_reported(train, tmp_path, raters, told):
    (model, _, held_out), printed = train(answers_of(tmp_path, **raters))
    assert told in printed
    assert printed.count("WARNING") == 1
    if raters == {"ann": "a"}:  # a perfect accuracy that means nothing
        table = accuracy_table(model, held_out).set_index("scorer")["accuracy"]
        assert table["baseline: always a"] == 1.0


def test_good_feedback_gives_no_warning(train, tmp_path):
    """Two raters who prefer edit a in every second pair, and differ in every fifth."""
    store = PreferenceStore(tmp_path / "feedback")
    for rater, every in (("ann", 1000), ("bob", 5)):
        session = AnnotationSession(MANIFEST, store, rater, overlap=1.0, repeat_share=0.0)
        while session.task is not None:
            number = int(session.task.task.task_id.removeprefix("task_"))
            preference = "ab"[(number + (number % every == 1)) % 2]
            session.answer("left" if session.task.shown_first == preference else "right", 2)
    _, printed = train(store)
    assert "WARNING" not in printed
