"""Where things lie: the workspace root and files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def workspace() -> Path:
    """Return the folder that relative paths refer to.

    ``$RLHF_WORKSPACE`` when set (tests and scratch runs), else the repository root, so that
    notebooks find the same files whatever folder their kernel started in.
    """
    configured = os.environ.get("RLHF_WORKSPACE")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parent.parent


def resolve(path: str | Path) -> Path:
    """Return `path` as an absolute path; a relative one is taken from the workspace."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else workspace() / path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` only when the block ends without error.

    The temporary file lies in the same folder and keeps the suffix, is flushed to disk, then
    renamed over `path` (atomic on POSIX and NTFS). On an error it is removed and whatever
    stood at `path` before is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
