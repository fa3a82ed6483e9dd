"""The candidates of an evaluation: edits of each song, their audio, and pairs to compare."""

from __future__ import annotations

from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rlhf_lib.analysis.encode import FLAC_HIGHEST_RATE
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.chop import chopped
from rlhf_lib.editing.edit import TEMPERATURES, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import CHECK_ID, Manifest, PolicyRef, Task
from rlhf_lib.learning.planning.search import alternatives
from rlhf_lib.learning.policy.policy import TARGETS, Policy
from rlhf_lib.learning.reward.active import disagreement, information, select
from rlhf_lib.parallel import run
from rlhf_lib.steps.candidate_files import (
    MANIFEST_NAME,
    CandidateEdit,
    load_manifest_songs,
    songs_on_disk,
)
from rlhf_lib.steps.candidate_names import (
    AUDIO_FORMATS,
    AudioFormat,
    song_ids,
)

if TYPE_CHECKING:
    from rlhf_lib.learning.reward.model import RewardModel

#: Spread of the re-weightings of the policy's reward for the second and later variants of a
#: temperature, which are other good edits of the same length.
VARIANT_SPREAD = 0.7
#: Songs planned in one batch. Fixed, because rounding depends on the batch: so the edits do not
#: depend on the number of processes.
_TOGETHER = 8
#: Share of obvious checks among all tasks, and the least number of tasks for one check.
CHECK_SHARE, CHECKS_FROM = 0.05, 10


def candidate_edits(
    policy: Policy,
    songs: list[Song],
    per_song: int,
    seed: int,
    jobs: int | None = 1,
    scheduler: str | None = None,
) -> list[list[CandidateEdit]]:
    """Return `per_song` candidates of each song.

    The first five are the policy's own, one at each temperature. Further ones are planned under
    randomly re-weighted rewards, so that people can compare edits of equal length.

    For `jobs` and `scheduler` see `rlhf_lib.parallel.run`.
    """
    if per_song < 2:
        raise InputError(f"candidates_per_song is {per_song}; a comparison needs at least 2")
    groups = [songs[at : at + _TOGETHER] for at in range(0, len(songs), _TOGETHER)]
    plan = partial(_planned, policy=policy, per_song=per_song, seed=seed)
    planned = run(plan, list(enumerate(groups)), jobs, scheduler, "planning", "group")
    return [
        [
            CandidateEdit(name, temperature, variant, Edit(song, actions, target))
            for name, temperature, variant, actions, target in edits
        ]
        for song, edits in zip(songs, chain.from_iterable(planned), strict=True)
    ]


