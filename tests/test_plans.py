"""Compiled plans against every edit of short songs."""

from itertools import combinations

import numpy as np
import pytest
import torch
from slow_descriptors import slow_descriptors, slow_table
from toy import toy_song

from rlhf_lib.editing.descriptors import ADDITIVE, N_ADDITIVE, describe
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.editing_env import EditingEnv
from rlhf_lib.learning.planning.planner import Plan
from rlhf_lib.learning.planning.plans import PlanWeights, exact, plans
from rlhf_lib.learning.planning.song_tensors import FeatureScale, SongTensors
from rlhf_lib.learning.planning.stretch import stretches
from rlhf_lib.learning.reward.dense import DENSE_WEIGHTS

TARGETS = (0.93, 0.73, 0.5)
RARE = [place for place, one in enumerate(ADDITIVE) if one.rare]


class Every:
    """Every KEEP/CUT edit of a song, by units, with the sum of any table over its steps.

    Attributes
    ----------
    kept : (2 ** n_units − 1, n_units) bool
    beats : (2 ** n_units − 1,) int
        Lengths.
    """

    def __init__(self, song):
        self.song = song
        self.edges = np.append(song.decision_points, song.n_beats)
        units = len(self.edges) - 1
        self.kept = (np.arange(1, 2**units)[:, None] >> np.arange(units)) & 1 == 1
        self.beats = self.kept @ np.diff(self.edges)

    def sums(self, table):
        n, first, last = self.song.n_beats, self.edges[:-1], self.edges[1:] - 1
        total, before = np.zeros(len(self.kept)), np.full(len(self.kept), n)
        for unit, (start, stop) in enumerate(zip(first, last, strict=True)):
            on = self.kept[:, unit]
            total[on] += table[before[on], start]
            total[on] += sum(table[beat, beat + 1] for beat in range(start, stop))
            before[on] = stop
        return total + table[before, n]

    def reach(self, target):
        """Which of them have the length: the nearest to the target, within half a usual unit."""
        window = np.median(np.diff(self.edges))
        late = target * self.song.n_beats - self.beats
        return (-window / 2 <= late) & (late < window / 2)

    def place(self, choices):
        return int(((choices != Action.CUT) << np.arange(len(choices))).sum()) - 1


def random_weights(count, seed=0):
    """Sets of weights of any sign, also with merits of seams and costs of hooks."""
    return np.random.default_rng(seed).normal(size=(count, N_ADDITIVE))


@pytest.fixture(scope="module")
def songs():
    return [toy_song(13, seed=1), toy_song(11, seed=2, beats_per_bar=3), toy_song(9, seed=3)]


@pytest.fixture(scope="module")
def every(songs):
    return [Every(song) for song in songs]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_plans_are_the_best_of_all_edits(songs, every, number):
    """Six rewards and three lengths in one call, with and without rewards of single steps."""
    song, all_edits = songs[number], every[number]
    (stretch,), table, n = stretches(song), slow_table(song), song.n_beats
    weights = np.concatenate([DENSE_WEIGHTS[None], random_weights(5)])
    rng = np.random.default_rng(number)
    extra, costs = rng.normal(size=(n + 1, n + 1)), rng.uniform(0, 2, n)
    for some, played in ((None, None), (extra, None), (None, costs), (extra, costs)):
        made = plans(stretch, PlanWeights.plain(weights), TARGETS, some, played)
        assert made.shape == (6, 3, len(song.decision_points))
        assert set(np.unique(made)) == {Action.KEEP, Action.CUT}
        for own, rows in zip(weights, made, strict=True):
            worth = table @ own + (0 if some is None else some)
            if played is not None:
                worth[:, :n] -= played
            values = all_edits.sums(worth)
            for target, choices in zip(TARGETS, rows, strict=True):
                right, place = all_edits.reach(target), all_edits.place(choices)
                assert right[place]
                assert values[place] == pytest.approx(values[right].max(), abs=1e-4)


