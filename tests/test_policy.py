"""Policies: stages, plans and search, what their edits depend on, and their checkpoints."""

import re
from functools import partial

import numpy as np
import pytest
from toy import TOY_WEIGHTS, toy_song, with_network
from tqdm import tqdm

from rlhf_lib import parallel
from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    N_ADDITIVE,
    N_DESCRIPTORS,
    describe,
    weight_vector,
)
from rlhf_lib.editing.edit import Action
from rlhf_lib.errors import InputError
from rlhf_lib.learning.archive import load_archive, save_archive
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.reward import Reward
from rlhf_lib.learning.planning.search import K_PLANS, own_weights, whole_edits
from rlhf_lib.learning.policy import policy as module
from rlhf_lib.learning.policy.policy import (
    CUTTING_TARGETS,
    TARGETS,
    Policy,
    PolicyConfig,
)
from rlhf_lib.learning.policy.stage import N_PLAN, situations
from rlhf_lib.steps.checkpoints import load_policy, save_model

#: A small search, which takes milliseconds.
SMALL = {"hidden": 8, "draws": 3, "own_plans": 6, "dense_plans": 6, "climb": 60}
ORIGIN = {"name": "policy_v14", "songs": [], "held_out": [], "parents": {}}
#: A taste that no plan can weigh.
ARC = TOY_WEIGHTS + weight_vector({"energy_arc": 12.0, "short_pieces": -4.0})


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=1), toy_song(160, seed=2), toy_song(120, seed=3, beats_per_bar=3)]


def small_policy(weights=TOY_WEIGHTS, **config):
    return with_network(Policy(PolicyConfig(**SMALL | config), weights))


@pytest.fixture
def policy():
    return small_policy()


def members(seed, spread=0.5):
    return ARC + spread * np.random.default_rng(seed).normal(size=(5, N_DESCRIPTORS))


def actions(edits):
    return [edit.actions.tolist() for edit in edits]


def scores(edits, weights):
    return np.stack([describe(edit) for edit in edits]) @ np.transpose(weights)


# --- what edits depend on


def test_edits_have_their_songs_and_lengths_in_order(policy, songs):
    for greedy in (True, False):
        edits = policy.edits(songs, TARGETS, greedy)
        assert [edit.song for edit in edits] == [song for song in songs for _ in TARGETS]
        assert [edit.target for edit in edits] == list(TARGETS) * 3
        assert all(abs(edit.keep_ratio - edit.target) <= 0.0301 for edit in edits)
    assert [edit.target for edit in policy.edits(songs)] == list(CUTTING_TARGETS) * 3


def test_greedy_edits_are_the_same_in_every_call(policy, songs):
    first = actions(policy.edits(songs, seed=1))
    assert actions(policy.edits(songs, seed=2)) == first
    assert actions(small_policy().edits(songs)) == first


def test_the_seed_changes_sampled_edits(policy, songs):
    one, other, again = (
        actions(policy.edits(songs, greedy=False, seed=seed)) for seed in (1, 2, 1)
    )
    assert one == again
    assert one != other
    assert one != actions(policy.edits(songs))


@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("child", [False, True])
def test_an_edit_depends_on_no_other_song_or_length(policy, songs, greedy, child):
    if child:
        policy = policy.child(Reward(weights=members(0)))
    network = with_network(policy).last.network  # that tells songs and lengths apart
    weight = network["net.2.weight"]
    weight += np.random.default_rng(1).normal(0, 0.3, weight.shape)
    together = actions(policy.edits(songs, TARGETS, greedy, seed=3))
    back = policy.edits(songs[::-1], TARGETS[::-1], greedy, seed=3)
    assert actions(back[::-1]) == together
    for place, song in enumerate(songs):
        for at, target in enumerate(TARGETS):
            (alone,) = policy.edits([song], [target], greedy, seed=3)
            assert alone.actions.tolist() == together[place * len(TARGETS) + at]


def test_constraints_hold_for_every_stage_and_for_their_song_alone(policy, songs):
    keep = Constraints(songs[1], [(20.0, 24.0)], must_end=True)
    constraints = [None, keep, None]
    assert not all(keep.allows(edit) for edit in policy.edits(songs[1:2]))
    for greedy in (True, False):
        free = policy.edits(songs, CUTTING_TARGETS, greedy)
        child = policy.child(Reward(weights=ARC))
        for one in (policy, child):
            bound = one.edits(songs, CUTTING_TARGETS, greedy, constraints=constraints)
            assert all(keep.allows(edit) for edit in bound[4:8])
            if one is policy:
                assert actions(bound[:4] + bound[8:]) == actions(free[:4] + free[8:])