def _planned(
    group: tuple[int, list[Song]], policy: Policy, per_song: int, seed: int
) -> list[list[tuple[str, float, int, np.ndarray, float]]]:
    """Return the candidates of a group of songs, without the songs: the caller has them."""
    number, songs = group
    own = policy.edits(songs, TARGETS)
    n_more, rng = -(-per_song // len(TARGETS)) - 1, np.random.default_rng([seed, 0, number])
    more = alternatives(songs, policy.weights, TARGETS, n_more, VARIANT_SPREAD, rng)
    out = []
    for at, song in enumerate(songs):
        edits = []
        for place, temperature in enumerate(TEMPERATURES):
            same_length = [own[at * len(TARGETS) + place], *more[song.sha256][TARGETS[place]]]
            for variant, edit in enumerate(same_length, 1):
                name = f"temp_{temperature}" + (f"_v{variant}" if variant > 1 else "")
                edits.append((name, temperature, variant, edit.actions, edit.target))
        edits.sort(key=lambda one: one[2])  # the policy's own first, then variant by variant
        out.append(edits[:per_song])
    return out


def comparison_tasks(song_id: str, edits: list[CandidateEdit]) -> list[Task]:
    """Return the pairs worth comparing: all of the first variants, then equal temperatures.

    Pairs whose edits are the same are left out.
    """
    pairs = list(combinations([one for one in edits if one.variant == 1], 2))
    pairs += [(a, b) for a, b in combinations(edits, 2) if a.temperature == b.temperature]
    return [
        Task(task_id=f"{song_id}__{a.id}__{b.id}", song_id=song_id, edit_a_id=a.id, edit_b_id=b.id)
        for a, b in pairs
        if not np.array_equal(a.edit.actions, b.edit.actions)
    ]


def n_checks(n_tasks: int) -> int:
    """Return the number of obvious checks for `n_tasks` tasks: 5 % of all tasks.

    At least 1 from 10 tasks on, 0 below.
    """
    return max(1, round(CHECK_SHARE / (1 - CHECK_SHARE) * n_tasks)) if n_tasks >= CHECKS_FROM else 0


def _check_task(song_id: str, edits: list[CandidateEdit], rng: np.random.Generator) -> Task:
    """Add a check candidate to the edits of a song and return the task that compares it."""
    # Compared with the policy's shortest edit: the more is cut, the more obvious the chop.
    own = [one for one in edits if one.variant == 1][-1]
    edits.append(CandidateEdit(CHECK_ID, own.temperature, own.variant, chopped(own.edit, rng)))
    a, b, better = (own.id, CHECK_ID, "a") if rng.integers(2) else (CHECK_ID, own.id, "b")
    return Task(
        task_id=f"{song_id}__{a}__{b}", song_id=song_id, edit_a_id=a, edit_b_id=b, check=better
    )


def generate_candidates(
    songs: list[Song],
    policy: Policy,
    policy_ref: PolicyRef,
    output_dir: str | Path,
    per_song: int = len(TEMPERATURES),
    seed: int = 0,
    jobs: int | None = 1,
    scheduler: str | None = None,
    audio_format: AudioFormat = "wav",
) -> Manifest:
    """Edit and render every song, and write the manifest last.

    The folder is self-contained: it holds each original next to its edits. Some songs get
    one more candidate, `check`, and a task that compares it with an edit of the policy. The
    answer is obvious; it shows whether a rater listens.

    After an interruption the same call resumes: songs finished with the same edits, whose files
    are intact, are not rendered again. An older manifest is removed before its audio is replaced.
    A song's id depends on its content alone (`song_ids`), its folder on its id and name, so songs
    may be added or removed; the folders of songs that are gone, or were renamed, stay.

    Size and time are printed before the first edit is rendered.

    Parameters
    ----------
    songs : list of Song
    policy : Policy
    policy_ref : PolicyRef
        Name and hash of the policy's checkpoint.
    output_dir : path
    per_song : int
        Five: one edit at each temperature; more: variants of equal length.
    seed : int
        Of the variants and the checks.
    jobs, scheduler
        Where planning and rendering run, see `rlhf_lib.parallel.run`; by default this process.
    audio_format : "wav" or "flac"
        Of the candidates. FLAC has exactly the samples of the WAV and takes less space.

    Returns
    -------
    Manifest
        As written to ``evaluation_manifest.json``.

    Raises
    ------
    InputError
        When two songs have the same content, an argument is out of range, or the free space is
        smaller than what is needed; then nothing was replaced.
    """
    if audio_format not in AUDIO_FORMATS:
        raise InputError(f"audio format {audio_format!r} is unknown; choose 'wav' or 'flac'")
    for song in songs:
        if audio_format == "flac" and song.sample_rate > FLAC_HIGHEST_RATE:
            raise InputError(
                f"song {song.song_id!r} has {song.sample_rate} Hz, and FLAC at most "
                f"{FLAC_HIGHEST_RATE}; choose wav"
            )
    output_dir = Path(output_dir).absolute()
    ids = song_ids(songs)
    edits_of = dict(
        zip(ids, candidate_edits(policy, songs, per_song, seed, jobs, scheduler), strict=True)
    )
    tasks_of = {song_id: comparison_tasks(song_id, edits) for song_id, edits in edits_of.items()}
    # A separate random stream, so that the checks do not change the variants.
    rng = np.random.default_rng([seed, 1])
    checked = min(n_checks(sum(map(len, tasks_of.values()))), len(ids))
    for place in sorted(rng.choice(len(ids), checked, replace=False)):
        tasks_of[ids[place]].append(_check_task(ids[place], edits_of[ids[place]], rng))
    work = [(song, song_id, edits_of[song_id]) for song, song_id in zip(songs, ids, strict=True)]
    entries = songs_on_disk(work, output_dir, audio_format, jobs, scheduler)
    tasks = [task for song_id in ids for task in tasks_of[song_id]]
    manifest = Manifest.create(policy_ref, entries, tasks)
    manifest.save(output_dir / MANIFEST_NAME)
    return manifest


def select_tasks(
    manifest: Manifest,
    folder: str | Path,
    model: RewardModel,
    n_pairs: int,
    rule: str = "random",
    random_share: float = 0.2,
    seed: int = 0,
) -> tuple[Manifest, pd.DataFrame]:
    """Return a manifest with only the selected pairs, and how uncertain the model is about each.

    Obvious checks are kept in their usual share, after the chosen pairs.

    Parameters
    ----------
    folder : path
        Folder of the manifest's audio.
    model : RewardModel
        Pairs are chosen by the predictions of its members.
    rule : str
        One of `rlhf_lib.learning.reward.active.RULES`.
    random_share : float
        Share of the pairs chosen at random, as unbiased test data for the next reward model.

    Returns
    -------
    manifest : Manifest
    pairs : DataFrame
        All pairs of the manifest but the obvious checks, in its order: song (its name), edit_a,
        edit_b, disagreement, information, and chosen: 1 for the pair that comes first, 2 …, 0 for
        one that was not chosen.
    """
    songs = load_manifest_songs(manifest, folder)
    questions = [task for task in manifest.tasks if task.check is None]
    checks = [task for task in manifest.tasks if task.check is not None]
    pairs = [
        tuple(
            manifest.candidate(task.song_id, candidate).edit(songs[task.song_id])
            for candidate in (task.edit_a_id, task.edit_b_id)
        )
        for task in questions
    ]
    differences = model.score_differences(pairs)
    chosen = select(differences, n_pairs, rule, random_share, np.random.default_rng(seed))
    tasks = [questions[place] for place in chosen] + checks[: n_checks(len(chosen))]
    names, rank = manifest.song_names(), np.zeros(len(questions), dtype=int)
    rank[chosen] = np.arange(1, len(chosen) + 1)
    table = pd.DataFrame(
        [(names[task.song_id], task.edit_a_id, task.edit_b_id) for task in questions],
        columns=["song", "edit_a", "edit_b"],
    ).assign(
        disagreement=disagreement(differences), information=information(differences), chosen=rank
    )
    return Manifest.create(manifest.policy, manifest.songs, tasks), table
