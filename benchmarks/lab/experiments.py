"""The experiments, each with the tastes that it runs for, and where its tables are kept."""

import time
from pathlib import Path

import pandas as pd

from lab import attacks, policies, rewards
from lab.material import Material, one_thread, prepare
from lab.reference import reference
from rlhf_lib.paths import atomic_path

#: Experiment → (function, tastes that it runs for; None: every taste of the material). In the order
#: in which they start: the longest first, so that no process ends long after the others.
EXPERIMENTS = {
    "win_rates": (policies.win_rates, None),
    "over_optimisation": (attacks.over_optimisation, ("calm", "arc", "fresh", "ear")),
    "reference": (reference, None),
    "over_training": (attacks.over_training, ("hooks", "arc")),
    "cycles": (policies.cycles, ("smooth", "hooks", "arc")),
    "settings": (rewards.settings, ("smooth", "chorus", "arc", "loops")),
    "caution": (attacks.caution, None),
    "active": (rewards.active, ("hooks", "arc")),
    "accuracies": (rewards.accuracies, None),
    "shares": (policies.shares, ("smooth", "chorus", "arc", "shuffle")),
    "free_length": (policies.free_length, None),
    "dense_scale": (policies.dense_scale, ("",)),
}

_MATERIAL: dict[Path, Material] = {}


def tables_to_make(material: Material, names: list[str], folder: Path) -> list[tuple[str, str]]:
    """Return the (experiment, taste) of the tables that are not in `folder` yet."""
    todo = []
    for name, (_, some) in EXPERIMENTS.items():
        tastes = [taste for taste in some or material.utility if taste in ("", *material.utility)]
        todo += [(name, taste) for taste in tastes[: material.size.tastes] if name in names]
    return [each for each in todo if not place(folder, *each).is_file()]


def place(folder: Path, name: str, taste: str) -> Path:
    """Return the file of a table."""
    return folder / f"{name}__{taste}.csv"


def make_table(name: str, taste: str, folder: Path) -> None:
    """Run an experiment for a taste on the material in `folder`, and keep its table there."""
    one_thread()
    if folder not in _MATERIAL:  # once per worker
        _MATERIAL[folder] = prepare(None, folder, None, 0)
    began = time.monotonic()
    table = EXPERIMENTS[name][0](_MATERIAL[folder], taste)
    with atomic_path(place(folder, name, taste)) as part:
        table.to_csv(part, index=False)
    print(f"{name} {taste}: {time.monotonic() - began:.0f} s", flush=True)


def finished_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables in `folder`, those of all tastes in one, by experiment."""
    found = {name: sorted(folder.glob(f"{name}__*.csv")) for name in EXPERIMENTS}
    return {name: pd.concat(map(pd.read_csv, paths)) for name, paths in found.items() if paths}
