"""The course of a climb: gains over the old policy, recorded utility, and caution."""

from types import SimpleNamespace

import numpy as np
import pytest
from artists import line
from toy import toy_song

from rlhf_lib import plots
from rlhf_lib.editing.descriptors import N_DESCRIPTORS, describe, weight_vector
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps.climb import climb

CONFIG = PolicyConfig(members=3, draws=1, own_plans=1, dense_plans=0)
TARGETS = (0.8, 0.5)
#: All but the seams are no part of a plan, so that there is something to climb.
LIKED = weight_vector({"seams": -0.1, "energy_arc": 3.0, "again_16": -3.0, "short_pieces": 2.0})
SEAMS = SimpleNamespace(utility=lambda edit: -float(len(edit.seams)))


@pytest.fixture(scope="module")
def songs():
    return [toy_song(96, seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def old():
    return Policy(CONFIG, SYNTHETIC_WEIGHTS)


@pytest.fixture(scope="module")
def unsure(old):
    """A policy whose members disagree on every weight."""
    noise = np.random.default_rng(0).normal(size=(3, N_DESCRIPTORS))
    return old.child(Reward(weights=LIKED + 0.5 * noise))


def test_gains_are_over_the_edits_of_the_old_policy(old, unsure, songs):
    course = climb(unsure, old, songs, SEAMS, tried=(0, 60), targets=TARGETS)
    assert course["tried"].tolist() == [0] * 4 + [60] * 4
    weights = unsure.last.weights
    starts, best = old.edits(songs, TARGETS), unsure.only(climb=60).edits(songs, TARGETS)
    for row, (a, b) in enumerate(zip(starts, best, strict=True), 4):
        gains = weights @ (describe(b) - describe(a))
        found = course.iloc[row]
        assert found["learned"] == pytest.approx(gains.mean(), abs=1e-4)
        assert found["sd"] == pytest.approx(gains.std(), abs=1e-4)
        assert found["gold"] == len(a.seams) - len(b.seams)
        assert (found["song"], found["target"]) == (a.song.sha256, a.target)


def test_the_course_ends_at_the_edit_of_the_policy(old, unsure, songs):
    course = climb(unsure, old, songs, SEAMS, tried=(CONFIG.climb,), targets=TARGETS)
    seams = [[len(edit.seams) for edit in policy.edits(songs, TARGETS)] for policy in (old, unsure)]
    assert course["gold"].tolist() == (np.subtract(*seams)).tolist()


def test_a_longer_climb_never_has_a_lower_learned_reward(old, unsure, songs):
    course = climb(unsure, old, songs, SEAMS, k=0.0, targets=TARGETS)
    gains = course.pivot(index=["song", "target"], columns="tried", values="learned")
    assert (gains.diff(axis=1).iloc[:, 1:] >= -1e-9).all(axis=None)
    assert gains[3000].mean() > gains[0].mean() + 0.1


def test_a_cautious_climb_gains_less_of_what_members_disagree_on(old, unsure, songs):
    hasty, cautious = (climb(unsure, old, songs, SEAMS, k, (300,), TARGETS) for k in (0.0, 2.0))
    assert cautious["learned"].mean() < hasty["learned"].mean()
    never = climb(unsure, old, songs, SEAMS, 1e6, (0, 300), TARGETS)
    plan, end = (never[never["tried"] == count]["learned"].to_numpy() for count in (0, 300))
    assert (plan == end).all()


def test_a_climb_by_the_true_reward_is_no_exploit(old, songs):
    new = old.child(Reward(weights=LIKED))
    judge = SimpleNamespace(utility=lambda edit: float(describe(edit) @ LIKED))
    course = climb(new, old, songs, judge, tried=(0, 300), targets=TARGETS)
    np.testing.assert_allclose(course["gold"], course["learned"], atol=1e-4)
    assert (course["gold"] > -1e-9).all()
    assert (course["sd"] < 1e-9).all()
    assert course["gold"].mean() > 0.1


def test_nothing_to_climb_is_refused(old, unsure, songs):
    for arguments, named in (
        (([], SEAMS), "0 songs"),
        ((songs, SEAMS, -1.0), "k -1"),
        ((songs, SEAMS, 1.0, (-6,)), r"changes \(-6,\)"),
    ):
        with pytest.raises(InputError, match=named):
            climb(unsure, old, *arguments)


def test_the_plot_shows_means_over_edits(old, unsure, songs):
    course = climb(unsure, old, songs, SEAMS, tried=(0, 30, 300), targets=TARGETS)
    left, right = plots.climbs({"cautious": course}).axes
    mean = course.groupby("tried")["learned"].mean()
    assert line(left, "cautious").get_xdata().tolist() == [0, 30, 300]
    assert line(left, "cautious").get_ydata().tolist() == pytest.approx(mean.tolist())
    assert right.get_ylabel() == "gain over the old policy (utility)"
    assert [text.get_text() for text in right.get_xticklabels()] == ["0", "30", "300"]
    with pytest.raises(InputError, match="no course"):
        plots.climbs({})
