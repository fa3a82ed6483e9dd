"""Analysed songs on disk, named by everything their content depends on."""

import hashlib
import importlib.metadata
import logging
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

_NUMBERS = ("sample_rate", "n_samples", "beats_per_bar", "downbeat")
_ARRAYS = ("beat_times", "features")
#: Modules of this room, and libraries, that decide what a cached song holds.
_MODULES = "audio beats feature_names features joins likeness metre song sound structure"
_LIBRARIES = "numpy scipy librosa soxr soundfile"

_log = logging.getLogger(__name__)


def content_hash(path: Path) -> str:
    """Return the sha256 of a file's content.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error}); check the path and its rights") from error


def entry_path(cache_dir: Path, *content: str) -> Path:
    """Return the cache file for a song whose analysis depends on `content` and on our code."""
    key = hashlib.sha256(" ".join((*content, _code_version())).encode()).hexdigest()
    return cache_dir / f"{key}.npz"


def read(entry: Path) -> dict[str, object] | None:
    """Return the values in a cache file, None when there is none or it is damaged."""
    if not entry.is_file():
        return None
    try:
        with entry.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            return {
                **{name: int(stored[name]) for name in _NUMBERS},
                **{name: stored[name] for name in _ARRAYS},
            }
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,  # an .npy under our name: a bare array
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        _log.warning("rebuilding the damaged cache file %s (%s)", entry, error)
        return None


def write(entry: Path, values: dict[str, object]) -> None:
    """Store values so that the file appears whole or not at all."""
    with atomic_path(entry) as part:
        np.savez_compressed(part, **values)


@cache
def _code_version() -> str:
    digest = hashlib.sha256()
    for module in _MODULES.split():
        digest.update((Path(__file__).parent / f"{module}.py").read_bytes())
    for library in _LIBRARIES.split():
        digest.update(importlib.metadata.version(library).encode())
    return digest.hexdigest()
