"""Preferences on disk: nothing is lost or half-written; unreadable files are not overwritten."""

import gc
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from rlhf_lib.errors import InputError, quote
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.history import History, current_annotations
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.validation import as_input_error, repeated
from rlhf_lib.paths import atomic_path, resolve

_ANNOTATIONS = TypeAdapter(list[Annotation])
_LOCK_TIMEOUT = 60.0  # s; one rewrite takes well under a second
#: From this many new answers on, reading the whole file is quicker than looking up each.
_MANY = 50


class PreferenceStore:
    """The annotations of a feedback folder and the manifests that they refer to.

    The file is a JSON list with one record per line. Every change takes a file lock, re-reads
    the file, and replaces it as a whole after flushing it to disk. So several processes may add
    at once, and an interruption leaves the old or the new file.

    ``preferences.json.seal``, next to it, holds the hash of the file as a store last wrote it,
    one record per line. While the hash matches, every record is valid, and adding an answer
    reads only the lines that concern it. Without the seal, or after a change by hand, the whole
    file is checked first. The seal may be deleted at any time.

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

        An annotation that is already stored is not added again. When the call returns, the
        answers are on disk.

        Raises
        ------
        InputError
            When an annotation_id is already stored with different content, `supersedes` does
            not name a current answer of the same rater to the same pair, the stored file is
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
            sealed = len(added) < _MANY and self._is_sealed(text)
            stored = _lines_about(added, text) if sealed else self._parse(text)
            history = History(stored)
            new = [one for one in added if history.admit(one, f"cannot add to {self.path}")]
            if new:
                body = _body(text) if sealed else _body(_as_text(stored))
                self._write(_closed(body, new))
        return len(new)

    def remove(self, rater_id: str) -> int:
        """Delete every answer of a rater, superseded ones too, and return how many there were.

        Raises
        ------
        InputError
            When the file is unreadable (it is left as it is) or cannot be written.
        """
        with self._locked():
            stored = self._parse(self._read())
            kept = [one for one in stored if one.rater_id != rater_id]
            if len(kept) < len(stored):
                self._write(_as_text(kept))
        return len(stored) - len(kept)

    def keep_manifest(self, manifest: Manifest) -> Path:
        """Keep a copy of the manifest in the feedback folder and return its path."""
        path = self._manifest_path(manifest.manifest_id)
        if not path.exists():
            with self._failing_clearly():
                manifest.save(path)
        return path

    def load_manifest(self, manifest_id: str) -> Manifest:
        """Return a manifest of the feedback folder.

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

    def find_manifest(self, manifest_id: str) -> Manifest | None:
        """Return a manifest of the feedback folder, or None when it is not there.

        Raises
        ------
        InputError
            When the file was changed.
        """
        known = manifest_id.isalnum() and self._manifest_path(manifest_id).is_file()
        return self.load_manifest(manifest_id) if known else None

    def manifests(self) -> dict[str, Manifest]:
        """Return all manifests of the feedback folder by id; InputError when one was changed."""
        found = sorted((self.folder / "manifests").glob("*.json"))
        return {path.stem: self.load_manifest(path.stem) for path in found if path.stem.isalnum()}

    def _manifest_path(self, manifest_id: str) -> Path:
        return self.folder / "manifests" / f"{manifest_id}.json"

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b"[]"
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read ({error.strerror}); check path and permissions"
            ) from error

    def _parse(self, text: bytes) -> list[Annotation]:
        # Validating 20,000 records takes half a second; bytes that are known are validated once.
        known, before = self._parsed
        if text == known:
            return list(before)
        added = text[len(_body(known)) :]
        grew = before and added.startswith(b",\n") and text.startswith(_body(known))
        if grew and self._is_sealed(text):  # stores only added to it
            more = _ANNOTATIONS.validate_json(b"[" + added.removeprefix(b","))
            self._parsed = (text, before + more)
            return list(self._parsed[1])
        try:
            with _without_garbage_collection():
                annotations = _ANNOTATIONS.validate_json(text)
        except ValidationError as error:
            problem = as_input_error(error, str(self.path), Annotation)
            raise InputError(
                f"{problem}. The file was left as it is: fix that record, restore the file from "
                "a copy, or read files of other shapes with import_feedback"
            ) from None
        if not self._is_sealed(text):  # a store never writes a name twice
            self._refuse_repeated_names(text)
        history = History([])
        for index, annotation in enumerate(annotations):
            where = f"{self.path}, record {index}"
            if not history.admit(annotation, where):
                raise InputError(
                    f"{where} (annotation_id {annotation.annotation_id!r}): this id occurs "
                    "twice; remove one of the two records"
                )
        self._parsed = (text, annotations)
        return list(annotations)

    def _refuse_repeated_names(self, text: bytes) -> None:
        """Raise InputError when an object has a name twice; readers would take the last value."""
        record = 0

        def check(pairs: list[tuple]) -> None:
            nonlocal record
            names = [name for name, _ in pairs]
            twice = repeated(names)
            if twice is not None:
                raise InputError(
                    f"{self.path}, record {record}: the field {quote(twice)} occurs twice; keep "
                    "one of its two values. The file was left as it was"
                )
            record += "annotation_id" in names  # objects inside a record end before it

        json.loads(text, object_pairs_hook=check)

    def _write(self, text: bytes) -> None:
        # All writers hold the lock, so a part file found here was left by a killed writer.
        for stale in self.folder.glob(f".{self.path.stem}.*{self.path.suffix}"):
            stale.unlink(missing_ok=True)
        with atomic_path(self.path) as part:
            part.write_bytes(text)
        # The answers are safe now. A seal that is missing or wrong only costs a full check.
        with suppress(OSError):
            self._seal.write_text(hashlib.sha256(text).hexdigest(), encoding="ascii")

    @property
    def _seal(self) -> Path:
        return self.path.with_name(f"{self.path.name}.seal")

    def _is_sealed(self, text: bytes) -> bool:
        try:
            return self._seal.read_bytes() == hashlib.sha256(text).hexdigest().encode()
        except FileNotFoundError:
            return False

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


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Switch off garbage collection, which costs a third of the time with many new objects."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _lines_about(annotations: Sequence[Annotation], text: bytes) -> list[Annotation]:
    """Return the records of a sealed file that contain an id named by one of the annotations."""
    names = {one.annotation_id for one in annotations} | {one.supersedes for one in annotations}
    found = {}
    for name in names - {None}:
        needle = to_json(name)
        place = text.find(needle)
        while place >= 0:
            start, stop = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
            found[start] = text[start:stop].rstrip(b",")
            place = text.find(needle, stop)
    return [Annotation.model_validate_json(line) for _, line in sorted(found.items())]


def _as_text(annotations: Sequence[Annotation]) -> bytes:
    return _closed(_body(b"[]"), annotations)


def _body(text: bytes) -> bytes:
    """Return a JSON list without its closing bracket."""
    return text.rstrip()[:-1].rstrip()


def _closed(body: bytes, more: Sequence[Annotation]) -> bytes:
    """Return the list of `body` with `more` records, one per line."""
    lines = b",\n".join(annotation.model_dump_json().encode() for annotation in more)
    joint = b",\n" if lines and body != b"[" else b"\n"
    return body + joint + lines + b"\n]\n"
