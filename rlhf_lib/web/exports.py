"""Downloads of a study: answers as CSV and JSON, and a data set with its card."""

import io
import zipfile
from collections.abc import Sequence

from rlhf_lib.feedback.carry_over import answers_to
from rlhf_lib.feedback.data_set import data_set
from rlhf_lib.feedback.manifest import Manifest
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


def download(
    name: str, study: Study, manifest: Manifest, store: PreferenceStore, records: Records
) -> bytes:
    """Return the bytes of a download; see `DOWNLOADS`.

    ``answers`` hold everything that is stored, superseded answers too. ``preferences.zip`` is a
    data set of the current answers to this manifest, see `feedback.data_set`.
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
    title = in_language(study.title, study.languages[0])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in data_set(ours, lambda _: manifest, title, None).items():
            archive.writestr(file, text)
    return content.getvalue()


def _json_list(records: Sequence[Record]) -> bytes:
    return ("[" + ",\n".join(one.model_dump_json() for one in records) + "]\n").encode()
