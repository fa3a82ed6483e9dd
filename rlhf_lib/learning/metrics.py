"""Where the metrics of a training go: CSV, TensorBoard, Weights & Biases, or a logger of yours."""

import csv
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path

#: Libraries for which the commands start a run. They share the calls that are used of them: `init`,
#: and `log` and `finish` of the run that it returns.
RUN_LIBRARIES = ("wandb", "trackio")


class MetricsLogger(Protocol):
    """Anything that keeps metrics: a run of Weights & Biases or Trackio is one as it is.

    Whoever makes a logger closes it.
    """

    def log(self, metrics: dict[str, float], step: int) -> Any:
        """Keep the metrics of one step; steps rise."""


def log_row(
    loggers: Sequence[MetricsLogger], row: Mapping[str, float], step: str = "episode"
) -> None:
    """Give each logger a row of metrics, without the column that counts the steps."""
    for logger in loggers:
        logger.log({name: value for name, value in row.items() if name != step}, int(row[step]))


class CsvLogger:
    """Writes a row for each step.

    Parameters
    ----------
    path : path
        Replaced as soon as there is a row.
    step : str
        Name of the column that counts the steps.
    rows : sequence of dict
        Rows of an interrupted run that is resumed; they come first.
    """

    def __init__(self, path: str | Path, step: str, rows: Sequence[Mapping[str, float]] = ()):
        self.path, self.step = Path(path), step
        self._begun = bool(rows)
        if rows:
            self._begin(rows)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a row; it is in the file when the call returns."""
        row = {self.step: step, **metrics}
        if self._begun:
            with self.path.open("a", newline="") as handle:
                csv.DictWriter(handle, list(row)).writerow(row)
        else:
            self._begin([row])
            self._begun = True

    def _begin(self, rows: Sequence[Mapping[str, float]]) -> None:
        with atomic_path(self.path) as part, part.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


class TensorBoardLogger:
    """Writes scalars for TensorBoard.

    Parameters
    ----------
    folder : path
    begin : int
        First step; entries from there on, of a run that was interrupted, are discarded.
    """

    def __init__(self, folder: str | Path, begin: int = 0):
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

        self._board = SummaryWriter(str(folder), purge_step=begin)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a scalar for each metric."""
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the files."""
        self._board.close()


@contextmanager
def library_run(library: str | None, name: str) -> Iterator[list[MetricsLogger]]:
    """Start a run of a library for the block; without a library there are no loggers.

    Parameters
    ----------
    library : {"wandb", "trackio"} or None
        Its own environment variables and settings apply.
    name : str
        Name of the run, in the project ``rlhf_lib``.

    Raises
    ------
    InputError
        When the library is another one, or is not installed.
    """
    if library is None:
        yield []
        return
    run = _library(library).init(project="rlhf_lib", name=name)
    try:
        yield [run]
    finally:
        run.finish()


def _library(name: str) -> Any:
    if name not in RUN_LIBRARIES:
        raise InputError(f"--log {name!r} is unknown; choose {' or '.join(RUN_LIBRARIES)}")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} is not installed ({error}); run: pip install 'rlhf_lib[{name}]'"
        ) from error
