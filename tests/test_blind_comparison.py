"""Blind comparison of two policies: the tasks, and the votes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from toy import toy_song

from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Candidate, PolicyRef, SongEntry
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS
from rlhf_lib.steps import blind_comparison as module
from rlhf_lib.steps.blind_comparison import (
    blind_comparison,
    blind_edits,
    blind_votes,
    interval_widths,
    success_table,
)

REF = PolicyRef(name="policy_v15", sha256="0" * 64)


def edits_of(songs, starts):
    """One edit of each song and length: a run of beats cut, from `starts` of its length on."""
    out = []
    for song in songs:
        for target, start in zip(CUTTING_TARGETS, starts, strict=True):
            actions = np.zeros(song.n_beats, int)
            actions[start : start + round((1 - target) * song.n_beats)] = 1
            out.append(Edit(song, actions, target))
    return out


def cutting_at(starts):
    """A policy that makes these edits."""
    return SimpleNamespace(edits=lambda songs: edits_of(songs, starts))


def entry_of(song, name, edits, folder):
    """The entry of a song, without sound."""
    candidates = [
        Candidate(
            id=one.id,
            temperature=one.temperature,
            target_keep_ratio=one.edit.target,
            keep_ratio=one.edit.keep_ratio,
            actions=one.edit.actions.tolist(),
            n_beats_kept=int((one.edit.actions != 1).sum()),
            n_beats_total=song.n_beats,
            duration=one.edit.duration,
            path=f"{name}/{one.id}.wav",
            loudness=-14.0,
        )
        for one in edits
    ]
    return SongEntry(
        id=name,
        path=f"{name}/original.wav",
        sha256=song.sha256,
        duration=song.duration,
        beat_times=song.beat_times.tolist(),
        candidates=candidates,
        name=song.song_id,
    )


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A test on two songs; the policies differ at the keep ratios .93 and .73 (0.3 and 0.7)."""
    songs = [toy_song(60, seed) for seed in (0, 1)]
    new, old = cutting_at((8, 8, 8, 8)), cutting_at((16, 8, 16, 8))
    monkeypatch.setattr(
        module, "songs_on_disk", lambda work, folder: [entry_of(*one, folder) for one in work]
    )
    return blind_comparison(new, old, songs, REF, tmp_path), tmp_path


#: Toy songs have the hashes 0…0 and 0…1; they share the first 8 digits, so the ids have all 64.
FIRST, SECOND = f"song_{'0' * 64}", f"song_{'0' * 63}1"


def answer(made, temperature, preference, rater="ann", new="a", song=FIRST, **more):
    ids = [f"new_{temperature}", f"old_{temperature}"]
    ids = ids if new == "a" else ids[::-1]
    strength = 0 if preference == "tie" else 2
    return Annotation.new(
        song_id=song,
        edit_a_id=ids[0],
        edit_b_id=ids[1],
        preference=preference,
        strength=strength,
        rater_id=rater,
        rater_kind="human",
        manifest_id=made[0].manifest_id,
        **more,
    )


def test_tasks_are_only_pairs_that_differ(made):
    manifest, folder = made
    assert [task.task_id for task in manifest.tasks] == [
        f"{song}__{t}" for song in (FIRST, SECOND) for t in (0.3, 0.7)
    ]
    assert module.Manifest.load(folder / "evaluation_manifest.json") == manifest
    assert len(manifest.songs[0].candidates) == 8


def test_votes_are_wins_of_the_new_policy(made):
    answers = [
        answer(made, 0.3, "a"),
        answer(made, 0.3, "a", new="b"),  # the same pair again: now the old one
        answer(made, 0.7, "b", new="b"),
        answer(made, 0.7, "tie", "bert"),
        answer(made, 0.3, "tie", "bert", cant_tell=True),
    ]
    votes = blind_votes(answers, made[0])
    rated = votes[votes["rater"] != ""].set_index(["rater", "temperature"])["win"]
    assert rated.to_dict() == {("ann", 0.3): 0.5, ("ann", 0.7): 1.0, ("bert", 0.7): 0.5}
    # The two lengths with identical edits, of the one song that was rated.
    even = votes[votes["rater"] == ""]
    assert even[["song", "temperature", "win"]].to_numpy().tolist() == [
        ["toy_0", 0.5, 0.5],
        ["toy_0", 0.9, 0.5],
    ]
    assert set(votes["song"]) == {"toy_0"}, "researchers read the names of songs"


