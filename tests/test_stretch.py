"""Songs of many beats: divided into stretches, planned and searched in each."""

from dataclasses import replace

import numpy as np
import pytest
from cachetools import LRUCache, cached
from slow_descriptors import slow_descriptors
from toy import toy_song

from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    N_ADDITIVE,
    choruses,
    describe,
    describe_steps,
    step_descriptors,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.whole_edit import step_sums
from rlhf_lib.learning.planning import stretch as module
from rlhf_lib.learning.planning.lengths import allotted
from rlhf_lib.learning.planning.plans import exact
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import whole_edits
from rlhf_lib.learning.planning.stretch import LONGEST, Stretch, stretches
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS


@pytest.fixture(scope="module")
def long_song():
    return toy_song(1203, seed=1, beats_per_bar=3)


@pytest.mark.parametrize("n_beats", [2, 49, 120, 800, 801, 1600, 1601, 2500])
@pytest.mark.parametrize("beats_per_bar", [3, 4, 12])
def test_stretches_follow_each_other_from_bar_to_bar(n_beats, beats_per_bar):
    song = toy_song(n_beats, beats_per_bar=beats_per_bar)
    made = stretches(song)
    assert [one.first for one in made] == [0, *(one.stop for one in made[:-1])]
    assert made[-1].stop == n_beats
    assert len(made) == -(-n_beats // LONGEST)
    assert set(one.first for one in made) <= set(song.decision_points.tolist())
    lengths = [one.n for one in made]
    assert max(lengths) <= LONGEST + 12 and max(lengths) - min(lengths) <= 24
    edges = np.concatenate([one.edges[:-1] + one.first for one in made])
    np.testing.assert_array_equal(edges, song.decision_points)
    assert sum(one.ticks.sum() for one in made) == 2 * n_beats


def test_the_cost_of_a_plan_grows_with_the_length_and_not_with_its_square():
    """Entries of the tables of steps, and of the values: units times lengths."""
    songs = [toy_song(n) for n in (800, 3200, 12800)]  # 7 minutes to 1 h 47 min
    tables = [sum((one.n + 1) ** 2 for one in stretches(song)) for song in songs]
    values = [
        sum(len(one.ticks) * (one.budget(0.5) + 1) for one in stretches(song)) for song in songs
    ]
    for entries in (tables, values):
        each = np.array(entries) / [800, 3200, 12800]
        np.testing.assert_allclose(each, each[0], rtol=0.02)


def test_the_tables_of_the_songs_asked_for_last_are_kept(monkeypatch):
    """By their bytes: here two of three songs fit. A table that is kept is not filled again."""
    filled = []

    def counted(song, before, after):
        filled.append(song)
        return step_descriptors(song, before, after)

    songs = [toy_song(64, seed=seed) for seed in range(3)]
    a, b, c = (one for song in songs for one in stretches(song))
    size = a.table.nbytes
    kept = LRUCache(2.5 * size, module._table.cache.getsizeof)
    monkeypatch.setattr(module, "step_descriptors", counted)
    monkeypatch.setattr(module, "_table", cached(kept)(module._table.__wrapped__))
    for one in (a, b, a, b, a, c, a, c):  # b, asked for longest ago, makes room for c
        assert one.table is one.table
        assert kept.currsize == size * len(kept) <= kept.maxsize
    assert filled == songs
    again = b.table
    assert filled == [*songs, songs[1]] and len(kept) == 2
    beats = np.append(np.arange(64), 64)
    np.testing.assert_array_equal(again, step_descriptors(songs[1], beats[:, None], beats))


def test_tables_take_a_bounded_amount_of_memory():
    """76 bytes for each pair of beats; the largest stretch fits several times."""
    cache = module._table.cache
    assert cache.maxsize == 300e6
    (one,) = stretches(toy_song(100))
    assert cache.getsizeof(one.table) == one.table.nbytes == 76 * 101**2
    assert cache.maxsize > 5 * 76 * (LONGEST + 1) ** 2


def near(song, rng):
    """Actions of a song that are KEEP near the bounds of its stretches, else any of the nine."""
    actions = rng.choice(9, song.n_beats, p=[0.6, 0.26, *[0.02] * 7]).astype(np.int8)
    for one in stretches(song)[1:]:
        actions[one.first - 6 : one.first + 6] = Action.KEEP
    return actions


def test_steps_across_stretches_are_scored(long_song):
    """What the stretches add up to is the whole edit, and the step over each bound once more."""
    rng, made = np.random.default_rng(0), stretches(long_song)
    assert len(made) == 2
    bound = made[1].first
    over = step_descriptors(long_song, np.array([bound - 1]), np.array([bound]))[0]
    for _ in range(10):
        actions = near(long_song, rng)
        total = sum(
            np.array([step_sums(one.table[..., k], actions[None, one.first : one.stop])[0]
                      for k in range(N_ADDITIVE)])
            for one in made
        )  # fmt: skip
        expected = describe_steps(Edit(long_song, actions, 0.5)).sum(axis=0, dtype=np.float64)
        np.testing.assert_allclose(total - over, expected, atol=2e-3)


def test_the_steps_at_a_bound_are_those_of_the_whole_song(long_song):
    """A stretch that begins or ends with a cut pays for the join with the beats beside it."""
    first, second = stretches(long_song)
    bound = first.stop
    np.testing.assert_allclose(
        first.table[100, first.n], step_descriptors(long_song, np.array(100), np.array(bound))
    )
    np.testing.assert_allclose(
        second.table[second.n, 30],
        step_descriptors(long_song, np.array(bound - 1), np.array(bound + 30)),
    )
    n = long_song.n_beats
    np.testing.assert_allclose(
        first.table[first.n, 9], step_descriptors(long_song, np.array(n), np.array(9))
    )
    np.testing.assert_allclose(
        second.table[5, second.n], step_descriptors(long_song, np.array(bound + 5), np.array(n))
    )


def test_a_stretch_is_described_alone_and_counts_by_its_share():
    """The same beats as a song of their own: the same means, here half as heavy."""
    song = toy_song(200, seed=4)
    alone = replace(
        song,
        beat_times=song.beat_times[:100],
        downbeats=song.downbeats[:25],
        features=song.features[:100],
        n_samples=song.n_samples // 2,
    )
    actions = np.random.default_rng(1).choice([0, 1], (6, 100), p=[0.7, 0.3]).astype(np.int8)
    found = Stretch(song, 0, 100, ((100, 0), (200, 0))).describe(actions, np.full(6, 0.5))
    names = list(DESCRIPTOR_NAMES)
    same = ["short_pieces", "seam_rate", "looped", "length_error", "level_1", "level_8"]
    for row, each in zip(found, actions, strict=True):
        expected = slow_descriptors(alone, each, 0.5)
        for name in same:
            place = names.index(name)
            assert row[place] == pytest.approx(expected[place] / 2, abs=2e-4), name
        place = names.index("close_seams")
        assert row[place] == expected[place] > 0


def test_hook_passages_are_cut_at_the_ends_of_a_stretch():
    song = toy_song(200, seed=4)
    assert choruses(song).tolist() == [[39, 69]]
    np.testing.assert_array_equal(Stretch(song, 52, 152, ()).course.choruses, [[0, 17]])
    assert len(Stretch(song, 72, 152, ()).course.choruses) == 0


def test_choices_and_actions_of_units_are_the_same_edit(long_song):
    rng = np.random.default_rng(2)
    for one in (*stretches(long_song), *stretches(toy_song(30))):
        choices = rng.integers(0, 9, (20, len(one.ticks))).astype(np.int8)
        actions = one.actions(choices)
        np.testing.assert_array_equal(one.choices(actions), choices)
        lengths = np.diff(one.edges)
        for unit, (start, length) in enumerate(zip(one.edges[:-1], lengths, strict=True)):
            rest = actions[:, start + 1 : start + length]
            wanted = np.where(choices[:, unit] == Action.CUT, Action.CUT, Action.KEEP)
            assert (rest == wanted[:, None]).all()
        plays = np.array([1, 0, 2, 3, 4, 1, 1, 1, 1])
        np.testing.assert_array_equal(one.lengths(choices), 2 * plays[actions].sum(axis=1))


def test_a_song_of_more_than_a_thousand_beats_is_searched(long_song):
    """Plans are compared and changed in both stretches."""
    weights = weight_vector({"seams": -0.1, "hook": 1.0, "loops": -0.5, "looped": 8.0})
    policy = Policy(PolicyConfig(hidden=8, own_plans=6, dense_plans=2, climb=120), weights)
    mean = policy.only(search=False).edits([long_song], (0.73,))[0]
    (edit,) = policy.edits([long_song], (0.73,))
    gain = (describe(edit) - describe(mean)) @ weights
    assert gain > 0.2
    looped = np.flatnonzero(edit.actions >= Action.LOOP_2)
    bound = stretches(long_song)[1].first
    assert (looped < bound).any() and (looped >= bound).any()


def test_a_function_judges_edits_of_the_whole_song(long_song):
    """In which the other stretches are kept."""
    seen = []

    def played(edits):
        seen.extend(edits)
        return [float(len(edit.order)) for edit in edits]

    policy = Policy(PolicyConfig(hidden=8, own_plans=2, dense_plans=0, climb=6), SYNTHETIC_WEIGHTS)
    policy.edits([long_song], (0.5,), reward=Reward(played))
    assert {len(edit.actions) for edit in seen} == {1203}
    bound = stretches(long_song)[1].first
    whole = [
        ((e.actions[:bound] == 0).all(), (e.actions[bound:] == 0).all(), e.target) for e in seen
    ]
    assert set(whole) == {(True, False, 0.5), (False, True, 0.5)}


@pytest.mark.parametrize("like", [-5.0, 0.0, 5.0])
def test_lengths_of_long_songs_are_reached_within_half_a_bar(like):
    """However many stretches there are, and whether long or short edits are liked."""
    weights = DENSE_WEIGHTS + weight_vector({"length": like}, ADDITIVE_NAMES)
    for song in (toy_song(1203, seed=1, beats_per_bar=3), toy_song(2600, seed=2)):
        for target in (0.93, 0.81, 0.5, 0.31):
            (edit,) = whole_edits(song, exact(weights), target)
            bar = 0.5 * song.beats_per_bar
            assert abs(edit.duration - target * song.duration) <= bar / 2 + 0.25  # half a beat


@pytest.mark.parametrize(
    ("total", "needed", "expected"),
    [
        (300, [0, 0, 0], [0, 96, 200, 300]),  # thirds, rounded to windows of 8
        (300, [160, 0, 0], [0, 160, 232, 300]),  # what is left, in halves
        (300, [40, 40, 40], [0, 96, 200, 300]),  # needed less than a third: no change
        (300, [150, 130, 0], [0, 152, 280, 300]),
        (300, [0, 0, 230], [0, 32, 72, 300]),  # 228 and half a window are 232
        (303, [0, 101, 0], [0, 104, 208, 303]),  # 96 would not do for 101: a window more
        (300, [100, 100, 100], [0, 96, 200, 300]),
    ],
)
def test_the_parts_of_a_long_song_get_what_they_need(total, needed, expected):
    lengths = np.array([300, 300, 300])
    marks = allotted(total, lengths, np.array(needed), 8)
    assert marks.tolist() == expected
    assert (np.diff(marks) + 4 >= needed).all()
