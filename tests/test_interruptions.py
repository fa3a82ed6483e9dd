"""Killed commands: no half-written file under a final name, no finished file lost."""

import hashlib
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from mutations import no_longer_than

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.analysis.song import load_songs
from rlhf_lib.app.cli import main
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.editing.descriptors import N_DESCRIPTORS
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.learning.planning.song_tensors import FeatureScale
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.model import RewardConfig, RewardModel
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.paths import only_writer
from rlhf_lib.steps.checkpoints import load_policy, save_model

# A fork saves seconds of imports in every run; it runs the command itself.
forking = multiprocessing.get_context("fork")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A workspace with three short songs, analysed, and a small policy."""
    folder = tmp_path_factory.mktemp("workspace")
    compose_songs(folder / "data/test_songs", 3, seed=3, seconds=20.0)
    load_songs(folder / "data/test_songs", cache_dir=folder / ".cache/songs")
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(hidden=8), SYNTHETIC_WEIGHTS)
    facts = {"name": "policy_v14", "songs": [], "held_out": [], "parents": {}}
    save_model(folder / "models/policy_final.pt", policy, **facts)
    return folder


@pytest.fixture
def workspace(prepared, monkeypatch):
    monkeypatch.setenv("RLHF_WORKSPACE", str(prepared))
    return prepared


def _command(*arguments) -> None:
    torch.set_num_threads(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(main([str(argument) for argument in arguments]))


def _killed_when(is_time, *arguments) -> bool:
    """Run a command and kill it as soon as `is_time`; False when it ended before."""
    running = forking.Process(target=_command, args=arguments)
    running.start()
    with no_longer_than(60):
        while running.is_alive() and not is_time():
            time.sleep(0.002)
    os.kill(running.pid, signal.SIGKILL)
    running.join()
    return running.exitcode == -signal.SIGKILL


def _finished(*arguments) -> int:
    running = forking.Process(target=_command, args=arguments)
    running.start()
    running.join()
    return running.exitcode


def _hashes(folder) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def _song(workspace, number) -> str:
    """Return how the paths of a composed song's files begin: its folder, and its name."""
    name = f"song_{number:03d}"
    content = (workspace / f"data/test_songs/{name}.flac").read_bytes()
    return f"{name}_{hashlib.sha256(content).hexdigest()[:8]}/{name}"


def _generate(out) -> tuple:
    return ("generate_eval_candidates", "--output_dir", out)


def test_candidates_go_on_where_they_were_killed(workspace, monkeypatch):
    whole, out = workspace / "whole", workspace / "killed"
    assert _finished(*_generate(whole)) == 0
    chance, kills = random.Random(0), 0
    # Kill soon after each number of finished sounds, within the next sound, note or copy.
    for count in (1, 6, 7, 12):
        moment = chance.uniform(0, 0.05)

        def is_time(count=count, moment=moment):
            if len(list(out.rglob("[!.]*.wav"))) < count:
                return False
            time.sleep(moment)
            return True

        kills += _killed_when(is_time, *_generate(out))
        for path in out.rglob("[!.]*.wav"):
            assert (
                hashlib.sha256(path.read_bytes()).hexdigest()
                == _hashes(whole)[path.relative_to(out).as_posix()]
            )
    assert kills >= 2
    first = _song(workspace, 1)
    finished = {path: path.stat().st_mtime_ns for path in out.glob(f"{first}_*.wav")}
    assert finished
    assert _finished(*_generate(out)) == 0
    assert not list(out.rglob(".song_*")), "parts left behind"
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "rendered again"
    assert _hashes(out) == _hashes(whole)


def test_finished_candidates_are_believed_only_when_intact(workspace):
    out = workspace / "again"
    assert _finished(*_generate(out)) == 0
    whole = _hashes(out)
    one, two, three = (_song(workspace, number) for number in (1, 2, 3))
    sound = out / f"{two}_temp_0.5.wav"
    original = next(out.glob(f"{three}_original.*"))
    for path, content in (
        (sound, sound.read_bytes()[:-1000]),
        (original, b""),
        (out / f"{one}_edits.json", b"{"),
        (out / f"{one}_temp_0.1.wav", None),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        assert _finished(*_generate(out)) == 0
        assert _hashes(out) == whole


def test_a_manifest_never_stands_beside_sounds_of_another(workspace):
    """New candidates replace finished ones: the old manifest is removed before its sounds."""
    out = workspace / "other"
    assert _finished(*_generate(out)) == 0
    manifest = out / "evaluation_manifest.json"
    first = Manifest.load(manifest)
    song = _song(workspace, 1)
    changed = out / f"{song}_temp_0.1_v2.wav"
    arguments = (*_generate(out), "--candidates_per_song", 6)
    assert _killed_when(changed.exists, *arguments)
    assert not manifest.exists()
    assert _finished(*arguments) == 0
    second = Manifest.load(manifest)
    assert first.manifest_id != second.manifest_id
    for song in second.songs:
        for candidate in song.candidates:
            sound = out / candidate.path
            assert hashlib.sha256(sound.read_bytes()).hexdigest() == candidate.sha256
            assert load_audio(sound).duration == pytest.approx(candidate.duration, abs=0.03)


def _weights(path) -> bytes:
    policy, _ = load_policy(path)
    return b"".join(value.tobytes() for value in policy.state_dict().values())


def test_training_goes_on_where_it_was_killed(workspace):
    songs, _ = load_songs(workspace / "data/test_songs", cache_dir=workspace / ".cache/songs")
    torch.manual_seed(0)
    small = RewardConfig(width=16, heads=2, layers=1, feedforward=32, members=2, head=8)
    scale = FeatureScale.fit(songs)
    model = RewardModel(small, scale, np.ones(N_DESCRIPTORS), SYNTHETIC_WEIGHTS)
    facts = {"name": "reward_model_v9", "songs": [], "held_out": [], "parents": {}}
    save_model(workspace / "models/reward.pt", model, **facts)

    def train(name):
        return (
            *("train_rlhf_stable", "--songs_dir", "data/test_songs"),
            *("--reward_model", "models/reward.pt", "--models_dir", f"models/{name}"),
            *("--run_dir", f"runs/{name}", "--episodes", 150),
        )

    assert _finished(*train("whole")) == 0

    def first_half_done():
        return list((workspace / "runs/killed").rglob("state_*.pt")) and _snapshots(workspace)

    assert _killed_when(first_half_done, *train("killed"))
    assert not list((workspace / "models/killed").glob("*.pt"))
    first = _snapshots(workspace)[0]
    written = first.stat().st_mtime_ns
    assert _finished(*train("killed")) == 0
    assert first.stat().st_mtime_ns == written, "trained again from the start"
    whole, killed = (workspace / f"models/{name}/policy_v15.pt" for name in ("whole", "killed"))
    assert _weights(killed) == _weights(whole)
    final = killed.with_name("policy_final.pt")
    assert final.read_bytes() == killed.read_bytes()


def _snapshots(workspace) -> list:
    found = (workspace / "runs/killed").rglob("policy_episode_*.pt")
    return sorted(found, key=lambda path: int(path.stem.rpartition("_")[2]))


def test_two_commands_do_not_write_into_one_folder(workspace, capsys):
    with only_writer(workspace / "busy"):
        assert main([str(part) for part in _generate(workspace / "busy")]) == 2
    assert "another command is writing" in capsys.readouterr().err
    with only_writer(workspace / "busy"):
        pass  # free again