def test_no_answer_and_no_tasks_are_refused(made, tmp_path):
    with pytest.raises(InputError, match="there is no answer yet"):
        blind_votes([answer(made, 0.3, "tie", cant_tell=True)], made[0])
    policy = cutting_at((8, 8, 8, 8))
    with pytest.raises(InputError, match="edit every song alike"):
        blind_comparison(policy, policy, [toy_song(60)], REF, tmp_path / "other")
    assert not (tmp_path / "other").exists(), "an earlier test there would be lost"


def test_the_edits_of_the_test_come_in_pairs(made):
    songs = {FIRST: toy_song(60, 0), SECOND: toy_song(60, 1)}
    pairs = blind_edits(made[0], songs)
    expected = edits_of(songs.values(), (8, 8, 8, 8)), edits_of(songs.values(), (16, 8, 16, 8))
    for side, wanted in zip(zip(*pairs, strict=True), expected, strict=True):
        assert [one.actions.tolist() for one in side] == [one.actions.tolist() for one in wanted]
        assert [one.target for one in side] == [one.target for one in wanted]


def test_more_raters_and_more_pairs_narrow_the_interval(made):
    """Ann prefers the new edits of the first song and the old ones of the second, Bert ties.

    The bootstrap draws two songs out of two: the win rate of Ann's votes, with the two pairs of
    equal edits of each song, is 0.75, 0.5 or 0.25, and the extremes have more than 2.5 %.
    """
    tasks = [(song, t) for song in (FIRST, SECOND) for t in (0.3, 0.7)]
    ann = [answer(made, t, "a" if song == FIRST else "b", song=song) for song, t in tasks]
    bert = [answer(made, t, "tie", "bert", song=song) for song, t in tasks]
    table = interval_widths([*bert, *ann], made[0], raters=(1, 2, 4))
    assert list(table.index) == [1, 2] and list(table.columns) == [2, 4]
    assert table.loc[1, 4] == pytest.approx(0.25)
    assert table.loc[2, 4] == pytest.approx((4 / 6 - 2 / 6) / 2)  # 2 of 6 votes are Ann's


def test_each_claim_of_success_is_met_or_not(made):
    """The new policy wins both pairs of the first song and loses those of the second."""
    answers = [answer(made, t, "a") for t in (0.3, 0.7)]
    answers += [answer(made, t, "b", song=SECOND) for t in (0.3, 0.7)]
    edits = edits_of([toy_song(60, 0)], (8, 8, 8, 8))
    ranks = [("reward model", 0.8, 0.6, 0.9), ("baseline: always a", 0.5, 0.4, 0.6)]
    accuracies = pd.DataFrame(ranks, columns=["scorer", "accuracy", "low", "high"])
    votes = blind_votes(answers, made[0])
    table = success_table(votes, edits, accuracies, "policy_v14").set_index("claim")
    assert table["value"].tolist() == pytest.approx([0.5, 0.5, 1.0, 0.8])
    assert table["met"].tolist() == [False, False, True, True]
    assert table.loc["model ranks as the raters", "low"] == 0.6
    share = binomtest(1, 2).proportion_ci(method="wilson")
    found = table.loc["songs not worse off", ["low", "high"]].tolist()
    assert found == pytest.approx([share.low, share.high])
    stretched = [Edit(edits[0].song, edits[0].actions, 0.5)]
    table = success_table(votes, stretched, accuracies, "policy_v14").set_index("claim")
    assert not table.loc["lengths within 0.03 of target", "met"]
