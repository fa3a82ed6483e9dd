"""Answers stay attached to their pairs when candidates are generated again."""

import pytest
from rating_material import small_manifest, small_songs

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.carry_over import CarryOver, answers_to
from rlhf_lib.feedback.manifest import Candidate, Manifest, SongEntry, Task
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.rater_history import RaterHistory
from rlhf_lib.listening.session import AnnotationSession

SONGS = list(small_songs(4).values())
ALONE = {"repeat_share": 0.0}


def numbered(songs) -> Manifest:
    """A manifest whose song ids are places in the list, 10 pairs per song."""
    return small_manifest({f"song_{place}": song for place, song in enumerate(songs)})


BEFORE, AFTER = numbered(SONGS[1:]), numbered(SONGS)


@pytest.fixture
def store(tmp_path):
    return PreferenceStore(tmp_path / "feedback")


def rate(store, manifest, n, rater="anna", **options) -> list[Annotation]:
    session = AnnotationSession(manifest, store, rater, **(ALONE | options))
    return [session.answer("left", 2) for _ in range(n)]


def content(manifest, song_id, edit_id) -> tuple:
    edit = manifest.candidate(song_id, edit_id)
    return manifest.song(song_id).sha256, edit.target_keep_ratio, tuple(edit.actions)


def pair(manifest, one) -> frozenset:
    """What was compared, without any id."""
    ids = (one.edit_a_id, one.edit_b_id)
    return frozenset(content(manifest, one.song_id, edit_id) for edit_id in ids)


def rebuilt(manifest, rename=lambda name: name, swap=False, **changes) -> Manifest:
    """The same manifest with other ids of candidates, swapped sides, or one changed field."""
    songs = []
    for song in manifest.songs:
        candidates = [
            Candidate(**one.model_dump() | {"id": rename(one.id)}) for one in song.candidates
        ]
        fields = song.model_dump() | {"candidates": candidates} | changes
        songs.append(SongEntry(**fields))
    tasks = []
    for task in manifest.tasks:
        a, b = rename(task.edit_a_id), rename(task.edit_b_id)
        a, b = (b, a) if swap else (a, b)
        tasks.append(Task(**task.model_dump() | {"edit_a_id": a, "edit_b_id": b}))
    return Manifest.create(manifest.policy, songs, tasks)


def test_answers_survive_a_song_that_is_added(store):
    given = rate(store, BEFORE, 6)
    # The new first song takes the id of the old one: ids are no help.
    assert AFTER.song("song_0").sha256 != BEFORE.song("song_0").sha256
    session = AnnotationSession(AFTER, store, "anna", **ALONE)
    assert session.progress == (6, 40)
    assert (session.unmatched_answers, session.notice) == (0, "")
    asked = set()
    while session.task is not None:
        asked.add(pair(AFTER, session.task.task))
        session.answer("left", 1)
    assert len(asked) == 34
    assert asked.isdisjoint(pair(BEFORE, one) for one in given)


def test_answers_about_songs_that_are_gone_are_counted_and_named_once(store):
    given = rate(store, AFTER, 40)
    session = AnnotationSession(numbered(SONGS[2:]), store, "anna", **ALONE)
    assert session.progress == (20, 20)
    assert session.unmatched_answers == 20
    assert session.notice == (
        "Earlier answers of 'anna' about pairs that are not in this manifest: 20. "
        "They stay in the store and still count in training."
    )
    assert store.load() == given
    for other in ("bert", "anna"):  # nothing to say to another rater, or about answers that fit
        manifest = AFTER if other == "anna" else numbered(SONGS[2:])
        assert AnnotationSession(manifest, store, other).notice == ""


def test_a_corrected_answer_counts_once(store):
    session = AnnotationSession(BEFORE, store, "anna", **ALONE)
    session.answer("left", 1)
    session.undo()
    session.answer("right", 3)
    assert AnnotationSession(AFTER, store, "anna").progress[0] == 1
    gone = numbered([SONGS[0]])
    assert AnnotationSession(gone, store, "anna").unmatched_answers == 1


def test_what_another_rater_answered_under_another_manifest_is_not_asked_again(store):
    rate(store, BEFORE, 30, overlap=0.0)
    session = AnnotationSession(AFTER, store, "bert", overlap=0.0, **ALONE)
    assert session.progress == (0, 10)
    assert session.unmatched_answers == 0


def test_only_answers_of_this_manifest_can_be_undone(store):
    rate(store, BEFORE, 3)
    session = AnnotationSession(AFTER, store, "anna", **ALONE)
    assert not session.can_undo
    assert not session.undo()
    assert session.previous_answer is None
    first = session.answer("left", 1)
    assert session.undo()
    assert session.previous_answer == first
    assert not session.can_undo and not session.undo()
    corrected = session.answer("tie")
    assert corrected.supersedes == first.annotation_id
    assert session.progress == (4, 40)
    # Back under the first manifest, its own answers can be undone, and the one of the other not.
    session = AnnotationSession(BEFORE, store, "anna", **ALONE)
    assert session.progress[0] + session.unmatched_answers == 4


