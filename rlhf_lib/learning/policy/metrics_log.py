"""Training metrics as CSV and for TensorBoard."""

import csv
from pathlib import Path

from rlhf_lib.paths import atomic_path


class MetricsLog:
    """Logs the rows of a run to ``metrics.csv`` and as TensorBoard scalars.

    Parameters
    ----------
    folder : path
        Created when missing.
    rows : list of dict
        Rows of an interrupted run that is resumed. Later TensorBoard entries are discarded, and
        the CSV is rewritten.
    step : str
        The column that counts the steps.
    """

    def __init__(self, folder: str | Path, rows: list[dict[str, float]], step: str = "episode"):
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

        self.path = Path(folder) / "metrics.csv"
        self.step = step
        self.rows = list(rows)
        begin = int(rows[-1][step]) + 1 if rows else 0
        self._board = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=begin)

    def add(self, row: dict[str, float]) -> None:
        """Add a row."""
        self.rows.append(row)
        for name, value in row.items():
            if name != self.step:
                self._board.add_scalar(name, value, int(row[self.step]))

    def save(self) -> None:
        """Write all rows so far to disk."""
        self._board.flush()
        if self.rows:
            with atomic_path(self.path) as part, part.open("w", newline="") as handle:
                writer = csv.DictWriter(handle, list(self.rows[0]))
                writer.writeheader()
                writer.writerows(self.rows)

    def close(self) -> None:
        """Save and close the files."""
        self.save()
        self._board.close()
