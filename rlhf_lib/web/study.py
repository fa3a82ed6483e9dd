"""The study file: YAML read into a model that says what a listening study shows and asks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic import model_validator as validator

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.validation import as_input_error
from rlhf_lib.studio import desk

_LABELS = Path(__file__).parent / "labels"
#: The languages that come with all labels.
SHIPPED = ("en", "de")

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
#: A text in every language of the study; a plain string is the text in all of them.
Text = str | dict[Language, str]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,49}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A part of the study file; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Paragraph(Part):
    """A paragraph of the instructions, with a sound to try."""

    text: Text = Field(description="a text in each language")
    sound: Literal["original", "seam", "chopped"] | None = Field(
        default=None,
        description="'original' (ten seconds of a song), 'seam' (around a seam of an edit), "
        "'chopped' (an obvious check) or nothing",
    )


class Question(Part):
    """A question on the rater's background."""

    name: Name = Field(description="the name in downloads: letters, digits, _")
    text: Text = Field(description="the question in each language")
    options: list[Text] = Field(
        default=[], max_length=50, description="the answers to choose from; none for free text"
    )
    required: bool = Field(default=False, description="true or false")


class Headphones(Part):
    """The headphone check, after which only raters with headphones, or all, go on."""

    method: Literal["antiphase", "huggins"] = Field(
        description="'antiphase' (Woods et al. 2017) or 'huggins' (Milne et al. 2021)"
    )
    trials: int = Field(default=6, ge=1, le=20, description="the number of trials, 1 to 20")
    needed: int = Field(default=5, ge=1, description="right answers that pass, 1 to `trials`")
    attempts: int = Field(default=2, ge=1, le=5, description="how often it may be tried, 1 to 5")
    on_failure: Literal["go on", "end"] = Field(
        default="go on", description="'go on' (the result is recorded) or 'end' (the study ends)"
    )

    @validator(mode="after")
    def _can_be_passed(self):
        if self.needed > self.trials:
            raise ValueError(f"{self.needed} right answers of {self.trials} are needed; give fewer")
        return self


class Tasks(Part):
    """Which comparisons a rater gets; see `TaskOrder` for the shares."""

    per_sitting: int = Field(default=12, ge=1, le=500, description="comparisons in a sitting")
    sittings: int = Field(default=1, ge=1, le=100, description="sittings of a rater")
    overlap: Share = Field(default=0.2, description="share that every rater gets, 0 to 1")
    repeat_share: Share = Field(default=0.1, description="repeats per comparison, 0 to 1")
    check_share: Share = Field(default=0.05, description="attention checks per comparison, 0 to 1")
    task_share: Share = Field(default=1.0, description="share of each song's pairs used, 0 to 1")
    song_share: Share = Field(default=1.0, description="share of the songs used, 0 to 1")
    min_seconds: float = Field(default=10.0, ge=0, le=600, description="s to hear of each edit")
    seed: int = Field(default=0, ge=0, description="random seed of order and sides")

    @property
    def shares(self) -> dict[str, float]:
        """The arguments of `TaskOrder`."""
        names = ("overlap", "repeat_share", "check_share", "task_share", "song_share")
        return {name: getattr(self, name) for name in names}


class Checks(Part):
    """What failed attention checks cost."""

    allowed: int = Field(default=1, ge=0, description="failed checks that cost nothing, 0 or more")
    beyond: Literal["note", "end"] = Field(
        default="note", description="'note' (the coordinator sees them) or 'end' (the study ends)"
    )


class End(Part):
    """The last page."""

    text: Text = Field(description="a text in each language")
    code: str | None = Field(default=None, max_length=100, description="a finish code, or nothing")
    redirect: str | None = Field(
        default=None,
        max_length=2000,
        pattern=r"^https?://[^\s]+$",
        description="an address that begins with https://, or nothing; {id} stands for the rater",
    )