def test_the_bar_of_the_edits_moves_song_by_song(policy, songs, monkeypatch, capsys):
    monkeypatch.setattr(module, "tqdm", partial(tqdm, mininterval=0))
    policy.edits(songs[:2], (0.5,))
    shown = " ".join(re.sub(r"\|[^|]*\|", " ", capsys.readouterr().err).split())
    for share, at in (("0%", 0), ("50%", 1), ("100%", 2)):
        assert f"edits: {share} {at}/2" in shown
    policy.edits(songs[:1], (0.5,))  # the bar of one song would not move
    assert capsys.readouterr().err == ""


def test_processes_draw_no_bars_over_each_other(policy, songs, capfd):
    parallel.run(partial(_edited, songs=songs), [policy, policy], jobs=2)
    assert "edits:" not in capfd.readouterr().err


def _edited(policy, songs):
    policy.edits(songs, (0.5,))


# --- plans, search, climb


def test_the_mean_plan_of_an_untrained_policy_is_the_exact_plan(songs):
    eighths = {f"level_{k}": 0.3 * (k - 4.5) for k in range(1, 9)}
    weights = TOY_WEIGHTS + weight_vector(eighths)
    plain = small_policy(weights).only(search=False)
    plan = own_weights(weights)
    expected = [
        edit for song in songs for t in CUTTING_TARGETS for edit in whole_edits(song, plan, t)
    ]
    assert actions(plain.edits(songs)) == actions(expected)


def test_plans_are_compared_by_the_whole_reward_and_improved_by_the_climb(songs):
    # A few loops are rewarded; the plan alone, in which each loop costs, makes none.
    weights = weight_vector({"seams": -0.1, "hook": 1.0, "loops": -0.5, "looped": 8.0})
    policy = small_policy(weights, climb=600)
    mean, one, best, climbed = (
        scores(policy.only(**parts).edits(songs), weights)
        for parts in (
            {"search": False},
            {"climb": 0, "own_plans": 1, "dense_plans": 0, "draws": 1},
            {"climb": 0},
            {},
        )
    )
    np.testing.assert_array_equal(one, mean)  # the only candidate is the plan
    for less, more in ((mean, best), (best, climbed)):
        assert (more >= less - 1e-6).all()
        assert more.mean() > less.mean() + 0.1
    assert policy.config.climb == 600, "the policy itself was changed"


def test_any_of_the_candidates_may_be_left_out(songs):
    for parts in ({"own_plans": 0}, {"dense_plans": 0}, {"own_plans": 0, "dense_plans": 0}):
        edits = small_policy(**parts).edits(songs[:1])
        assert all(abs(edit.keep_ratio - edit.target) <= 0.0301 for edit in edits)


def test_another_reward_may_compare_the_plans(policy, songs):
    """A taste for moved beats, in a function; without it none are moved."""

    def moved(edits):
        return np.array([np.sum(edit.actions >= Action.REORDER_1) for edit in edits])

    assert moved(policy.edits(songs)).mean() < 1
    liked = policy.edits(songs, reward=Reward(moved))
    assert moved(liked).mean() > 3


def test_plan_numbers_by_hand():
    """Factors of the weights, shifts of level and activity, of the eighths, and counts."""
    stage = small_policy().last
    additive = TOY_WEIGHTS[:N_ADDITIVE]
    size = np.sqrt(np.mean(additive**2))
    numbers = np.zeros((5, N_PLAN))
    numbers[1, ADDITIVE_NAMES.index("hook")] = np.log(3)
    numbers[2, ADDITIVE_NAMES.index("level")] = -0.5
    numbers[3, N_ADDITIVE + 7] = 2.0
    numbers[4, -2:] = 1.6, 100.0
    made = stage.plan_weights(numbers)
    np.testing.assert_allclose(made.additive[[0, 3, 4]], np.tile(additive, (3, 1)))
    own = TOY_WEIGHTS[DESCRIPTOR_NAMES.index("level_1") :][:8]
    np.testing.assert_allclose(made.eighths[[0, 1, 2, 4]], np.tile(own, (4, 1)))
    changes = made.additive - additive
    np.testing.assert_allclose(changes[1], weight_vector({"hook": 2.0}, ADDITIVE_NAMES) * additive)
    np.testing.assert_allclose(changes[2], weight_vector({"level": -0.5}, ADDITIVE_NAMES) * size)
    np.testing.assert_allclose(made.eighths[3] - own, [0] * 7 + [2 * size])
    assert made.loops.tolist() == [0, 0, 0, 0, 3]
    assert made.reorders.tolist() == [0, 0, 0, 0, 8]


