"""The parts of a score add up to the score."""

import copy

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    DESCRIPTOR_NAMES,
    N_DESCRIPTORS,
    describe,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.explain import explain, reasons, seam_table, weight_changes
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS, random_cuts

JOIN = ("seams", "transition", "energy", "phrase", "tempo", "loops", "returns")


@pytest.fixture(scope="module")
def songs():
    return [toy_song(96, seed=s) for s in range(3)]


@pytest.fixture(scope="module")
def model(songs):
    torch.manual_seed(0)
    config = RewardConfig(
        width=8, heads=1, layers=1, feedforward=8, members=3, head=4, auxiliary_tasks=2
    )
    model = RewardModel(config, FeatureScale.fit(songs), np.ones(N_DESCRIPTORS), SYNTHETIC_WEIGHTS)
    with torch.no_grad():
        model.linear.add_(0.1 * torch.randn_like(model.linear))
        model.mix.normal_()
    rng = np.random.default_rng(0)
    model.set_normal([random_cuts(song, 0.7, n, rng) for song in songs for n in (1, 2, 4)])
    return model


@pytest.fixture(scope="module")
def edit(songs):
    actions = np.zeros(96, int)
    actions[20:36], actions[50] = Action.CUT, Action.LOOP_2
    return Edit(songs[0], actions, 0.85)


def test_the_parts_add_up_to_the_score(model, edit):
    parts = explain(model, edit)
    assert parts.score == pytest.approx(float(model.score([edit]).mean()), abs=1e-3)
    total = sum(parts.by_descriptor.values()) + parts.transformer + parts.offset
    assert parts.score == pytest.approx(total)
    assert tuple(parts.by_descriptor) == DESCRIPTOR_NAMES


def test_a_descriptor_adds_its_weight_times_its_value(model, edit):
    parts = explain(model, edit)
    weights = model.linear.detach().numpy().mean(axis=0) / float(model.normal[1])
    np.testing.assert_allclose(
        list(parts.by_descriptor.values()), describe(edit) * weights, rtol=1e-4
    )


def test_the_offset_is_the_same_for_every_edit(model, songs, edit):
    whole = Edit(songs[0], np.zeros(96, int), 1.0)
    assert explain(model, whole).offset == explain(model, edit).offset
    assert explain(model, whole).seams == ()


def test_seams_have_the_time_and_the_cost_of_their_joins(model, songs, edit):
    """Beat 19 → 36 after 20 beats of 0.5 s; beat 50 again after 35 beats."""
    parts = explain(model, edit)
    assert [(s.place, s.left, s.reached) for s in parts.seams] == [(10.0, 19, 36), (17.5, 50, 50)]
    for name in JOIN:  # these are 0 outside the seams
        at_seams = sum(seam.by_descriptor[name] for seam in parts.seams)
        assert at_seams == pytest.approx(parts.by_descriptor[name], abs=1e-5), name
    first = parts.seams[0]
    assert tuple(first.by_descriptor) == ADDITIVE_NAMES
    assert first.total == pytest.approx(sum(first.by_descriptor.values()))
    weight = model.linear_weights().mean(axis=0)[DESCRIPTOR_NAMES.index("transition")]
    cost = float(songs[0].joins.costs(np.array(19), np.array(36))[0])
    assert first.by_descriptor["transition"] == pytest.approx(weight * cost**2, rel=1e-4)


def test_reasons_add_up_to_the_difference_of_the_scores(songs):
    """One seam against none, and what a shorter edit lacks; the largest part comes first."""
    one = Edit(songs[0], np.repeat([Action.KEEP, Action.CUT, Action.KEEP], 32), 0.67)
    other = Edit(songs[0], np.repeat([Action.KEEP, Action.CUT], [64, 32]), 0.67)
    weights = weight_vector({"seams": -0.5, "ending": -2.0, "hook": 3.0, "length": 1.0})
    told = reasons(one, other, weights)
    assert told["more cuts"] == -0.5
    assert told["more of the ending"] == pytest.approx(2.0)  # 32 beats missing cost all of it
    assert sum(told.values()) == pytest.approx((describe(one) - describe(other)) @ weights)
    sizes = np.abs(list(told.values()))
    assert (np.diff(sizes) <= 0).all() and (sizes > 0).all()


def test_the_table_of_seams_lists_each_jump_once(model, songs):
    """Beats 20–35 are left out by both edits; the second one leaves out 60–69 too."""
    edits = [Edit.without(songs[0], (20, 36)), Edit.without(songs[0], (20, 36), (60, 70))]
    table = seam_table(model, edits)
    assert sorted(zip(table["left"], table["reached"], strict=True)) == [(19, 36), (59, 70)]
    assert table["adds"].is_monotonic_increasing
    row = table.set_index("left").loc[59]
    seam = explain(model, edits[1]).seams[1]
    assert (row["edit"], row["place"]) == (1, 22.0)  # 44 beats of half a second are played before
    assert row["adds"] == pytest.approx(seam.total)
    assert row["mostly"] == min(seam.by_descriptor, key=seam.by_descriptor.get)
    bounds = songs[0].sung_bounds
    assert row["sung"] == pytest.approx(bounds[60] + bounds[70])
    assert seam_table(model, [Edit.without(songs[0], (80, 96))]).empty


def test_changes_of_weights_come_in_the_order_of_their_size(model):
    moved = copy.deepcopy(model)
    with torch.no_grad():
        moved.linear[:, 3] -= 0.5
        moved.linear[:, 7] += 2.0
    changes = weight_changes(moved, model)
    assert list(changes)[:2] == [DESCRIPTOR_NAMES[7], DESCRIPTOR_NAMES[3]]
    assert list(changes.values())[:2] == pytest.approx([2.0, -0.5], abs=1e-5)
    assert set(changes) == set(DESCRIPTOR_NAMES)
