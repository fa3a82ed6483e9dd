"""PPO over plans against closed forms, and learning on small songs."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toy import TOY_WEIGHTS, toy_song

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.editing.edit import Action
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.search import whole_edits
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy, PolicyConfig
from rlhf_lib.learning.policy.ppo import (
    Batch,
    PPOConfig,
    clipped_loss,
    collect,
    group_advantages,
    update,
)
from rlhf_lib.learning.policy.stage import (
    LEAST_LOG_SD,
    MOST_LOG_SD,
    N_PLAN,
    N_SITUATION,
    situations,
)
from rlhf_lib.learning.policy.training import PolicyTraining, train_policy
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS


@pytest.mark.parametrize(
    "ratio, advantage, loss",
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -2.4),  # clipped at 1.2
        (0.5, 2.0, -1.0),
        (1.5, -1.0, 1.5),  # the worse of both
        (0.5, -1.0, 0.8),  # clipped at 0.8
    ],
)
def test_clipped_loss_by_hand(ratio, advantage, loss):
    found = clipped_loss(
        torch.tensor([ratio]).log(), torch.zeros(1), torch.tensor([advantage]), 0.2
    )
    assert found.item() == pytest.approx(loss)


def test_group_advantages_by_hand():
    """Two groups of three; gaps −2, 0, 2 and −1, 0.5, 0.5 with a mean square of 9.5 / 6."""
    found = group_advantages(np.array([1.0, 3.0, 5.0, 9.0, 10.5, 10.5]), 3)
    gaps = np.array([-2.0, 0.0, 2.0, -1.0, 0.5, 0.5])
    np.testing.assert_allclose(found, gaps / np.sqrt(9.5 / 6))
    # What all edits of a song and length have in common does not count.
    np.testing.assert_allclose(
        group_advantages(np.array([101.0, 103, 105, 9, 10.5, 10.5]), 3), found
    )
    assert not group_advantages(np.full(6, 4.2), 3).any()  # all alike: nothing to learn, no NaN


def new_policy(weights=TOY_WEIGHTS):
    return Policy(PolicyConfig(hidden=8, draws=2, own_plans=2, dense_plans=2, climb=0), weights)


def new_network():
    return PlanNetwork.of(new_policy(), seed=0)


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=1), toy_song(100, seed=2), toy_song(72, seed=3, beats_per_bar=3)]


def loops(edits):
    """The taste of these tests: loops, up to six in an edit."""
    return np.array([min(6.0, float((edit.actions == Action.LOOP_2).sum())) for edit in edits])


def parts(edits):
    return {"combined": loops(edits)}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- the batch


def test_a_batch_is_drawn_in_groups_of_one_song_and_length(songs):
    network = new_network()
    config = PPOConfig(episodes_per_update=60, draws=5)
    batch = collect(network, songs, parts, config, seeded())
    assert len(batch.edits) == 60 and batch.numbers.shape == (60, N_PLAN)
    groups = [batch.edits[at : at + 5] for at in range(0, 60, 5)]
    assert all(len({(e.song.sha256, e.target) for e in group}) == 1 for group in groups)
    drawn = {(group[0].song.sha256, group[0].target) for group in groups}
    assert len({song for song, _ in drawn}) == 3 and {t for _, t in drawn} <= set(CUTTING_TARGETS)
    expected = situations([e.song for e in batch.edits], [e.target for e in batch.edits])
    np.testing.assert_array_equal(batch.situations, expected)
    np.testing.assert_array_equal(batch.parts["combined"], loops(batch.edits))
    advantages = group_advantages(loops(batch.edits), 5)
    np.testing.assert_allclose(batch.advantages, advantages, atol=1e-6)
    # A Gaussian around 0 with standard deviation 0.5, written out.
    z = batch.numbers.double() / 0.5
    log_p = (-0.5 * z**2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)).sum(1)
    np.testing.assert_allclose(batch.log_probs, log_p, rtol=1e-4)
    assert z.mean().item() == pytest.approx(0, abs=0.1)
    assert z.std().item() == pytest.approx(1, abs=0.05)


def test_the_edits_of_a_batch_are_the_plans_of_its_numbers(songs):
    network = new_network()
    batch = collect(network, songs, parts, PPOConfig(20, 5), seeded(1), targets=(0.5, 0.8))
    for edit, numbers in zip(batch.edits, batch.numbers.double().numpy(), strict=True):
        assert edit.target in (0.5, 0.8)
        (planned,) = whole_edits(edit.song, network.stage.plan_weights(numbers[None]), edit.target)
        np.testing.assert_array_equal(planned.actions, edit.actions)


def test_the_same_generator_draws_the_same_batch(songs):
    network = new_network()
    one, same, other = (
        collect(network, songs, parts, PPOConfig(), seeded(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.numbers, same.numbers)
    assert not torch.equal(one.numbers, other.numbers)
    assert all((a.actions == b.actions).all() for a, b in zip(one.edits, same.edits, strict=True))


# --- the update


def batch_of(numbers, advantages):
    """A batch around given plan numbers, of policies that start with standard deviation 0.5."""
    numbers = torch.as_tensor(numbers, dtype=torch.float32)
    start = Normal(torch.zeros_like(numbers), 0.5)
    x = torch.linspace(-1, 1, len(numbers) * N_SITUATION).reshape(-1, N_SITUATION)
    log_probs = start.log_prob(numbers).sum(1)
    return Batch(x, numbers, log_probs, torch.as_tensor(advantages).float(), [], {})


def test_an_update_moves_towards_the_draws_that_are_better():
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 0.5, (64, N_PLAN))
    advantages = numbers[:, 3] - numbers[:, 7]
    network = new_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    update(network, None, optimizer, batch_of(numbers, advantages), PPOConfig(kl_coef=0.0))
    mean = network(batch_of(numbers, advantages).situations).mean.mean(0)
    assert mean.argmax() == 3 and mean.argmin() == 7
    assert mean[3] > 0.01 and mean[7] < -0.01


def test_the_diagnostics_of_a_policy_at_its_start_are_known(songs):
    """Ratio 1 everywhere: loss −mean(advantages), no KL, nothing clipped; a Gaussian's entropy."""
    numbers = np.random.default_rng(1).normal(0, 0.5, (30, N_PLAN))
    batch = batch_of(numbers, np.arange(30.0))
    network, reference = new_network(), new_network()
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    found = update(network, reference, still, batch, PPOConfig(epochs=3))
    assert found["policy_loss"] == pytest.approx(-14.5, rel=1e-4)
    assert found["loss"] == pytest.approx(-14.5, rel=1e-4)
    assert found["entropy"] == pytest.approx(
        N_PLAN * (0.5 * np.log(2 * np.pi * np.e) + np.log(0.5)), rel=1e-5
    )
    for name in ("kl", "approx_kl", "clip_fraction"):
        assert found[name] == pytest.approx(0, abs=1e-6)


