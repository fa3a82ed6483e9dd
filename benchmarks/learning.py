"""Learning experiments with simulated raters, written to tables and plots.

    python benchmarks/learning.py --profile quick          # some minutes, a test run
    python benchmarks/learning.py --profile full           # the figures of docs/results.md
    python benchmarks/learning.py --profile full --songs_dir FOLDER     # on your own songs
    python benchmarks/learning.py --profile full --scheduler tcp://node7:8786   # Dask's workers

Every experiment runs for its simulated tastes (two of them in the quick profile), in --jobs
processes or on the workers of a cluster, which need this folder and --output_dir under the same
paths (docs/scale.md). On your own songs these are the tastes from outside (`lyrics` where the sung
lines of all songs are known), in the experiments that run for every taste. Finished tables are kept
in --output_dir and not computed again. With --write, docs/results.md and its plots are written from
them, in the folder --docs_dir.
"""

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from lab import report
from lab.experiments import EXPERIMENTS, finished_tables, tables_to_make
from lab.material import SIZES, prepare

from rlhf_lib import parallel
from rlhf_lib.paths import resolve


def main() -> None:
    """Run the experiments that have no table yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="quick", choices=SIZES)
    parser.add_argument("--output_dir", help="default: runs/learning_PROFILE")
    parser.add_argument("--songs_dir", help="your own songs instead of composed ones", type=Path)
    parser.add_argument("--only", nargs="*", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scheduler", help="address of a Dask scheduler, instead of --jobs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write results.md in --docs_dir")
    parser.add_argument("--docs_dir", default="docs")
    args = parser.parse_args()
    folder = resolve(args.output_dir or f"runs/learning_{args.profile}")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    material = prepare(SIZES[args.profile], folder, args.songs_dir, args.seed)
    print(f"material: {_minutes(began)}", flush=True)
    work = partial(_make_table, folder=folder, code=Path(__file__).resolve().parent)
    todo = tables_to_make(material, args.only, folder)
    parallel.run(work, todo, args.jobs, args.scheduler, "experiments", "table")
    print(f"all: {_minutes(began)}", flush=True)
    tables = finished_tables(folder)
    report.show(tables)
    if args.write:
        report.write(tables, material, args.profile, resolve(args.docs_dir))


def _make_table(task: tuple[str, str], folder: Path, code: Path) -> None:
    """Make one table, here or on a worker, which does not know this folder."""
    if str(code) not in sys.path:
        sys.path.insert(0, str(code))
    from lab.experiments import make_table

    make_table(*task, folder)


def _minutes(began: float) -> str:
    return f"{(time.monotonic() - began) / 60:.1f} minutes"


if __name__ == "__main__":
    main()
