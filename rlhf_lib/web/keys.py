"""Who may do what: every key of a study is a keyed hash (HMAC) with the study's one secret."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from rlhf_lib.errors import InputError


class Keys:
    """The keys of a study.

    ``secret`` in the study's folder holds 32 random bytes in hex; it is made on the first start
    and readable by its owner only. Without it, links and pages of raters stop working.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        When the file cannot be read or written, or holds something else.
    """

    def __init__(self, folder: Path):
        path = folder / "secret"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write(secrets.token_hex(32))
                    file.flush()
                    os.fsync(file.fileno())
            self.secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: no secret of a study ({error}); make the folder writable, or restore the "
                "file: with a new one, links that were sent out no longer work"
            ) from error
        if len(self.secret) != 32:
            raise InputError(f"{path}: holds {len(self.secret)} bytes, not 32; restore the file")

    def name(self, *parts: object) -> str:
        """Return a name of 24 hex digits that tells nothing about the parts."""
        return self._digest("name", *parts)[:24]

    def draw(self, *parts: object) -> int:
        """Return a number that seeds the draws about these parts."""
        return int(self._digest("draw", *parts)[:16], 16)

    @property
    def coordinator(self) -> str:
        """The key of the coordinator's page."""
        return self._digest("coordinator")[:32]

    @property
    def simulation(self) -> str:
        """The key by which simulated raters say that they are simulated."""
        return self._digest("simulation")[:32]

    def of_rater(self, rater_id: str) -> str:
        """Return the key that a rater's browser keeps, and sign-in links hold."""
        return self._digest("rater", rater_id)[:32]

    def _digest(self, *parts: object) -> str:
        text = "\0".join(map(str, parts)).encode("utf-8", "backslashreplace")
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Compare two keys in a time that does not depend on where they differ."""
    return hmac.compare_digest(
        given.encode("utf-8", "backslashreplace"), wanted.encode("utf-8", "backslashreplace")
    )