def test_kl_is_that_of_gaussians_in_nats_per_plan():
    """log(s₁/s₀) + (s₀² + m²) / 2 s₁² − ½ for each plan number, added up."""
    network, reference = new_network(), new_network()
    with torch.no_grad():
        network.net[-1].bias.fill_(0.3)
        network.log_sd.fill_(float(np.log(0.25)))
    batch = batch_of(np.zeros((10, N_PLAN)), np.zeros(10))
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    found = update(network, reference, still, batch, PPOConfig(epochs=1, kl_coef=2.0))
    each = np.log(0.5 / 0.25) + (0.25**2 + 0.3**2) / (2 * 0.5**2) - 0.5
    assert found["kl"] == pytest.approx(N_PLAN * each, rel=1e-4)
    assert found["loss"] == pytest.approx(found["policy_loss"] + 2.0 * found["kl"], rel=1e-5)
    both = [Normal(torch.tensor(0.3), torch.tensor(0.25)), Normal(torch.tensor(0.0), 0.5)]
    assert kl_divergence(*both).item() == pytest.approx(each, rel=1e-5)


def test_the_kl_penalty_pulls_back_to_the_reference():
    network, reference = new_network(), new_network()
    with torch.no_grad():
        network.net[-1].bias.fill_(1.0)
    batch = batch_of(np.zeros((20, N_PLAN)), np.zeros(20))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    config = PPOConfig(kl_coef=1.0, epochs=30)
    first, last = (update(network, reference, optimizer, batch, config)["kl"] for _ in range(2))
    assert 0 < last < 0.8 * first


