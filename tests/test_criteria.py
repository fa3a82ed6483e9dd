"""Hidden criteria of edits, against values computed by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from toy import toy_song

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.editing import descriptors
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.raters import criteria as module
from rlhf_lib.raters.criteria import CRITERIA, criteria
from rlhf_lib.raters.simulated import taste_of
from rlhf_lib.raters.tastes import TASTES, Taste

SONG = toy_song(240)  # 0.5 s a beat, two minutes
SOUND = ("uneven_onsets", "spectral_jumps", "loudness_steps", "harshest_seam")


def edit_of(song, *cut, **other):
    """Return the edit that cuts [start, stop) spans; `other` maps action names to beats."""
    actions = np.zeros(song.n_beats, int)
    for start, stop in cut:
        actions[start:stop] = Action.CUT
    for name, beats in other.items():
        actions[beats] = Action[name]
    return Edit(song, actions, 1.0)


def one(name, edit):
    return float(criteria(edit, [name])[0])


def with_feature(song, name, values):
    features = song.features.copy()
    features[:, FEATURE_NAMES.index(name)] = values
    return replace(song, features=features)


def test_excess_seams_are_counted_per_minute_beyond_the_free_ones():
    assert one("excess_seams", edit_of(SONG)) == 0.0
    assert one("excess_seams", edit_of(toy_song(260), (100, 110))) == 0.0  # one in 125 s
    # Four seams in 118 s, half a seam a minute is free.
    four = edit_of(SONG, (50, 51), (100, 101), (150, 151), (200, 201))
    assert one("excess_seams", four) == pytest.approx(4 * 60 / 118 - 0.5)


def test_crowding_is_summed_over_neighbouring_seams():
    # Joins at 25, 30 and 80 s of the edit: 5 s apart, then 50 s.
    edit = edit_of(SONG, (50, 51), (61, 63), (163, 164))
    assert one("crowding", edit) == pytest.approx((1 - 5 / 30) ** 2)
    assert one("crowding", edit_of(SONG, (50, 51))) == 0.0
    close = edit_of(SONG, (50, 51), (61, 63), (83, 85))  # a third one, 10 s later
    assert one("crowding", close) == pytest.approx((1 - 5 / 30) ** 2 + (1 - 10 / 30) ** 2)


def with_hooks(monkeypatch, passages):
    """A song with these hook passages; a new one, because what is read of a song is remembered."""
    found = np.array(passages, dtype=int).reshape(-1, 2)
    monkeypatch.setattr(descriptors, "choruses", lambda song: found)
    return replace(SONG)


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ((0, 1), 1.0),  # elsewhere
        ((100, 101), 1.0),  # the other passage is whole
        ((30, 110), 0.0),  # half of the first, none of the second
        ((20, 116), 0.5),  # 36 of 40 beats of the second: between 0.8 and 1
        ((20, 110), 1.0),
    ],
)
def test_a_chorus_counts_when_nearly_all_of_it_is_played(monkeypatch, cut, expected):
    passages = {(30, 110): [[20, 60], [90, 130]], (20, 116): [[20, 60], [112, 152]]}
    song = with_hooks(monkeypatch, passages.get(cut, [[20, 60], [112, 152]]))
    assert one("unbroken_chorus", edit_of(song, cut)) == pytest.approx(expected)


def test_a_chorus_in_two_pieces_is_not_whole(monkeypatch):
    song = with_hooks(monkeypatch, [[20, 60]])
    assert one("unbroken_chorus", edit_of(song)) == 1.0
    assert one("unbroken_chorus", edit_of(song, (40, 41))) == 0.0
    assert one("unbroken_chorus", edit_of(song, REORDER_2=[40])) == 0.0
    assert one("unbroken_chorus", edit_of(with_hooks(monkeypatch, []))) == 0.0


def test_climax_is_the_rise_of_the_level_towards_the_end():
    level = np.where(np.arange(240) < 160, -20.0, -17.0)
    level[216:] = -60.0  # the fade of the last tenth does not count
    song = with_feature(SONG, "rms_mean", level)
    assert one("climax", edit_of(song)) == pytest.approx(3.0 / 4.0)
    # Cut in half the edit's last third begins at beat 200: half of what comes before is soft.
    cut = edit_of(with_feature(SONG, "rms_mean", np.maximum(level, -20.0)), (0, 120))
    late = (16 * -17.0 + 12 * -20.0) / 28
    assert one("climax", cut) == pytest.approx((late - -18.5) / 4.0)
    falling = with_feature(SONG, "rms_mean", -level)
    assert one("climax", edit_of(falling)) == pytest.approx(-3.0 / 4.0)
    steep = with_feature(SONG, "rms_mean", 10 * level)
    assert one("climax", edit_of(steep)) == 1.0


def test_repeats_after_a_while_count_as_heard_again():
    rng = np.random.default_rng(3)
    verse, chorus, end = (rng.normal(size=(32, SONG.features.shape[1])) for _ in range(3))
    song = toy_song(128)
    song = replace(song, features=np.concatenate([verse, chorus, verse, end]))
    # Of 125 passages of four beats the 29 that lie wholly in the second verse, after 32 s.
    assert one("heard_again", edit_of(song)) == pytest.approx(29 / 125 * math.exp(-32 / 30))
    assert one("heard_again", edit_of(song, (64, 96))) == 0.0
    assert one("heard_again", edit_of(song, (0, 32))) == 0.0
    # Sixteen beats of the chorus less: the verse is back after 24 s.
    sooner = one("heard_again", edit_of(song, (40, 56)))
    assert sooner == pytest.approx(29 / 109 * math.exp(-24 / 30))
    # A bar repeated at once is the same groove.
    bar = song.features.copy()
    bar[40:44] = bar[36:40]
    assert one("heard_again", edit_of(replace(song, features=bar), (64, 96))) == 0.0


def test_loops_do_not_count_as_leaps():
    assert one("leaps", edit_of(SONG, LOOP_4=[50])) == 0.0
    assert one("leaps", edit_of(SONG, (50, 51), LOOP_4=[100])) == 1.0
    assert one("leaps", edit_of(SONG, REORDER_1=[50])) == 3.0


def test_loops_of_the_hook_saturate():
    song = with_feature(SONG, "hook", np.where(np.arange(240) < 120, 0.0, 1.0))
    assert one("hook_loops", edit_of(song, LOOP_4=[10, 20])) == 0.0  # no hook there
    looped = edit_of(song, LOOP_2=[150], LOOP_3=[200])  # three beats more, 243 in all
    assert one("hook_loops", looped) == pytest.approx(1 - math.exp(-3 / 243 / 0.02))
    assert one("hook_loops", edit_of(song, REORDER_1=[200])) == 0.0
    assert one("hook_loops", edit_of(song, (200, 201))) == 0.0


def test_the_taste_for_loops_has_an_optimum():
    song = with_feature(SONG, "hook", np.where(np.arange(240) < 120, 0.0, 1.0))
    taste = Taste(TASTES["loops"])
    utilities = [
        taste.utility(edit_of(song, LOOP_2=list(range(130, 130 + 4 * n, 4)))) for n in range(25)
    ]
    best = int(np.argmax(utilities))
    assert 1 < best < 20
    assert utilities[-1] < utilities[best] - 0.5


def test_steps_back_count_as_shuffling():
    assert one("shuffling", edit_of(SONG)) == 0.0
    assert one("shuffling", edit_of(SONG, (50, 90))) == 0.0
    assert one("shuffling", edit_of(SONG, LOOP_3=[50])) == 0.0
    # Beats 50 and 100 each go back once, in two minutes.
    moved = edit_of(SONG, REORDER_1=[50], REORDER_4=[100])
    assert one("shuffling", moved) == pytest.approx(1 - math.exp(-1.0 / 2.0))


def test_criteria_of_the_sound_are_summed_over_the_seams(monkeypatch):
    faults = np.array([[0.1, 0.5, 0.0], [0.2, 0.1, 0.4]])
    monkeypatch.setattr(module, "seam_faults", lambda edit: faults)
    edit = edit_of(SONG, (50, 51), (80, 82))
    assert criteria(edit, SOUND) == pytest.approx([0.3, 0.6, 0.4, 0.7])
    monkeypatch.setattr(module, "seam_faults", lambda edit: np.zeros((0, 3)))
    assert np.array_equal(criteria(edit, SOUND), np.zeros(4))


def test_only_the_named_criteria_are_computed():
    edit = edit_of(SONG, (50, 51))  # a toy song has no audio
    names = [name for name in CRITERIA if name not in SOUND]
    assert np.isfinite(criteria(edit, names)).all()
    assert criteria(edit, []).shape == (0,)
    for name in SOUND:
        with pytest.raises(InputError, match="no audio file"):
            criteria(edit, [name])


def test_short_edits_have_finite_criteria():
    song = toy_song(16)
    for kept in (1, 2, 5):
        edit = edit_of(song, (kept, 16))
        assert np.isfinite(criteria(edit, [n for n in CRITERIA if n not in SOUND])).all()


def test_no_criterion_is_a_descriptor():
    assert not set(CRITERIA) & set(DESCRIPTOR_NAMES)


def test_an_unknown_criterion_is_refused():
    with pytest.raises(InputError, match="unknown criterion 'swing'"):
        criteria(edit_of(SONG), ["crowding", "swing"])


def test_every_descriptor_and_criterion_can_have_a_weight_and_be_a_reason():
    for name in (*DESCRIPTOR_NAMES, *CRITERIA):
        for weight in (-1.0, 1.0):
            reasons = {Taste({name: weight}).reason(np.array([gain])) for gain in (1.0, -1.0)}
            assert len(reasons) == 2


def test_named_tastes_differ_and_are_valid():
    assert len({str(sorted(weights)) for weights in TASTES.values()}) == len(TASTES)
    for name in TASTES:
        assert taste_of(name).by_name == TASTES[name]
