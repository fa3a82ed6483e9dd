"""The error type for everything that a user's input can cause."""


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
