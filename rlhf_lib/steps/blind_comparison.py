"""Blind comparison of a new and an old policy by listeners, who see no names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import TEMPERATURES, target_keep_ratio
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import VOTE_FOR_A, Annotation
from rlhf_lib.feedback.manifest import Manifest, PolicyRef, Task
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.steps.candidate_files import MANIFEST_NAME, CandidateEdit, songs_on_disk
from rlhf_lib.steps.candidate_names import song_ids

_SIDES = ("new", "old")
_TEMPERATURE = {target_keep_ratio(one): one for one in TEMPERATURES}


def blind_comparison(
    new: Policy, old: Policy, songs: list[Song], ref: PolicyRef, folder: str | Path
) -> Manifest:
    """Render both policies' greedy edits at equal lengths; add a task where they differ.

    The manifest, written last, and the audio work in the annotator as any candidates do. The
    annotator shows neither the names of the edits nor which policy made them.

    Parameters
    ----------
    songs : list of Song
        Songs that neither policy was trained on.
    ref : PolicyRef
        Name and hash of the new policy.
    folder : path
        Output; songs that are finished there are not rendered again.

    Raises
    ------
    InputError
        When both policies make the same edits of every song.
    """
    folder = Path(folder)
    made = [policy.edits(songs) for policy in (new, old)]
    work, tasks = [], []
    for song, name in zip(songs, song_ids(songs), strict=True):
        edits = []
        pairs = [pair for pair in zip(*made, strict=True) if pair[0].song is song]
        for pair in pairs:
            temperature = _TEMPERATURE[pair[0].target]
            ids = [f"{side}_{temperature}" for side in _SIDES]
            edits += [
                CandidateEdit(one, temperature, 1, edit)
                for one, edit in zip(ids, pair, strict=True)
            ]
            if not np.array_equal(pair[0].actions, pair[1].actions):
                task = {"song_id": name, "edit_a_id": ids[0], "edit_b_id": ids[1]}
                tasks.append(Task(task_id=f"{name}__{temperature}", **task))
        work.append((song, name, edits))
    if not tasks:
        raise InputError("both policies edit every song alike, so there is nothing to compare")
    manifest = Manifest.create(ref, songs_on_disk(work, folder), tasks)
    manifest.save(folder / MANIFEST_NAME)
    return manifest


def blind_votes(answers: Sequence[Annotation], manifest: Manifest) -> pd.DataFrame:
    """Return the wins of the new policy according to the raters.

    Repeated answers share one vote. A pair of identical edits has no task; it counts as even if
    its song was rated at all. "Can't tell" is left out.

    Parameters
    ----------
    answers : sequence of Annotation
        The current ones; those to other manifests are ignored, so pass them through
        `rlhf_lib.feedback.carry_over.answers_to` if the songs of the test have changed.

    Returns
    -------
    DataFrame
        song (its name), temperature, rater ("" for identical edits), win (of the new policy: 1 won,
        ½ even, 0 lost).

    Raises
    ------
    InputError
        When there is no answer yet.
    """
    new_edits = {(task.song_id, task.edit_a_id) for task in manifest.tasks}
    rows = []
    for one in answers:
        if one.manifest_id == manifest.manifest_id and not one.cant_tell:
            win = VOTE_FOR_A[one.preference]
            if (one.song_id, one.edit_a_id) not in new_edits:
                win = 1 - win
            temperature = manifest.candidate(one.song_id, one.edit_a_id).temperature
            rows.append((one.song_id, temperature, one.rater_id, win))
    if not rows:
        raise InputError("there is no answer yet; first rate some pairs of the two policies")
    columns = ["song", "temperature", "rater", "win"]
    votes = pd.DataFrame(rows, columns=columns).groupby(columns[:3], as_index=False).mean()
    asked = {
        (task.song_id, manifest.candidate(task.song_id, task.edit_a_id).temperature)
        for task in manifest.tasks
    }
    even = [
        (song, temperature, "", 0.5)
        for song in votes["song"].unique()
        for temperature in sorted({c.temperature for c in manifest.song(song).candidates})
        if (song, temperature) not in asked
    ]
    both = [votes, pd.DataFrame(even, columns=columns)] if even else [votes]
    table = pd.concat(both, ignore_index=True)
    return table.assign(song=table["song"].map(manifest.song_names()))
