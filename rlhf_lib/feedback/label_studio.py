"""Label Studio: export tasks with pairs of sounds, import the completed annotations.

The labelling configuration shows two players, A and B, the original, the seven-point scale, the
tags and a field for notes. Only the JSON export (not JSON-MIN, not CSV) can be imported.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from tqdm.auto import tqdm

from rlhf_lib.analysis.audio import load_audio, save_audio
from rlhf_lib.feedback.annotation import TAGS
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.mapping import Mapped, Refused, items
from rlhf_lib.feedback.validation import inside
from rlhf_lib.paths import atomic_path, resolve

#: The address under which Label Studio serves local files, when that is switched on.
LOCAL_FILES = "/data/local-files/?d="
#: The choices: shown text → (side, strength); None is neither side.
ROW: dict[str, tuple[str | None, int]] = {
    "A strongly": ("left", 3),
    "A": ("left", 2),
    "A slightly": ("left", 1),
    "tie": (None, 0),
    "B slightly": ("right", 1),
    "B": ("right", 2),
    "B strongly": ("right", 3),
    "can't tell": (None, 0),
}
#: Fields that are added to each task, so that its export alone identifies the answer.
_CARRIED = ("manifest_id", "task_id", "song_id", "edit_a_id", "edit_b_id", "shown_first")


def labelling_config() -> str:
    """Return the labelling configuration of a project (XML)."""
    row = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in ROW)
    tags = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in TAGS)
    return f"""<View>
  <Header value="Original"/>
  <Audio name="original" value="$audio_original"/>
  <Header value="A"/>
  <Audio name="left" value="$audio_left"/>
  <Header value="B"/>
  <Audio name="right" value="$audio_right"/>
  <Header value="Which edit do you prefer?"/>
  <Choices name="preference" toName="left" choice="single-radio" required="true">
{row}  </Choices>
  <Header value="What did you hear?"/>
  <Choices name="tags" toName="left" choice="multiple">
{tags}  </Choices>
  <TextArea name="reasoning" toName="left" rows="3" editable="true"/>
