"""The manifest: the songs, their candidates, and the pairs to compare."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from rlhf_lib.analysis.bars import Bars
from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import N_ACTIONS, PLAYS, Action, Edit
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.validation import (
    Id,
    OtherEdit,
    Positive,
    Record,
    RelativePath,
    Seconds,
    Sha256,
    as_input_error,
    refuse_repeats,
)
from rlhf_lib.paths import atomic_path

#: The id of a song's check candidate: an obviously bad edit, which no rater should prefer.
CHECK_ID = "check"
#: The largest difference allowed between a stored keep ratio and the one of its actions.
_RATIO_TOLERANCE = 0.01

ActionValue = Annotated[int, Field(ge=0, lt=N_ACTIONS)]


class Candidate(Record):
    """One edit of a song by one policy at one temperature, rendered to audio."""

    id: Id = Field(description="a name unique within the song, e.g. temp_0.1 or temp_0.1_v2")
    temperature: float = Field(ge=0.1, le=0.9, description="the temperature, 0.1 to 0.9")
    target_keep_ratio: Positive = Field(description="the target keep ratio")
    keep_ratio: Positive = Field(description="duration of the edit / duration of the song")
    actions: list[ActionValue] = Field(description="one action 0 to 8 per beat of the song")
    n_beats_kept: int = Field(
        ge=1, description="the number of beats that are not cut; a looped beat counts once"
    )
    n_beats_total: int = Field(ge=1, description="the number of beats of the song")
    duration: Positive = Field(description="the length of the edit in s")
    path: RelativePath = Field(description="the audio file, relative to the manifest's folder")
    loudness: float = Field(description="the loudness in LUFS")
    sha256: Sha256 | None = Field(default=None, description="the hash of the audio file, or null")

    def edit(self, song: Song) -> Edit:
        """Return this candidate as an edit of the loaded song."""
        return Edit(song, np.array(self.actions), self.target_keep_ratio)


class SongEntry(Record):
    """A song of a manifest with its beat grid and its candidates."""

    id: Id = Field(description="a name unique within the manifest, e.g. song_3f2a9c01")
    path: RelativePath = Field(description="the original, relative to the manifest's folder")
    sha256: Sha256 = Field(description="the hash of the original's audio file")
    duration: Positive = Field(description="the length of the song in s")
    beat_times: list[Seconds] = Field(
        min_length=1, description="the beats in s, strictly increasing, within the song"
    )
    candidates: list[Candidate] = Field(min_length=1, description="the edits of this song")
    downbeats: list[int] | None = Field(
        default=None, description="the beats that begin a bar, from 0; null if unknown"
    )
    sections: list[tuple[str, int, int]] | None = Field(
        default=None, description="label, first beat and end of each given section; null if none"
    )
    name: str | None = Field(
        default=None, description="the song's own name, which raters never see, or null"
    )

    @property
    def edits(self) -> list[Candidate]:
        """The candidates that a policy made: all but the check candidate."""
        return [candidate for candidate in self.candidates if candidate.id != CHECK_ID]

    @model_validator(mode="after")
    def _consistent(self):
        if any(later <= earlier for earlier, later in pairwise(self.beat_times)):
            raise ValueError(f"song {self.id!r}: beat_times do not strictly increase; sort them")
        if self.beat_times[-1] > self.duration:
            raise ValueError(
                f"song {self.id!r}: its last beat at {self.beat_times[-1]} s lies after its end "
                f"at {self.duration} s; give the beats of this file"
            )
        if self.downbeats is not None:
            starts = [start for _, start, _ in self.sections or ()]
            try:
                Bars(np.array(self.downbeats), len(self.beat_times), starts)
            except InputError as error:
                raise ValueError(f"song {self.id!r}: {error}") from None
        refuse_repeats([candidate.id for candidate in self.candidates], "candidate id")
        for candidate in self.candidates:
            self._check_candidate(candidate)
        return self

    def _check_candidate(self, candidate: Candidate) -> None:
        name = f"candidate {candidate.id!r} of song {self.id!r}"
        n_beats = len(self.beat_times)
        if len(candidate.actions) != n_beats or candidate.n_beats_total != n_beats:
            raise ValueError(
                f"{name}: {len(candidate.actions)} actions and n_beats_total "
                f"{candidate.n_beats_total} for {n_beats} beats; give one action per beat"
            )
        kept = sum(action != Action.CUT for action in candidate.actions)
        if candidate.n_beats_kept != kept:
            raise ValueError(
                f"{name}: n_beats_kept is {candidate.n_beats_kept}, but its actions keep {kept}"
            )
        lengths = np.diff([0.0, *self.beat_times[1:], self.duration])
        played = float(PLAYS[candidate.actions] @ lengths)
        for field, ratio in (
            ("keep_ratio", candidate.keep_ratio),
            ("duration", candidate.duration / self.duration),
        ):
            if abs(ratio - played / self.duration) > _RATIO_TOLERANCE:
                raise ValueError(
                    f"{name}: its actions play {played:.2f} of {self.duration:.2f} s, but its "
                    f"{field} is {getattr(candidate, field)}; generate the candidates again"
                )


def song_names(songs: Sequence[SongEntry]) -> list[str]:
    """Return what each song is called in tables and plots: its name, or its id without one.

    Songs that share a name get the digits of their ids too. Raters never see these names.
    """
    names = [song.name or song.id for song in songs]
    times = Counter(names)
    return [
        f"{name}_{song.id.removeprefix('song_')}" if times[name] > 1 else name
        for song, name in zip(songs, names, strict=True)
    ]


class Task(Record):
    """Two candidates of one song to compare."""

    task_id: Id = Field(description="a name unique within the manifest")
    song_id: Id = Field(description="the id of a song of the manifest")
    edit_a_id: Id = Field(description="the id of one candidate of the song")
    edit_b_id: OtherEdit = Field(description="the id of another candidate of the song")
    check: Literal["a", "b"] | None = Field(
        default=None, description="the edit that is obviously better, or null for a real question"
    )

    @model_validator(mode="after")
    def _check_is_named(self):
        bad = {self.edit_a_id: "b", self.edit_b_id: "a"}.get(CHECK_ID)
        if self.check != bad:
            raise ValueError(
                f"task {self.task_id!r}: check is {self.check!r}, but its edits are "
                f"{self.edit_a_id!r} and {self.edit_b_id!r}; check names the side that is not "
                f"{CHECK_ID!r}, and is null when no side is"
            )
        return self


class PolicyRef(Record):
    """The policy that made the candidates."""

    name: Id = Field(description="the name of the policy, e.g. policy_v14")
    sha256: Sha256 = Field(description="the hash of its checkpoint")


class Manifest(Record):
    """Songs, candidates and tasks of one evaluation; `manifest_id` is the hash of the content."""

    schema_version: Literal[1] = Field(description="1")
    policy: PolicyRef = Field(description="the policy that made the candidates")
    songs: list[SongEntry] = Field(min_length=1, description="the songs with their candidates")
    tasks: list[Task] = Field(description="the pairs to compare")
    manifest_id: Sha256 = Field(description="the sha256 of the content without this field")

    @classmethod
    def create(
        cls,
        policy: PolicyRef,
        songs: list[SongEntry],
        tasks: list[Task],
        *,
        source: str = "manifest",
    ) -> "Manifest":
        """Return the manifest of this content, with its id.

        Raises
        ------
        InputError
            When songs, candidates and tasks are inconsistent.
        """
        content = {"schema_version": 1, "policy": policy, "songs": songs, "tasks": tasks}
        unchecked = cls.model_construct(**content, manifest_id="")
        try:
            return cls(**content, manifest_id=unchecked.content_hash())
        except ValidationError as error:
            raise as_input_error(error, "manifest", cls) from None

    @classmethod
    def load(cls, path: str | Path) -> "Manifest":
        """Read and verify a manifest.

        Raises
        ------
        InputError
            When the file cannot be read, is not valid, or was changed after it was written.
        """
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror}; give the evaluation_manifest.json that "
                "generate_eval_candidates wrote"
            ) from error
        except ValidationError as error:
            raise as_input_error(error, str(path), cls) from None

    def save(self, path: str | Path) -> None:
        """Write the manifest to `path`, completely or not at all."""
        with atomic_path(path) as part:
            part.write_text(self.model_dump_json(), encoding="utf-8")

    def content_hash(self) -> str:
        """Return the sha256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the content.

        Optional fields at their default are left out, so that a later version can add one
        without changing the ids of older manifests.
        """
        content = self.model_dump(mode="json", exclude={"manifest_id"}, exclude_defaults=True)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def song_names(self) -> dict[str, str]:
        """Return what each song is called in tables and plots, by its id; see `song_names`."""
        return dict(zip((song.id for song in self.songs), song_names(self.songs), strict=True))

    def song(self, song_id: str) -> SongEntry:
        """Return the song with this id; InputError when there is none."""
        return _named(self.songs, song_id, "the manifest has no song")

    def candidate(self, song_id: str, candidate_id: str) -> Candidate:
        """Return a candidate of a song; InputError when there is none."""
        candidates = self.song(song_id).candidates
        return _named(candidates, candidate_id, f"song {song_id!r} has no candidate")

    def task(self, task_id: str) -> Task:
        """Return the task with this id; InputError when there is none."""
        return _named(self.tasks, task_id, "the manifest has no task")

    @model_validator(mode="after")
    def _consistent(self):
        refuse_repeats([song.id for song in self.songs], "song id")
        refuse_repeats([task.task_id for task in self.tasks], "task_id")
        known = {song.id: {candidate.id for candidate in song.candidates} for song in self.songs}
        for task in self.tasks:
            missing = {task.edit_a_id, task.edit_b_id} - known.get(task.song_id, set())
            if missing:
                raise ValueError(
                    f"task {task.task_id!r} names {sorted(missing)} of song {task.song_id!r}, "
                    "which the manifest does not have; correct the task or remove it"
                )
        if self.manifest_id != self.content_hash():
            raise ValueError(
                f"manifest_id {self.manifest_id[:12]}… does not match the content "
                f"({self.content_hash()[:12]}…): the file was changed after it was written; "
                "restore it or generate the candidates again"
            )
        return self


def _named(entries: list, name: str, nothing: str):
    names = [entry.task_id if isinstance(entry, Task) else entry.id for entry in entries]
    if name not in names:
        raise InputError(f"{nothing} {name!r}; it has {', '.join(names[:20])}")
    return entries[names.index(name)]