def test_a_plan_of_bars_of_changing_length_is_the_best_of_all():
    """Bars of 10, 11 and 12 beats, after a pick-up; every choice of bars is tried."""
    lengths = [12, 11, 12, 10, 12, 12, 11, 10, 12, 12, 10, 11, 12, 12, 11, 11]
    downbeats = 11 + np.cumsum([0, *lengths])
    n = int(downbeats[-1]) + 12
    song = toy_song(n, seed=4, downbeats=downbeats)
    np.testing.assert_array_equal(song.decision_points, [0, *downbeats])
    (stretch,), all_edits = stretches(song), Every(song)
    weights = np.stack([DENSE_WEIGHTS, random_weights(1, seed=3)[0]])
    made = plans(stretch, PlanWeights.plain(weights), (0.83, 0.5))
    for own, rows in zip(weights, made, strict=True):
        values = all_edits.sums(stretch.table @ own)
        for target, choices in zip((0.83, 0.5), rows, strict=True):
            right, place = all_edits.reach(target), all_edits.place(choices)
            assert right[place]
            assert values[place] == pytest.approx(values[right].max(), abs=1e-4)


@pytest.mark.parametrize(("n_beats", "target", "n_kept"), [(16, 0.5, 8), (20, 0.8, 16)])
def test_levels_of_the_eighths_are_planned_as_the_descriptors_rank_them(n_beats, target, n_kept):
    """Edits of 8 or 16 beats: every eighth has the same number of beats."""
    rng = np.random.default_rng(n_beats)
    level = 10 * rng.normal(size=n_beats)
    song = toy_song(n_beats, seed=1, rms_mean=level)
    kept = np.array(list(combinations(range(n_beats), n_kept)))
    heard = level[kept]
    eighths = heard.reshape(len(kept), 8, -1).mean(axis=2) - heard.mean(axis=1, keepdims=True)
    tastes = rng.normal(size=(6, 8))
    tastes[0] = 1.0  # all eighths louder than the whole: nothing to choose
    additive = np.concatenate([np.zeros((4, N_ADDITIVE)), random_weights(2)])
    table = slow_table(song)
    steps = np.pad(kept, ((0, 0), (1, 1)), constant_values=n_beats)
    sums = table[steps[:, :-1], steps[:, 1:]].sum(axis=1)
    none = np.zeros(6, dtype=np.int64)
    (stretch,) = stretches(song)
    made = plans(stretch, PlanWeights(additive, tastes, none, none), [target])[:, 0]
    for own, taste, choices in zip(additive, tastes, made, strict=True):
        # The plan counts the eighths of the longest edit allowed, half a beat longer.
        share = 2 * n_kept / stretch.budget(target)
        values = sums @ own + share * (eighths / 10) @ taste
        (chosen,) = np.flatnonzero((kept == np.flatnonzero(choices != Action.CUT)).all(axis=1))
        assert values[chosen] == pytest.approx(values.max(), abs=1e-4)


def test_several_lengths_at_once_are_those_of_each_alone(songs):
    """Values of a longer edit serve the shorter ones, unless the eighths have weights."""
    rng, none = np.random.default_rng(2), np.zeros(4, dtype=np.int64)
    eighths = np.concatenate([np.zeros((2, 8)), rng.normal(size=(2, 8))])
    weights = PlanWeights(random_weights(4), eighths, none, none)
    targets = (0.5, 0.93, 0.73, 0.83, 1.0)
    for song in (*songs, toy_song(140, seed=5)):
        (stretch,) = stretches(song)
        together = plans(stretch, weights, targets)
        for place, target in enumerate(targets):
            alone = plans(stretch, weights, [target])
            np.testing.assert_array_equal(alone[:, 0], together[:, place])


def looped_and_moved(song):
    """What each loop and move of a beat adds to the descriptors of the whole song, by hand."""
    n = song.n_beats
    whole = slow_descriptors(song, np.zeros(n, int), 1.0)[:N_ADDITIVE]
    gains = {}
    for beat in song.decision_points[1:]:
        if beat + 5 < n:
            for action in (Action.LOOP_2, *range(Action.REORDER_1, Action.REORDER_4 + 1)):
                actions = np.zeros(n, int)
                actions[beat] = action
                changed = slow_descriptors(song, actions, 1.0)[:N_ADDITIVE]
                gains[int(beat), int(action)] = changed - whole
    return gains


