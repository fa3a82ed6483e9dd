"""The task that each rater has on screen, so that no two raters get the same one."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

#: A rater's claim expires after this many s without a new task.
CLAIM_LASTS = 3600.0
_LOCK_TIMEOUT = 60.0  # s


class Claims:
    """The tasks on the screens of all raters, for one sitting of a rater.

    ``claims.json``, next to the preferences, holds for each manifest and rater the latest sitting
    and its task on screen. It holds no answers and may be deleted whenever nobody rates.

    Parameters
    ----------
    folder : Path
        The feedback folder.
    manifest_id, rater_id : str
    """

    def __init__(self, folder: Path, manifest_id: str, rater_id: str):
        self.path = folder / "claims.json"
        self.manifest_id, self.rater_id = manifest_id, rater_id
        #: The id of the task on screen; set it within `exclusive`.
        self.task_id: str | None = None
        self._sitting = uuid.uuid4().hex

    @contextmanager
    def exclusive(self, *, take_over: bool = False) -> Iterator[set[str]]:
        """Yield the ids of the tasks on other raters' screens, under a file lock.

        Parameters
        ----------
        take_over : bool
            Replace an earlier sitting of this rater.

        Raises
        ------
        InputError
            When a later sitting of this rater took over, or the file cannot be used.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_TIMEOUT):
                everything = self._read()
                claims = everything.setdefault(self.manifest_id, {})
                stored = claims.get(self.rater_id, {})
                if not take_over and stored.get("sitting") != self._sitting:
                    raise InputError(
                        f"rater {self.rater_id!r} is now rating in another window or process; "
                        "close this one, or start it again to continue here"
                    )
                since = time.time() - CLAIM_LASTS
                others = [claim for rater, claim in claims.items() if rater != self.rater_id]
                yield {claim["task"] for claim in others if claim["task"] and claim["time"] > since}
                own = {"sitting": self._sitting, "task": self.task_id}
                if own.items() - stored.items():
                    claims[self.rater_id] = own | {"time": time.time()}
                    with atomic_path(self.path) as part:
                        part.write_text(json.dumps(everything), encoding="utf-8")
        except Timeout as error:
            raise InputError(
                f"{self.path}: another process has held its lock for {_LOCK_TIMEOUT:.0f} s; end "
                "that process and try again"
            ) from error
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror or error}); free disk space or "
                "make the folder writable, then try again"
            ) from error

    def _read(self) -> dict:
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InputError(
                f"{self.path}: is damaged ({error}); delete it: it only lists the tasks that "
                "raters have on screen"
            ) from error


def forget_rater(folder: Path, rater_id: str) -> None:
    """Remove a rater from the claims of a feedback folder, if there are any."""
    path = folder / "claims.json"
    if not path.is_file():
        return
    with FileLock(f"{path}.lock", timeout=_LOCK_TIMEOUT):
        everything = json.loads(path.read_text(encoding="utf-8"))
        for claims in everything.values():
            claims.pop(rater_id, None)
        with atomic_path(path) as part:
            part.write_text(json.dumps(everything), encoding="utf-8")
