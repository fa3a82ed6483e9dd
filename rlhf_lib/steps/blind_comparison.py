"""Blind comparison of a new and an old policy by listeners, who see no names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit, temperature_of
from rlhf_lib.editing.whole_edit import LENGTH_UNIT
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import VOTE_FOR_A, Annotation
from rlhf_lib.feedback.manifest import Manifest, PolicyRef, Task
from rlhf_lib.learning.policy.policy import Policy
from rlhf_lib.steps.calibration import wilson_interval
from rlhf_lib.steps.candidate_files import MANIFEST_NAME, CandidateEdit, songs_on_disk
from rlhf_lib.steps.candidate_names import song_ids
from rlhf_lib.steps.evaluation import clustered_rate

_SIDES = ("new", "old")


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
            temperature = temperature_of(pair[0].target)
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


def blind_edits(manifest: Manifest, songs: Mapping[str, Song]) -> list[tuple[Edit, Edit]]:
    """Return the edits of a blind comparison, song by song: the new policy's and the old one's.

    Parameters
    ----------
    songs : dict of song id → Song
        From `rlhf_lib.steps.candidate_files.load_manifest_songs`.
    """
    return [
        (ours.edit(songs[entry.id]), theirs.edit(songs[entry.id]))
        for entry in manifest.songs
        for ours, theirs in zip(entry.candidates[::2], entry.candidates[1::2], strict=True)
    ]


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


def interval_widths(
    answers: Sequence[Annotation],
    manifest: Manifest,
    raters: Sequence[int] = (1, 2, 4, 8),
    seed: int = 0,
) -> pd.DataFrame:
    """Return half the width of the win rate's 95 % interval, for fewer raters and fewer pairs.

    Raters are taken by name, pairs in the order of a rater's answers.

    Returns
    -------
    DataFrame
        One row per number of raters (at most all), one column per number of pairs: half of the
        tasks, all tasks.

    Raises
    ------
    InputError
        When there is no answer.
    """
    by_rater: dict[str, list[Annotation]] = {}
    for answer in answers:
        by_rater.setdefault(answer.rater_id, []).append(answer)
    widths = {}
    for n_raters in sorted({min(number, len(by_rater)) for number in raters}):
        for n_pairs in sorted({-(-len(manifest.tasks) // 2), len(manifest.tasks)}):
            chosen = sorted(by_rater)[:n_raters]
            some = [one for rater in chosen for one in by_rater[rater][:n_pairs]]
            votes = blind_votes(some, manifest)
            rate = clustered_rate(votes["win"], votes["song"], seed)
            widths[n_raters, n_pairs] = (rate.high - rate.low) / 2
    table = pd.Series(widths).unstack()
    return table.rename_axis(index="raters", columns="pairs of each rater")


def success_table(
    votes: pd.DataFrame, edits: Sequence[Edit], accuracies: pd.DataFrame, old: str, seed: int = 0
) -> pd.DataFrame:
    """Return the claims about a new policy, each with its measurement and whether it is met.

    Parameters
    ----------
    votes : DataFrame
        From `blind_votes`.
    edits : sequence of Edit
        The new policy's.
    accuracies : DataFrame
        From `rlhf_lib.steps.evaluation.accuracy_table`, on the pairs of the comparison.
    old : str
        Name of the old policy.

    Returns
    -------
    DataFrame
        claim, value, low, high (95 % interval: over songs; of shares of songs and of edits
        Wilson's), wanted, met.
    """
    won = clustered_rate(votes["win"], votes["song"], seed)
    fair = votes.groupby("song")["win"].mean() >= 0.5
    kept = np.array([abs(edit.keep_ratio - edit.target) <= LENGTH_UNIT for edit in edits])
    ranks = accuracies.set_index("scorer").loc["reward model", ["accuracy", "low", "high"]]
    rows = [
        (f"win rate over {old}", won.value, won.low, won.high, "low > 0.5"),
        ("songs not worse off", *_share(fair), "all"),
        (f"lengths within {LENGTH_UNIT} of target", *_share(kept), "all"),
        ("model ranks as the raters", *ranks, "low > 0.5"),
    ]
    table = pd.DataFrame(rows, columns=["claim", "value", "low", "high", "wanted"])
    return table.assign(
        met=np.where(table["wanted"] == "all", table["value"] == 1, table["low"] > 0.5)
    )


def _share(held: Sequence[bool]) -> tuple[float, float, float]:
    """Return the share of the cases that hold, with Wilson's interval."""
    share = float(np.mean(held))
    return share, *map(float, wilson_interval(share, len(held)))