@pytest.mark.parametrize(("loops", "reorders"), [(1, 0), (0, 1), (2, 3)])
def test_the_bars_that_gain_most_are_looped_and_moved(loops, reorders):
    song = toy_song(40, seed=6)
    (stretch,), gains = stretches(song), looped_and_moved(song)
    plain = random_weights(4, seed=1) * 0.1
    weights = PlanWeights(plain, np.zeros((4, 8)), np.full(4, loops), np.full(4, reorders))
    counted = plain.copy()
    counted[:, RARE] = 0.0
    for own, rows in zip(counted, plans(stretch, weights, (1.0, 0.6)), strict=True):
        best = {"loops": {}, "moves": {}}
        for (beat, action), gain in gains.items():
            kind = best["loops" if action <= Action.LOOP_4 else "moves"]
            kind[beat] = max(kind.get(beat, (-np.inf, 0)), (float(gain @ own), action))
        expected = {}
        for kind, count in (("loops", loops), ("moves", reorders)):
            chosen = sorted(best[kind], key=lambda beat: -best[kind][beat][0])[:count]
            expected |= {beat: best[kind][beat][1] for beat in chosen}
        for choices in rows:
            edit = Edit(song, stretch.actions(choices), 0.0)
            other = {int(b): int(edit.actions[b]) for b in np.flatnonzero(edit.actions > 1)}
            assert other.items() <= expected.items()
            # Played unless the length does not allow it: a loop at 1.0 needs a cut beside it.
            played = {beat for beat in expected if edit.actions[beat] != Action.CUT}
            assert len(other) >= 0.5 * len(played)


def test_a_loop_that_pays_is_planned_like_the_best_of_all_edits():
    """One beat may be looped: every KEEP/CUT edit, with the loop and without it, is compared."""
    song = toy_song(13, seed=1)
    (stretch,), all_edits, table = stretches(song), Every(song), slow_table(song)
    for own in random_weights(4, seed=7):
        own[RARE] = 0.0
        weights = PlanWeights(own[None], np.zeros((1, 8)), np.array([1]), np.array([0]))
        looped = max((beat for beat in range(1, song.n_beats - 5)), key=lambda b: table[b, b] @ own)
        (choices,) = plans(stretch, weights, [0.6])[0]
        bonus = np.sqrt(np.mean(own**2))
        values = all_edits.sums(table @ own)
        late = 0.6 * 13 - all_edits.beats
        plain = np.where((late >= -0.5) & (late < 0.5), values, -np.inf)
        late = late - 1
        more = all_edits.kept[:, looped] & (late >= -0.5) & (late < 0.5)
        doubled = np.where(more, values + bonus, -np.inf)
        place = all_edits.place(choices)
        found = (doubled if choices[looped] == Action.LOOP_2 else plain)[place]
        assert found == pytest.approx(max(plain.max(), doubled.max()), abs=1e-4)


def test_the_value_of_any_edit_is_in_the_table_of_steps():
    """Loops and moved beats too: sums over the stretch's table are the edit's descriptors."""
    song, rng = toy_song(60, seed=2), np.random.default_rng(0)
    (stretch,), weights = stretches(song), random_weights(1, seed=4)[0]
    for _ in range(20):
        edit = Edit(song, rng.integers(0, 9, 60), 0.5)
        path = np.concatenate([[60], edit.order, [60]])
        total = (stretch.table[path[:-1], path[1:]] @ weights).sum()
        assert total == pytest.approx(describe(edit)[:N_ADDITIVE] @ weights, abs=1e-3)


