"""Several raters on one list of tasks: only the common share is answered more than once."""

import json
import multiprocessing
import time
from collections import Counter

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.claims import CLAIM_LASTS
from rlhf_lib.listening.session import AnnotationSession

MANIFEST = small_manifest(small_songs(4))  # 4 songs of 10 pairs each
ALONE = {"repeat_share": 0.0}


@pytest.fixture
def store(tmp_path):
    return PreferenceStore(tmp_path / "feedback")


def sitting(store, rater, **options) -> AnnotationSession:
    # A store of its own, as in another process.
    return AnnotationSession(MANIFEST, PreferenceStore(store.folder), rater, **(ALONE | options))


def times_rated(store) -> Counter:
    """Return how many tasks were answered by each number of raters; no rater answers one twice."""
    given = [(a.task_id, a.rater_id) for a in store.current()]
    assert len(set(given)) == len(given)
    return Counter(Counter(task for task, _ in given).values())


@pytest.mark.parametrize(("overlap", "common"), [(0.0, 0), (0.2, 8), (0.5, 20), (1.0, 40)])
def test_raters_in_turn_share_the_list(store, overlap, common):
    sittings = [sitting(store, rater, overlap=overlap) for rater in ("anna", "bert", "chris")]
    # No two raters have the same task on screen, except the common ones.
    while any(session.task for session in sittings):
        for session in sittings:
            if session.task is not None:
                session.answer("left", 1)
    expected = Counter({3: common, 1: 40 - common})
    assert times_rated(store) == +expected


def test_who_stops_early_has_common_tasks_too(store):
    for rater in ("anna", "bert"):
        session = sitting(store, rater, overlap=0.2, max_tasks=20)
        while session.task is not None:
            session.answer("left", 1)
    # Four of each rater's twenty are common, in the same order; their places differ by one.
    assert times_rated(store)[2] in (3, 4, 5)


def test_an_answer_elsewhere_is_seen_before_the_next_task(store):
    anna, bert = sitting(store, "anna", overlap=0.0), sitting(store, "bert", overlap=0.0)
    assert anna.task.task != bert.task.task
    total = anna.progress[1]
    bert.answer("left", 1)
    anna.answer("left", 1)
    # Anna no longer gets the task that Bert answered or the one on Bert's screen.
    assert anna.progress == (1, total - 2)
    assert bert.task.task.task_id not in {item.task.task_id for item in anna._coming}


def test_simulated_and_human_raters_do_not_take_tasks_from_each_other(store):
    robot = sitting(store, "robot", rater_kind="simulated", overlap=0.0)
    while robot.task is not None:
        robot.answer("left", 1)
    assert sitting(store, "anna", overlap=0.0).progress == (0, 40)


def test_a_rater_who_left_blocks_a_task_for_an_hour_only(store, monkeypatch):
    left = sitting(store, "anna", overlap=0.0).task.task.task_id
    bert = sitting(store, "bert", overlap=0.0)
    assert bert.progress == (0, 39)
    bert.close()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + CLAIM_LASTS + 1)
    bert = sitting(store, "bert", overlap=0.0)
    assert left in {item.task.task_id for item in bert._coming}


def test_the_latest_sitting_of_a_rater_goes_on_at_the_same_task(store):
    first = sitting(store, "anna")
    first.answer("left", 1)
    shown = first.task
    second = sitting(store, "anna")  # as after a reload, while the first kernel is still alive
    assert second.task == shown
    with pytest.raises(InputError, match="is now rating in another window"):
        first.answer("left", 1)
    second.answer("right", 1)
    assert [a.preference for a in store.load()].count("tie") == 0
    assert len(store.load()) == 2


def test_a_damaged_file_of_claims_is_reported_and_left(store):
    session = sitting(store, "anna")
    path = store.folder / "claims.json"
    assert json.loads(path.read_text())[MANIFEST.manifest_id]["anna"]["task"]
    path.write_text("{")
    with pytest.raises(InputError, match=r"claims\.json: is damaged .* delete it"):
        session.answer("left", 1)
    assert (store.load(), path.read_text()) == ([], "{")


def _rate_everything(folder, rater, gate):
    session = sitting(PreferenceStore(folder), rater, overlap=0.2)
    gate.wait()
    while session.task is not None:
        session.answer("left", 1)


def test_raters_in_several_processes_at_once(store):
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    processes = [
        context.Process(target=_rate_everything, args=(store.folder, rater, gate))
        for rater in ("anna", "bert", "chris")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert times_rated(store) == Counter({3: 8, 1: 32})
