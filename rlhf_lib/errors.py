"""The error type for everything that a user's input can cause."""

from typing import Any

_LONGEST_QUOTE = 80


class InputError(ValueError):
    """A user's input cannot be used.

    The message states what is wrong and where (file, index, field), quotes the bad value and
    gives the remedy. The command line and notebooks print it without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [f"InputError: {self}"]


class NotMadeYet(InputError):
    """A file that an earlier step makes is missing; a notebook ends there and shows no error."""


def quote(value: Any) -> str:
    """Return `value` as a short quotation for an error message."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
