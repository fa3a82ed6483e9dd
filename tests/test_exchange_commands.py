"""The commands for import and export."""

import json

import numpy as np
import pytest
from feedback_examples import answer, manifest

from rlhf_lib.analysis.audio import Audio, load_audio, save_audio
from rlhf_lib.app.cli import main
from rlhf_lib.feedback.store import PreferenceStore

SHEET = "song_id,edit_a_id,edit_b_id,preference,strength,notes,rater_id\n"
GOOD = "song_001,temp_0.1,temp_0.9,b,2,keeps the hook,ann\n"


@pytest.fixture
def feedback(workspace):
    (workspace / "eval_outputs").mkdir()
    manifest().save(workspace / "eval_outputs/evaluation_manifest.json")
    return workspace / "feedback"


def _run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def _import(path, *more) -> int:
    return _run("import_feedback", "--file", path, "--rater_kind", "human", *more)


def test_importing_twice_adds_nothing(feedback, workspace, capsys):
    (workspace / "sheet.csv").write_text(SHEET + GOOD)
    assert _import("sheet.csv") == 0
    assert "1 answers added, 0 known already, 0 refused" in capsys.readouterr().out
    before = (feedback / "preferences.json").read_bytes()
    assert _import("sheet.csv") == 0
    assert "0 answers added, 1 known already, 0 refused" in capsys.readouterr().out
    assert (feedback / "preferences.json").read_bytes() == before
    store = PreferenceStore(feedback)
    assert list(store.manifests()) == [store.load()[0].manifest_id] == [manifest().manifest_id]


def test_a_refused_record_is_reported_and_the_rest_imported(feedback, workspace, capsys):
    (workspace / "sheet.csv").write_text(SHEET + GOOD + GOOD.replace("b,2", "tie,3"))
    assert _import("sheet.csv") == 0
    told = capsys.readouterr()
    assert "1 answers added, 0 known already, 1 refused" in told.out
    assert "refused record 1, field 'strength': 3 does not fit a tie" in told.err


def test_names_are_printed_as_they_are(feedback, workspace, capsys):
    PreferenceStore(feedback).add([answer(rater_id="Bén"), answer(rater_id="李")])
    assert _run("check_feedback") == 0
    printed = capsys.readouterr().out
    assert "Bén" in printed and "李" in printed
    assert "\\u" not in printed


def test_strict_refuses_the_file(feedback, workspace, capsys):
    (workspace / "sheet.csv").write_text(SHEET + GOOD + GOOD.replace("b,2", "b,9"))
    assert _import("sheet.csv", "--strict") == 2
    assert "1 of 2 records cannot be imported" in capsys.readouterr().err
    assert PreferenceStore(feedback).load() == []


def test_an_export_goes_into_another_store(feedback, workspace, capsys):
    store = PreferenceStore(feedback)
    first = answer(manifest_id=manifest().manifest_id)
    second = answer(manifest_id=manifest().manifest_id, supersedes=first.annotation_id)
    store.add([first, second])
    assert _run("export_feedback", "--output", "out.csv") == 0
    assert _import("out.csv", "--feedback", "other") == 0
    assert PreferenceStore(workspace / "other").load() == [first, second]
    assert _import("out.csv") == 0
    assert "0 answers added, 2 known already" in capsys.readouterr().out


def test_tasks_for_label_studio(feedback, workspace, capsys):
    paths = [manifest().songs[0].path, *(one.path for one in manifest().songs[0].candidates)]
    sounds = np.random.default_rng(0).uniform(-1, 1, (len(paths), 4000, 1)).astype(np.float32)
    for path, samples in zip(paths, sounds, strict=True):
        save_audio(workspace / "eval_outputs" / path, Audio(samples, 8000))
    assert _run("export_tasks", "--output_dir", "ls", "--audio_url", "http://x/") == 0
    tasks = json.loads((workspace / "ls/tasks.json").read_text())
    assert len(tasks) == 2
    heard = {path.name: load_audio(path).samples for path in (workspace / "ls/audio").iterdir()}
    assert len(heard) == len(paths)
    for task in tasks:
        played = heard[task["data"]["audio_original"].removeprefix("http://x/audio/")]
        original = load_audio(workspace / "eval_outputs" / paths[0])
        np.testing.assert_array_equal(played, original.samples)
    assert (workspace / "ls/labelling_config.xml").read_text().startswith("<View>")


def test_a_missing_file_or_manifest_is_one_line(workspace, capsys):
    assert _import("none.csv") == 2
    assert "evaluation_manifest.json" in capsys.readouterr().err
    (workspace / "eval_outputs").mkdir()
    manifest().save(workspace / "eval_outputs/evaluation_manifest.json")
    assert _import("none.csv") == 2
    assert "none.csv: cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        _run("import_feedback")
