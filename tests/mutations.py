"""Damaged files: seeded mutations of bytes, text and JSON, and a check of their readers."""

import json
import random
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf_lib.errors import InputError

#: Invalid values.
ODD = (
    *(None, True, -1, 0, 9, 2.5, 1e308, float("nan"), float("inf"), 10**400),
    *("", " ", "..", "/etc/passwd", "C:\\x", "a\x00b", "\ud800", "\u202e", "$\\frac{", "<script>"),
    *("x" * 20_000, [], {}, [[]], {"a": {}}),
)
#: Texts that are inserted.
ODD_TEXT = (
    *("nan", "-1", "1e999", "inf", '"', ",", "\x00", "\n", "\r", "é", "=1+1", "{", "[", "'"),
    *("＝1", ";=1", "\t", "\r\n", "'=", ",,"),
)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with one to three kinds of damage."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(out) + 1)
        stop = min(start + chance.choice((1, 1, 4, 64, 4096)), len(out))
        match chance.randrange(8):
            case 0:
                del out[start:]
            case 1:
                del out[start:stop]
            case 2:
                out[start:stop] = chance.randbytes(stop - start)
            case 3:
                out[start:start] = out[start:stop]
            case 4:
                out[start:stop] = bytes(stop - start)
            case 5:
                out[start:stop] = b"\xff" * (stop - start)
            case 6:
                out[start:start] = chance.choice(ODD_TEXT).encode()
            case _ if start < len(out):
                out[start] ^= 1 << chance.randrange(8)
    return bytes(out)


def odd_json(content: Any, chance: random.Random) -> str:
    """Return the content as JSON with one value in it replaced, removed or doubled."""
    content = json.loads(json.dumps(content))
    places = list(_places(content))
    holder, key = chance.choice(places)
    match chance.randrange(7):
        case 6 if isinstance(holder, dict):
            holder[str(chance.choice(ODD))] = holder.pop(key)
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(holder[key])
        case 2 if isinstance(holder, dict):
            holder[f"{key}_"] = holder[key]
        case _:
            holder[key] = chance.choice(ODD)
    return json.dumps(content)


def named_twice(data: bytes, chance: random.Random) -> str:
    """Return JSON text in which one object has a field twice, first with an odd value."""
    text = data.decode()
    field = chance.choice(list(re.finditer(r'"\w+":', text)))
    return (
        f"{text[: field.start()]}{field[0]}{json.dumps(chance.choice(ODD))},{text[field.start() :]}"
    )


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a block that hangs."""

    def ring(*_):
        raise TimeoutError(f"hangs: took over {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_or_refuse(path: Path, read: Callable[[Path], Any], check: Callable[[Any], None]) -> bool:
    """Read a file; return True when it was loaded, False when it was refused correctly.

    A refusal is an InputError that names the file. The file must never change.
    """
    before = path.read_bytes()
    with no_longer_than(60):
        try:
            value = read(path)
        except InputError as error:
            assert path.name in str(error), f"does not name the file: {error}"
            assert len(str(error)) < 2000, "the error is too long"
            value = None
        else:
            check(value)
    assert path.read_bytes() == before, "the file was changed"
    return value is not None
