"""Preferences on disk: never lost, never half-written, never written over when unreadable."""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.records import Annotation, Manifest
from rlhf_lib.feedback.validation import as_input_error
from rlhf_lib.paths import atomic_path, resolve

_ANNOTATIONS = TypeAdapter(list[Annotation])
_LOCK_TIMEOUT = 60.0  # s; one rewrite takes well under a second


class PreferenceStore:
    """The annotations of a feedback folder and the manifests that they refer to.

    The file is a JSON list with one record a line. Every change is made under a file lock,
    re-reads what others wrote, and replaces the file as a whole after flushing it to disk, so
    several processes may add at once and an interruption leaves the old or the new file.

    Parameters
    ----------
    place : str or Path
        A folder (the file is ``preferences.json`` in it) or the path of a ``.json`` file;
        relative paths are taken from the workspace.
    """

    def __init__(self, place: str | Path):
        place = resolve(place).resolve()
        self.path = place if place.suffix == ".json" else place / "preferences.json"
        self.folder = self.path.parent
        self._parsed: tuple[bytes, list[Annotation]] = (b"[]", [])

    def load(self) -> list[Annotation]:
        """Return every stored annotation, oldest first; none when there is no file yet.

        Raises
        ------
        InputError
            When the file cannot be read, or a record is not valid; nothing is skipped.
        """
        return self._parse(self._read())

    def current(self) -> list[Annotation]:
        """Return the annotations that no later one supersedes."""
        return current_annotations(self.load())

    def add(self, annotations: Annotation | Iterable[Annotation]) -> int:
        """Store annotations, all or none, and return how many were new.

        One that is already stored is not added again. When the call returns, the answers are
        on disk.

        Raises
        ------
        InputError
            When an annotation_id is stored already with another content, `supersedes` does not
            name a standing answer of the same rater to the same pair, the stored file is
            unreadable (it is left as it is), or it cannot be written.
        """
        added = [annotations] if isinstance(annotations, Annotation) else list(annotations)
        for annotation in added:
            if not isinstance(annotation, Annotation):
                raise InputError(
                    f"cannot store {type(annotation).__name__} {annotation!r:.80}; "
                    "make it with Annotation.new(...) or import_feedback(...)"
                )
        with self._locked():
            text = self._read()
            stored = self._parse(text)
            new = _not_stored(added, stored)
            if new:
                _check_history(stored + new, f"cannot add to {self.path}")
                self._parsed = (self._write(text, new), stored + new)
        return len(new)

    def keep_manifest(self, manifest: Manifest) -> Path:
        """Keep a copy of the manifest in the feedback folder and return its path."""
        path = self._manifest_path(manifest.manifest_id)
        if not path.exists():
            with self._failing_clearly():
                manifest.save(path)
        return path

    def load_manifest(self, manifest_id: str) -> Manifest:
        """Return a kept manifest.

        Raises
        ------
        InputError
            When there is none with this id, or the file was changed.
        """
        if not manifest_id.isalnum():
            raise InputError(f"{manifest_id!r} is not a manifest_id; it has 64 hex digits")
        path = self._manifest_path(manifest_id)
        manifest = Manifest.load(path)
        if manifest.manifest_id != manifest_id:
            raise InputError(
                f"{path}: holds manifest {manifest.manifest_id}; name the file after that"
            )
        return manifest

    def _manifest_path(self, manifest_id: str) -> Path:
        return self.folder / "manifests" / f"{manifest_id}.json"

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b"[]"
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read ({error.strerror}); check the path and its rights"
            ) from error

    def _parse(self, text: bytes) -> list[Annotation]:
        # Validating 20,000 records takes half a second; unchanged bytes need it once.
        if text == self._parsed[0]:
            return list(self._parsed[1])
        try:
            with _without_garbage_collection():
                annotations = _ANNOTATIONS.validate_json(text)
        except ValidationError as error:
            problem = as_input_error(error, str(self.path), Annotation)
            raise InputError(
                f"{problem}. The file was left as it is: mend that record, restore the file from "
                "a copy, or bring other shapes in with import_feedback"
            ) from None
        _check_history(annotations, str(self.path))
        self._parsed = (text, annotations)
        return list(annotations)

    def _write(self, text: bytes, new: list[Annotation]) -> bytes:
        """Append the records to the valid JSON list `text` and return what the file holds now."""
        body = text.rstrip()[:-1].rstrip()
        lines = [annotation.model_dump_json().encode() for annotation in new]
        joint = b"\n" if body == b"[" else b",\n"
        # All writers hold the lock, so a part file that lies here was left by a killed one.
        for stale in self.folder.glob(f".{self.path.stem}.*{self.path.suffix}"):
            stale.unlink(missing_ok=True)
        with atomic_path(self.path) as part:
            part.write_bytes(text := body + joint + b",\n".join(lines) + b"\n]\n")
        return text

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._failing_clearly():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_TIMEOUT):
                yield

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except Timeout as error:
            raise InputError(
                f"{self.path}: another process has held its lock for {_LOCK_TIMEOUT:.0f} s; end "
                "that process, nothing was written"
            ) from error
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror or error}); nothing was "
                "changed. Free disk space or make the folder writable, then answer again"
            ) from error


def current_annotations(annotations: list[Annotation]) -> list[Annotation]:
    """Return the annotations that no other one supersedes, in the same order."""
    replaced = {annotation.supersedes for annotation in annotations}
    return [annotation for annotation in annotations if annotation.annotation_id not in replaced]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Creating many objects at once triggers collections that cost a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _not_stored(added: list[Annotation], stored: list[Annotation]) -> list[Annotation]:
    known = {annotation.annotation_id: annotation for annotation in stored}
    new = []
    for annotation in added:
        if annotation.annotation_id not in known:
            known[annotation.annotation_id] = annotation
            new.append(annotation)
        elif known[annotation.annotation_id] != annotation:
            raise InputError(
                f"annotation_id {annotation.annotation_id!r} is stored already with another "
                "content; an answer is never changed: give the new one an id of its own and "
                "name the old one in 'supersedes'"
            )
    return new


def _check_history(annotations: list[Annotation], where: str) -> None:
    """Refuse repeated ids and a `supersedes` that does not name a standing answer."""
    seen: dict[str, Annotation] = {}
    replaced: dict[str, str] = {}
    for index, annotation in enumerate(annotations):
        name = f"{where}, record {index} (annotation_id {annotation.annotation_id!r})"
        if annotation.annotation_id in seen:
            raise InputError(f"{name}: this id occurs twice; remove one of the two records")
        seen[annotation.annotation_id] = annotation
        target = annotation.supersedes
        if target is None:
            continue
        old = seen.get(target)
        if old is None or old is annotation:
            raise InputError(f"{name}: supersedes {target!r}, which is no earlier annotation")
        if (old.rater_id, old.pair) != (annotation.rater_id, annotation.pair):
            raise InputError(
                f"{name}: supersedes {target!r}, which is by another rater or about another pair; "
                "a rater can replace only an own answer to the same pair"
            )
        if target in replaced:
            raise InputError(
                f"{name}: supersedes {target!r}, which {replaced[target]!r} already replaced; "
                "name that one instead"
            )
        replaced[target] = annotation.annotation_id
