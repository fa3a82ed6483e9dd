"""Downloads of a study: answers as CSV and JSON, and a table of preferences with a data card."""

import io
import json
import zipfile
from collections.abc import Sequence

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.carry_over import answers_to
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.quality.checks import failed_checks
from rlhf_lib.feedback.shapes import to_csv_text
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import Record
from rlhf_lib.web.records import Records
from rlhf_lib.web.study import Study, in_language

#: The downloads and their media types.
DOWNLOADS = {
    "answers.csv": "text/csv; charset=utf-8",
    "answers.json": "application/json",
    "raters.json": "application/json",
    "preferences.zip": "application/zip",
}

_CARD = """---
pretty_name: {title}
task_categories:
- audio-to-audio
tags:
- music
- preference
- rlhf
configs:
- config_name: default
  data_files: preferences.jsonl
---

# {title}

Preferences between two edits (shorter versions) of a song, given by listeners who heard both, and
the original, in a blind test with sides drawn at random.

- **Rows**: {n_rows}, each one answer of one rater. Left out: {n_ties} ties, {n_unsure} "can't tell"
  and {n_checks} attention checks, because they prefer no edit or were not a question.
- **Raters**: {n_human} people, {n_simulated} simulated raters (programs). Numbers take the place of
  their ids. {n_careless} of them failed more than {allowed} attention checks; their rows have
  `careless` true.
- **Songs**: {n_songs}. Sounds are named by their paths below the folder of the manifest
  `{manifest_id}`; they are not part of this archive. Who shares them needs the rights to the songs.

| column | content |
|---|---|
| `original` | path of the whole song |
| `chosen`, `rejected` | paths of the edit that was preferred and of the other one |
| `strength` | 1 slightly, 2 clearly, 3 much better |
| `rater` | number of the rater |
| `rater_kind` | `human` or `simulated` |
| `careless` | whether the rater failed more attention checks than the study allows |

The edits were made by `{policy}`. Numbers of raters do not depend on who they are, but answers of
one rater can be linked to each other.
"""


def download(
    name: str, study: Study, manifest: Manifest, store: PreferenceStore, records: Records
) -> bytes:
    """Return the bytes of a download; see `DOWNLOADS`.

    ``answers`` hold everything that is stored, superseded answers too. ``preferences.zip`` holds
    preferences.jsonl (original, chosen, rejected, strength …), which `datasets.load_dataset`
    reads, and README.md, its data card; both are about the current answers to this manifest.
    """
    stored = store.load()
    match name:
        case "answers.csv":
            return to_csv_text(stored).encode("utf-8-sig")
        case "answers.json":
            return _json_list(stored)
        case "raters.json":
            return _json_list(records.all())
    ours = answers_to(manifest, store.current(), store.find_manifest)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        rows, card = preference_table(study, manifest, ours)
        archive.writestr("preferences.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        archive.writestr("README.md", card)
    return content.getvalue()


def _json_list(records: Sequence[Record]) -> bytes:
    return ("[" + ",\n".join(one.model_dump_json() for one in records) + "]\n").encode()


def preference_table(
    study: Study, manifest: Manifest, answers: Sequence[Annotation]
) -> tuple[list[dict[str, object]], str]:
    """Return the rows original/chosen/rejected/strength … of answers, and their data card."""
    failed = failed_checks(answers)
    careless = {rater for rater, n in failed.items() if n > study.checks.allowed}
    questions = [one for one in answers if not one.is_check]
    decided = [one for one in questions if one.preference != "tie"]
    raters = sorted({(one.rater_id, one.rater_kind) for one in answers})
    numbers = {rater_id: number for number, (rater_id, _) in enumerate(raters, 1)}
    rows = []
    for one in decided:
        sides = (one.edit_a_id, one.edit_b_id)
        chosen, rejected = sides if one.preference == "a" else sides[::-1]
        rows.append(
            {
                "original": manifest.song(one.song_id).path,
                "chosen": manifest.candidate(one.song_id, chosen).path,
                "rejected": manifest.candidate(one.song_id, rejected).path,
                "strength": one.strength,
                "rater": numbers[one.rater_id],
                "rater_kind": one.rater_kind,
                "careless": one.rater_id in careless,
            }
        )
    card = _CARD.format(
        title=in_language(study.title, study.languages[0]).replace("\n", " "),
        n_rows=len(rows),
        n_ties=sum(one.preference == "tie" and not one.cant_tell for one in questions),
        n_unsure=sum(one.cant_tell for one in questions),
        n_checks=len(answers) - len(questions),
        n_human=sum(kind == "human" for _, kind in raters),
        n_simulated=sum(kind == "simulated" for _, kind in raters),
        n_careless=len(careless),
        allowed=study.checks.allowed,
        n_songs=len({one.song_id for one in decided}),
        manifest_id=manifest.manifest_id[:12],
        policy=manifest.policy.name,
    )
    return rows, card
