"""One call for many items: here, in processes of this machine, or on a Dask cluster.

What an item gives does not hang on where it is worked on: every call has one thread, and results
come in the order of the items. Work of a process or worker that dies is done again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from tqdm.auto import tqdm

from rlhf_lib.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Starting a process takes about as long as analysing a song: with fewer items for each than
#: this, fewer are started.
_ITEMS_PER_PROCESS = 2
#: How often work is begun before it is given up: what kills three processes kills the next one.
_ATTEMPTS = 3
_SECONDS_TO_CONNECT = 10

_log = logging.getLogger(__name__)


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int | None = None,
    scheduler: str | None = None,
    label: str = "",
    unit: str = "song",
) -> list[Result]:
    """Call a function on every item and return the results in order, with a progress bar.

    Parameters
    ----------
    function : callable
        Of one item. Where several processes work, it, the items and the results are pickled, and
        relative paths and what is kept in memory between calls mean something else there.
    items : iterable
    jobs : int, optional
        Processes on this machine; 1 works in this one. By default one for every core, but no
        more than one for every two items.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://node7:8786``: its workers do the work, and
        `jobs` is not looked at. They must have this package, in the same version, and see the
        same files under the same paths.
    label, unit : str
        Of the progress bar.

    Returns
    -------
    list
        The same whatever `jobs` and `scheduler` are, on machines of one kind.

    Raises
    ------
    InputError
        When `jobs` is less than 1, the scheduler cannot be reached or is lost, its workers lack
        this package, or the same work has killed one process after the other.
    Exception
        Whatever the function raises.
    """
    items = list(items)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}; give the number of processes, 1 or more")
    alone = partial(_in_one_thread, function)
    if scheduler is not None:
        done = _on_cluster(alone, items, scheduler)
    elif (n := _processes(jobs, len(items))) > 1:
        done = _in_processes(alone, items, n)
    else:
        done = ((place, alone(item)) for place, item in enumerate(items))
    results = [None] * len(items)
    for place, result in tqdm(done, label, len(items), unit=unit, leave=False):
        results[place] = result
    return results


def _processes(jobs: int | None, n_items: int) -> int:
    if jobs is not None:
        return min(jobs, n_items)
    from joblib import cpu_count

    return min(cpu_count(), n_items // _ITEMS_PER_PROCESS)


def _in_one_thread(function: Callable[[Item], Result], item: Item) -> Result:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums over several threads round differently
        return function(item)


def _in_processes(
    function: Callable[[Item], Result], items: list[Item], jobs: int
) -> Iterator[tuple[int, Result]]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = dict(enumerate(items))
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with parallel_config("loky", inner_max_num_threads=1):
                work = Parallel(jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")
                for place, result in work(
                    delayed(_placed)(function, place, item) for place, item in left.copy().items()
                ):
                    del left[place]
                    yield place, result
            return
        except TerminatedWorkerError as error:
            if attempt == _ATTEMPTS:
                raise InputError(
                    f"processes were killed {attempt} times, most likely for want of memory; "
                    "use fewer (--jobs)"
                ) from error
            _log.warning("a process was killed; doing its work again")


def _placed(function: Callable[[Item], Result], place: int, item: Item) -> tuple[int, Result]:
    return place, function(item)


def _on_cluster(
    function: Callable[[Item], Result], items: list[Item], scheduler: str
) -> Iterator[tuple[int, Result]]:
    from dask.distributed import Client, KilledWorker, as_completed
    from distributed.client import FutureCancelledError

    try:
        client = Client(scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); start one with 'dask "
            "scheduler', and give the address that it prints"
        ) from error
    with client:
        if not client.nthreads():
            _log.warning("%s has no workers yet; waiting for the first", scheduler)
        futures = client.map(function, items, pure=False)
        place_of = {future.key: place for place, future in enumerate(futures)}
        try:
            for future in as_completed(futures, loop=client.loop):
                yield place_of[future.key], future.result()
        except KilledWorker as error:
            raise InputError(
                f"workers of {scheduler} died over the same work, most likely for want of memory "
                f"({error}); give each more, or fewer at a time"
            ) from error
        except FutureCancelledError as error:
            raise InputError(f"lost the scheduler at {scheduler} ({error}); start again") from error
        except ModuleNotFoundError as error:
            raise InputError(
                f"a worker of {scheduler} has no module {error.name!r}; install this package there"
            ) from error
