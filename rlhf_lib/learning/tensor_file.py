"""Read a file that PyTorch wrote, without PyTorch and without running code from it.

Such a file is a zip archive of a pickle and of the bytes of each tensor. A pickle may call any
function; here it may only build tensors, ordered dictionaries and plain values.
"""

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

#: Types of tensors. bfloat16, the upper half of a float32, is unknown to NumPy.
_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
#: Codes of a pickle that make plain values and containers, keep and fetch them, and call what
#: `_Reader` allows; no code that changes an object.
_CODES = re.compile(
    r"PROTO|STOP|MARK|NONE|NEWTRUE|NEWFALSE|BININT[12]?|LONG1|BINFLOAT|BINUNICODE|EMPTY_\w+|"
    r"SETITEMS?|APPENDS?|TUPLE[123]?|(LONG_)?BIN[PG][UE]T|GLOBAL|BINPERSID|REDUCE"
)


def read_tensor_file(path: Path) -> Any:
    """Return what a file holds; tensors are arrays, bfloat16 becomes float32.

    Raises
    ------
    Exception
        Of many types, when the file is damaged or holds anything else.
    """
    _refuse_inflated(path)
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        if archive.read(folder + "byteorder") != b"little":
            raise ValueError("its byte order is not little-endian")
        data = archive.read(pickled)
        _check_codes(data)
        return _Reader(data, archive, folder).load()


class _Reader(pickle.Unpickler):
    """Builds tensors and plain values only."""

    def __init__(self, data: bytes, archive: zipfile.ZipFile, folder: str):
        super().__init__(io.BytesIO(data))
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few names that tensors are made of."""
        if module == "torch" and name in _TYPES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no checkpoint needs")

    def persistent_load(self, pid: tuple) -> np.ndarray:
        """Return the values of a tensor, (n,)."""
        _, kind, key, _, count = pid
        values = np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), _TYPES[kind])
        if values.shape != (count,):
            raise ValueError(f"{len(values)} values where {count} are declared")
        if kind == "BFloat16Storage":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.copy()


def _tensor(
    values: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: object
) -> np.ndarray:
    """Return a tensor whose values lie one after the other, as those of checkpoints do."""
    array = values[offset : offset + math.prod(shape)].reshape(shape)
    ours = [stride // array.itemsize for stride in array.strides]
    if array.shape != shape:
        raise ValueError(f"a tensor of shape {shape}")
    if any(size > 1 and ours[k] != strides[k] for k, size in enumerate(shape)):
        raise ValueError(f"a tensor with strides {strides}")
    return array


def _check_codes(data: bytes) -> None:
    """Refuse a pickle with other codes, or with a place in its memory that would not fit."""
    for code, argument, _ in pickletools.genops(data):
        if not _CODES.fullmatch(code.name):
            raise ValueError(f"its pickle holds {code.name}, which no checkpoint needs")
        if code.name == "LONG_BINPUT" and argument > len(data):
            raise ValueError(f"place {argument} in a pickle of {len(data)} bytes")


def _refuse_inflated(path: Path) -> None:
    """Refuse a file that would take far more memory than its size, before anything is loaded.

    PyTorch stores the members of its archives uncompressed, one after the other.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # an older format is a bare pickle
            raise ValueError("not a zip archive")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {member.filename!r} is compressed, which ours never are")
    declared, size = sum(member.file_size for member in members), path.stat().st_size
    if declared > size:
        raise ValueError(f"its members declare {declared} bytes, the file has {size}")
