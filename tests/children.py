"""What goes wrong only in a process of its own: no rights, no room to write."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path


def told_by_a_child(run: Callable[[], object]) -> str:
    """Run in a forked process, which may give up rights; return the error it ended with."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run()
            told = "no error"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def full_disk(n_bytes: int) -> None:
    """Make every later write of this process beyond so many bytes of a file fail."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def no_rights() -> None:
    """Be nobody, whom read-only folders stop, as they do not stop root."""
    if os.getuid() == 0:
        os.setuid(65534)


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
