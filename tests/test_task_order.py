"""The order of a rater's tasks: balance, spread, repeats, checks, shares, seeds."""

from collections import Counter
from itertools import islice, pairwise

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import Manifest, Task
from rlhf_lib.listening.task_order import TaskOrder, presentations

MANIFEST = small_manifest(small_songs(4))  # 4 songs of 10 pairs each
N_TASKS, N_REPEATS = 40, 4


def with_checks(manifest: Manifest) -> Manifest:
    """Return the manifest with an obvious check for each song."""
    songs, tasks = [], list(manifest.tasks)
    for song in manifest.songs:
        bad = song.candidates[-1].model_copy(update={"id": "check"})
        songs.append(song.model_copy(update={"candidates": [*song.candidates, bad]}))
        good = song.candidates[0].id
        tasks.append(
            Task(
                task_id=f"check_{song.id}",
                song_id=song.id,
                edit_a_id=good,
                edit_b_id="check",
                check="a",
            )
        )
    return Manifest.create(manifest.policy, songs, tasks)


CHECKED = with_checks(MANIFEST)


@pytest.mark.parametrize("rater", ["anna", "bert", "chris"])
def test_order_is_balanced_and_spread_over_songs(rater):
    plan = presentations(MANIFEST, rater)
    first = [item for item in plan if not item.is_repeat]
    assert sorted(item.task.task_id for item in first) == sorted(
        task.task_id for task in MANIFEST.tasks
    )
    for start in range(0, N_TASKS, 4):
        sides = Counter(item.shown_first for item in first[start : start + 4])
        assert sides == {"a": 2, "b": 2}
    songs = [item.task.song_id for item in plan]
    # Songs alternate; the last few tasks can be of one song.
    assert all(one != next_one for one, next_one in pairwise(songs[:-5]))
    for start in range(len(songs) - 8):
        assert max(Counter(songs[start : start + 8]).values()) <= 4


@pytest.mark.parametrize("rater", ["anna", "bert", "chris"])
def test_repeats_come_later_with_sides_swapped(rater):
    plan = presentations(MANIFEST, rater)
    repeats = [index for index, item in enumerate(plan) if item.is_repeat]
    assert len(repeats) == N_REPEATS
    for index in repeats:
        earlier = next(i for i, item in enumerate(plan) if item.task == plan[index].task)
        assert index - earlier > 8
        assert plan[earlier].left_id == plan[index].right_id
        assert plan[earlier].right_id == plan[index].left_id
    # About one in ten questions.
    assert all(4 <= later - sooner <= 17 for sooner, later in pairwise(repeats))


@pytest.mark.parametrize("rater", ["anna", "bert", "chris"])
def test_checks_are_few_spread_and_never_first_or_repeated(rater):
    plan = presentations(CHECKED, rater)
    places = [place for place, item in enumerate(plan) if item.task.check is not None]
    assert len(places) == 2  # 5 % of 40 questions, though the manifest has four
    assert places[0] > 8
    assert not any(plan[place].is_repeat for place in places)
    assert len({plan[place].task.task_id for place in places}) == 2
    assert not any(item.task.check for item in presentations(CHECKED, rater, check_share=0))


def test_a_short_list_still_holds_a_check():
    manifest = with_checks(small_manifest(small_songs(1)))  # 10 questions, 1 check
    for rater in ("anna", "bert", "chris"):
        assert sum(item.task.check is not None for item in presentations(manifest, rater)) == 1


def test_what_others_took_is_left_out_and_the_rest_stays_balanced():
    order = TaskOrder(CHECKED, "anna", overlap=0.2)
    assert len(order.exclusive) == 32
    plan = list(order.coming([], order.exclusive))
    questions = [i for i in plan if not i.is_repeat and i.task.check is None]
    assert {item.task.task_id for item in questions} == {
        task.task_id for task in MANIFEST.tasks
    } - order.exclusive
    assert Counter(item.shown_first for item in questions) == {"a": 4, "b": 4}
    assert sum(item.is_repeat for item in plan) == 1
    assert sum(item.task.check is not None for item in plan) == 1


def test_the_order_goes_on_from_any_place():
    order = TaskOrder(CHECKED, "anna")
    plan = list(order.coming([]))
    for n in (0, 1, 7, 20, len(plan)):
        assert list(TaskOrder(CHECKED, "anna").coming(plan[:n])) == plan[n:]


def test_common_tasks_come_in_a_common_order():
    orders = {rater: TaskOrder(MANIFEST, rater, overlap=0.2) for rater in ("anna", "bert")}
    common = []
    for order in orders.values():
        plan = islice(order.coming([]), 25)
        common.append([i.task.task_id for i in plan if i.task.task_id not in order.exclusive])
    n = min(map(len, common))
    assert n >= 4
    assert set(common[0][: n - 1]) <= set(common[1])


def test_shares_of_songs_and_tasks_are_the_same_for_all():
    shares = {"song_share": 0.5, "task_share": 0.3, "repeat_share": 0.0}
    asked = [
        {
            (item.task.song_id, item.task.task_id)
            for item in presentations(MANIFEST, rater, **shares)
        }
        for rater in ("anna", "bert")
    ]
    assert asked[0] == asked[1]
    assert sorted(Counter(song for song, _ in asked[0]).values()) == [3, 3]


def test_order_depends_on_rater_and_seed_only():
    assert presentations(MANIFEST, "anna") == presentations(MANIFEST, "anna")
    assert presentations(MANIFEST, "anna") != presentations(MANIFEST, "bert")
    assert presentations(MANIFEST, "anna") != presentations(MANIFEST, "anna", seed=1)
    assert len(presentations(MANIFEST, "anna", repeat_share=0)) == N_TASKS
    assert len(presentations(MANIFEST, "anna", repeat_share=1)) > 1.9 * N_TASKS


@pytest.mark.parametrize(("n_candidates", "n_tasks"), [(2, 1), (3, 3), (4, 6)])
def test_short_lists_work_too(n_candidates, n_tasks):
    manifest = small_manifest(small_songs(1), n_candidates)
    for share in (0.0, 0.5, 1.0):
        plan = presentations(manifest, "anna", repeat_share=share)
        assert len({item.task.task_id for item in plan}) == n_tasks
        for place, item in enumerate(plan):
            if item.is_repeat:
                earlier = next(i for i in range(place) if plan[i].task == item.task)
                assert place - earlier > 2


@pytest.mark.parametrize("name", ["repeat_share", "check_share", "overlap", "task_share"])
def test_impossible_shares_are_refused(name):
    with pytest.raises(InputError, match=rf"{name} 1\.5"):
        TaskOrder(MANIFEST, "anna", **{name: 1.5})


def test_nothing_to_ask_is_refused():
    with pytest.raises(InputError, match="no task to compare"):
        TaskOrder(MANIFEST, "anna", song_share=0.0)
