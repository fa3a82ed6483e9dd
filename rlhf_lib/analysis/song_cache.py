"""The cache of analysed songs: a file's name is a hash of everything its content depends on."""

import hashlib
import importlib.metadata
import io
import logging
from functools import cache
from pathlib import Path

import numpy as np

from rlhf_lib.analysis.sections import Section
from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

_NUMBERS = ("sample_rate", "n_samples")
_ARRAYS = ("beat_times", "downbeats", "features", "confidence")
_SECTIONS = np.dtype([("label", "U80"), ("start", "i8"), ("stop", "i8"), ("moved", "f8")])
#: Libraries that affect the content of a cached song, besides this package's code.
_LIBRARIES = ("numpy", "scipy", "soxr", "soundfile", "av")

_SEAL_BYTES = hashlib.sha256().digest_size

#: Folders of which `warn_once` has warned.
_warned: set[Path] = set()
_log = logging.getLogger(__name__)


def entry_path(cache_dir: Path, *content: str) -> Path:
    """Return the cache file for a song whose analysis depends on `content` and on our code."""
    key = hashlib.sha256(" ".join((*content, _code_version())).encode()).hexdigest()
    return cache_dir / f"{key}.song"


def read(entry: Path) -> dict[str, object] | None:
    """Return the values in a cache file; None when it is missing or damaged.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    try:
        data = entry.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{entry}: cannot be read ({error}); make it readable") from error
    # The content is parsed only after its hash has confirmed that it is as written.
    content, seal = data[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
    if hashlib.sha256(content).digest() != seal:
        _log.warning("rebuilding the damaged cache file %s", entry)
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {
            **{name: int(stored[name]) for name in _NUMBERS},
            **{name: stored[name] for name in _ARRAYS},
            "gain": float(stored["gain"]),
            "beats_from": str(stored["beats_from"]),
            "sections": tuple(Section(*row) for row in stored["sections"].tolist()),
        }


def write(entry: Path, values: dict[str, object]) -> None:
    """Write values and a hash of their content to a cache file, atomically.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    content = io.BytesIO()
    sections = np.array(list(values["sections"]), dtype=_SECTIONS)
    np.savez_compressed(content, **values | {"sections": sections})
    with atomic_path(entry) as part:
        part.write_bytes(content.getvalue() + hashlib.sha256(content.getvalue()).digest())


def warn_once(cache_dir: Path, problem: str) -> None:
    """Warn that the cache in a folder does not work: once for each process and folder."""
    if cache_dir not in _warned:
        _warned.add(cache_dir)
        _log.warning("songs are analysed at every load, their cache does not work: %s", problem)


@cache
def _code_version() -> str:
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    for library in _LIBRARIES:
        digest.update(importlib.metadata.version(library).encode())
    return digest.hexdigest()
