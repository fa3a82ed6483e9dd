"""What a study keeps of each rater besides the answers: one JSON file per rater."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.validation import Id, Record, Timestamp, as_input_error, utc_now
from rlhf_lib.paths import atomic_path


class HeadphoneAttempt(Record):
    """One attempt at the headphone check."""

    answers: list[int] = Field(default=[], description="the places chosen, 0 to 2")
    right: int = Field(default=0, description="how many of them were right")
    passed: bool | None = Field(default=None, description="null while it goes on")


class Sitting(Record):
    """One sitting of a rater."""

    started: Timestamp = Field(description="when it began")
    planned: int = Field(description="comparisons at its beginning")
    before: int = Field(description="answers of the rater before it")
    ended: Timestamp | None = Field(default=None, description="when it was finished, or null")


class RaterRecord(Record):
    """A rater of a study."""

    rater_id: Id = Field(description="the name of the rater in the answers")
    rater_kind: Literal["human", "simulated"] = Field(description="'human' or 'simulated'")
    language: str = Field(description="the language of the pages")
    started: Timestamp = Field(description="when the rater first came")
    ids: dict[str, str] = Field(default={}, description="ids from the link")
    agreed: Timestamp | None = Field(default=None, description="when the rater agreed, or null")
    instructed: bool = Field(default=False, description="whether the instructions were read")
    background: dict[str, str] | None = Field(default=None, description="answers, or null")
    level_set: bool = Field(default=False, description="whether the level page was passed")
    headphones: list[HeadphoneAttempt] = Field(default=[], description="attempts at the check")
    trained: bool = Field(default=False, description="whether the practice is over")
    sittings: list[Sitting] = Field(default=[], description="the sittings begun")
    turned_away: Literal["no headphones", "too many failed"] | None = Field(
        default=None, description="why the study ended early, or null"
    )

    @property
    def finished_sittings(self) -> int:
        """The number of sittings that were finished."""
        return sum(sitting.ended is not None for sitting in self.sittings)

    @classmethod
    def new(cls, rater_id: str, rater_kind: str, language: str, ids: dict[str, str]):
        """Return the record of a rater who just came; InputError for an impossible id."""
        fields = {"rater_id": rater_id, "rater_kind": rater_kind, "language": language, "ids": ids}
        try:
            return cls(**fields, started=utc_now())
        except ValidationError as error:
            raise as_input_error(error, "rater", cls) from None


class Records:
    """The records of a study's raters, in memory and on disk.

    A record is stored from the rater's consent on. Files are named by a hash of the rater's id,
    because ids from links may hold any character.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        When a file cannot be read, or is not valid.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._stored: dict[str, RaterRecord] = {}
        for path in sorted(folder.glob("*.json")):
            try:
                record = RaterRecord.model_validate_json(path.read_bytes())
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.strerror})") from error
            except ValidationError as error:
                raise as_input_error(error, str(path), RaterRecord) from None
            self._stored[record.rater_id] = record

    def __len__(self) -> int:
        return len(self._stored)

    def get(self, rater_id: str) -> RaterRecord | None:
        """Return the stored record of a rater, or None."""
        return self._stored.get(rater_id)

    def all(self) -> list[RaterRecord]:
        """Return all stored records, in the order of their beginning."""
        stored = list(self._stored.values())  # others may be added while these are sorted
        return sorted(stored, key=lambda record: record.started)

    def store(self, record: RaterRecord) -> None:
        """Write a record; it is on disk when the call returns."""
        with atomic_path(self._path(record.rater_id)) as part:
            part.write_text(record.model_dump_json(indent=1), encoding="utf-8")
        self._stored[record.rater_id] = record

    def delete(self, rater_id: str) -> bool:
        """Delete the record of a rater; False when there is none."""
        self._path(rater_id).unlink(missing_ok=True)
        return self._stored.pop(rater_id, None) is not None

    def _path(self, rater_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(rater_id.encode()).hexdigest()[:32]}.json"
