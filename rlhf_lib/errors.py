"""The one error type that a user's input can cause."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message says what is wrong, where (file, index, field), quotes the bad value and
    names the remedy. The command line prints it without a traceback, and so do notebooks.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"InputError: {self}"]
