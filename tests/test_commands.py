"""The commands in order, as a user types them, on a folder with an MP3 and a broken file."""

import json
import re

import pandas as pd
import pytest
import soundfile

from rlhf_lib.analysis.audio import load_audio
from rlhf_lib.app.cli import main
from rlhf_lib.paths import file_sha256
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


def test_the_whole_loop(workspace, capsys):
    songs = ("compose_songs", "--n_songs", 3, "--seconds", 30)
    assert run(*songs) == 0
    assert run(*songs, "--seed", 7, "--output_dir", "data/test_songs") == 0
    folder = workspace / "data/test_songs"
    sound = load_audio(folder / "song_002.flac")
    soundfile.write(folder / "second.mp3", sound.samples, sound.sample_rate)
    (folder / "song_002.flac").unlink()
    (folder / "broken.wav").write_bytes(b"RIFF not really")
    capsys.readouterr()

    assert run("train_initial", "--groups_per_song", 2, "--epochs", 1, "--episodes", 50) == 0
    assert "wrote" in capsys.readouterr().out
    where = ("--songs_dir", "data/test_songs", "--output_dir", "eval_outputs")
    sizes = ("--n_songs", 10, "--candidates_per_song", 5)
    assert run("generate_eval_candidates", *where, *sizes, "--format", "mp3") == 2
    assert "'mp3' is unknown; choose 'wav' or 'flac'" in capsys.readouterr().err
    assert not list((workspace / "eval_outputs").glob("[!.]*"))
    assert run("generate_eval_candidates", *where, *sizes, "--format", "flac") == 0
    printed = capsys.readouterr()
    assert re.match(
        r"3 songs, 17 edits: about \d+ MB and \d+ s of rendering in eval_outputs \(free",
        printed.out,
    )
    names = {path.name.rpartition("_")[0] for path in (workspace / "eval_outputs").glob("*_*/")}
    assert names == {"second", "song_001", "song_003"}
    assert "broken.wav" in printed.err
    assert "3 songs, 15 candidates, 30 pairs and 2 obvious checks" in printed.out
    for seed in (1, 2):
        assert run("simulate_feedback", "--seed", seed, "--rater_id", f"simulated_{seed}") == 0
    answers = json.loads((workspace / "feedback/preferences.json").read_text())
    assert {a["rater_kind"] for a in answers} == {"simulated"}
    assert run("check_feedback") == 0
    assert (workspace / "feedback/quality_report.json").is_file()
    capsys.readouterr()
    feedback = ("--feedback", "feedback/preferences.json")
    parent = ("--pretrained", "models/reward_model_v8.pt")
    assert run("train_from_feedback", *feedback, *parent, "--epochs", 2) == 0
    lines = re.findall(r"epoch +\d+  train_loss .*valid_accuracy", capsys.readouterr().out)
    assert len(lines) == 3  # before training and after each epoch
    reward = ("--reward_model", "models/reward_model_v9_feedback_final.pt")
    assert run("train_rlhf_stable", "--episodes", 50, *reward) == 0
    assert len(re.findall(r"^episode +\d+ ", capsys.readouterr().out, re.M)) == 5
    assert run("evaluate_policies", "--taste", "hooks") == 0
    assert "policy_v15 against policy_v14" in capsys.readouterr().out
    table = pd.read_csv(workspace / "runs/evaluation.csv")
    assert set(table["mode"]) == {"greedy", "sampled"}
    capsys.readouterr()
    assert run("select_pairs", "--n_pairs", 4) == 0
    lines = capsys.readouterr().out.splitlines()
    form = r"0\.\d{3}  (second|song_00[13]): temp_0\.\d against temp_0\.\d"
    assert len(lines) == 4 and all(re.fullmatch(form, line) for line in lines)
    selected = "eval_outputs/selected_manifest.json"
    tasks = {task["task_id"] for task in json.loads((workspace / selected).read_text())["tasks"]}
    mine = [a["task_id"] for a in answers if a["rater_id"] == "simulated_1"]
    gone = sum(task_id not in tasks for task_id in mine)
    capsys.readouterr()
    assert run("simulate_feedback", "--rater_id", "simulated_1", "--manifest", selected) == 0
    printed = capsys.readouterr().out
    assert f"'simulated_1' about pairs that are not in this manifest: {gone}. They" in printed
    assert 0 < gone < len(mine)
    known = json.loads((workspace / "feedback/preferences.json").read_text())
    repeated = [a["task_id"] for a in known[len(answers) :]]
    assert set(repeated) <= tasks & set(mine), "pairs are asked again only as repeats"

    models = workspace / "models"
    _, policy = load_policy(models / "policy_v15.pt")
    assert policy["parents"] == {
        "policy_v14": file_sha256(models / "policy_v14.pt"),
        "reward_model_v9": file_sha256(models / "reward_model_v9_feedback_final.pt"),
    }
    _, reward = load_reward_model(models / "reward_model_v9_feedback_best.pt")
    assert reward["parents"] == {"reward_model_v8": file_sha256(models / "reward_model_v8.pt")}
    assert reward["feedback_sha256"] == file_sha256(workspace / "feedback/preferences.json")
    assert reward["training"]["pairs_from"] == "simulated"
    final = models / "policy_final.pt"
    assert file_sha256(final) == file_sha256(models / "policy_v15.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train_initial"], "data/train_songs"),
        (["generate_eval_candidates"], "data/test_songs"),
        (["simulate_feedback"], "evaluation_manifest.json"),
        (["train_from_feedback"], ""),
        (["evaluate_policies", "--old", "policy_v13.pt"], "policy_v13.pt is missing"),
        (["compose_songs", "--n_songs", "0"], "0"),
        (["demo", "--profile", "huge"], "huge"),
    ],
)
def test_wrong_input_is_reported_in_one_line(workspace, capsys, arguments, message):
    assert run(*arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
