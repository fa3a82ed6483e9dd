"""New policy against old by listening: edits of both, side by side, without a name on them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from rlhf_lib.candidate_files import MANIFEST_NAME, song_on_disk
from rlhf_lib.errors import InputError
from rlhf_lib.evaluation import policy_edits
from rlhf_lib.feedback.records import VOTE_FOR_A, Annotation, Manifest, PolicyRef, Task
from rlhf_lib.learning.policy import Policy
from rlhf_lib.music.edit import TEMPERATURES, target_keep_ratio
from rlhf_lib.music.song import Song
from rlhf_lib.parallel import run

_SIDES = ("new", "old")
_TEMPERATURE = {target_keep_ratio(one): one for one in TEMPERATURES}


def blind_test(
    new: Policy, old: Policy, songs: list[Song], ref: PolicyRef, folder: str | Path
) -> Manifest:
    """Render both policies' greedy edits of every song at equal lengths; ask where they differ.

    The manifest, written last, and the audio serve the annotator as any candidates do. It shows
    neither the names of the edits nor which policy made them.

    Parameters
    ----------
    songs : list of Song
        That neither policy learned from.
    ref : PolicyRef
        Of the new policy.
    folder : path
        Songs that are finished there are not rendered again.

    Raises
    ------
    InputError
        When the two edit every song alike: then there is nothing to ask.
    """
    folder = Path(folder)
    made = [policy_edits(policy, songs, greedy=True) for policy in (new, old)]
    named, tasks = [], []
    for number, song in enumerate(songs, 1):
        name, edits = f"song_{number:03d}", []
        pairs = [pair for pair in zip(*made, strict=True) if pair[0].song is song]
        for pair in pairs:
            temperature = _TEMPERATURE[pair[0].target]
            ids = [f"{side}_{temperature}" for side in _SIDES]
            edits += [(one, temperature, edit) for one, edit in zip(ids, pair, strict=True)]
            if not np.array_equal(pair[0].actions, pair[1].actions):
                task = {"song_id": name, "edit_a_id": ids[0], "edit_b_id": ids[1]}
                tasks.append(Task(task_id=f"{name}__{temperature}", **task))
        named.append((song, name, edits))
    if not tasks:
        raise InputError("both policies edit every song alike, so there is nothing to compare")
    entries = run(partial(song_on_disk, folder=folder), named, jobs=1, label="rendering")
    manifest = Manifest.create(ref, entries, tasks)
    manifest.save(folder / MANIFEST_NAME)
    return manifest


def blind_votes(answers: Sequence[Annotation], manifest: Manifest) -> pd.DataFrame:
    """Return who won, as raters heard it.

    Repeats share one vote. Where both policies made the same edit nobody was asked; such a pair
    counts as even, as long as its song was rated at all. "Can't tell" is left out.

    Parameters
    ----------
    answers : sequence of Annotation
        The standing ones (``PreferenceStore.current``); those to other manifests are passed over.

    Returns
    -------
    DataFrame
        song, temperature, rater ("" where nobody was asked), win (of the new policy: 1 won,
        ½ even, 0 lost).

    Raises
    ------
    InputError
        When there is no answer yet.
    """
    rows = []
    for one in answers:
        if one.manifest_id == manifest.manifest_id and not one.cant_tell:
            win = VOTE_FOR_A[one.preference]
            new_first = one.edit_a_id.startswith(_SIDES[0])
            temperature = float(one.edit_a_id.split("_")[1])
            rows.append((one.song_id, temperature, one.rater_id, win if new_first else 1 - win))
    if not rows:
        raise InputError("nobody has compared the two policies yet: rate some pairs, then go on")
    columns = ["song", "temperature", "rater", "win"]
    votes = pd.DataFrame(rows, columns=columns).groupby(columns[:3], as_index=False).mean()
    asked = {task.task_id for task in manifest.tasks}
    even = [
        (song, temperature, "", 0.5)
        for song in votes["song"].unique()
        for temperature in sorted({c.temperature for c in manifest.song(song).candidates})
        if f"{song}__{temperature}" not in asked
    ]
    both = [votes, pd.DataFrame(even, columns=columns)] if even else [votes]
    return pd.concat(both, ignore_index=True)
