"""The annotation: one rater's answer to one task."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from rlhf_lib.feedback.manifest import CHECK_ID
from rlhf_lib.feedback.validation import (
    Id,
    OtherEdit,
    Record,
    Seconds,
    Sha256,
    Timestamp,
    as_input_error,
    utc_now,
)

#: The faults of an edit that the annotator offers as buttons; other tags are allowed.
TAGS = ("audible cut", "rhythm break", "lost hook", "too short", "bad ending")

Tag = Annotated[str, Field(max_length=100, pattern=r"^[^\s\p{C};]([^\p{C};]*[^\s\p{C};])?$")]

#: The share of a vote that an answer gives to edit a.
VOTE_FOR_A = {"a": 1.0, "tie": 0.5, "b": 0.0}


class Listening(Record):
    """What the rater heard before answering."""

    seconds_a: Seconds = Field(default=0.0, description="the seconds heard of edit a")
    seconds_b: Seconds = Field(default=0.0, description="the seconds heard of edit b")
    seconds_original: Seconds = Field(default=0.0, description="the seconds heard of the original")
    seams_heard: int = Field(default=0, ge=0, description="how many seams were listened to")


class Annotation(Record):
    """One rater's answer to one task.

    Older readers need only the first six fields. "Can't tell" is stored as a tie with
    ``cant_tell`` true: for older readers it is a valid tie; this package leaves it out of
    training and of the agreement figures.
    """

    song_id: Id = Field(description="the id of the song")
    edit_a_id: Id = Field(description="the id of edit a")
    edit_b_id: OtherEdit = Field(description="the id of edit b, another one than edit a")
    preference: Literal["a", "b", "tie"] = Field(description="'a', 'b' or 'tie'")
    strength: Annotated[int, Field(ge=0, le=3)] = Field(
        description="1 slight, 2 moderate, 3 strong; 0 exactly when the preference is 'tie'"
    )
    reasoning: str = Field(default="", max_length=10_000, description="free notes, or ''")
    annotation_id: Id = Field(description="a globally unique name (32 hex digits)")
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
        default=None, description="which edit was shown first (on side A), or null when unknown"
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
        """Return a new answer; `annotation_id` and `timestamp` are set unless given.

        Raises
        ------
        InputError
            When a field is not valid; the message names the field, its value and what to give.
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
        """The compared pair: manifest id, song id and the two edit ids in sorted order."""
        first, second = sorted((self.edit_a_id, self.edit_b_id))
        return self.manifest_id, self.song_id, first, second

    @property
    def is_check(self) -> bool:
        """True for an answer to an obvious check; it is passed or failed, and not learned from."""
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
