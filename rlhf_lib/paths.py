"""The workspace root, hashes of files, atomic writes and a lock on folders."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from rlhf_lib.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
#: The root of the repository; None when the package is installed without it.
REPOSITORY = _PACKAGE.parent if (_PACKAGE.parent / "pyproject.toml").is_file() else None
#: The folder of the models that come with the code.
BOX = (REPOSITORY or _PACKAGE) / "models"


def workspace() -> Path:
    """Return the folder that relative paths refer to.

    ``$RLHF_WORKSPACE`` when set (tests and scratch runs). Else the repository's root, so that
    notebooks find the same files from every working folder; for a package installed without the
    repository, the current folder.
    """
    if configured := os.environ.get("RLHF_WORKSPACE"):
        return Path(configured).resolve()
    return REPOSITORY or Path.cwd()


def cache_folder() -> Path:
    """Return the folder of files that can be made again.

    ``.cache`` in the workspace; for a package installed without the repository, the user's own
    cache folder.
    """
    if REPOSITORY or os.environ.get("RLHF_WORKSPACE"):
        return workspace() / ".cache"
    return user_cache_path("rlhf_lib")


def resolve(path: str | Path) -> Path:
    """Return `path` as an absolute path; a relative one is taken from the workspace.

    Raises
    ------
    InputError
        When it starts with the home folder of a user who does not exist.
    """
    path = expanded(path)
    return path if path.is_absolute() else workspace() / path


def expanded(path: str | Path) -> Path:
    """Return `path` with the home folder in place of ``~``.

    Raises
    ------
    InputError
        When that is the home folder of a user who does not exist.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: {error}; write the full path") from error


def shown(path: Path) -> Path:
    """Return a path as messages show it: relative to the workspace if it is inside."""
    return path.relative_to(workspace()) if path.is_relative_to(workspace()) else path


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    try:
        with Path(path).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read {path} ({error}); check the path and its permissions"
        ) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` only when the block ends without error.

    The temporary file is hidden, in the same folder, and has the same suffix. It is flushed to
    disk, renamed over `path` (atomic on POSIX and NTFS), and the folder is flushed too, so that
    after the block the new file survives a loss of power. On an error, or when the process is
    killed, the file that was at `path` before stays unchanged.

    Raises
    ------
    InputError
        When the file cannot be written: disk full, folder read-only, no such place.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error}); nothing was changed. Free disk space or make "
            "the folder writable, then try again"
        ) from error
    finally:
        with suppress(OSError):  # if the folder is a file, there is no part to remove
            part.unlink(missing_ok=True)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Lock a folder for the block, so that two long commands never write into it at once.

    The lock is released when the process ends, also when it is killed.

    Raises
    ------
    InputError
        When another process holds the lock, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"another command is writing into {folder}; wait for it or give another folder"
        ) from error
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error}); give a folder you may write to"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
