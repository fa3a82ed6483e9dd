"""Answers as a data set for other people: a row for each answer, and a data card."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_lib.card import card, check_license
from rlhf_lib.editing.edit import output_order, segments
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Candidate, Manifest, SongEntry
from rlhf_lib.paths import atomic_path

#: The files of a data set.
ROWS, CARD = "data/train.jsonl", "README.md"
#: Size categories of the Hub: the first number of rows that is too many for each.
_SIZES = {"n<1K": 1e3, "1K<n<10K": 1e4, "10K<n<100K": 1e5, "100K<n<1M": 1e6, "1M<n<10M": 1e7}

_TEXT = """
# {title}

Preferences between two edits (shorter versions) of a song. Each row is the answer of one rater who
compared edit a with edit b.

- **Answers**: {n_rows}. {n_a} prefer edit a, {n_b} edit b, {n_ties} are ties, {n_unsure} "can't
  tell". Answers that a rater has corrected are left out.
- **Checks**: {n_checks} of these are answers to obvious checks, in which one edit is chopped off
  the beat; {n_failed} failed. They show who listened, and are no preferences to learn from.
- **Raters**: {n_human} human, {n_simulated} simulated (programs; `simulated` is true). Raters who
  failed at least one check: {n_careless}.
- **Songs**: {n_songs}, with {n_pairs} different pairs of edits. The sound is not part of the data:
  `original` and `path` are the places of the files below the folder of the candidates, and
  `song_sha256` is the hash of the song's file. Who shares sounds needs the rights to the songs.
- **Edits** were made by: {policies}.{unknown}
- **Personal data**: numbers take the place of the raters' ids, and times of day are left out. The
  answers of one rater can be linked to each other, and `notes` are the raters' own words: read
  them before you share the data set.
{license}
| column | content |
|---|---|
| `song_id`, `song_sha256`, `original` | the song: id, hash of its file, path |
| `edit_a`, `edit_b` | the edits, see below |
| `preference` | `a`, `b` or `tie` |
| `strength` | 1 slight, 2 moderate, 3 strong; 0 for a tie |
| `cant_tell` | true for "can't tell", whose `preference` is `tie` |
| `check` | `passed` or `failed` for an obvious check, else null |
| `confidence` | 0 to 1, or null when not asked |
| `tags`, `notes` | faults that were heard; the rater's own words |
| `shown_first` | which edit was on side A, or null when unknown |
| `seconds_spent` | how long the answer took in s, or null when unknown |
| `rater`, `simulated` | number of the rater; true for a program |
| `rater_failed_checks` | how many checks this rater failed |
| `manifest_id` | names the set of candidates |

| field of an edit | content |
|---|---|
| `id`, `path` | name within the song; the audio file |
| `temperature` | 0.1 to 0.9: how much was to be cut |
| `keep_ratio`, `duration` | length as a share of the song's, and in s |
| `actions` | a number for each beat: 0 keep, 1 cut, 2–4 play 2–4 times, 5–8 play 1–4 beats later |
| `plays` | the spans of the song that it plays, in order: start and end in s |

Read it with `datasets.load_dataset("json", data_files="{rows}")`, or as a folder of the Hub by its
name. Libraries that train on preferences, such as TRL, take the columns `prompt`, `chosen` and
`rejected`:

