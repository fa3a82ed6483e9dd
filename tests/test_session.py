"""The annotation session: answers as shown, resuming, undo, time."""

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.session import AnnotationSession, Heard
from rlhf_lib.listening.task_order import presentations

SONGS = small_songs(4)
MANIFEST = small_manifest(SONGS)  # 4 songs of 10 pairs each
N_TASKS, N_REPEATS = 40, 4


class Clock:
    """A clock that moves only when `now` is set."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    return PreferenceStore(tmp_path / "feedback")


def session_for(store, **options) -> AnnotationSession:
    return AnnotationSession(MANIFEST, store, "anna", **options)


def answer_all(session, choice="left", strength=1):
    while session.task is not None:
        session.answer(choice, strength)


def test_answers_as_shown_become_answers_about_a_and_b(store):
    session = session_for(store)
    expected = {("left", "a"): "a", ("left", "b"): "b", ("right", "a"): "b", ("right", "b"): "a"}
    seen = set()
    for choice in ["left", "right", "right", "left"] * 3:
        shown = session.task
        given = session.answer(
            choice,
            2,
            confidence=0.75,
            notes="<b>smooth</b>",
            tags=["bad ending"],
            heard=Heard(left=10.0, right=20.0, original=5.0, seams=3),
        )
        assert given.preference == expected[choice, shown.shown_first]
        seconds = (given.listening.seconds_a, given.listening.seconds_b)
        assert seconds == ((10.0, 20.0) if shown.shown_first == "a" else (20.0, 10.0))
        assert (given.listening.seconds_original, given.listening.seams_heard) == (5.0, 3)
        assert (given.song_id, given.task_id) == (shown.task.song_id, shown.task.task_id)
        assert (given.edit_a_id, given.edit_b_id) == (shown.task.edit_a_id, shown.task.edit_b_id)
        assert (given.strength, given.confidence, given.tags) == (2, 0.75, ["bad ending"])
        assert (given.reasoning, given.supersedes) == ("<b>smooth</b>", None)
        assert (given.rater_id, given.rater_kind) == ("anna", "human")
        assert given.manifest_id == MANIFEST.manifest_id
        seen.add((choice, shown.shown_first))
        assert store.load()[-1] == given  # on disk before the next task shows
    assert seen == set(expected)


def test_a_tie_and_cannot_tell_are_kept_apart(store):
    session = session_for(store)
    tie, cannot = session.answer("tie"), session.answer("can't tell")
    assert (tie.preference, tie.strength, tie.cant_tell) == ("tie", 0, False)
    assert (cannot.preference, cannot.strength, cannot.cant_tell) == ("tie", 0, True)


@pytest.mark.parametrize(
    ("choice", "strength", "options"),
    [
        ("a", 1, {}),
        ("left", 0, {}),
        ("left", 4, {}),
        ("tie", 1, {}),
        ("left", 1, {"confidence": 1.5}),
    ],
)
def test_an_impossible_answer_changes_nothing(store, choice, strength, options):
    session = session_for(store)
    shown = session.task
    with pytest.raises(InputError):
        session.answer(choice, strength, **options)
    assert session.task == shown
    assert session.progress == (0, N_TASKS + N_REPEATS)
    assert store.load() == []


def test_an_answer_that_cannot_be_stored_keeps_the_task(store, monkeypatch):
    session = session_for(store)
    shown = session.task

    def full_disk(annotation):
        raise InputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "add", full_disk)
        with pytest.raises(InputError, match="disk is full"):
            session.answer("left", 1)
    assert session.task == shown
    session.answer("left", 1)
    assert len(store.load()) == 1


def test_a_restarted_session_goes_on_where_it_stopped(store):
    session = session_for(store)
    order = []
    while session.task is not None:
        if len(order) in (7, 20, 21):
            session = session_for(store)  # as after a killed kernel
        assert session.progress == (len(order), N_TASKS + N_REPEATS)
        order.append(session.task)
        session.answer("right", 3)
    assert order == presentations(MANIFEST, "anna")
    finished = session_for(store)
    assert finished.finished
    assert finished.task is None
    assert len(store.load()) == N_TASKS + N_REPEATS
    with pytest.raises(InputError, match="nothing is left"):
        finished.answer("left", 1)


def test_answers_of_another_seed_count_and_others_answers_do_not(store):
    answer_all(session_for(store, seed=5, repeat_share=0))
    assert session_for(store, repeat_share=0).finished
    assert session_for(store).progress == (N_TASKS, N_TASKS + N_REPEATS)
    assert AnnotationSession(MANIFEST, store, "bert").progress[0] == 0


def test_undo_supersedes_and_never_deletes(store):
    session = session_for(store)
    assert not session.undo()
    first, second = session.answer("left", 1), session.answer("left", 2)
    third_task = session.task
    assert session.undo()
    assert session.previous_answer == second
    assert session.task.task.task_id == second.task_id
    assert store.current() == [first, second]  # the old answer counts until a new one is given
    corrected = session.answer("right", 3)
    assert corrected.supersedes == second.annotation_id
    assert corrected.preference != second.preference
    assert store.load() == [first, second, corrected]
    assert store.current() == [first, corrected]
    assert session.task == third_task
    assert session.progress[0] == 2
    # Two steps back, over answers of this and of an earlier sitting.
    session = session_for(store)
    assert session.task == third_task
    assert session.undo() and session.undo()
    again = session.answer("tie")
    assert again.supersedes == first.annotation_id
    assert session.task == third_task
    assert session_for(store).task == third_task


def test_an_undo_can_be_taken_back(store):
    session = session_for(store)
    session.answer("left", 1)
    open_task, total = session.task, session.progress
    session.undo()
    assert session.upcoming == open_task
    session.keep()
    assert (session.task, session.progress) == (open_task, total)
    assert session.previous_answer is None
    assert len(store.load()) == 1


def test_the_last_answer_can_be_undone(store):
    session = session_for(store, max_tasks=2)
    answer_all(session)
    assert session.finished
    assert session.undo()
    assert not session.finished
    session.answer("tie")
    assert session.finished
    assert (len(store.load()), len(store.current())) == (3, 2)


def test_repeat_and_original_keep_their_own_answers(store):
    manifest = small_manifest(small_songs(1))
    options = {"repeat_share": 0.5}
    plan = presentations(manifest, "anna", **options)
    repeat = next(i for i, item in enumerate(plan) if item.is_repeat)
    session = AnnotationSession(manifest, store, "anna", **options)
    while session.task is not None:
        session.answer("left", 1)
    given = [a for a in store.load() if a.task_id == plan[repeat].task.task_id]
    assert [a.shown_first for a in given] in (["a", "b"], ["b", "a"])
    session = AnnotationSession(manifest, store, "anna", **options)
    for _ in range(len(plan) - repeat):
        session.undo()
    assert session.task == plan[repeat]
    assert session.previous_answer == given[1]


def test_a_sitting_can_be_limited(store):
    for done in (0, 5, 10):
        session = session_for(store, max_tasks=5)
        assert session.progress == (done, done + 5)
        answer_all(session)
        assert session.progress == (done + 5, done + 5)
    answered = [(a.task_id, a.shown_first) for a in store.load()]
    plan = [(item.task.task_id, item.shown_first) for item in presentations(MANIFEST, "anna")]
    assert answered == plan[:15]


def test_time_is_measured_per_task_and_a_break_is_suggested(store):
    clock = Clock()
    session = session_for(store, clock=clock)
    watch = session.stopwatch
    clock.now += 12.5
    assert session.answer("left", 1).seconds_spent == 12.5
    clock.now += 7.25
    assert session.answer("left", 1).seconds_spent == 7.25
    clock.now = 1000 + 30 * 60 - 1
    assert not watch.break_due
    clock.now += 1
    assert watch.break_due
    watch.go_on()
    assert not watch.break_due
    assert session.answer("left", 1).seconds_spent == 30 * 60 - 19.75
    clock.now += 30 * 60
    assert watch.break_due


def test_a_pause_stops_the_clock(store):
    clock = Clock()
    session = session_for(store, clock=clock)
    watch = session.stopwatch
    clock.now += 10
    for _ in range(2):  # a second press changes nothing
        watch.pause()
        clock.now += 60
    assert (watch.paused, watch.seconds_spent) == (True, 10)
    watch.go_on()
    clock.now += 5
    assert (watch.paused, watch.seconds_spent) == (False, 15)
    # 15 s of rating so far: the two minutes of pause do not count.
    clock.now += 30 * 60 - 16
    assert not watch.break_due
    clock.now += 1
    assert watch.break_due
    watch.go_on()
    clock.now += 25 * 60
    watch.pause()
    clock.now += 5 * 60  # long enough to be a break
    watch.go_on()
    clock.now += 29 * 60
    assert not watch.break_due


def test_time_left_follows_the_pace_of_the_rater(store):
    clock = Clock()
    session = session_for(store, clock=clock)
    n_tasks = N_TASKS + N_REPEATS
    assert session.seconds_left == 60 * n_tasks  # a minute each, until there are three answers
    for seconds in (20, 100, 30):
        clock.now += seconds
        session.answer("left", 1)
    assert session.seconds_left == 30 * (n_tasks - 3)


def test_the_manifest_is_kept_with_the_feedback(store):
    session_for(store)
    assert store.load_manifest(MANIFEST.manifest_id) == MANIFEST


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rater_id": ""}, "rater_id '' cannot name a rater"),
        ({"rater_id": "anna "}, "without spaces around"),
        ({"max_tasks": 0}, "max_tasks 0"),
        ({"repeat_share": 1.5}, "repeat_share 1.5"),
    ],
)
def test_impossible_sessions_are_refused(store, options, message):
    with pytest.raises(InputError, match=message):
        AnnotationSession(MANIFEST, store, **({"rater_id": "anna"} | options))


def test_a_manifest_without_tasks_is_refused(store):
    with pytest.raises(InputError, match="no task to compare"):
        AnnotationSession(small_manifest(small_songs(1), n_candidates=1), store, "anna")
