"""Direct preference optimisation against closed forms and a toy taste."""

import copy
import math

import numpy as np
import pytest
import torch
from toy import toy_song

from rlhf_lib.errors import InputError
from rlhf_lib.learning.policy.direct import (
    DirectTraining,
    PlanPairs,
    direct_child,
    direct_loss,
    draw_pairs,
    train_directly,
)
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy, PolicyConfig
from rlhf_lib.learning.policy.stage import N_PLAN, N_SITUATION, START_SD
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.raters.simulated import SimulatedRater


@pytest.fixture
def network():
    return PlanNetwork.of(Policy(PolicyConfig(members=1), SYNTHETIC_WEIGHTS), seed=0)


def made_up(count: int, seed: int = 0) -> PlanPairs:
    generator = torch.Generator().manual_seed(seed)
    numbers = START_SD * torch.randn(count, 2, N_PLAN, generator=generator)
    return PlanPairs(torch.zeros(count, N_SITUATION), numbers, [None] * count)


def test_the_loss_by_hand(network):
    """The mean of one plan number is moved by 0.3: log π changes by 0.3 (x − 0.15) / sd²."""
    start, pairs = copy.deepcopy(network), made_up(3)
    with torch.no_grad():
        network.net[-1].bias[5] += 0.3
    answers = torch.tensor([1.0, 0.5, 0.0])
    x = pairs.numbers[:, :, 5].double().numpy()
    gains = 0.3 * (x - 0.15) / START_SD**2
    gap = 0.7 * (gains[:, 0] - gains[:, 1])
    expected = [
        math.log1p(math.exp(-gap[0])),
        (math.log1p(math.exp(-gap[1])) + math.log1p(math.exp(gap[1]))) / 2,
        math.log1p(math.exp(gap[2])),
    ]
    found = direct_loss(network, start, pairs, answers, beta=0.7)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)


def test_training_starts_at_the_loss_of_chance(network):
    losses = train_directly(network, made_up(20), [1.0] * 20, DirectTraining(steps=5))
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)
    assert losses == sorted(losses, reverse=True)


def test_only_ties_change_nothing_but_the_noise_of_rounding(network):
    before = network(torch.zeros(1, N_SITUATION)).mean
    train_directly(network, made_up(10), [0.5] * 10, DirectTraining(steps=1))
    moved = network(torch.zeros(1, N_SITUATION)).mean - before
    assert moved.abs().max() < 1e-3


def test_a_toy_taste_is_learned_and_other_numbers_are_not(network):
    """The plan with the higher number 3 is preferred."""
    pairs = made_up(200)
    answers = (pairs.numbers[:, 0, 3] > pairs.numbers[:, 1, 3]).double().tolist()
    train_directly(network, pairs, answers, DirectTraining(steps=60))
    mean = network(torch.zeros(1, N_SITUATION)).mean[0].detach()
    assert mean[3] > 0.3
    others = torch.cat([mean[:3], mean[4:]])
    assert mean[3] > 2 * others.abs().max()


def test_pairs_are_draws_of_one_song_and_length_that_differ(network):
    songs = [toy_song(96, seed=1), toy_song(64, seed=2)]
    pairs = draw_pairs(network, songs, 12, torch.Generator().manual_seed(0))
    assert pairs.numbers.shape == (12, 2, N_PLAN)
    for (a, b), x in zip(pairs.edits, pairs.situations, strict=True):
        assert a.song is b.song and a.target == b.target
        assert a.target in CUTTING_TARGETS and float(x[-1]) == pytest.approx(a.target)
        assert not np.array_equal(a.actions, b.actions)
    again = draw_pairs(network, songs, 12, torch.Generator().manual_seed(0))
    assert torch.equal(pairs.numbers, again.numbers)


def test_answers_that_do_not_fit_are_refused(network):
    with pytest.raises(InputError, match="2 answers for 3 pairs"):
        train_directly(network, made_up(3), [1.0, 0.0])
    with pytest.raises(InputError, match="0 answers"):
        train_directly(network, made_up(0), [])


def test_a_child_is_trained_on_the_answers_of_a_rater():
    """The parent keeps its edits, and the same seed gives the same child."""
    songs = [toy_song(96, seed=1), toy_song(64, seed=2)]
    parent = Policy(PolicyConfig(members=1), SYNTHETIC_WEIGHTS)
    before = copy.deepcopy(parent.state_dict())
    rater = SimulatedRater("sim", "smooth", noise=0.1)
    child, losses = direct_child(parent, songs, rater, 12, seed=3)
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)
    assert losses[-1] < losses[0]
    assert len(child.stages) == len(parent.stages) + 1
    for name, value in parent.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    again, same = direct_child(parent, songs, rater, 12, seed=3)
    assert same == losses
    assert child.last.network.keys() == again.last.network.keys() != set()
    for name, value in child.state_dict().items():
        np.testing.assert_array_equal(value, again.state_dict()[name], name)