def test_a_network_reads_the_song_and_the_length(songs):
    found = situations(songs, (0.5, 0.7, 0.9))
    assert found.shape == (3, 6)
    np.testing.assert_allclose(found[:, 0], 0.0, atol=1e-6)  # log2 of 0.5 s a beat / 0.5 s
    np.testing.assert_allclose(found[:, 1], np.log10([64, 160, 120]) - 2, atol=1e-6)
    assert found[:, 4].tolist() == [0, 0, 1]  # three to the bar
    np.testing.assert_allclose(found[:, 5], (0.5, 0.7, 0.9), atol=1e-6)


def test_what_a_stage_has_learned_changes_its_plans(policy, songs):
    """A bias towards many loops, and one towards loud passages."""
    plain = policy.only(search=False)
    bias = policy.last.network["net.2.bias"]
    bias[-2], bias[ADDITIVE_NAMES.index("level")] = 3.0, 5.0
    learned = policy.only(search=False)
    level = DESCRIPTOR_NAMES.index("level")
    loud, before = (
        np.mean([describe(edit)[level] for edit in one.edits(songs)]) for one in (learned, plain)
    )
    assert loud > before + 0.02
    loops = [(edit.actions == Action.LOOP_2).sum() for edit in learned.edits(songs[1:])]
    assert min(loops) >= 3


def test_weights_that_were_given_stay_as_they_are():
    given = TOY_WEIGHTS.copy()
    policy = small_policy(given)
    policy.follow(Reward(weights=ARC))
    policy.last.weights[:] = 0
    np.testing.assert_array_equal(given, TOY_WEIGHTS)
    assert not policy.weights.any()


# --- stages


def test_a_child_has_its_parents_stages_and_one_more(policy):
    policy.last.network["net.2.bias"][:] = 0.25
    child = policy.child(Reward(weights=members(1)))
    grandchild = child.child(Reward(weights=members(2)[:1]))
    assert [one.config.stages for one in (policy, child, grandchild)] == [1, 2, 3]
    for ours, theirs in zip(grandchild.stages, [*child.stages], strict=False):
        for name, value in theirs.state_dict().items():
            np.testing.assert_array_equal(value, ours.state_dict()[name], name)
    np.testing.assert_allclose(child.last.weights, members(1))
    np.testing.assert_allclose(grandchild.last.weights, np.tile(members(2)[0], (5, 1)))
    np.testing.assert_allclose(child.weights, members(1).mean(axis=0))
    np.testing.assert_allclose(child.last.reward().member_weights, members(1))
    assert (child.stages[0].network["net.2.bias"] == 0.25).all() and not child.last.network
    child.stages[0].network["net.2.bias"][:] = 0
    assert (policy.last.network["net.2.bias"] == 0.25).all(), "the parent was changed"


def test_an_ensemble_of_any_size_is_followed(policy, songs, tmp_path):
    """Two members after five, then three: means and standard deviations stay what they were."""
    two, three = members(1)[:2], members(2)[:3]
    child = policy.child(Reward(weights=two)).child(Reward(weights=three))
    path = save_model(tmp_path / "p.pt", child, **ORIGIN)
    loaded, _ = load_policy(path)
    for one in (child, loaded):
        for stage, given in zip(one.stages, (TOY_WEIGHTS[None], two, three), strict=True):
            found = stage.reward().member_weights
            np.testing.assert_allclose(found.mean(axis=0), given.mean(axis=0), atol=1e-12)
            np.testing.assert_allclose(found.std(axis=0), given.std(axis=0), atol=1e-12)
    assert actions(loaded.edits(songs[:1])) == actions(child.edits(songs[:1]))
    with_network(child).last.network["net.2.bias"][:] = 2.0
    child.follow(Reward(weights=three))
    assert (child.last.network["net.2.bias"] == 2.0).all(), "the same reward counts as another one"


@pytest.mark.parametrize("greedy", [True, False])
def test_the_parents_edit_is_among_the_candidates_of_a_child(songs, greedy):
    """A reward for being like the parent's edit: nothing else has all of it."""
    policy = small_policy(dense_plans=0)
    parents = policy.edits(songs, greedy=greedy, seed=4)
    known = {(edit.song.sha256, edit.target): edit.actions for edit in parents}

    def like_the_parent(edits):
        return np.array(
            [-np.sum(edit.actions != known[edit.song.sha256, edit.target]) for edit in edits]
        )

    reward = Reward(like_the_parent, -TOY_WEIGHTS)  # its own plans are unlike the parent's
    edits = policy.child(reward).edits(songs, greedy=greedy, seed=4, reward=reward)
    assert actions(edits) == actions(parents)
    alone = small_policy(-TOY_WEIGHTS, dense_plans=0)
    unlike = alone.edits(songs, greedy=greedy, seed=4, reward=reward)
    assert np.mean(like_the_parent(unlike) < 0) > 0.6, "they are found without the parent too"