@pytest.mark.parametrize("swap", [False, True])
def test_a_carried_answer_prefers_the_same_edit(store, swap):
    (given,) = rate(store, BEFORE, 1)
    other = rebuilt(BEFORE, lambda name: f"new_{name}", swap)
    (carried,) = answers_to(other, [given], store.find_manifest)
    assert (carried.edit_a_id, carried.edit_b_id) == (
        f"new_{given.edit_a_id}",
        f"new_{given.edit_b_id}",
    )
    assert (carried.preference, carried.shown_first) == (given.preference, given.shown_first)
    assert carried.manifest_id == other.manifest_id
    assert other.task(carried.task_id).song_id == given.song_id
    # On screen the same edit was on the left, whatever the task calls it.
    history = RaterHistory.read([given], CarryOver(other, store.find_manifest), "anna", "human")
    left = given.edit_a_id if given.shown_first == "a" else given.edit_b_id
    assert history.past[0].left_id == f"new_{left}"


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "f" * 64},
        {"beat_times": [0.5 * beat + 0.002 for beat in range(40)]},
    ],
)
def test_another_song_or_beat_grid_is_another_pair(store, changes):
    given = rate(store, BEFORE, 4)
    other = rebuilt(numbered(SONGS[1:2]), **changes)
    assert answers_to(other, given, store.find_manifest) == []


def test_other_actions_or_another_target_are_another_pair(store):
    (song,) = numbered(SONGS[:1]).songs
    first, second = song.candidates[:2]
    rate(store, numbered(SONGS[:1]), 10)
    one_beat = 0.5 / song.duration
    for changes in (
        {},
        {"target_keep_ratio": second.target_keep_ratio + 0.01},
        {
            "actions": [*second.actions[:-1], 1],  # one beat more is cut
            "n_beats_kept": second.n_beats_kept - 1,
            "keep_ratio": second.keep_ratio - one_beat,
            "duration": second.duration - 0.5,
        },
    ):
        changed = Candidate(**second.model_dump() | changes)
        entry = SongEntry(**song.model_dump() | {"candidates": [first, changed]})
        task = Task(task_id="t", song_id=song.id, edit_a_id=first.id, edit_b_id=second.id)
        manifest = Manifest.create(BEFORE.policy, [entry], [task])
        session = AnnotationSession(manifest, store, "anna")
        same = int(not changes)
        assert (session.progress[0], session.unmatched_answers) == (same, 10 - same), changes


def test_of_several_tasks_about_equal_edits_the_answered_one_is_found(store):
    """A variant may be the same edit as another one; each task keeps its own answer."""
    (song,) = numbered(SONGS[:1]).songs
    first, second = song.candidates[:2]
    twin = Candidate(**second.model_dump() | {"id": "twin"})
    entry = SongEntry(**song.model_dump() | {"candidates": [first, second, twin]})
    tasks = [
        Task(task_id=f"with_{b}", song_id=song.id, edit_a_id=first.id, edit_b_id=b)
        for b in (second.id, "twin")
    ]
    manifest = Manifest.create(BEFORE.policy, [entry], tasks)
    given = rate(store, manifest, 2)
    more = Manifest.create(BEFORE.policy, [entry, *numbered(SONGS).songs[1:]], tasks)
    carried = answers_to(more, given, store.find_manifest)
    assert [one.task_id for one in carried] == [one.task_id for one in given]
    assert {one.task_id for one in carried} == {"with_temp_0.3", "with_twin"}


def test_an_answer_whose_manifest_is_unknown_or_not_kept_is_unmatched(store):
    (given,) = rate(store, BEFORE, 1)
    fields = given.model_dump() | {"listening": None}
    store.add(Annotation(**fields | {"annotation_id": "none", "manifest_id": None}))
    store.add(Annotation(**fields | {"annotation_id": "lost", "manifest_id": "0" * 64}))
    session = AnnotationSession(AFTER, store, "anna")
    assert (session.progress[0], session.unmatched_answers) == (1, 2)
    assert store.find_manifest("0" * 64) is None
    assert store.find_manifest("../claims") is None


def test_a_kept_manifest_that_was_changed_is_named(store):
    rate(store, BEFORE, 1)
    path = store.folder / "manifests" / f"{BEFORE.manifest_id}.json"
    path.write_text(path.read_text().replace("policy_v14", "policy_v99"))
    with pytest.raises(InputError, match=rf"{BEFORE.manifest_id}\.json.*was changed"):
        AnnotationSession(AFTER, store, "anna")
