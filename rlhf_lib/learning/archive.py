"""Arrays and plain values on disk: written atomically, loaded without running code.

An archive is one ``.pt`` file, as PyTorch writes and reads it. For other programs it may be a
folder: the arrays in the safetensors format, and the plain values as JSON. PyTorch is needed to
write an archive only; importing it takes longer than to shorten a song.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy

from rlhf_lib.errors import InputError, quote
from rlhf_lib.learning.tensor_file import read_tensor_file
from rlhf_lib.paths import atomic_path, file_sha256

FORMAT = 2
#: The files of a folder.
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save_archive(path: str | Path, content: dict[str, Any]) -> Path:
    """Write arrays, tensors and plain values atomically, with the format number of this library."""
    import torch
    from torch.utils.data import default_convert

    path, buffer = Path(path), io.BytesIO()
    # given a path, torch stores the file's name
    torch.save(default_convert({**content, "format": FORMAT}), buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())
    return path


def load_archive(path: str | Path) -> dict[str, Any]:
    """Read what `save_archive` or `save_folder` wrote, without running code from it.

    Tensors are returned as arrays.

    Parameters
    ----------
    path : path
        A file, a folder, or the ``.safetensors`` file in a folder.

    Raises
    ------
    InputError
        When it is missing, damaged or not written by this version of the library.
    """
    path = Path(path)
    if _is_folder(path):
        return _load_folder(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train it first or give another path")
    try:
        content = read_tensor_file(path)
    except Exception as error:  # zipfile and pickle raise many types on damage
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"{path} is not a readable checkpoint ({reason}); train it anew"
        ) from error
    _check_format(path, content)
    return content


def _check_format(path: Path, content: Any) -> None:
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found != FORMAT:
        if type(found) is int and 1 <= found < FORMAT:
            raise InputError(
                f"{path} was written by an earlier version (format {found}, this one reads "
                f"{FORMAT}); train it anew"
            )
        raise InputError(
            f"{path} is not a checkpoint of this library (format {FORMAT}); give another file"
        )


def save_folder(folder: str | Path, archive: str | Path) -> Path:
    """Write an archive as a folder: its ``state`` as `WEIGHTS`, everything else as `CONFIG`.

    `CONFIG` is written last; it holds the hash of both, and that of the archive, so that lineages
    name the same checkpoint (`archive_sha256`).

    Raises
    ------
    InputError
        When the archive holds values that JSON cannot hold, or a file cannot be written.
    """
    folder, content = Path(folder), load_archive(archive)
    weights = safetensors.numpy.save(content.pop("state"), {"format": "pt"})
    try:
        values = json.loads(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{archive} holds values that JSON cannot hold ({error}); train it anew"
        ) from error
    values["checkpoint_sha256"] = archive_sha256(archive)
    values["sha256"] = _seal(weights, values)
    text = json.dumps(values, indent=2) + "\n"
    for name, data in ((WEIGHTS, weights), (CONFIG, text.encode())):
        with atomic_path(folder / name) as part:
            part.write_bytes(data)
    return folder


def refuse_other_arrays(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse arrays, or tensors, of other names, shapes or types than those that are wanted.

    Raises
    ------
    ValueError
        Names the first that differs.
    """
    ours, theirs = (
        {name: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for name, v in some.items()}
        for some in (wanted, found)
    )
    for name in sorted(ours.keys() | theirs.keys()):
        if theirs.get(name) != ours.get(name):
            raise ValueError(f"{quote(name)} is {theirs.get(name)}, expected {ours.get(name)}")


def archive_sha256(path: str | Path) -> str:
    """Return the hash that names a checkpoint; a folder has that of the file it was made of.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    path = Path(path)
    return load_archive(path)["checkpoint_sha256"] if _is_folder(path) else file_sha256(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".safetensors"


def _load_folder(path: Path) -> dict[str, Any]:
    place = path / WEIGHTS if path.is_dir() else path
    config = place.with_name(CONFIG)
    for needed in (config, place):
        if not needed.is_file():
            raise InputError(
                f"no checkpoint at {path}: {needed.name} is missing; give a checkpoint, or a "
                "folder that export_model wrote"
            )
    try:
        weights, values = place.read_bytes(), json.loads(config.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{config} is not valid JSON ({error}); export the model again") from error
    _check_format(config, values)
    if values.pop("sha256", None) != _seal(weights, values):
        raise InputError(
            f"{place} and {config.name} do not fit each other: one was changed or is damaged; "
            "copy both again, or export the model again"
        )
    if not isinstance(values.get("checkpoint_sha256"), str):
        raise InputError(f"{config}: 'checkpoint_sha256' is no text; export the model again")
    try:
        return values | {"state": safetensors.numpy.load(weights)}
    except Exception as error:  # safetensors raises many types on odd headers
        raise InputError(
            f"{place} is not a readable safetensors file ({str(error)[:200]}); "
            "export the model again"
        ) from error


def _seal(weights: bytes, values: dict[str, Any]) -> str:
    """Return the hash of a folder's content: safetensors have no checksum of their own."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(hashlib.sha256(weights).digest() + text.encode()).hexdigest()
