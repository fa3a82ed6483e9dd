"""The validated data types of the manifest (what is compared) and the annotation (the answer)."""

import hashlib
import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.song_entry import CHECK_ID, Candidate, SongEntry
from rlhf_lib.feedback.validation import (
    Id,
    OtherEdit,
    Record,
    Seconds,
    Sha256,
    Timestamp,
    as_input_error,
    refuse_repeats,
    utc_now,
)
from rlhf_lib.paths import atomic_path

__all__ = [
    "CHECK_ID",
    "TAGS",
    "Annotation",
    "Candidate",
    "Listening",
    "Manifest",
    "PolicyRef",
    "SongEntry",
    "Task",
]

#: The faults of an edit that the annotator offers as buttons; other tags are allowed.
TAGS = ("audible cut", "rhythm break", "lost hook", "too short", "bad ending")

Tag = Annotated[str, Field(max_length=100, pattern=r"^[^\s\p{C};]([^\p{C};]*[^\s\p{C};])?$")]

#: How much of a vote edit a gets from an answer.
VOTE_FOR_A = {"a": 1.0, "tie": 0.5, "b": 0.0}


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
                f"{CHECK_ID!r}, and is null where no side is"
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
            When songs, candidates and tasks do not fit together.
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
        """Write the manifest to `path`, whole or not at all."""
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


class Listening(Record):
    """What the rater heard before answering."""

    seconds_a: Seconds = Field(default=0.0, description="the seconds heard of edit a")
    seconds_b: Seconds = Field(default=0.0, description="the seconds heard of edit b")
    seconds_original: Seconds = Field(default=0.0, description="the seconds heard of the original")
    seams_heard: int = Field(default=0, ge=0, description="how many seams were listened to")


class Annotation(Record):
    """One rater's answer to one task.

    The first six fields are all that an older reader needs. "Can't tell" is stored as a tie
    with ``cant_tell`` true: older readers see a valid tie, ours keep it out of training and
    out of the agreement figures.
    """

    song_id: Id = Field(description="the id of the song")
    edit_a_id: Id = Field(description="the id of edit a")
    edit_b_id: OtherEdit = Field(description="the id of edit b, another one than edit a")
    preference: Literal["a", "b", "tie"] = Field(description="'a', 'b' or 'tie'")
    strength: Annotated[int, Field(ge=0, le=3)] = Field(
        description="1 slight, 2 moderate, 3 strong; 0 exactly when the preference is 'tie'"
    )
    reasoning: str = Field(default="", max_length=10_000, description="free notes, or ''")
    annotation_id: Id = Field(description="a name unique in the world (32 hex digits)")
    manifest_id: Sha256 | None = Field(
        default=None, description="the id of the manifest that was rated, or null"
    )
    task_id: Id | None = Field(default=None, description="the manifest's task, or null")
    rater_id: Id = Field(description="the name of the rater")
    rater_kind: Literal["human", "simulated"] = Field(description="'human' or 'simulated'")
    confidence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="how sure the rater is, 0 to 1, or null when not asked"
    )
    timestamp: Timestamp | None = Field(
        default=None, description="when it was answered, ISO 8601 UTC, or null when unknown"
    )
    seconds_spent: Seconds | None = Field(
        default=None, description="how long the answer took in s, or null when unknown"
    )
    shown_first: Literal["a", "b"] | None = Field(
        default=None, description="which edit stood first (on side A), or null when unknown"
    )
    cant_tell: bool = Field(
        default=False, description="true for \"can't tell\"; then the preference is 'tie'"
    )
    tags: list[Tag] = Field(default=[], description="faults that were heard; no ';' inside a tag")
    listening: Listening | None = Field(
        default=None, description="what was heard, or null when not recorded"
    )
    supersedes: Id | None = Field(
        default=None, description="the annotation_id that this answer replaces, or null"
    )

    @classmethod
    def new(cls, **fields) -> "Annotation":
        """Return an answer given now: `annotation_id` and `timestamp` are set unless given.

        Raises
        ------
        InputError
            Naming the field, its value and what belongs there.
        """
        try:
            return cls(**{"annotation_id": uuid.uuid4().hex, "timestamp": utc_now()} | fields)
        except ValidationError as error:
            raise as_input_error(error, "annotation", cls) from None

    @property
    def time(self) -> datetime | None:
        """The timestamp as an aware datetime, None when unknown."""
        return datetime.fromisoformat(self.timestamp) if self.timestamp else None

    @property
    def pair(self) -> tuple[str | None, str, str, str]:
        """What was compared, whatever the order of the sides: manifest, song, two edit ids."""
        first, second = sorted((self.edit_a_id, self.edit_b_id))
        return self.manifest_id, self.song_id, first, second

    @property
    def is_check(self) -> bool:
        """True for an answer to an obvious check: counted as passed or failed, never learned."""
        return CHECK_ID in (self.edit_a_id, self.edit_b_id)

    @property
    def failed_check(self) -> bool:
        """True when the obviously better edit of a check was not preferred."""
        better = "b" if self.edit_a_id == CHECK_ID else "a"
        return self.is_check and self.preference != better

    @field_validator("strength")
    @classmethod
    def _strength_fits(cls, value: int, info: ValidationInfo) -> int:
        preference = info.data.get("preference")
        if preference == "tie" and value != 0:
            raise ValueError("does not fit a tie; give strength 0, or the preference 'a' or 'b'")
        if preference in ("a", "b") and value == 0:
            raise ValueError(f"does not fit preference {preference!r}; give 1, 2 or 3, or a tie")
        return value

    @field_validator("cant_tell")
    @classmethod
    def _cant_tell_is_a_tie(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("preference") in ("a", "b"):
            raise ValueError("does not fit a preference; give preference 'tie' and strength 0")
        return value