def test_the_greedy_walk_of_the_environment_is_the_plan():
    """Unit by unit in torch and at once in Numba: the same edits, of all lengths."""
    changing = np.cumsum([2, *[5, 7, 4, 2, 1, 6] * 6])
    several = [
        toy_song(130, seed=4),
        toy_song(150, seed=5, beats_per_bar=3),
        toy_song(40, seed=6),
        toy_song(int(changing[-1]) + 3, seed=7, downbeats=changing),
    ]
    targets, rng = (1.0, 0.93, 0.83, 0.73, 0.5), np.random.default_rng(0)
    extra = [rng.normal(size=(song.n_beats + 1,) * 2).astype(np.float32) for song in several]
    scale = FeatureScale.fit(several)
    for tables in (None, extra):
        tensors = SongTensors.build(several, scale, extra=tables)
        song = torch.arange(4).repeat_interleave(5)
        target = torch.tensor(targets * 4, dtype=torch.float64)
        env = EditingEnv(Plan.build(tensors, DENSE_WEIGHTS), song, target)
        env.walk(lambda slots, values: values[:, : Action.CUT + 1].argmax(dim=1))
        for place, edit in enumerate(env.edits()):
            table = None if tables is None else tables[place // 5]
            (stretch,) = stretches(edit.song)
            planned = plans(stretch, exact(DENSE_WEIGHTS), [targets[place % 5]], table)[0, 0]
            np.testing.assert_array_equal(stretch.actions(planned), edit.actions)


def random_bars(seed):
    """Downbeats of 51 bars of one to three lengths, in turn or at random; and a number of beats."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(2, 13, rng.integers(1, 4))
    lengths = rng.choice(kinds, 50) if seed % 2 else np.resize(kinds, 50)
    downbeats = rng.integers(0, 4) + np.cumsum([0, *lengths])
    return downbeats, int(downbeats[-1]) + 1


@pytest.mark.parametrize("seed", range(24))
def test_lengths_are_reached_in_any_metre(seed):
    """Fifty bars: no bar is long enough to miss a length by more than 0.03."""
    downbeats, n_beats = random_bars(seed)
    for edit in checked_lengths(toy_song(n_beats, seed=seed, downbeats=downbeats)):
        assert abs(edit.keep_ratio - edit.target) <= 0.0301


@pytest.mark.parametrize("n_beats", [16, 40, 80, 130, 257])
@pytest.mark.parametrize("beats_per_bar", [3, 4, 5, 6, 7, 9, 11, 12])
def test_lengths_are_reached(n_beats, beats_per_bar):
    for edit in checked_lengths(toy_song(n_beats, seed=n_beats, beats_per_bar=beats_per_bar)):
        if edit.target < 0.95:
            assert abs(edit.keep_ratio - edit.target) <= 0.0301


def checked_lengths(song):
    """Plans with and without loops, moved beats and weights of the eighths.

    Their lengths are those of one usual unit around the target; if this passes the end of the song,
    those of the unit that ends there.
    """
    (stretch,), rng = stretches(song), np.random.default_rng(0)
    weights = np.concatenate([DENSE_WEIGHTS[None], random_weights(2)])
    eighths = rng.normal(size=(3, 8)) * [[0], [0], [1]]
    weights = PlanWeights(weights, eighths, np.array([0, 3, 2]), np.array([0, 0, 2]))
    targets = (1.0, 0.93, 0.83, 0.73, 0.50)
    unit, made = np.median(np.diff(stretch.edges)), []
    for rows in stretch.actions(plans(stretch, weights, targets)):
        edits = [Edit(song, row, target) for row, target in zip(rows, targets, strict=True)]
        for edit in edits:
            longest = min(song.n_beats, edit.target * song.n_beats + unit / 2)
            assert longest - unit - 1e-6 <= len(edit.order) <= longest + 1e-6
        assert all(np.diff([edit.keep_ratio for edit in edits]) < 0)
        made += edits
    return made


def test_no_rewards_give_no_plans(songs):
    (stretch,) = stretches(songs[0])
    nothing = PlanWeights.plain(np.zeros((0, N_ADDITIVE)))
    assert plans(stretch, nothing, TARGETS).shape == (0, 3, 13)


@pytest.mark.parametrize("target", [0.0, 0.005, 1.01, 1.5])
def test_lengths_that_no_choice_of_bars_has_are_refused(target):
    (stretch,) = stretches(toy_song(140, seed=1))
    for targets in ([0.5, target], [target, 0.5]):
        with pytest.raises(InputError, match=rf"toy_1: no choice of bars .* {target:.1%} of"):
            plans(stretch, exact(DENSE_WEIGHTS), targets)
