"""Call a function on many items: in this process, in several processes, or on a Dask cluster.

The results do not depend on where they are computed: every call uses one thread, and results
come in the order of the items. When a process or worker dies, its items are computed again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from tqdm.auto import tqdm

from rlhf_lib.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Least number of items for each process: starting one takes about as long as analysing a song.
_ITEMS_PER_PROCESS = 2
#: Attempts before an error: items that killed three processes will kill the next one.
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
    """Call a function on every item and return the results in order.

    A progress bar is shown when there are several items.

    Parameters
    ----------
    function : callable
        Takes one item. For other processes, the function, the items and the results are pickled;
        these processes share neither the memory nor the current folder of this one.
    items : iterable
    jobs : int, optional
        Processes on this machine; with 1, this process does the work. By default one per core,
        but no more than one for every two items.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://node7:8786``: its workers do the work, and
        `jobs` is ignored. They need the same version of this package and the same files under
        the same paths.
    label, unit : str
        Of the progress bar.

    Returns
    -------
    list
        The same for all values of `jobs` and `scheduler`, on machines of one kind.

    Raises
    ------
    InputError
        When `jobs` is less than 1, the scheduler cannot be reached or is lost, its workers lack
        this package, or the same items have killed several processes in a row.
    Exception
        Any exception of the function.
    """
    items = list(items)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}; give the number of processes, 1 or more")
    alone = partial(in_one_thread, function)
    if scheduler is not None:
        done = _on_cluster(alone, items, scheduler)
    elif (n := processes(jobs, len(items))) > 1:
        done = _in_processes(alone, items, n)
    else:
        done = ((place, alone(item)) for place, item in enumerate(items))
    results = [None] * len(items)
    if len(items) > 1:  # a bar of one item does not move
        done = tqdm(done, label, len(items), unit=unit, leave=False)
    for place, result in done:
        results[place] = result
    return results


def processes(jobs: int | None, n_items: int) -> int:
    """Return in how many processes `run` works on `n_items` items; with 1, in this one."""
    if jobs is not None:
        return max(1, min(jobs, n_items))
    from joblib import cpu_count

    return max(1, min(cpu_count(), n_items // _ITEMS_PER_PROCESS))


def in_one_thread(function: Callable[..., Result], *args: object) -> Result:
    """Call a function with one thread for linear algebra: sums over several round differently."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return function(*args)


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
                    f"processes were killed {attempt} times, most likely because memory ran out; "
                    "use fewer (--jobs)"
                ) from error
            _log.warning("a process was killed; computing its items again")


def _placed(function: Callable[[Item], Result], place: int, item: Item) -> tuple[int, Result]:
    return place, function(item)


def _on_cluster(
    function: Callable[[Item], Result], items: list[Item], scheduler: str
) -> Iterator[tuple[int, Result]]:
    from dask.distributed import Client, KilledWorker, as_completed
    from distributed.client import FutureCancelledError

    _check_that_it_answers(scheduler)
    with Client(scheduler, timeout=_SECONDS_TO_CONNECT, set_as_default=False) as client:
        if not client.nthreads():
            _log.warning("%s has no workers yet; waiting for the first", scheduler)
        futures = client.map(function, items, pure=False)
        place_of = {future.key: place for place, future in enumerate(futures)}
        try:
            for future in as_completed(futures, loop=client.loop):
                yield place_of[future.key], future.result()
        except KilledWorker as error:
            raise InputError(
                f"several workers of {scheduler} died on the same item, most likely because "
                f"memory ran out ({error}); give each worker more memory or fewer threads"
            ) from error
        except FutureCancelledError as error:
            raise InputError(f"lost the scheduler at {scheduler} ({error}); start again") from error
        except ModuleNotFoundError as error:
            raise InputError(
                f"a worker of {scheduler} has no module {error.name!r}; install this package there"
            ) from error


def _check_that_it_answers(scheduler: str) -> None:
    # A Client that cannot connect is closed by the garbage collector, perhaps while the next one
    # is starting: both then wait for the same lock. So none is made where nothing answers.
    try:
        with ThreadPoolExecutor(1) as thread:  # Jupyter runs a loop in this one
            thread.submit(asyncio.run, _connect(scheduler)).result()
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); start one with 'dask "
            "scheduler', and give the address that it prints"
        ) from error


async def _connect(scheduler: str) -> None:
    from distributed.comm import connect

    comm = await connect(scheduler, timeout=_SECONDS_TO_CONNECT)
    await comm.close()