```python
def as_preference(row):
    a, b = row["edit_a"], row["edit_b"]
    chosen, rejected = (a, b) if row["preference"] == "a" else (b, a)
    return {{"prompt": row["original"], "chosen": chosen["path"], "rejected": rejected["path"]}}


def is_preference(row):
    return row["preference"] != "tie" and row["check"] is None and row["original"] is not None


# pairs = data.filter(is_preference).map(as_preference)
```
"""


def data_set(
    answers: Sequence[Annotation],
    find_manifest: Callable[[str], Manifest | None],
    title: str,
    license: str | None,
) -> dict[str, str]:
    """Return the files of a data set, by their names: the rows as JSON lines, and the data card.

    Parameters
    ----------
    answers : sequence of Annotation
        Current answers (not superseded).
    find_manifest : callable
        manifest_id → Manifest, or None where it is not kept: such rows have ids and no edits.
    title : str
    license : str or None
        As the Hugging Face Hub writes it; None leaves it open, which the card says.
    """
    found = {a.manifest_id: find_manifest(a.manifest_id) for a in answers if a.manifest_id}
    manifests = {name: manifest for name, manifest in found.items() if manifest is not None}
    raters = sorted({(one.rater_id, one.rater_kind) for one in answers})
    numbers = {rater_id: number for number, (rater_id, _) in enumerate(raters, 1)}
    failed = Counter(one.rater_id for one in answers if one.failed_check)
    rows = [
        _row(one, manifests.get(one.manifest_id), numbers[one.rater_id], failed) for one in answers
    ]
    return {
        ROWS: "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows),
        CARD: _card(answers, manifests, raters, failed, title, license),
    }


def export_data_set(
    answers: Sequence[Annotation],
    find_manifest: Callable[[str], Manifest | None],
    folder: str | Path,
    license: str | None,
) -> Path:
    """Write answers as a data set with a card, as the Hugging Face Hub reads it; see `data_set`.

    Raises
    ------
    InputError
        When there are no answers or no licence, or the folder has files.
    """
    folder, license = Path(folder), check_license(license, "a data set")
    if not answers:
        raise InputError("there are no answers to export; rate or import some first")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} has files already; give another --output")
    files = data_set(answers, find_manifest, "Preferences between edits of songs", license)
    for name, text in files.items():
        with atomic_path(folder / name) as part:
            part.write_text(text, encoding="utf-8", newline="")
    return folder


def _row(
    answer: Annotation, manifest: Manifest | None, rater: int, failed: Counter[str]
) -> dict[str, Any]:
    song = manifest.song(answer.song_id) if manifest else None
    sides = {}
    for side in ("edit_a", "edit_b"):
        name = getattr(answer, f"{side}_id")
        edit = manifest.candidate(answer.song_id, name) if manifest else None
        sides[side] = _edit(name, song, edit)
    return {
        "song_id": answer.song_id,
        "song_sha256": song.sha256 if song else None,
        "original": song.path if song else None,
        **sides,
        "preference": answer.preference,
        "strength": answer.strength,
        "cant_tell": answer.cant_tell,
        "check": ("failed" if answer.failed_check else "passed") if answer.is_check else None,
        "confidence": answer.confidence,
        "tags": answer.tags,
        "notes": answer.reasoning,
        "shown_first": answer.shown_first,
        "seconds_spent": answer.seconds_spent,
        "rater": rater,
        "simulated": answer.rater_kind == "simulated",
        "rater_failed_checks": failed[answer.rater_id],
        "manifest_id": answer.manifest_id,
    }


def _edit(name: str, song: SongEntry | None, edit: Candidate | None) -> dict[str, Any]:
    fields = ("path", "temperature", "keep_ratio", "duration", "actions")
    described = {field: getattr(edit, field) if edit else None for field in fields}
    return {"id": name, **described, "plays": _plays(song, edit) if song and edit else None}


def _plays(song: SongEntry, edit: Candidate) -> list[list[float]]:
    """Return the spans of the song that an edit plays, in order, in s.

    Beat 0 carries what comes before it, the last beat what comes after it.
    """
    bounds = np.array([0.0, *song.beat_times[1:], song.duration])
    spans = segments(output_order(np.array(edit.actions)))
    return np.round(bounds[spans], 6).tolist()


def _card(
    answers: Sequence[Annotation],
    manifests: dict[str, Manifest],
    raters: list[tuple[str, str]],
    failed: Counter[str],
    title: str,
    license: str | None,
) -> str:
    title = title.replace("\n", " ")
    kinds, preferences = Counter(kind for _, kind in raters), Counter(a.preference for a in answers)
    unsure = sum(one.cant_tell for one in answers)
    without = sum(one.manifest_id not in manifests for one in answers)
    unknown = f"\n  Answers whose edits are not known (null), without their manifest: {without}."
    open_license = (
        "- **Licence**: none is stated. Whoever shares the data set must choose one, and put it\n"
        "  into `license:` above.\n"
    )
    front = {
        "pretty_name": title,
        "license": license,
        "task_categories": ["audio-to-audio", "reinforcement-learning"],
        "tags": ["music", "music-retargeting", "preference", "rlhf"]
        + ["simulated-raters"] * ("simulated" in kinds),
        "size_categories": [next(size for size, most in _SIZES.items() if len(answers) < most)],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": ROWS}]},
        ],
    }
    text = _TEXT.format(
        title=title,
        n_rows=len(answers),
        n_a=preferences["a"],
        n_b=preferences["b"],
        n_ties=preferences["tie"] - unsure,
        n_unsure=unsure,
        n_checks=sum(one.is_check for one in answers),
        n_failed=sum(one.failed_check for one in answers),
        n_human=kinds["human"],
        n_simulated=kinds["simulated"],
        n_careless=len(failed),
        n_songs=len({_song(one, manifests) for one in answers}),
        n_pairs=len({one.pair for one in answers}),
        policies=", ".join(sorted({f"`{m.policy.name}`" for m in manifests.values()})) or "unknown",
        unknown=unknown if without else "",
        license="" if license else open_license,
        rows=ROWS,
    )
    return card(front, text)


def _song(answer: Annotation, manifests: dict[str, Manifest]) -> str:
    """Return what a song is counted by: the hash of its file, else its id."""
    manifest = manifests.get(answer.manifest_id)
    return manifest.song(answer.song_id).sha256 if manifest else answer.song_id
