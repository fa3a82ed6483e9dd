"""The files of a manifest: write edits and originals as audio, and find the originals again."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from tqdm.auto import tqdm

from rlhf_lib.analysis.audio import find_audio, load_audio, save_audio
from rlhf_lib.analysis.beat_files import beats_text, file_beside
from rlhf_lib.analysis.song import Song, load_song
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.loudness import loudness
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Candidate, Manifest, SongEntry, song_names
from rlhf_lib.feedback.validation import inside
from rlhf_lib.parallel import run
from rlhf_lib.paths import atomic_path, file_sha256
from rlhf_lib.steps.candidate_names import (
    AUDIO_FORMATS,
    AudioFormat,
    file_name,
    song_place,
    sound_path,
)
from rlhf_lib.steps.rendering_cost import announce

MANIFEST_NAME = "evaluation_manifest.json"


@dataclass(frozen=True, eq=False)
class CandidateEdit:
    """An edit that is, or will be, a candidate of its song.

    Attributes
    ----------
    id : str
        Unique within the song.
    temperature : float
    variant : int
        1 for the policy's own edit at the temperature, 2, 3 … for others of the same length.
    edit : Edit
    """

    id: str
    temperature: float
    variant: int
    edit: Edit


def songs_on_disk(
    work: Sequence[tuple[Song, str, Sequence[CandidateEdit]]],
    folder: Path,
    audio_format: AudioFormat = "wav",
    jobs: int | None = 1,
    scheduler: str | None = None,
) -> list[SongEntry]:
    """Return the entries of songs; render the audio that is missing.

    Before any audio is replaced, its size and the time are printed, and the folder's manifest is
    removed, because it lists the old audio.

    Parameters
    ----------
    work : sequence of (song, song_id, candidates)
    folder : Path
    audio_format : "wav" or "flac"
        Of the candidates; FLAC has exactly the samples of the WAV.
    jobs, scheduler
        See `rlhf_lib.parallel.run`.

    Raises
    ------
    InputError
        When the free space is smaller than what is needed; then nothing was replaced.
    """
    find = partial(_finished, folder=folder, audio_format=audio_format)
    found = run(find, work, jobs, scheduler, "checking")
    missing = [one for one, entry in zip(work, found, strict=True) if entry is None]
    if missing:
        announce(
            [(song, [one.edit for one in edits]) for song, _, edits in missing],
            folder,
            audio_format,
            sum(_size_now(*one, folder) for one in missing),
            jobs,
            scheduler,
        )
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
    render_one = partial(_rendered, folder=folder, audio_format=audio_format)
    rendered = iter(run(render_one, missing, jobs, scheduler, "rendering"))
    return [entry or next(rendered) for entry in found]


def _finished(job: tuple, folder: Path, audio_format: AudioFormat) -> SongEntry | None:
    return finished_song(*job, folder, audio_format)


def _rendered(job: tuple, folder: Path, audio_format: AudioFormat) -> SongEntry:
    return render_song(*job, folder, audio_format)


def finished_song(
    song: Song,
    song_id: str,
    edits: Sequence[CandidateEdit],
    folder: Path,
    audio_format: AudioFormat = "wav",
) -> SongEntry | None:
    """Return the entry that `render_song` wrote for the same edits; None when anything differs.

    The note next to the audio is used only if every file still has the hash in it.
    """
    try:
        entry = SongEntry.model_validate_json(_note_path(song, song_id, folder).read_bytes())
    except (OSError, ValidationError):
        return None
    made = [
        (one.id, one.path, one.temperature, one.target_keep_ratio, one.actions)
        for one in entry.candidates
    ]
    wanted = [
        (
            one.id,
            sound_path(song, song_id, one.id, audio_format),
            one.temperature,
            one.edit.target,
            one.edit.actions.tolist(),
        )
        for one in edits
    ]
    same_song = entry.sha256 == song.sha256 and entry.beat_times == song.beat_times.tolist()
    same_song &= (entry.downbeats, entry.sections) == _bars_and_sections(song)
    if not same_song or (entry.id, entry.name) != (song_id, song.song_id) or made != wanted:
        return None
    try:
        rendered = all(
            file_sha256(inside(folder, one.path)) == one.sha256 for one in entry.candidates
        )
    except InputError:
        return None
    copied = all(_is_copied(*pair) for pair in _copies(song, song_id, folder))
    return entry if rendered and copied else None


def render_song(
    song: Song,
    song_id: str,
    edits: Sequence[CandidateEdit],
    folder: Path,
    audio_format: AudioFormat = "wav",
) -> SongEntry:
    """Render the edits of a song into its folder, with a copy of the original.

    The folder has the song's name and the digits of its id (``better_3f2a9c01``). Every file is
    written atomically; the same candidate in the other format is removed. The note with the entry
    (``better_edits.json``, read by `finished_song`) is written last.
    """
    note = _note_path(song, song_id, folder)
    for stale in (note, *note.parent.glob(f".{file_name(song.song_id)}_*")):  # left by a killed run
        stale.unlink(missing_ok=True)
    audio = load_audio(song.path)
    candidates = []
    for one in edits:
        edit = one.edit
        sound = render(edit, audio)
        path = sound_path(song, song_id, one.id, audio_format)
        save_audio(folder / path, sound)
        for other in AUDIO_FORMATS:
            if other != audio_format:
                (folder / sound_path(song, song_id, one.id, other)).unlink(missing_ok=True)
        candidates.append(
            Candidate(
                id=one.id,
                temperature=one.temperature,
                target_keep_ratio=edit.target,
                keep_ratio=edit.keep_ratio,
                actions=edit.actions.tolist(),
                n_beats_kept=int((edit.actions != Action.CUT).sum()),
                n_beats_total=song.n_beats,
                duration=edit.duration,
                path=path,
                loudness=loudness(sound),
                sha256=file_sha256(folder / path),
            )
        )
    copies = _copies(song, song_id, folder)
    for source, target in copies:
        _copy(source, target)
    downbeats, sections = _bars_and_sections(song)
    entry = SongEntry(
        id=song_id,
        path=copies[0][1].relative_to(folder).as_posix(),
        sha256=song.sha256,
        duration=song.duration,
        beat_times=song.beat_times.tolist(),
        candidates=candidates,
        downbeats=downbeats,
        sections=sections,
        name=song.song_id,
    )
    with atomic_path(note) as part:
        part.write_text(entry.model_dump_json(), encoding="utf-8")
    return entry


def load_manifest_songs(
    manifest: Manifest, folder: str | Path, cache_dir: str | Path | None = None
) -> dict[str, Song]:
    """Load the originals of a manifest: song id → Song, each under its own name.

    Raises
    ------
    InputError
        When an original is missing, or is not the one the candidates were made from.
    """
    names = manifest.song_names()
    return {
        entry.id: _load_original(
            entry, names[entry.id], inside(Path(folder), entry.path), cache_dir
        )
        for entry in tqdm(manifest.songs, "loading songs", unit="song", leave=False)
    }


def load_rated_songs(
    annotations: Iterable[Annotation],
    manifests: Mapping[str, Manifest],
    folders: str | Path | Sequence[str | Path],
    cache_dir: str | Path | None = None,
) -> dict[str, Song]:
    """Load the originals of the rated songs from any of the folders: sha256 → Song.

    An original is searched at the path in its manifest, then among all audio files below the
    folders, by the hash of its content. So one fit can use feedback on several sets of
    candidates.

    Parameters
    ----------
    annotations : iterable of Annotation
    manifests : mapping
        manifest_id → Manifest; annotations of other manifests are ignored.
    folders : path or sequence of paths
        Folders of candidates, or of songs.
    cache_dir : path, optional
        See `load_song`.

    Raises
    ------
    InputError
        When a song is in none of the folders, or its beats differ from those that the candidates
        were made with; the message names the song.
    """
    folders = [Path(one) for one in ([folders] if isinstance(folders, str | Path) else folders)]
    needed: dict[str, SongEntry] = {}
    for annotation in annotations:
        manifest = manifests.get(annotation.manifest_id or "")
        if manifest is not None:
            entry = manifest.song(annotation.song_id)
            needed.setdefault(entry.sha256, entry)
    places = _find_originals(needed, folders)
    names = dict(zip(needed, song_names([*needed.values()]), strict=True))
    return {
        sha256: _load_original(entry, names[sha256], places[sha256], cache_dir)
        for sha256, entry in tqdm(needed.items(), "loading songs", unit="song", leave=False)
    }


def _find_originals(needed: Mapping[str, SongEntry], folders: list[Path]) -> dict[str, Path]:
    places = {}
    for sha256, entry in needed.items():
        for folder in folders:
            named = inside(folder, entry.path)
            if named.is_file() and file_sha256(named) == sha256:
                places.setdefault(sha256, named)
    missing = needed.keys() - places.keys()
    for folder in folders if missing else ():
        for path in find_audio(folder):
            if (sha256 := file_sha256(path)) in missing:
                places.setdefault(sha256, path)
    for sha256 in missing - places.keys():
        entry = needed[sha256]
        name = entry.name or entry.id
        raise InputError(
            f"the original of song {name!r} ({entry.path}, sha256 {sha256[:12]}…) is not below "
            f"{', '.join(map(str, folders))}; give the folder of the candidates that were rated"
        )
    return places


def _load_original(entry: SongEntry, name: str, path: Path, cache_dir: str | Path | None) -> Song:
    song = load_song(path, cache_dir)
    same_beats = song.n_beats == len(entry.beat_times) and np.allclose(
        song.beat_times, entry.beat_times, rtol=0, atol=1e-3
    )
    if song.sha256 != entry.sha256 or not same_beats:
        raise InputError(
            f"{song.path} is not the song the candidates were made from "
            f"({song.n_beats} beats, expected {len(entry.beat_times)} at the same times); "
            "generate the candidates again"
        )
    known = entry.downbeats is not None  # older manifests do not say
    if known and (entry.downbeats, entry.sections) != _bars_and_sections(song):
        raise InputError(
            f"{song.path} has other bars or sections than the song the candidates were made from; "
            "restore the .beats and .sections files next to it, or generate the candidates again"
        )
    return replace(song, song_id=name)


def _bars_and_sections(song: Song) -> tuple[list[int], list[tuple[str, int, int]] | None]:
    """Return what a song's entry says of its bars and sections."""
    sections = [(section.label, section.start, section.stop) for section in song.sections]
    return song.downbeats.tolist(), sections or None


