"""One process, two processes and a cluster give the same songs, also when a process dies."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from test_song import click_track, write

from rlhf_lib import parallel
from rlhf_lib.analysis.analyse import analyse
from rlhf_lib.analysis.song import load_song, load_songs
from rlhf_lib.errors import InputError
from rlhf_lib.parallel import run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:distributed.*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four songs, a copy of one, and two files that cannot be used."""
    folder = tmp_path_factory.mktemp("songs")
    for number in range(4):
        write(folder / f"{number}.wav", click_track(12.0 + number, seed=number))
    write(folder / "4 copy.wav", click_track(13.0, seed=1))
    write(folder / "5 short.wav", click_track(3.0))
    (folder / "6 broken.mp3").write_bytes(b"no sound")
    return folder


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(params=["processes", "cluster"])
def elsewhere(request):
    """Return the arguments for two processes, or for two workers of a cluster."""
    if request.param == "processes":
        return {"jobs": 2}
    return {"scheduler": request.getfixturevalue("cluster")}


def told(songs, skipped):
    return (
        [(s.song_id, s.path, s.sha256, s.n_samples, s.downbeats.tolist()) for s in songs],
        [(s.beat_times.tobytes(), s.features.tobytes()) for s in songs],
        skipped,
    )


def test_songs_are_the_same_wherever_they_are_analysed(folder, tmp_path, elsewhere):
    serial = load_songs(folder, cache_dir=tmp_path / "serial")
    assert [song.song_id for song in serial[0]] == ["0", "1", "2", "3"]
    assert [skip.path.stem for skip in serial[1]] == ["4 copy", "5 short", "6 broken"]
    songs, skipped = load_songs(folder, cache_dir=tmp_path / "other", **elsewhere)
    assert told(songs, skipped) == told(*serial)
    assert not songs[0].features.flags.writeable
    cached = {path.name: path.read_bytes() for path in (tmp_path / "serial").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()} == cached
    few = load_songs(folder, n_songs=2, cache_dir=tmp_path / "few", **elsewhere)
    assert told(*few) == told(serial[0][:2], [])
    assert len(list((tmp_path / "few").iterdir())) == 2  # no other song was analysed


def test_the_items_of_a_dead_worker_are_computed_again(folder, tmp_path, elsewhere):
    def work(path):
        if path.stem == "2" and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        song = load_song(path, tmp_path / "cache")
        return song.beat_times.tobytes(), song.features.tobytes()

    paths = sorted(folder.glob("?.wav"))
    results = run(work, paths, **elsewhere)
    assert (tmp_path / "died").exists()
    serial = [load_song(path, tmp_path / "serial") for path in paths]
    assert results == [(song.beat_times.tobytes(), song.features.tobytes()) for song in serial]


def test_an_item_that_kills_every_process_is_an_error(elsewhere):
    def work(item):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InputError, match="memory ran out"):
        run(work, range(2), **elsewhere)


def test_an_exception_of_the_function_is_raised_unchanged(elsewhere):
    def work(item):
        raise InputError(f"item {item} is wrong")

    with pytest.raises(InputError, match="item 7 is wrong"):
        run(work, [7, 7], **elsewhere)


def test_every_call_has_one_thread(elsewhere):
    def threads(_):
        import numpy as np
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        return [pool["num_threads"] for pool in threadpool_info()]

    for there in (elsewhere, {"jobs": 1}):
        for pools in run(threads, range(2), **there):
            assert pools and set(pools) == {1}


def test_a_single_song_is_analysed_in_one_thread(folder, tmp_path, monkeypatch):
    """So its features are those that it has as one of a folder."""
    from threadpoolctl import threadpool_info

    pools = []

    def counted(path, beats):
        pools.extend(threadpool_info())
        return analyse(path, beats)

    monkeypatch.setattr("rlhf_lib.analysis.song.analyse", counted)
    song = load_song(folder / "0.wav", cache_dir=tmp_path / "alone")
    assert pools and {pool["num_threads"] for pool in pools} == {1}
    (other, *_), _ = load_songs(folder, n_songs=1, cache_dir=tmp_path / "folder")
    assert other.features.tobytes() == song.features.tobytes()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "tcp://127.0.0.1:port"])
def test_a_scheduler_that_does_not_answer(address, monkeypatch):
    monkeypatch.setattr(parallel, "_SECONDS_TO_CONNECT", 0.3)
    monkeypatch.setattr("dask.distributed.Client", None)  # one that never connects can block others
    with pytest.raises(InputError, match="no Dask scheduler answers at"):
        run(str, [1], scheduler=address)


def test_a_lost_scheduler_is_an_error():
    from distributed import LocalCluster

    local = {"processes": False, "n_workers": 1, "threads_per_worker": 1}
    with LocalCluster(**local, dashboard_address=None) as cluster:
        threading.Timer(0.5, cluster.close).start()
        with pytest.raises(InputError, match="lost the scheduler"):
            run(time.sleep, [0.1] * 100, scheduler=cluster.scheduler_address)


def test_results_come_in_order_and_zero_jobs_is_an_error():
    assert run(lambda x: x * x, range(5)) == [0, 1, 4, 9, 16]
    assert run(str, [], jobs=3) == []
    assert np.array_equal(run(np.sqrt, [4.0, 9.0], jobs=1), [2, 3])
    with pytest.raises(InputError, match="jobs is 0"):
        run(str, [1], jobs=0)
