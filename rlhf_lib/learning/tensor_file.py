"""Read a file that PyTorch wrote, without PyTorch and without running code from it.

Such a file is a zip archive of a pickle and of the bytes of each tensor. A pickle may call any
function and build what fills the memory or never ends. So its codes are carried out here, one by
one, and only those that make tensors, plain values and containers of them.
"""

import math
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

#: Types of tensors. bfloat16, the upper half of a float32, is unknown to NumPy.
_TYPES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": np.dtype("<u2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
_TENSOR, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_ORDERED = "collections OrderedDict"
_NAMES = (*_TYPES, _TENSOR, _PARAMETER, _ORDERED)
#: Bytes of a pickle, containers within each other, and values in all, at most.
_LARGEST_PICKLE, _DEEPEST, _MOST_VALUES = 4_000_000, 40, 1_000_000
_CONTAINERS = (dict, list, tuple)
#: Codes whose argument is the value.
_VALUES = ["BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"]


class _Name(str):
    """The name of a type or function."""


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
        if len(data) > _LARGEST_PICKLE:
            raise ValueError(f"its pickle has {len(data)} bytes, which no checkpoint needs")
        value = _Reader(archive, f"{folder}data/").read(data)
    _check_nesting(value, {})
    return value


class _Reader:
    """Carries out the codes of a pickle; see the documentation of the module pickletools."""

    def __init__(self, archive: zipfile.ZipFile, folder: str):
        self.archive, self.folder = archive, folder
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[tuple[str, str], np.ndarray] = {}

    def read(self, data: bytes) -> Any:
        """Return the value of a pickle."""
        for code, argument, _ in pickletools.genops(data):
            if code.name == "STOP":
                (value,) = self.stack
                return value
            self._carry_out(code.name, argument)
        raise ValueError("its pickle does not end")

    def _carry_out(self, code: str, argument: Any) -> None:
        stack = self.stack
        match code:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(code == "NEWTRUE")
            case _ if code in _VALUES:
                stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"D": {}, "L": [], "T": ()}[code[6]])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(code[5]))))
            case "TUPLE":
                stack.append(tuple(self._pop_mark()))
            case "APPEND" | "APPENDS":
                added = self._pop(1) if code == "APPEND" else self._pop_mark()
                self._top(list).extend(added)
            case "SETITEM" | "SETITEMS":
                added = self._pop(2) if code == "SETITEM" else self._pop_mark()
                keys, values = added[::2], added[1::2]
                if not all(type(key) in (str, int) for key in keys):
                    raise ValueError("a key that is no text and no whole number")
                self._top(dict).update(zip(keys, values, strict=True))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(_allowed(argument))
            case "STACK_GLOBAL":
                stack.append(_allowed(" ".join(self._pop(2))))
            case "BINPERSID":
                stack.append(self._storage(*self._pop(1)))
            case "REDUCE":
                stack.append(_made(*self._pop(2)))
            case "BUILD":  # attributes of an ordered dictionary, such as the versions of modules
                self._pop(1)
                self._top(OrderedDict)
            case _:
                raise ValueError(f"its pickle holds {code}, which no checkpoint needs")

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("its pickle is damaged")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _pop_mark(self) -> list[Any]:
        return self._pop(len(self.stack) - self.marks.pop())

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError("its pickle is damaged")
        return self.stack[-1]

    def _storage(self, pid: Any) -> np.ndarray:
        """Return the values of a tensor, (n,); tensors that share them get the same array."""
        _, kind, key, _, count = pid
        if not (isinstance(kind, _Name) and kind in _TYPES and isinstance(key, str)):
            raise ValueError("a tensor without a type")
        if (kind, key) not in self.storages:
            values = np.frombuffer(self.archive.read(self.folder + key), _TYPES[kind])
            if values.shape != (count,):
                raise ValueError(f"{len(values)} values where {count} are declared")
            if kind == "torch BFloat16Storage":
                self.storages[kind, key] = (values.astype(np.uint32) << 16).view(np.float32)
            else:
                self.storages[kind, key] = values.copy()  # NumPy cannot write to the bytes read
        return self.storages[kind, key]


def _allowed(name: str) -> _Name:
    if name not in _NAMES:
        raise ValueError(f"it names {name.replace(' ', '.')}, which no checkpoint needs")
    return _Name(name)


def _made(function: Any, arguments: Any) -> Any:
    """Return the result of one of the functions that a pickle may call."""
    if not (isinstance(function, _Name) and isinstance(arguments, tuple)):
        raise ValueError("its pickle calls what is no function")
    if function == _ORDERED and not arguments:
        return OrderedDict()
    if function == _PARAMETER and isinstance(arguments[0], np.ndarray):
        return arguments[0]
    if function == _TENSOR:
        return _tensor(*arguments[:4])
    raise ValueError(f"its pickle calls {function.replace(' ', '.')} in an unknown way")


def _tensor(values: Any, offset: Any, shape: Any, strides: Any) -> np.ndarray:
    """Return a tensor whose values lie one after the other, as those of checkpoints do."""
    if not all(type(number) is int and number >= 0 for number in (offset, *shape)):
        raise ValueError(f"a tensor with offset {offset} and shape {shape}")
    array = values[offset : offset + math.prod(shape)].reshape(shape)
    ours = [step // array.itemsize for step in array.strides]
    if any(size > 1 and ours[k] != strides[k] for k, size in enumerate(shape)):
        raise ValueError(f"a tensor with strides {strides}; save it with .contiguous()")
    return array


def _check_nesting(value: Any, known: dict[int, tuple[int, int]], depth: int = 0) -> None:
    """Refuse containers within containers that would not end, as `repr` or JSON write them.

    Parameters
    ----------
    known : dict
        For each container, by its id: the values in it, and the containers within each other.
    """
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} containers within each other")
    parts = value.values() if isinstance(value, dict) else value
    size, height = 1, 0
    for part in parts if isinstance(value, _CONTAINERS) else ():
        if isinstance(part, _CONTAINERS):
            if id(part) not in known:
                _check_nesting(part, known, depth + 1)
            size, height = size + known[id(part)][0], max(height, known[id(part)][1] + 1)
        else:
            size += 1
    if size > _MOST_VALUES or depth + height > _DEEPEST:
        raise ValueError("containers that hold too much, or each other")
    known[id(value)] = size, height


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