def _note_path(song: Song, song_id: str, folder: Path) -> Path:
    # Not the bare name: Windows has no file "con.json".
    return folder / f"{song_place(song, song_id)}_edits.json"


def _size_now(song: Song, song_id: str, edits: Sequence[CandidateEdit], folder: Path) -> int:
    """Return the bytes of a song's files that rendering it replaces or removes."""
    sounds = [
        folder / sound_path(song, song_id, one.id, form) for one in edits for form in AUDIO_FORMATS
    ]
    files = [*sounds, *(target for _, target in _copies(song, song_id, folder))]
    return sum(path.stat().st_size for path in files if path.is_file())


def _copies(song: Song, song_id: str, folder: Path) -> list[tuple[Path | str | None, Path]]:
    """Return a song's audio, beat and section files, if any, each with the place of its copy.

    Beats that beat_this found are given as the text of a beat file, so that later steps need
    neither the network nor its weights.
    """
    place = folder / f"{song_place(song, song_id)}_original"
    beats = file_beside(song.path, ".beats")
    if song.beats_from == "beat_this":
        beats = beats_text(song.beat_times, song.bars)
    return [
        (song.path, place.with_name(place.name + song.path.suffix)),
        (beats, place.with_name(f"{place.name}.beats")),
        (file_beside(song.path, ".sections"), place.with_name(f"{place.name}.sections")),
    ]


def _is_copied(source: Path | str | None, target: Path) -> bool:
    """Return True when the copy has the same content, or both files are missing."""
    if source is None or not target.is_file():
        return source is None and not target.is_file()
    if isinstance(source, str):
        return target.read_bytes() == source.encode()
    return file_sha256(source) == file_sha256(target)


def _copy(source: Path | str | None, target: Path) -> None:
    if source is None:  # a song without such a file
        target.unlink(missing_ok=True)
        return
    with atomic_path(target) as part:
        if isinstance(source, str):
            part.write_text(source, encoding="utf-8")
        else:
            shutil.copyfile(source, part)
