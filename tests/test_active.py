"""Choosing pairs to rate, against entropies and spreads by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from toy import toy_song

from rlhf_lib.editing.descriptors import N_DESCRIPTORS, describe
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.reward.active import RULES, disagreement, information, select
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import random_cuts


def odds(*probabilities):
    """Score differences in logits of members that predict these probabilities."""
    p = np.array([probabilities])
    return np.log(p / (1 - p))


def test_disagreement_by_hand():
    assert disagreement(odds(0.2, 0.5, 0.8))[0] == pytest.approx(math.sqrt(0.06))
    assert disagreement(odds(0.3, 0.3))[0] == pytest.approx(0)


def test_information_by_hand():
    """Entropy of the mean, 0.6, less the mean entropy of 0.9, 0.6 and 0.3."""
    expected = entropy([0.6, 0.4]) - np.mean([entropy([p, 1 - p]) for p in (0.9, 0.6, 0.3)])
    assert information(odds(0.9, 0.6, 0.3))[0] == pytest.approx(expected)
    # two members that are sure of opposite answers: a whole bit
    assert information(np.array([[-800.0, 800.0]]))[0] == pytest.approx(math.log(2))


@pytest.mark.parametrize("p", [0.5, 0.8, 1 - 1e-9])
def test_a_pair_that_members_agree_on_has_no_information(p):
    assert information(odds(p, p, p))[0] == pytest.approx(0, abs=1e-12)


def test_the_rules_differ_where_members_are_sure():
    """The same spread of probabilities has more information near 0 or 1 than around ½."""
    gaps = np.concatenate([odds(0.4, 0.6), odds(0.75, 0.97)])
    spread, gain = disagreement(gaps), information(gaps)
    assert spread[1] - spread[0] == pytest.approx(0.01)
    assert gain[1] > 2 * gain[0]


def test_gaps_are_those_of_the_members():
    songs = [toy_song(64, seed=s) for s in range(2)]
    torch.manual_seed(0)
    config = RewardConfig(
        width=8, heads=1, layers=1, feedforward=8, members=3, head=4, auxiliary_tasks=2
    )
    model = RewardModel(config, FeatureScale.fit(songs), np.ones(N_DESCRIPTORS))
    with torch.no_grad():
        model.linear.normal_()
    rng = np.random.default_rng(0)
    pairs = [tuple(random_cuts(song, 0.7, n, rng) for n in (1, 4)) for song in songs]
    differences = np.stack([describe(a) - describe(b) for a, b in pairs])
    expected = differences @ model.linear.detach().double().numpy().T  # the mix is still 0
    np.testing.assert_allclose(model.score_differences(pairs), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture
def gaps():
    return np.random.default_rng(1).normal(size=(40, 5)) * np.linspace(0, 3, 40)[:, None]


@pytest.mark.parametrize("rule", ["disagreement", "information"])
def test_the_chosen_are_the_best_by_the_rule_and_a_random_share(gaps, rule):
    value = RULES[rule](gaps)
    chosen = select(gaps, 10, rule, 0.3, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 10
    best = np.sort(value)[::-1]
    np.testing.assert_allclose(value[chosen[:7]], best[:7])
    assert value[chosen[7:]].max() <= best[6]
    other = select(gaps, 10, rule, 0.3, np.random.default_rng(1))
    assert chosen[:7].tolist() == other[:7].tolist()
    assert set(chosen[7:].tolist()) != set(other[7:].tolist())


def test_random_pairs_are_random_and_all_may_be_chosen(gaps):
    """Over many draws every pair is chosen about equally often: 10 of 40, 400 times, 100 ± 9."""
    rng = np.random.default_rng(0)
    counts = np.bincount(
        np.concatenate([select(gaps, 10, "random", 0.0, rng) for _ in range(400)]), minlength=40
    )
    assert counts.min() > 60 and counts.max() < 140
    for rule in RULES:
        assert sorted(select(gaps, 40, rule, 0.2, rng).tolist()) == list(range(40))


@pytest.mark.parametrize(
    "n_pairs, rule, share, message",
    [
        (41, "information", 0.2, "cannot choose 41 of 40"),
        (0, "information", 0.2, "cannot choose 0"),
        (5, "information", 1.2, r"random_share 1\.2"),
        (5, "entropy", 0.2, "unknown rule 'entropy'; choose one of disagreement, information"),
    ],
)
def test_wrong_input_is_refused(gaps, n_pairs, rule, share, message):
    with pytest.raises(InputError, match=message):
        select(gaps, n_pairs, rule, share, np.random.default_rng(0))
