"""Functions compiled by Numba at their first call; the results are kept between runs.

They lie beside the modules in ``__pycache__``, or in the user's cache folder where that cannot be
written to. Call a compiled function with arguments of the same types everywhere: for every other
type it is compiled anew.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numba

compiled = numba.njit(cache=True)


@cache
def announce(function: Callable) -> None:
    """Print that the next call takes long, if a compiled function has not been compiled yet."""
    if not any(Path(function.stats.cache_path).glob(f"*.{function.__name__}-*.nbi")):
        print("compiling the planner: some 10 s, once after installation", file=sys.stderr)
