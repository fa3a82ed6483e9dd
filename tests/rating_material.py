"""A small manifest over songs without sound, for tests of sessions and of the annotator."""

from itertools import combinations

import numpy as np
from toy import toy_song

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit, target_keep_ratio
from rlhf_lib.feedback.manifest import Candidate, Manifest, PolicyRef, SongEntry, Task

TEMPERATURES = (0.1, 0.3, 0.5, 0.7, 0.9)


def small_songs(n_songs: int, n_beats: int = 40, period: float = 0.5) -> dict[str, Song]:
    """Return songs by the ids that `small_manifest` uses."""
    return {f"song_{k + 1:03d}": toy_song(n_beats, seed=k, period=period) for k in range(n_songs)}


def small_manifest(songs: dict[str, Song], n_candidates: int = 5) -> Manifest:
    """Return a manifest with every pair of each song's candidates as a task."""
    entries, tasks = [], []
    for song_id, song in songs.items():
        candidates = [_candidate(song_id, song, t) for t in TEMPERATURES[:n_candidates]]
        entries.append(
            SongEntry(
                id=song_id,
                path=f"{song_id}/original.wav",
                sha256=song.sha256,
                duration=song.duration,
                beat_times=song.beat_times.tolist(),
                candidates=candidates,
                name=song.song_id,
            )
        )
        for a, b in combinations(candidates, 2):
            tasks.append(
                Task(
                    task_id=f"task_{len(tasks):03d}",
                    song_id=song_id,
                    edit_a_id=a.id,
                    edit_b_id=b.id,
                )
            )
    return Manifest.create(PolicyRef(name="policy_v14", sha256="0" * 64), entries, tasks)


def _candidate(song_id: str, song: Song, temperature: float) -> Candidate:
    actions = np.zeros(song.n_beats, dtype=int)
    n_cut = round((1 - target_keep_ratio(temperature)) * song.n_beats)
    actions[8 : 8 + n_cut] = 1
    edit = Edit(song, actions, target_keep_ratio(temperature))
    return Candidate(
        id=f"temp_{temperature}",
        temperature=temperature,
        target_keep_ratio=edit.target,
        keep_ratio=edit.keep_ratio,
        actions=actions.tolist(),
        n_beats_kept=song.n_beats - n_cut,
        n_beats_total=song.n_beats,
        duration=edit.duration,
        path=f"{song_id}/{song_id}_temp_{temperature}.wav",
        loudness=-14.0,
    )