</View>
"""


def to_tasks(manifest: Manifest, audio_url: str = LOCAL_FILES, seed: int = 0) -> list[dict]:
    """Return the tasks of a manifest for import into a project with `labelling_config`.

    The side of each edit is random (edit a is on side A in half of the tasks) and recorded;
    tasks come in random order. The screen shows neither ids nor temperatures, and the addresses
    of the sounds, which raters' browsers load, hold neither these nor the song's name.

    Parameters
    ----------
    audio_url : str
        The address under which the project's folder is served (see `copy_sounds`): that of a web
        server, or `LOCAL_FILES` and a folder below Label Studio's document root.
    """
    rng = np.random.default_rng(seed)
    sides = rng.permutation(np.arange(len(manifest.tasks)) % 2)
    tasks = []
    for place in rng.permutation(len(manifest.tasks)):
        task, first = manifest.tasks[place], "ab"[sides[place]]
        a, b = (manifest.candidate(task.song_id, name) for name in (task.edit_a_id, task.edit_b_id))
        left, right = (a, b) if first == "a" else (b, a)
        data = {
            "audio_original": audio_url + _neutral(manifest, manifest.song(task.song_id).path),
            "audio_left": audio_url + _neutral(manifest, left.path),
            "audio_right": audio_url + _neutral(manifest, right.path),
            "manifest_id": manifest.manifest_id,
            "shown_first": first,
        }
        carried = task.model_dump(include=set(_CARRIED))
        tasks.append({"data": data | carried})
    return tasks


def copy_sounds(manifest: Manifest, audio_folder: str | Path, folder: str | Path) -> None:
    """Write the sounds of a manifest's tasks into ``audio/`` of a project's folder.

    Every sound is written as FLAC, with the same samples, under a name that tells nothing, and
    without tags such as a title. Sounds that are there already are kept.

    Parameters
    ----------
    audio_folder : path
        The folder that the manifest's paths start from.

    Raises
    ------
    InputError
        When a sound is missing, cannot be read, or cannot be written.
    """
    paths = {}  # in order, each once
    for task in manifest.tasks:
        paths[manifest.song(task.song_id).path] = None
        for candidate_id in (task.edit_a_id, task.edit_b_id):
            paths[manifest.candidate(task.song_id, candidate_id).path] = None
    for path in tqdm(paths, "sounds", unit="sound", leave=False):
        copy = resolve(folder) / _neutral(manifest, path)
        if not copy.is_file():
            save_audio(copy, load_audio(inside(audio_folder, path)))


def _neutral(manifest: Manifest, path: str) -> str:
    """Return where a project has the copy of a sound: a name that no rater can read."""
    name = hashlib.sha256(f"{manifest.manifest_id}/{path}".encode()).hexdigest()
    return f"audio/{name[:16]}.flac"


def write_project(
    manifest: Manifest, folder: str | Path, audio_url: str = LOCAL_FILES, seed: int = 0
) -> tuple[Path, Path]:
    """Write ``tasks.json`` and ``labelling_config.xml`` into a folder and return their paths."""
    tasks, config = resolve(folder) / "tasks.json", resolve(folder) / "labelling_config.xml"
    with atomic_path(config) as part:
        part.write_text(labelling_config(), encoding="utf-8")
    with atomic_path(tasks) as part:
        part.write_text(json.dumps(to_tasks(manifest, audio_url, seed), indent=1), encoding="utf-8")
    return tasks, config


def is_task(record: Any) -> bool:
    """True for a task of a Label Studio export."""
    return isinstance(record, dict) and "data" in record and "annotations" in record


def answers_of(task: dict, left_out: Counter) -> Iterator[Mapped | Refused]:
    """Yield each annotation of an exported task under our field names.

    Skipped annotations, predictions and unanswered tasks are counted in `left_out`.
    """
    annotations = task["annotations"]
    if not isinstance(annotations, list):
        yield Refused("annotations", annotations, "is not a list; export the project as JSON")
        return
    left_out.update(name for name in ("drafts", "predictions") if task.get(name))
    if not annotations:
        left_out["tasks without an answer"] += 1
    for place, annotation in enumerate(annotations):
        where = f"annotations.{place}"
        if isinstance(annotation, dict) and annotation.get("was_cancelled") is True:
            left_out["skipped tasks"] += 1
            continue
        try:
            yield _answer(task["data"], annotation, where)
        except Refused as problem:
            yield problem


def _answer(data: Any, annotation: Any, where: str) -> Mapped:
    mapped = Mapped()
    carried = dict(items(data, "data"))
    for name in _CARRIED:
        if name in carried:
            mapped.put(name, f"data.{name}", carried[name])
    about = dict(items(annotation, where))
    for theirs, ours in (
        ("unique_id", "annotation_id"),
        ("created_at", "timestamp"),
        ("lead_time", "seconds_spent"),
    ):
        mapped.put(ours, f"{where}.{theirs}", about.get(theirs))
    mapped.put("rater_id", f"{where}.completed_by", _rater(about.get("completed_by"), where))
    results = _results(about.get("result"), f"{where}.result")
    _put_preference(mapped, results, f"{where}.result.preference")
    mapped.put("tags", f"{where}.result.tags", results.get("tags", []))
    notes = results.get("reasoning", [])
    mapped.put("reasoning", f"{where}.result.reasoning", "\n".join(map(str, notes)))
    return mapped


def _rater(completed_by: Any, where: str) -> str | None:
    """Return a rater id made from the account number; e-mail addresses are not imported."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("id")
    if completed_by is None:
        return None
    if isinstance(completed_by, bool) or not isinstance(completed_by, int):
        raise Refused(
            f"{where}.completed_by", completed_by, "is not an account number; export it as JSON"
        )
    return f"label_studio_{completed_by}"


def _results(result: Any, where: str) -> dict[str, list]:
    """Return what was chosen or written under each name of the configuration."""
    if not isinstance(result, list):
        raise Refused(where, result, "is not a list; export the project as JSON")
    found: dict[str, list] = {}
    for place, region in enumerate(result):
        at = f"{where}.{place}"
        fields = dict(items(region, at))
        name, value = fields.get("from_name"), dict(items(fields.get("value"), f"{at}.value"))
        chosen = value.get("text" if name == "reasoning" else "choices")
        if name not in ("preference", "tags", "reasoning") or not isinstance(chosen, list):
            raise Refused(
                at, region, "is not of this labelling configuration; use the exported one"
            )
        found.setdefault(name, []).extend(chosen)
    return found


def _put_preference(mapped: Mapped, results: dict[str, list], where: str) -> None:
    chosen = results.get("preference", [])
    if len(chosen) != 1 or not isinstance(chosen[0], str) or chosen[0] not in ROW:
        raise Refused(where, chosen, f"is not one of {', '.join(map(repr, ROW))}; choose one")
    first = mapped.fields.get("shown_first")
    if first not in ("a", "b"):
        raise Refused("data.shown_first", first, "must be the edit on side A: 'a' or 'b'")
    side, strength = ROW[chosen[0]]
    on = {"left": first, "right": "b" if first == "a" else "a", None: "tie"}
    mapped.put("preference", where, on[side])
    mapped.put("strength", where, strength)
    if chosen[0] == "can't tell":
        mapped.put("cant_tell", where, True)
