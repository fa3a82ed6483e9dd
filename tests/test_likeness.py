"""Beats of one kind: exact repeats are found, random beats are kept apart."""

import numpy as np
import pytest

from rlhf_lib.analysis.likeness import kinds

PATTERN = np.random.default_rng(3).normal(size=(16, 8))


def test_exact_repeats_are_of_one_kind():
    """Beat 16 and beat 0 follow different beats; the passages after them are the same."""
    found = kinds(np.tile(PATTERN, (5, 1)))
    middle = found[16:64].reshape(3, 16)
    assert (middle == middle[0]).all()
    assert len(set(middle[0])) == 16
    assert (found[1:15] == np.arange(1, 15)).all()
    assert (middle[0, 1:15] == np.arange(1, 15)).all()


def test_kinds_are_numbered_by_first_appearance():
    found = kinds(np.concatenate([PATTERN, PATTERN[::-1], PATTERN]))
    first = np.unique(found, return_index=True)[1]
    assert found[first].tolist() == list(range(len(first)))
    assert (np.diff(first) > 0).all()


def test_unlike_beats_get_different_kinds():
    assert kinds(np.random.default_rng(0).normal(size=(40, 20))).tolist() == list(range(40))


def test_the_passage_counts_and_not_the_single_beat():
    """The same beat between other neighbours gets another kind."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(41, 8))
    points[30] = points[10]
    found = kinds(points)
    assert found[30] != found[10]


@pytest.mark.parametrize("noise, alike", [(0.1, True), (1.5, False)])
def test_a_small_variation_is_still_alike(noise, alike):
    rng = np.random.default_rng(2)
    points = np.concatenate([PATTERN, PATTERN + noise * rng.normal(size=PATTERN.shape)])
    found = kinds(points)
    assert (found[18:30] == found[2:14]).all() == alike


def test_only_relative_distances_count():
    """Rotated, moved and scaled points have the same kinds."""
    rng = np.random.default_rng(4)
    points = np.tile(PATTERN, (3, 1)) + 0.3 * rng.normal(size=(48, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert (kinds(points) == kinds(7.0 * points @ turn + 2.0)).all()


@pytest.mark.parametrize("n_beats", [2, 9])
def test_a_constant_sound_is_one_kind(n_beats):
    assert kinds(np.ones((n_beats, 5))).tolist() == [0] * n_beats
