"""Failures that need a separate process: no permissions, no space to write."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path


def told_by_a_child(run: Callable[[], object]) -> str:
    """Run in a forked process, which may drop its permissions; return its error as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run()
            result = "no error"
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        result = pipe.read()
    os.waitpid(child, 0)
    return result


def full_disk(n_bytes: int) -> None:
    """Make writes of this process fail beyond this number of bytes in a file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def no_permissions() -> None:
    """Become the user nobody, because root can write to read-only folders."""
    if os.getuid() == 0:
        os.setuid(65534)


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
