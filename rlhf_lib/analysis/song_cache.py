"""The cache of analysed songs: a file's name is a hash of everything its content depends on."""

import hashlib
import importlib.metadata
import io
import logging
from functools import cache
from pathlib import Path

import numpy as np

from rlhf_lib.paths import atomic_path

_NUMBERS = ("sample_rate", "n_samples", "beats_per_bar", "downbeat")
_ARRAYS = ("beat_times", "features", "confidence")
#: Libraries that affect the content of a cached song, besides this package's code.
_LIBRARIES = ("numpy", "scipy", "soxr", "soundfile")

_SEAL_BYTES = hashlib.sha256().digest_size

_log = logging.getLogger(__name__)


def entry_path(cache_dir: Path, *content: str) -> Path:
    """Return the cache file for a song whose analysis depends on `content` and on our code."""
    key = hashlib.sha256(" ".join((*content, _code_version())).encode()).hexdigest()
    return cache_dir / f"{key}.song"


def read(entry: Path) -> dict[str, object] | None:
    """Return the values in a cache file; None when it is missing or damaged."""
    try:
        data = entry.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("rebuilding the unreadable cache file %s (%s)", entry, error)
        return None
    # The content is parsed only after its hash has confirmed that it is as written.
    content, seal = data[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
    if hashlib.sha256(content).digest() != seal:
        _log.warning("rebuilding the damaged cache file %s", entry)
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {
            **{name: int(stored[name]) for name in _NUMBERS},
            **{name: stored[name] for name in _ARRAYS},
        }


def write(entry: Path, values: dict[str, object]) -> None:
    """Write values and a hash of their content to a cache file, atomically."""
    content = io.BytesIO()
    np.savez_compressed(content, **values)
    with atomic_path(entry) as part:
        part.write_bytes(content.getvalue() + hashlib.sha256(content.getvalue()).digest())


@cache
def _code_version() -> str:
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    for library in _LIBRARIES:
        digest.update(importlib.metadata.version(library).encode())
    return digest.hexdigest()