@pytest.mark.parametrize("seed", range(3))
def test_a_child_is_never_below_its_parent_by_the_bound(policy, songs, seed):
    new = members(seed, 1.0)
    child = policy.child(Reward(weights=new))
    for greedy in (True, False):
        ours, theirs = (scores(one.edits(songs, greedy=greedy), new) for one in (child, policy))
        gains = ours - theirs
        assert (gains.mean(axis=1) - K_PLANS * gains.std(axis=1) >= -1e-4).all()
        assert gains.mean() > 0


def test_under_a_new_reward_a_stage_starts_as_its_plan(policy, songs):
    policy.last.network["net.2.bias"][:] = 2.0
    policy.last.network["log_sd"][:] = -2.0
    policy.follow(Reward(weights=ARC))
    plain = small_policy(ARC)
    for name, value in plain.last.state_dict().items():
        if not name.startswith("net.0"):  # the first layer reads; the last one starts as zero
            np.testing.assert_array_equal(value, policy.last.state_dict()[name], name)
    assert actions(policy.edits(songs)) == actions(plain.edits(songs))


def test_under_the_same_reward_what_was_learned_is_kept(policy):
    policy.last.network["net.2.bias"][:] = 2.0
    policy.follow(Reward(weights=TOY_WEIGHTS))
    assert (policy.last.network["net.2.bias"] == 2.0).all()


def test_a_function_leaves_the_weights_and_the_mean_plan_is_the_edit(policy, songs):
    """Unless the reward is given: then it compares the plans."""

    def longest_piece(edits):
        return np.array([np.diff(edit.segments).max() for edit in edits], dtype=float)

    policy.follow(Reward(longest_piece))
    np.testing.assert_array_equal(policy.weights, TOY_WEIGHTS)
    mean = policy.edits(songs)
    assert actions(mean) == actions(small_policy().only(search=False).edits(songs))
    judged = policy.edits(songs, reward=Reward(longest_piece))
    gain = longest_piece(judged) - longest_piece(mean)
    assert (gain >= 0).all() and gain.mean() > 1
    policy.follow(Reward(weights=TOY_WEIGHTS))
    assert actions(policy.edits(songs)) == actions(small_policy().edits(songs))


# --- checkpoints


def test_a_checkpoint_edits_like_the_policy(policy, songs, tmp_path):
    child = policy.child(Reward(weights=members(3)))
    network = with_network(child).last.network
    network["net.2.bias"] += np.random.default_rng(0).normal(0, 0.5, N_PLAN)
    network["log_sd"][:] = -1.0
    child.follow(Reward(len))
    path = save_model(tmp_path / "p.pt", child, **ORIGIN)
    loaded, about = load_policy(path)
    assert about == ORIGIN and loaded.config == child.config
    for name, value in child.state_dict().items():
        np.testing.assert_array_equal(value, loaded.state_dict()[name], name)
    assert not loaded.last.linear
    for greedy in (True, False):
        assert actions(loaded.edits(songs, greedy=greedy)) == actions(
            child.edits(songs, greedy=greedy)
        )


def test_a_policy_of_an_earlier_version_is_refused(policy, tmp_path):
    """As it was when policies decided bar by bar."""
    content = load_archive(save_model(tmp_path / "p.pt", policy, **ORIGIN))
    earlier = {"hidden": 256, "tau": 0.03, "search": 24, "planner": True, "network": True}
    save_archive(tmp_path / "old.pt", content | {"config": earlier})
    with pytest.raises(InputError, match=r"old\.pt was made by another version: .*train it anew"):
        load_policy(tmp_path / "old.pt")


@pytest.mark.parametrize("name", ["stages", "members", "hidden", "draws"])
def test_a_policy_of_nothing_is_refused(policy, tmp_path, name):
    with pytest.raises(InputError, match=f"{name} is 0; a policy needs at least 1"):
        PolicyConfig(**{name: 0})
    content = load_archive(save_model(tmp_path / "p.pt", policy, **ORIGIN))
    save_archive(tmp_path / "odd.pt", content | {"config": content["config"] | {name: 0}})
    with pytest.raises(InputError, match=rf"odd\.pt: {name} is 0"):
        load_policy(tmp_path / "odd.pt")
