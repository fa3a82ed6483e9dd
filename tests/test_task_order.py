"""The order in which a rater meets the tasks: balance, spread, repeats, seeds."""

from collections import Counter
from itertools import pairwise

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.studio.task_order import presentations

MANIFEST = small_manifest(small_songs(4))  # 4 songs of 10 pairs each
N_TASKS, N_REPEATS = 40, 4


@pytest.mark.parametrize("rater", ["anna", "bert", "chris"])
def test_order_is_balanced_and_spread_over_songs(rater):
    plan = presentations(MANIFEST, rater)
    first = [item for item in plan if not item.is_repeat]
    assert sorted(item.task.task_id for item in first) == sorted(
        task.task_id for task in MANIFEST.tasks
    )
    assert Counter(item.shown_first for item in first) == {"a": N_TASKS // 2, "b": N_TASKS // 2}
    songs = [item.task.song_id for item in first]
    assert all(one != next_one for one, next_one in pairwise(songs))
    # Any stretch of eight tasks holds two of each of the four songs, give or take one.
    for start in range(N_TASKS - 8):
        assert max(Counter(songs[start : start + 8]).values()) <= 3


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


def test_order_hangs_on_rater_and_seed_alone():
    assert presentations(MANIFEST, "anna") == presentations(MANIFEST, "anna")
    assert presentations(MANIFEST, "anna") != presentations(MANIFEST, "bert")
    assert presentations(MANIFEST, "anna") != presentations(MANIFEST, "anna", seed=1)
    assert len(presentations(MANIFEST, "anna", repeat_share=0)) == N_TASKS
    assert len(presentations(MANIFEST, "anna", repeat_share=1)) == N_TASKS + (N_TASKS - 8)


@pytest.mark.parametrize(("n_candidates", "n_tasks"), [(2, 1), (3, 3), (4, 6)])
def test_short_lists_work_too(n_candidates, n_tasks):
    manifest = small_manifest(small_songs(1), n_candidates)
    for share in (0.0, 0.5, 1.0):
        plan = presentations(manifest, "anna", repeat_share=share)
        assert len({item.task.task_id for item in plan}) == n_tasks
        assert all(one.task != next_one.task for one, next_one in pairwise(plan))