class Study(Part):
    """A listening study, as its file describes it."""

    title: Text = Field(description="a text in each language")
    languages: list[Language] = Field(
        default=["en"], min_length=1, description="codes such as en, de; the first is the default"
    )
    manifest: str = Field(
        default="eval_outputs/evaluation_manifest.json", description="the path of a manifest"
    )
    feedback: str = Field(default="feedback", description="the folder of the answers")
    sign_in: Literal["open", "links"] = Field(
        default="open", description="'open' (anyone) or 'links' (only links that you hand out)"
    )
    ids_from_url: list[Name] = Field(
        default=[],
        max_length=10,
        description="parameters of links; the first one is the id",
    )
    most_raters: int = Field(default=500, ge=1, le=100_000, description="raters of an open study")
    consent: Text | None = Field(default=None, description="a text in each language, or nothing")
    instructions: list[Paragraph] = Field(default=[], description="paragraphs")
    background: list[Question] = Field(default=[], max_length=50, description="questions")
    level: bool = Field(default=True, description="whether there is a page to set the level")
    headphones: Headphones | None = Field(default=None, description="a check, or nothing")
    training_trials: int = Field(default=0, ge=0, le=20, description="pairs with feedback, 0 to 20")
    tasks: Tasks = Field(default=Tasks(), description="which comparisons a rater gets")
    checks: Checks = Field(default=Checks(), description="what failed checks cost")
    maps: bool = Field(default=False, description="whether edit maps and waveforms are drawn")
    both_bad: bool = Field(default=False, description="whether 'both bad' is an answer")
    sound: Literal["flac", "ogg"] = Field(
        default="flac", description="'flac' (exact) or 'ogg' (Vorbis, several times smaller)"
    )
    end: End = Field(description="the last page")
    labels: dict[Language, dict[str, Any]] = Field(
        default={}, description="labels of the pages, by language, in place of those that ship"
    )

    @validator(mode="after")
    def _every_language_has_every_text(self):
        for place, text in self.texts():
            missing = set(self.languages) - text.keys() if isinstance(text, dict) else ()
            if missing:
                raise ValueError(f"{place} lacks a text in {', '.join(sorted(missing))}; add it")
        names = [question.name for question in self.background]
        if len(set(names)) < len(names):
            raise ValueError("two questions of background share a name; give each its own")
        for language in self.languages:
            if language not in SHIPPED:
                unknown = _shape(all_labels("en")) - _shape(self.labels.get(language, {}))
                if unknown:
                    raise ValueError(
                        f"labels.{language} lacks {', '.join(sorted(unknown)[:5])}; translate all "
                        "labels of web/labels/en.json and, under annotator, studio/labels/en.json"
                    )
        for language, own in self.labels.items():
            unknown = _shape(own) - _shape(all_labels("en"))
            if unknown:
                raise ValueError(
                    f"labels.{language} has {', '.join(sorted(unknown)[:5])}, which no page shows"
                )
        return self

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """Read a study file.

        Raises
        ------
        InputError
            When it cannot be read, is no YAML, or a field is missing, unknown or not possible.
        """
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            words = " ".join(str(error).split())
            raise InputError(f"{path}: is not YAML ({words}); correct it there") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: holds no study; see rlhf_lib/web/example_study.yaml")
        try:
            return cls(**content)
        except TypeError as error:
            raise InputError(f"{path}: {error}; names of fields are words") from None
        except ValidationError as error:
            raise as_input_error(error, str(path), cls) from None

    def texts(self) -> Iterator[tuple[str, Text]]:
        """Yield every text of the file, and where it is."""
        yield "title", self.title
        if self.consent is not None:
            yield "consent", self.consent
        for place, one in enumerate(self.instructions):
            yield f"instructions.{place}.text", one.text
        for place, question in enumerate(self.background):
            yield f"background.{place}.text", question.text
            for number, option in enumerate(question.options):
                yield f"background.{place}.options.{number}", option
        yield "end.text", self.end.text

    def page_labels(self, language: str) -> dict[str, Any]:
        """Return all labels of the pages in a language of the study."""
        shipped = all_labels(language if language in SHIPPED else "en")
        return _over(shipped, self.labels.get(language, {}))


def in_language(text: Text, language: str) -> str:
    """Return a text of the study file in one of its languages."""
    return text if isinstance(text, str) else text[language]


def all_labels(language: str) -> dict[str, Any]:
    """Return the labels that ship: those of the annotator under ``annotator``."""
    own = json.loads((_LABELS / f"{language}.json").read_text(encoding="utf-8"))
    return _over({"annotator": desk.labels(language)}, own)


def _over(labels: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return labels with some of them replaced."""
    both = labels.keys() & own.keys()
    nested = {name for name in both if isinstance(labels[name], dict)}
    return labels | own | {name: _over(labels[name], own[name]) for name in nested}


def _shape(labels: Any, place: str = "") -> set[str]:
    """Return the places of all labels, such as ``annotator.sides.O``."""
    if not isinstance(labels, dict):
        return {place}
    return {one for name in labels for one in _shape(labels[name], f"{place}.{name}".lstrip("."))}
