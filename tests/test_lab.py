"""The laboratory gives the same tables wherever they are made; finished ones are kept."""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rlhf_lib import parallel
from rlhf_lib.learning.reward.pretraining import Pretraining

CODE = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(CODE))

from lab import report  # noqa: E402
from lab.baselines import Samples  # noqa: E402
from lab.experiments import finished_tables, make_table, place, tables_to_make  # noqa: E402
from lab.material import Size, prepare, utilities  # noqa: E402
from lab.reference import annealed  # noqa: E402
from lab.tables import ratio_interval  # noqa: E402
from learning import _make_table  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning:distributed.*"),
]
SIZE = Size((3, 2, 3), 30.0, 10, 1, 1, Pretraining(2, epochs=1), 50, (10,), (10,), 2)
NAMES = ["accuracies", "win_rates", "shares"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    prepare(SIZE, folder, None, 0)
    return folder


@pytest.fixture(scope="module")
def material(folder):
    return prepare(None, folder, None, 0)


def tables(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def test_a_cluster_makes_the_same_tables_though_a_worker_is_killed(folder, material):
    from distributed import LocalCluster

    todo = tables_to_make(material, NAMES, folder)
    assert [name for name, _ in todo] == sorted(
        [name for name in NAMES for _ in range(2)], key=[name for name, _ in todo].index
    )
    parallel.run(partial(_make_table, folder=folder, code=CODE), todo, jobs=1)
    alone = tables(folder)
    assert len(alone) == 6
    assert tables_to_make(material, NAMES, folder) == []
    for path in folder.glob("*.csv"):
        path.unlink()

    def work(task):
        if task[0] == "shares" and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        make_table(*task, folder)

    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**local) as cluster:
        parallel.run(work, todo, scheduler=cluster.scheduler_address)
    assert (folder / "died").exists()
    assert tables(folder) == alone


def test_only_missing_tables_are_made(folder, material):
    for name in NAMES:
        for taste in list(material.utility)[:2]:
            place(folder, name, taste).touch()
    first = next(iter(material.utility))
    place(folder, "shares", first).unlink()
    assert tables_to_make(material, NAMES, folder) == [("shares", first)]
    for path in folder.glob("*.csv"):
        path.unlink()


def test_the_reference_is_no_worse_than_the_start_and_has_its_length(material):
    song, old = material.songs["test"][0], material.v14()
    starts = old.edits([song])
    for taste in ("arc", "smooth"):
        best = annealed(song, taste, starts, np.random.default_rng(0), steps=100)
        assert (utilities(taste, best) >= utilities(taste, starts) - 1e-9).all()
        for edit, start in zip(best, starts, strict=True):
            assert edit.target == start.target
            assert abs(edit.keep_ratio - edit.target) <= abs(start.keep_ratio - start.target) + 0.1


def test_best_of_many_samples_by_hand(material):
    old, songs = material.v14(), material.songs["test"][:1]
    samples, model = Samples.of(old, songs), material.v8()
    chosen = samples.best(model)
    for at, edit in enumerate(chosen):
        scores = model.score([some[at] for some in samples.edits]).mean(axis=1)
        assert model.score([edit]).mean() == pytest.approx(scores.max(), abs=1e-4)


def test_a_ratio_is_of_sums_and_its_interval_is_over_songs():
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 2.0, 4.0], "song": ["x", "x", "y"]})
    assert ratio_interval(table["a"], table["b"], table["song"]) == "0.75 [0.75, 0.75]"


def test_results_are_written_from_the_tables(folder, material, tmp_path):
    for name, taste in tables_to_make(material, ["free_length", "reference"], folder):
        if name == "free_length":
            make_table(name, taste, folder)
    (tmp_path / "results.md").write_text(
        "text\n<!-- material -->\n<!-- end -->\n<!-- free_length -->\nold\n<!-- end -->\n"
    )
    report.write(finished_tables(folder), material, "tiny", tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| taste | pairs | regret |" in text
    assert "old" not in text
    assert "3 training, 2 validation and 3 test songs of 30 s" in text
