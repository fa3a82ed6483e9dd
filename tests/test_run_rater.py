"""Simulated raters use the same session as people."""

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.run_rater import run_rater
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.raters.simulated import SimulatedRater

SONGS = small_songs(4)
MANIFEST = small_manifest(SONGS)  # 4 songs of 10 pairs each
N_TASKS, N_REPEATS = 40, 4


@pytest.fixture
def store(tmp_path):
    return PreferenceStore(tmp_path / "feedback")


def simulate(store, rater, **options) -> list[Annotation]:
    session = AnnotationSession(MANIFEST, store, rater.rater_id, rater.rater_kind, **options)
    return run_rater(session, rater, SONGS)


def test_a_simulated_rater_drives_the_same_session(store):
    given = simulate(store, SimulatedRater("robot", {"length": 8.0}, noise=0.0))
    assert len(given) == N_TASKS + N_REPEATS
    assert store.load() == given
    # Edit a is the longer one in every task of this manifest, on whichever side it was shown.
    assert {a.preference for a in given} == {"a"}
    assert {a.shown_first for a in given} == {"a", "b"}
    assert {a.rater_kind for a in given} == {"simulated"}
    assert {a.reasoning for a in given} == {"simulated: a longer edit"}
    assert all(a.timestamp and a.confidence is not None for a in given)
    assert simulate(store, SimulatedRater("robot", {"length": 8.0})) == []


def test_simulated_answers_repeat_with_the_seed(tmp_path):
    def votes(name, order_seed=0, **options):
        rater = SimulatedRater("robot", {"hook": 3.0}, noise=2.0, **options)
        given = simulate(PreferenceStore(tmp_path / name), rater, seed=order_seed)
        return {(a.task_id, a.shown_first): (a.preference, a.strength) for a in given}

    once = votes("one", seed=1)
    assert votes("two", seed=1) == once
    assert votes("three", seed=2) != once
    # The answers do not depend on the order of the tasks.
    reordered = votes("four", order_seed=9, seed=1)
    shared = once.keys() & reordered.keys()
    assert shared
    assert all(reordered[key] == once[key] for key in shared)


def test_run_rater_refuses_what_does_not_fit(store):
    rater = SimulatedRater("robot", "smooth")
    human = AnnotationSession(MANIFEST, store, "robot")
    with pytest.raises(InputError, match="the session is for rater"):
        run_rater(human, rater, SONGS)
    session = AnnotationSession(MANIFEST, store, "robot", "simulated")
    with pytest.raises(InputError, match="is not among the loaded songs"):
        run_rater(session, rater, {})
