"""Learning experiments with simulated raters, written to tables and plots.

    python benchmarks/learning.py --profile quick          # some minutes, a test run
    python benchmarks/learning.py --profile full           # the figures of docs/results.md
    python benchmarks/learning.py --profile full --songs_dir FOLDER     # on your own songs

Every experiment runs for its simulated tastes (two of them in the quick profile), in --jobs
processes. On your own songs these are the tastes from outside (`lyrics` where the sung lines of all
songs are known), in the experiments that run for every taste. Finished tables are kept in
--output_dir and not computed again. With --write, docs/results.md and its plots are written from
them.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
from joblib import Parallel, delayed
from lab import attacks, policies, report, rewards
from lab.material import SIZES, Material, one_thread, prepare

from rlhf_lib.paths import atomic_path, resolve

#: Experiment → (function, tastes that it runs for; None: every taste of the material).
EXPERIMENTS = {
    "accuracies": (rewards.accuracies, None),
    "win_rates": (policies.win_rates, None),
    "active": (rewards.active, ("hooks", "arc")),
    "settings": (rewards.settings, ("smooth", "chorus", "arc", "loops")),
    "cycles": (policies.cycles, ("smooth", "hooks", "arc")),
    "over_optimisation": (attacks.over_optimisation, ("hooks", "arc")),
    "exploits": (attacks.exploits, ("smooth", "hooks", "arc")),
    "free_length": (policies.free_length, None),
    "shares": (policies.shares, ("smooth", "chorus", "arc", "shuffle")),
}


def main() -> None:
    """Run the experiments that have no table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="quick", choices=SIZES)
    parser.add_argument("--output_dir", help="default: runs/learning_PROFILE")
    parser.add_argument("--songs_dir", help="your own songs instead of composed ones", type=Path)
    parser.add_argument("--only", nargs="*", choices=[*EXPERIMENTS, "dense_scale"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write docs/results.md")
    args = parser.parse_args()
    folder = resolve(args.output_dir or f"runs/learning_{args.profile}")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    material = prepare(SIZES[args.profile], folder, args.songs_dir, args.seed)
    print(f"material: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    chosen = args.only or [*EXPERIMENTS, "dense_scale"]
    tastes = {
        name: [taste for taste in some or material.utility if taste in material.utility]
        for name, (_, some) in EXPERIMENTS.items()
    }
    todo = [
        (name, taste)
        for name in chosen
        for taste in tastes.get(name, ("",))[: SIZES[args.profile].tastes]
        if not _place(folder, name, taste).is_file()
    ]
    Parallel(args.jobs, batch_size=1)(delayed(_run)(name, taste, folder) for name, taste in todo)
    print(f"all: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    tables = {
        name: pd.concat([pd.read_csv(path) for path in sorted(folder.glob(f"{name}__*.csv"))])
        for name in [*EXPERIMENTS, "dense_scale"]
        if list(folder.glob(f"{name}__*.csv"))
    }
    report.show(tables, material)
    if args.write:
        report.write(tables, material, args.profile, resolve("docs"))


def _place(folder: Path, name: str, taste: str) -> Path:
    return folder / f"{name}__{taste}.csv"


_MATERIAL: dict[Path, Material] = {}


def _run(name: str, taste: str, folder: Path) -> None:
    one_thread()
    if folder not in _MATERIAL:  # once per worker
        _MATERIAL[folder] = prepare(None, folder, None, 0)
    began = time.monotonic()
    material = _MATERIAL[folder]
    if name == "dense_scale":
        table = policies.dense_scale(material)
    else:
        table = EXPERIMENTS[name][0](material, taste)
    with atomic_path(_place(folder, name, taste)) as part:
        table.to_csv(part, index=False)
    print(f"{name} {taste}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
