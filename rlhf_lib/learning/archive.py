"""Files of tensors and plain values: written atomically, loaded without running code."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

FORMAT = 2


def save_archive(path: str | Path, content: dict[str, Any]) -> Path:
    """Write tensors and plain values atomically, with the format number of this library."""
    path, buffer = Path(path), io.BytesIO()
    torch.save({**content, "format": FORMAT}, buffer)  # given a path, torch stores the file's name
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())
    return path


def load_archive(path: str | Path) -> dict[str, Any]:
    """Read a file written by `save_archive`, without running code from it.

    Raises
    ------
    InputError
        When the file is missing, damaged or not written by this version of `save_archive`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train it first or give another path")
    try:
        _refuse_inflated(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile and torch raise many types on damage
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"{path} is not a readable checkpoint ({reason}); train it anew"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        if found in range(1, FORMAT):
            raise InputError(
                f"{path} was written by an earlier version (format {found}, this one reads "
                f"{FORMAT}); train it anew"
            )
        raise InputError(
            f"{path} is not a checkpoint of this library (format {FORMAT}); give another file"
        )
    return content


def _refuse_inflated(path: Path) -> None:
    """Refuse a file that would take far more memory than its size, before anything is loaded.

    torch stores the members of its archives uncompressed, one after the other.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # torch reads such a file as a pickle
            raise ValueError("not a zip archive")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {member.filename!r} is compressed, which ours never are")
    declared, size = sum(member.file_size for member in members), path.stat().st_size
    if declared > size:
        raise ValueError(f"its members declare {declared} bytes, the file has {size}")
