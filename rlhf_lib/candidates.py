"""The candidates of an evaluation: edits of each song, their audio, the pairs to compare."""

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.records import Candidate, Manifest, PolicyRef, SongEntry, Task
from rlhf_lib.feedback.validation import inside
from rlhf_lib.learning.active import disagreement, select
from rlhf_lib.learning.editing_env import EditingEnv
from rlhf_lib.learning.planner import Plan
from rlhf_lib.learning.policy import Policy, rollout
from rlhf_lib.learning.reward_model import RewardModel
from rlhf_lib.learning.song_tensors import SongTensors
from rlhf_lib.music.audio import load_audio, loudness, save_audio
from rlhf_lib.music.edit import TEMPERATURES, Action, Edit, target_keep_ratio
from rlhf_lib.music.render import render
from rlhf_lib.music.song import Song, load_song
from rlhf_lib.paths import atomic_path

MANIFEST_NAME = "evaluation_manifest.json"
#: Spread of the log-normal factors on the policy's weights for the second and later variants
#: of a temperature: good edits of the same length that are not the same.
VARIANT_SPREAD = 0.7


def candidate_edits(
    policy: Policy, songs: list[Song], per_song: int, seed: int
) -> list[list[tuple[str, float, Edit]]]:
    """Return `per_song` edits of each song as (candidate id, temperature, edit).

    The first five are the policy's own, one at each temperature. Further ones plan under
    randomly re-weighted rewards, so that people can be asked about edits of equal length.
    """
    if per_song < 2:
        raise InputError(f"candidates_per_song is {per_song}; a comparison needs at least 2")
    scale = policy.feature_scale
    tensors = SongTensors.build(songs, scale, policy.weights.device)
    weights = policy.weights.cpu().numpy()
    rng = np.random.default_rng(seed)
    out = [[] for _ in songs]
    for variant in range(-(-per_song // len(TEMPERATURES))):
        names = TEMPERATURES[: per_song - variant * len(TEMPERATURES)]
        factors = np.ones((len(songs), len(weights)))
        if variant:
            factors = np.exp(VARIANT_SPREAD * rng.normal(size=factors.shape))
        plan = Plan.build(tensors, weights * factors)
        song = torch.arange(len(songs)).repeat_interleave(len(names))
        targets = [target_keep_ratio(t) for t in names] * len(songs)
        target = torch.tensor(targets, dtype=torch.float64)
        edits = rollout(policy, EditingEnv(plan, song, target), greedy=True)
        for place, edit in enumerate(edits):
            temperature = names[place % len(names)]
            name = f"temp_{temperature}" + (f"_v{variant + 1}" if variant else "")
            out[place // len(names)].append((name, temperature, edit))
    return out


def comparison_tasks(song_id: str, edits: list[tuple[str, float, Edit]]) -> list[Task]:
    """Return the pairs worth comparing: all of the first variants, then equal temperatures.

    Pairs whose edits are the same are left out.
    """
    first = [edit for edit in edits if "_v" not in edit[0]]
    pairs = list(combinations(first, 2))
    pairs += [p for p in combinations(edits, 2) if p[0][1] == p[1][1] and p not in pairs]
    return [
        Task(task_id=f"{song_id}__{a[0]}__{b[0]}", song_id=song_id, edit_a_id=a[0], edit_b_id=b[0])
        for a, b in pairs
        if not np.array_equal(a[2].actions, b[2].actions)
    ]


def generate_candidates(
    songs: list[Song],
    policy: Policy,
    policy_ref: PolicyRef,
    output_dir: str | Path,
    per_song: int = len(TEMPERATURES),
    seed: int = 0,
) -> Manifest:
    """Edit and render every song, and write the manifest last.

    The folder stands alone: it holds a copy of each original beside its edits.

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
        Of the variants.

    Returns
    -------
    Manifest
        As written to ``evaluation_manifest.json``.
    """
    output_dir = Path(output_dir)
    entries, tasks = [], []
    edits_of = candidate_edits(policy, songs, per_song, seed)
    pairs = zip(songs, edits_of, strict=True)
    for number, (song, edits) in enumerate(tqdm(pairs, "rendering", len(songs), unit="song"), 1):
        song_id = f"song_{number:03d}"
        audio = load_audio(song.path)
        candidates = []
        for name, temperature, edit in edits:
            sound = render(edit, audio)
            path = f"{song_id}/{song_id}_{name}.wav"
            save_audio(output_dir / path, sound)
            candidates.append(
                Candidate(
                    id=name,
                    temperature=temperature,
                    target_keep_ratio=edit.target,
                    keep_ratio=edit.keep_ratio,
                    actions=edit.actions.tolist(),
                    n_beats_kept=int((edit.actions != Action.CUT).sum()),
                    n_beats_total=song.n_beats,
                    duration=edit.duration,
                    path=path,
                    loudness=loudness(sound),
                )
            )
        original = _copy_original(song, output_dir / song_id / f"{song_id}_original")
        entries.append(
            SongEntry(
                id=song_id,
                path=original.relative_to(output_dir).as_posix(),
                sha256=song.sha256,
                duration=song.duration,
                beat_times=song.beat_times.tolist(),
                candidates=candidates,
            )
        )
        tasks += comparison_tasks(song_id, edits)
    manifest = Manifest.create(policy_ref, entries, tasks)
    manifest.save(output_dir / MANIFEST_NAME)
    return manifest


def load_manifest_songs(
    manifest: Manifest, folder: str | Path, cache_dir: str | Path | None = None
) -> dict[str, Song]:
    """Load the originals of a manifest: song id → Song.

    Raises
    ------
    InputError
        When an original is missing, or is not the one that the candidates were made from.
    """
    songs = {}
    for entry in tqdm(manifest.songs, "loading songs", unit="song", leave=False):
        song = load_song(inside(Path(folder), entry.path), cache_dir)
        if song.sha256 != entry.sha256 or song.n_beats != len(entry.beat_times):
            raise InputError(
                f"{song.path} is not the song the candidates were made from "
                f"({song.n_beats} beats, expected {len(entry.beat_times)}); "
                "generate the candidates again"
            )
        songs[entry.id] = song
    return songs


def select_tasks(
    manifest: Manifest,
    folder: str | Path,
    model: RewardModel,
    n_pairs: int,
    random_share: float = 0.2,
    seed: int = 0,
) -> tuple[Manifest, np.ndarray]:
    """Return a manifest with only the pairs worth asking about, and the model's doubt of each.

    The doubt is the ensemble's disagreement (`rlhf_lib.learning.active`); a random share
    stays in as a fair test of the next reward model.

    Parameters
    ----------
    folder : path
        Of the manifest's audio.
    """
    songs = load_manifest_songs(manifest, folder)
    pairs = [
        tuple(
            manifest.candidate(task.song_id, candidate).edit(songs[task.song_id])
            for candidate in (task.edit_a_id, task.edit_b_id)
        )
        for task in manifest.tasks
    ]
    doubt = disagreement(model, pairs)
    chosen = select(doubt, n_pairs, random_share, np.random.default_rng(seed))
    tasks = [manifest.tasks[place] for place in chosen]
    return Manifest.create(manifest.policy, manifest.songs, tasks), doubt[chosen]


def _copy_original(song: Song, place: Path) -> Path:
    """Copy a song, and its beat file where there is one, beside its edits."""
    target = place.with_name(place.name + song.path.suffix)
    beats = song.path.with_suffix(".beats")
    for source in (song.path, beats) if beats.is_file() else (song.path,):
        with atomic_path(target.with_suffix(source.suffix)) as part:
            shutil.copyfile(source, part)
    return target
