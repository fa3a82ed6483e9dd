"""Delete a rater's data on request, and say which models were trained on them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.archive import WEIGHTS, archive_sha256, load_archive
from rlhf_lib.listening.claims import forget_rater
from rlhf_lib.paths import only_writer
from rlhf_lib.web.records import Records
from rlhf_lib.web.running import study_folder
from rlhf_lib.web.study import Study


@dataclass(frozen=True)
class Deleted:
    """What was deleted of a rater, and which checkpoints were trained on it.

    Attributes
    ----------
    answers, practice_answers : int
    record : bool
        Whether the study had a record of the rater.
    trained : list of Path
        Checkpoints made from a file that held answers of this rater, and their descendants.
    unknown : list of Path
        Checkpoints made from answers of which it cannot be told: another folder, or a file that
        was changed since.
    """

    answers: int
    practice_answers: int
    record: bool
    trained: list[Path]
    unknown: list[Path]


def delete_rater(study: Study, rater_id: str, models_dir: Path) -> Deleted:
    """Delete a rater's answers, practice, record and claims; the quality report goes, too.

    Raises
    ------
    InputError
        When the study is being served, or a file cannot be read or written.
    """
    folder = study_folder(study)
    store = PreferenceStore(study.feedback)
    with only_writer(folder):
        trained, unknown = models_trained_on(store, rater_id, models_dir)
        answers = store.remove(rater_id)
        practice_answers = PreferenceStore(folder / "practice").remove(rater_id)
        for place in (store.folder, folder / "practice"):
            forget_rater(place, rater_id)
        (store.folder / "quality_report.json").unlink(missing_ok=True)
        record = Records(folder / "raters").delete(rater_id)
    return Deleted(answers, practice_answers, record, trained, unknown)


def models_trained_on(
    store: PreferenceStore, rater_id: str, models_dir: Path
) -> tuple[list[Path], list[Path]]:
    """Return the checkpoints trained on a rater's answers, and those of which it is unknown.

    A checkpoint keeps the hash of the file of answers that it was trained on. Answers are only
    ever added to that file, so the hash shows how many of today's answers it held.
    """
    held = _held_when(store, rater_id)
    trained: dict[Path, str] = {}
    unknown: dict[Path, str] = {}
    waiting = []
    exported = (file.parent for file in models_dir.rglob(WEIGHTS))
    for path in sorted([*models_dir.rglob("*.pt"), *exported]):
        about, sha256 = load_archive(path)["about"], archive_sha256(path)
        digest = about.get("feedback_sha256")
        if digest is None or held.get(digest) is False:
            waiting.append((path, sha256, about))
        else:
            (trained if held.get(digest) else unknown)[path] = sha256
    for _ in waiting:  # as many rounds as there can be generations
        for path, sha256, about in waiting:
            parents = set((about.get("parents") or {}).values())
            for made in (trained, unknown):
                if parents & set(made.values()):
                    made[path] = sha256
    return sorted(trained), sorted(unknown.keys() - trained.keys())


def _held_when(store: PreferenceStore, rater_id: str) -> dict[str, bool]:
    """Return, for each state that the file of answers had, by its hash, whether it held any."""
    if not store.path.is_file():
        return {}
    body = hashlib.sha256(b"[")
    found, held, joint = {}, False, b"\n"
    for line in store.path.read_bytes().splitlines()[1:-1]:
        record = line.removesuffix(b",")
        held = held or Annotation.model_validate_json(record).rater_id == rater_id
        body.update(joint + record)
        joint = b",\n"
        whole = body.copy()
        whole.update(b"\n]\n")
        found[whole.hexdigest()] = held
    return found