def test_standard_deviations_stay_within_their_bounds():
    for advantage, bound in ((1.0, LEAST_LOG_SD), (-1.0, MOST_LOG_SD)):
        network = new_network()
        optimizer = torch.optim.Adam(network.parameters(), lr=1.0)
        batch = batch_of(np.zeros((20, N_PLAN)), np.full(20, advantage))
        for _ in range(8):
            update(network, None, optimizer, batch, PPOConfig(kl_coef=0.0, clip=10.0, epochs=1))
            assert (network.log_sd >= LEAST_LOG_SD).all() and (network.log_sd <= MOST_LOG_SD).all()
        assert (network.log_sd == bound).any()


# --- learning


TRAINING = PolicyTraining(episodes=500)


@pytest.fixture(scope="module")
def many_songs():
    """Songs of 50 s whose level changes by some 10 dB every eight beats."""
    levels = np.random.default_rng(0).normal(0, 10, size=(10, 13)).repeat(8, axis=1)[:, :100]
    return [toy_song(100, seed=seed, rms_mean=level) for seed, level in enumerate(levels)]


def loud_endings(edits):
    """How much louder the last quarter of an edit is than all of it, in 10 dB."""
    found = []
    for edit in edits:
        level = edit.song.features[edit.order, FEATURE_NAMES.index("rms_mean")]
        found.append((level[-(len(level) // 4) :].mean() - level.mean()) / 10)
    return found


def risen(policy, reward, songs):
    """Train on some songs; return the gain of the mean plan on each edit of the others."""
    before = np.array(reward(policy.only(search=False).edits(songs[6:])))
    history = train_policy(policy, reward, songs[:6], songs[6:], TRAINING)
    after = reward(policy.only(search=False).edits(songs[6:]))
    return after - before, history


def test_a_taste_for_loops_is_learned_in_500_episodes(many_songs):
    """A Python function, no weights: the held-out reward rises by many standard errors."""
    gains, history = risen(new_policy(), loops, many_songs)
    assert gains.mean() > 5 * gains.std() / np.sqrt(len(gains)) and gains.mean() > 2
    course = [row["held_out"] for row in history.rows]
    drawn = [row["combined"] for row in history.rows]
    assert np.mean(drawn[-5:]) > np.mean(drawn[:5]) + 1
    assert course[-1] > course[0] and history.best_episode > 0
    assert history.rows[-1]["episode"] == 500


def test_a_taste_for_loud_endings_is_learned(many_songs):
    gains, history = risen(new_policy(), loud_endings, many_songs)
    assert gains.mean() > 3 * gains.std() / np.sqrt(len(gains))
    assert history.best_episode > 0


def test_five_lines_are_enough(many_songs):
    """As documented: a policy, a function, songs."""
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    history = train_policy(policy, loops, many_songs[:4])
    assert len(history.rows) == 50
    assert loops(policy.edits(many_songs[:4])).mean() > 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda edits: 1.0, r"returned shape \(\) for"),
        (lambda edits: [float("nan")] * len(edits), "is nan; scores must be finite"),
        (3.0, "the reward is a float; give a function"),
    ],
)
def test_a_wrong_reward_is_refused_before_anything_is_trained(many_songs, function, message):
    policy = new_policy()
    with pytest.raises(InputError, match=message):
        train_policy(policy, function, many_songs[:2])
    assert not policy.last.network.get("net.2.bias", np.zeros(N_PLAN)).any()
    with pytest.raises(InputError, match="no songs to train"):
        train_policy(policy, loops, [])
