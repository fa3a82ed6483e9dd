"""The songs of a manifest with their edits: what is known of each, and that it fits together."""

from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from rlhf_lib.feedback.validation import (
    Id,
    Positive,
    Record,
    RelativePath,
    Seconds,
    Sha256,
    refuse_repeats,
)
from rlhf_lib.music.edit import N_ACTIONS, PLAYS, Action, Edit
from rlhf_lib.music.song import Song

#: The id of a song's check candidate: an edit so bad that every rater should hear it.
CHECK_ID = "check"
#: How far a stored keep ratio may lie from the one that its actions give.
_RATIO_TOLERANCE = 0.01

ActionValue = Annotated[int, Field(ge=0, lt=N_ACTIONS)]


class Candidate(Record):
    """One edit of a song by one policy at one temperature, rendered to audio."""

    id: Id = Field(description="a name unique within the song, e.g. temp_0.1 or temp_0.1_v2")
    temperature: float = Field(ge=0.1, le=0.9, description="the temperature, 0.1 to 0.9")
    target_keep_ratio: Positive = Field(description="the keep ratio aimed at")
    keep_ratio: Positive = Field(description="duration of the edit / duration of the song")
    actions: list[ActionValue] = Field(description="one action 0 to 8 per beat of the song")
    n_beats_kept: int = Field(ge=1, description="the number of beats that are not cut, loops once")
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

    id: Id = Field(description="a name unique within the manifest, e.g. song_001")
    path: RelativePath = Field(description="the original, relative to the manifest's folder")
    sha256: Sha256 = Field(description="the hash of the original's audio file")
    duration: Positive = Field(description="the length of the song in s")
    beat_times: list[Seconds] = Field(
        min_length=1, description="the beats in s, strictly increasing, within the song"
    )
    candidates: list[Candidate] = Field(min_length=1, description="the edits of this song")

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
                f"at {self.duration} s; give the beats of this very file"
            )
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
