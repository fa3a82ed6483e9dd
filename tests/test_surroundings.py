"""Spans around joins and ends, and the guess where a voice sings, on songs whose sound is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from toy import toy_song

from rlhf_lib.analysis.audio import Audio
from rlhf_lib.analysis.feature_table import FEATURE_GROUPS, FEATURE_NAMES
from rlhf_lib.analysis.features import beat_features
from rlhf_lib.analysis.singing import sung_bounds, voices
from rlhf_lib.analysis.surroundings import Surroundings
from rlhf_lib.editing.descriptors import (
    ADDITIVE_NAMES,
    descriptors_by_name,
    step_descriptors,
    weight_vector,
)
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.learning.planning.plans import exact
from rlhf_lib.learning.planning.search import whole_edits

HEARING = ("harmony_jump", "level_jump", "sung", "lost_ends", "strange_ends")
SINGING = ("band_400_800", "contrast_1600_3200", *(f"mfcc_std_{k}" for k in (7, 8, 9, 10)))


def edit_of(song, *kept, target=0.5):
    actions = np.full(song.n_beats, Action.CUT)
    for start, stop in kept:
        actions[start:stop] = Action.KEEP
    return Edit(song, actions, target)


def sections(levels=(-10.0, -30.0, -50.0, -70.0)):
    """Return 64 beats of 0.5 s: four sections of 16, each with its own pitch class and level."""
    song = toy_song(64)
    features = np.zeros_like(song.features)
    section = np.repeat(np.arange(4), 16)
    features[np.arange(64), FEATURE_GROUPS["chroma"].start + section] = 1.0
    features[:, FEATURE_NAMES.index("rms_mean")] = np.array(levels)[section]
    return replace(song, features=features)


def half_sung():
    """Return 64 beats of which 16 to 47 sound like singing, one standard deviation above."""
    song = toy_song(64)
    features = song.features.copy()
    for name in SINGING:
        features[:, FEATURE_NAMES.index(name)] = np.repeat([0.0, 7.0, 7.0, 0.0], 16)
    return replace(song, features=features)


def test_jumps_by_hand():
    """Two seconds are four beats; most random places differ by one step of 20 dB and by pitch."""
    jumps = sections().surroundings.jumps
    for i, j, harmony, level in (
        (7, 24, 0.5, 0.5),  # section 0 to 1 on both sides: the distance of a random place
        (7, 40, 0.5, 0.75),  # two steps of level: 1 − 2^−2
        (15, 24, 1 - 2**-0.5, 1 - 2**-0.5),  # goes on as expected, but comes from elsewhere
        (4, 9, 0.0, 0.0),  # within one section
        (20, 21, 0.0, 0.0),
        (63, 24, 0.5, 1 - 2**-2),  # nothing follows the end, so only what comes before counts
        (63, 0, 1.0, 1.0),  # nothing to compare
    ):
        got = jumps(np.array(i), np.array(j))
        assert got == pytest.approx([harmony, level], abs=2e-3), (i, j)


def test_a_grid_of_jumps_equals_single_ones():
    around = toy_song(80, seed=3).surroundings
    beats = np.arange(80)
    grid = around.jumps(beats[:, None], beats[None, :])
    i, j = np.random.default_rng(0).integers(0, 80, (2, 200))
    assert grid[i, j] == pytest.approx(around.jumps(i, j), abs=1e-5)
    assert (grid[beats[:-1], beats[1:]] == 0).all()
    assert ((grid >= 0) & (grid <= 1)).all()


def test_a_song_that_hardly_changes_has_no_jumps():
    around = Surroundings(np.tile(toy_song(1 + 63).features[:1], (64, 1)), np.full(64, 0.5))
    inside = around.jumps(np.arange(62), np.arange(62, 0, -1))
    assert inside == pytest.approx(0, abs=1e-4)
    assert around.as_beginning[:60] == pytest.approx(0, abs=1e-4)


def test_beginnings_and_endings_by_hand():
    """Sections differ in harmony alone, so half of the cost (timbre) is always 0."""
    around = sections().surroundings
    assert around.as_beginning[[0, 12, 16, 40]] == pytest.approx([0, 0, 0.25, 0.25], abs=1e-3)
    assert around.as_ending[[64, 52, 48, 20]] == pytest.approx([0, 0, 0.25, 0.25], abs=1e-3)


def test_tones_and_noise_are_told_apart():
    """Sixteen beats each of 440 Hz, of 622 Hz (a tritone), of 440 Hz again and of noise."""
    rate, second = 22050, np.arange(22050 * 8) / 22050
    low, high = (0.3 * np.sin(2 * np.pi * f * second) for f in (440.0, 622.25))
    noise = 0.05 * np.random.default_rng(0).normal(size=len(second))
    sound = np.concatenate([low, high, low, noise]).astype(np.float32)
    times = np.arange(64) * 0.5
    features = beat_features(Audio(sound[:, None], rate), times, np.arange(0, 64, 4)).features
    around = Surroundings(features, np.full(64, 0.5))
    harmony = around.jumps(np.array([7, 7, 7]), np.array([40, 24, 56]))[:, 0]
    assert harmony[0] < 0.05
    assert harmony[1] > 0.3
    assert harmony[2] > 0.2
    assert around.as_beginning[36] < 0.05
    assert around.as_beginning[[20, 52]].min() > 0.3


def test_singing_by_hand():
    song = half_sung()
    assert voices(song.features) == pytest.approx(np.repeat([-1.0, 1.0, 1.0, -1.0], 16))
    sung = sung_bounds(song.features)
    assert sung.shape == (65,)
    assert sung[[0, 64]].tolist() == [0, 0]
    assert sung[[8, 16, 32, 48, 60]] == pytest.approx(expit([-2.0, 0.0, 2.0, 0.0, -2.0]))
    silent = sung_bounds(np.zeros((32, len(FEATURE_NAMES))))
    assert silent[1:-1] == pytest.approx(0.5)


def test_singing_is_counted_at_both_sides_of_a_join_and_at_cut_ends():
    song = half_sung()
    inside, outside = expit(2.0), expit(-2.0)
    for kept, expected in (
        (((0, 64),), 0.0),
        (((0, 8), (24, 64)), outside + inside),
        (((0, 24), (40, 64)), 2 * inside),
        (((8, 64),), outside),
        (((0, 32),), inside),
        (((4, 24), (40, 60)), 2 * outside + 2 * inside),
    ):
        assert descriptors_by_name(edit_of(song, *kept))["sung"] == pytest.approx(expected)
    actions = np.zeros(64, int)
    actions[30] = Action.LOOP_2  # once back from bound 31 to bound 30
    assert descriptors_by_name(Edit(song, actions, 1.0))["sung"] == pytest.approx(2 * inside)


@pytest.mark.parametrize(
    "start, end, cost", [(8, 0, 1), (0, 24, 2), (4, 0, np.log2(1.5)), (8, 24, 3)]
)
def test_lost_ends_grow_on(start, end, cost):
    edit = edit_of(toy_song(64), (start, 64 - end))
    assert descriptors_by_name(edit)["lost_ends"] == pytest.approx(cost)


def test_strange_ends_and_jumps_of_an_edit():
    song = sections()
    values = descriptors_by_name(edit_of(song, (20, 24), (40, 44)))
    assert values["strange_ends"] == pytest.approx(0.25 + 0.25, abs=2e-3)
    assert values["harmony_jump"] == pytest.approx(0.25, abs=2e-3)
    assert values["level_jump"] == pytest.approx(0.25, abs=2e-3)


def test_no_step_is_paid_for():
    """Every step costs 0 or more, so no weight of a cost can make a seam pay."""
    song = toy_song(96, seed=5)
    every = np.arange(97)
    steps = step_descriptors(song, every[:, None], every[None, :])
    hearing = steps[..., [ADDITIVE_NAMES.index(name) for name in HEARING]]
    assert np.isfinite(hearing).all()
    assert hearing.min() == 0
    assert (hearing[every[:-2], every[1:-1]] == 0).all()
    seams = every[:-1, None] + 1 != every[None, :-1]
    assert hearing[:96, :96].max(axis=-1)[seams].min() > 0


def planned(song, target, **weights):
    (edit,) = whole_edits(song, exact(weight_vector(weights, ADDITIVE_NAMES)), target)
    return edit


def test_a_plan_that_hears_the_ends_cuts_instead_of_cropping():
    """Where it sings alike throughout, a crop has one side in a line and a cut has two."""
    song = toy_song(128)
    features = song.features.copy()
    features[:, [FEATURE_NAMES.index(name) for name in SINGING]] = 0.0
    song = replace(song, features=features)
    cropped = planned(song, 0.7, seams=-0.1, sung=-1.0)
    assert len(cropped.seams) == 0
    assert descriptors_by_name(cropped)["sung"] == pytest.approx(0.5)
    cut = planned(song, 0.7, seams=-0.1, sung=-1.0, lost_ends=-1.0)
    assert len(cut.seams) == 1
    values = descriptors_by_name(cut)
    assert (values["sung"], values["lost_ends"]) == (pytest.approx(1.0), 0)


def test_a_plan_that_hears_singing_cuts_outside_it():
    song = half_sung()
    edit = planned(song, 0.8, sung=-1.0, lost_ends=-1.0)
    assert len(edit.seams) > 0
    sides = np.concatenate([edit.order[edit.seams - 1] + 1, edit.order[edit.seams]])
    assert not ((sides > 17) & (sides < 47)).any()
