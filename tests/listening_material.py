"""A folder of candidates whose samples encode the place in the song, for browser tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from rating_material import small_songs

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.render import render
from rlhf_lib.feedback.manifest import CHECK_ID, Candidate, Manifest, PolicyRef, SongEntry, Task

RATE = 44100
N_BEATS, PERIOD = 48, 0.5  # 24 s
#: Two edits that share most of the song: one cuts, one repeats, delays and cuts the start.
CUT = {range(16, 24): Action.CUT, range(40, 44): Action.CUT}
MOVED = {range(0, 4): Action.CUT, range(12, 13): Action.LOOP_3, range(30, 31): Action.REORDER_2}


def ramp(duration: float) -> Audio:
    """Return a sound whose sample at t seconds is 0.05 + 0.9 · t / duration."""
    t = np.arange(round(duration * RATE)) / RATE
    return Audio((0.05 + 0.9 * t / duration)[:, None], RATE)


def listening_folder(folder: Path, n_songs: int = 3) -> Manifest:
    """Write songs of `ramp`, their edits and a manifest of two tasks and a check per song."""
    entries, tasks = [], []
    for song_id, song in small_songs(n_songs, N_BEATS, PERIOD).items():
        song = replace(song, sample_rate=RATE, n_samples=round(N_BEATS * PERIOD * RATE))
        audio = ramp(song.duration)
        save_audio(folder / f"{song_id}/original.wav", audio)
        edits = {
            "temp_0.3": _edit(song, CUT, 0.75),
            "temp_0.5": _edit(song, MOVED, 0.95),
            "temp_0.7": _edit(song, CUT | {range(28, 36): Action.CUT}, 0.6),
            CHECK_ID: _edit(song, {range(1, N_BEATS, 2): Action.CUT}, 0.5),
        }
        candidates = []
        for name, edit in edits.items():
            path = f"{song_id}/{song_id}_{name}.wav"
            save_audio(folder / path, render(edit, audio))
            candidates.append(_candidate(name, edit, path))
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
        for a, b in (("temp_0.3", "temp_0.5"), ("temp_0.3", "temp_0.7"), ("temp_0.7", CHECK_ID)):
            tasks.append(
                Task(
                    task_id=f"{song_id}__{a}__{b}",
                    song_id=song_id,
                    edit_a_id=a,
                    edit_b_id=b,
                    check="a" if b == CHECK_ID else None,
                )
            )
    manifest = Manifest.create(PolicyRef(name="policy_v14", sha256="0" * 64), entries, tasks)
    manifest.save(folder / "evaluation_manifest.json")
    return manifest


def _edit(song, actions: dict[range, Action], target: float) -> Edit:
    values = np.zeros(song.n_beats, dtype=int)
    for places, action in actions.items():
        values[list(places)] = action
    return Edit(song, values, target)


def _candidate(name: str, edit: Edit, path: str) -> Candidate:
    return Candidate(
        id=name,
        temperature=0.5,
        target_keep_ratio=edit.target,
        keep_ratio=edit.keep_ratio,
        actions=edit.actions.tolist(),
        n_beats_kept=int((edit.actions != Action.CUT).sum()),
        n_beats_total=edit.song.n_beats,
        duration=edit.duration,
        path=path,
        loudness=-14.0,
    )


def heard_in_song(blocks: list) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of recorded sound and its positions in the song.

    Parameters
    ----------
    blocks : list of [s, samples]
        As `heard()` of a recording page returns them, with songs of `ramp`.

    Returns
    -------
    moments, positions : (n,) arrays
        s on the clock of the sound, and s in the song; silence, and 30 ms after and before it,
        where the sound fades, are left out.
    """
    rate = len(blocks[0][1]) / (blocks[1][0] - blocks[0][0])
    samples = np.concatenate([block for _, block in blocks])
    assert np.isfinite(rate) and rate > 0
    moments = np.concatenate([start + np.arange(len(block)) / rate for start, block in blocks])
    loud = np.flatnonzero(samples > 0.03)
    margin = round(0.03 * rate)
    part = slice(loud[0] + margin, loud[-1] - margin)
    return moments[part], (samples[part] - 0.05) / 0.9 * N_BEATS * PERIOD
