"""End a notebook's run where a person, or an earlier notebook, is needed first."""

from typing import NoReturn

from IPython import get_ipython

from rlhf_lib.errors import NotMadeYet


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
    end_calmly()
    raise StoppedHere(next_step)


def end_calmly() -> None:
    """Show no error, from now on, where this notebook's run ends at a step that comes first."""
    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((StoppedHere, NotMadeYet), _show_the_step)


def _show_the_step(shell, kind, error, traceback, tb_offset=None) -> None:
    """Take the place of IPython's traceback."""
    if isinstance(error, NotMadeYet):
        print(f"The run ends here. {error}")
