"""End a notebook's run where a person is needed first."""

from typing import NoReturn

from IPython import get_ipython


class StoppedHere(Exception):
    """The run of a notebook ends here as intended; raised by `stop_here`."""


def stop_here(next_step: str) -> NoReturn:
    """Print the next step and end the run: *Run All* runs no later cell and shows no error.

    Raises
    ------
    StoppedHere
        Always. A notebook shows no error for it.
    """
    print(f"The run ends here. Next: {next_step}")
    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((StoppedHere,), _show_nothing)
    raise StoppedHere(next_step)


def _show_nothing(shell, kind, error, traceback, tb_offset=None) -> None:
    """Take the place of IPython's traceback."""
