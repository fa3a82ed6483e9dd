"""Metrics reach any logger: one of one's own, TensorBoard, and libraries that are asked for."""

import csv
import sys
import types

import numpy as np
import pytest
import torch
from test_policy_training import CONFIG, Killed
from toy import toy_song

from rlhf_lib.errors import InputError
from rlhf_lib.learning.metrics import CsvLogger, library_run
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.policy.training import train_policy
from rlhf_lib.learning.reward.pretraining import Pretraining
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps import train_reward_model as training


class Mine:
    """A logger of a user's own."""

    def __init__(self):
        self.rows = []

    def log(self, metrics, step):
        self.rows.append((step, metrics))


@pytest.fixture(scope="module")
def songs():
    return [toy_song(64, seed=s) for s in range(3)]


def _policy():
    torch.manual_seed(0)
    config = PolicyConfig(hidden=8, draws=2, own_plans=4, dense_plans=4, climb=12)
    return Policy(config, SYNTHETIC_WEIGHTS)


def seams(edits):
    return [-float(len(edit.seams)) for edit in edits]


def _csv(folder):
    with (folder / "metrics.csv").open() as handle:
        return [
            (int(row.pop("episode")), {name: float(value) for name, value in row.items()})
            for row in csv.DictReader(handle)
        ]


def test_a_logger_of_ones_own_receives_what_the_csv_holds(songs, tmp_path):
    mine = Mine()
    train_policy(_policy(), seams, songs, config=CONFIG, folder=tmp_path, loggers=[mine])
    assert [step for step, _ in mine.rows] == list(range(10, 81, 10))
    assert mine.rows == _csv(tmp_path)
    assert "episode" not in mine.rows[0][1]
    train_policy(_policy(), seams, songs, config=CONFIG, folder=tmp_path, loggers=[mine])
    assert len(mine.rows) == 8, "a finished run was logged again"


def test_without_a_folder_every_row_is_logged(songs):
    mine = Mine()
    history = train_policy(_policy(), seams, songs, config=CONFIG, loggers=[mine])
    assert [metrics | {"episode": step} for step, metrics in mine.rows] == history.rows


@pytest.mark.parametrize("last", [30, 50, 80])
def test_a_resumed_run_logs_no_step_twice(songs, tmp_path, last):
    def kill(row):
        if row["episode"] == last:
            raise Killed

    mine = Mine()
    with pytest.raises(Killed):
        train_policy(_policy(), seams, songs, None, CONFIG, tmp_path, kill, [mine])
    assert [step for step, _ in mine.rows] == list(range(10, (last - 1) // 20 * 20 + 1, 10))
    train_policy(_policy(), seams, songs, None, CONFIG, tmp_path, loggers=[mine])
    assert [step for step, _ in mine.rows] == list(range(10, 81, 10))
    assert mine.rows == _csv(tmp_path)


def test_a_logger_that_fails_ends_the_run_and_loses_no_checkpoint(songs, tmp_path):
    class Failing:
        def log(self, metrics, step):
            raise ConnectionError("no network")

    with pytest.raises(ConnectionError):
        train_policy(_policy(), seams, songs, config=CONFIG, folder=tmp_path, loggers=[Failing()])
    train_policy(_policy(), seams, songs, config=CONFIG, folder=tmp_path)
    assert [step for step, _ in _csv(tmp_path)] == list(range(10, 81, 10))


def test_tensorboard_holds_the_numbers_of_the_csv(songs, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_policy(_policy(), seams, songs, config=CONFIG, folder=tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    kl = [(event.step, event.value) for event in board.Scalars("kl")]
    assert kl == [(step, pytest.approx(row["kl"], rel=1e-6)) for step, row in _csv(tmp_path)]


def test_csv_rows_of_an_earlier_run_go_with_the_first_new_row(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("another run\n")
    log = CsvLogger(path, "epoch")
    assert path.read_text() == "another run\n"
    log.log({"loss": 0.5}, 1)
    log.log({"loss": 0.25}, 2)
    assert path.read_text().split() == ["epoch,loss", "1,0.5", "2,0.25"]
    CsvLogger(path, "epoch", [{"epoch": 1, "loss": 0.5}])
    assert path.read_text().split() == ["epoch,loss", "1,0.5"]


def test_the_first_reward_model_logs_its_epochs(songs, tmp_path, monkeypatch):
    small = training.RewardConfig(
        width=8, heads=1, layers=1, feedforward=8, members=2, head=4, auxiliary_tasks=2
    )
    monkeypatch.setattr(training, "RewardConfig", lambda: small)
    mine, shown = Mine(), []
    _, history = training.train_initial_reward_model(
        songs,
        tmp_path / "v8.pt",
        Pretraining(groups_per_song=1, group=2, epochs=2),
        report=shown.append,
        loggers=[mine],
    )
    assert shown == history.epochs
    assert [metrics | {"epoch": step} for step, metrics in mine.rows] == history.epochs


@pytest.fixture(params=["wandb", "trackio"])
def library(request, monkeypatch):
    """A module in place of the library, which keeps what is logged."""
    module, runs = types.ModuleType(request.param), []

    class Run(Mine):
        finished = False

        def finish(self):
            self.finished = True

    def init(project, name):
        runs.append(Run())
        runs[-1].named = project, name
        return runs[-1]

    module.init = init
    monkeypatch.setitem(sys.modules, request.param, module)
    return request.param, runs


def test_a_library_gets_a_run(library):
    name, runs = library
    with library_run(name, "policy_v15") as (logger,):
        logger.log({"kl": 0.5}, 10)
        assert not runs[0].finished
    assert (runs[0].named, runs[0].rows) == (("rlhf_lib", "policy_v15"), [(10, {"kl": 0.5})])
    assert runs[0].finished
    with pytest.raises(Killed), library_run(name, "policy_v16"):
        raise Killed
    assert runs[1].finished


def test_no_library_is_imported_unless_it_is_asked_for(monkeypatch):
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it would fail
    with library_run(None, "policy_v15") as loggers:
        assert loggers == []


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_library_that_is_not_installed_is_named_with_the_remedy(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(InputError, match=rf"{name} is not installed .*'rlhf_lib\[{name}\]'"),
        library_run(name, "policy_v15"),
    ):
        pass


def test_an_unknown_library_is_refused():
    with (
        pytest.raises(InputError, match="'mlflow' is unknown; choose wandb or trackio"),
        library_run("mlflow", "x"),
    ):
        pass


def test_numbers_are_plain(songs, tmp_path):
    """A logger may write JSON: no arrays, no numpy numbers."""
    mine = Mine()
    train_policy(_policy(), seams, songs, config=CONFIG, loggers=[mine])
    for step, metrics in mine.rows:
        assert type(step) is int
        assert all(type(value) is float for value in metrics.values()), metrics
        assert np.isfinite(list(metrics.values())).all()
