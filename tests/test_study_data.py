"""What a study gives its coordinator: overview, downloads, rehearsal, deletion."""

import io
import json
import zipfile
from collections import Counter

import pytest
import yaml
from rating_material import small_manifest, small_songs
from study_material import Visitor, small_study

from rlhf_lib.app.cli import main
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.exchange import import_feedback
from rlhf_lib.feedback.manifest import Manifest, PolicyRef
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.archive import save_archive
from rlhf_lib.paths import file_sha256, only_writer
from rlhf_lib.web.deletion import delete_rater, models_trained_on
from rlhf_lib.web.exports import download
from rlhf_lib.web.overview import as_text, overview
from rlhf_lib.web.running import RunningStudy, study_folder

TASKS = {"per_sitting": 9, "overlap": 1.0, "check_share": 1.0, "repeat_share": 0.0}


@pytest.fixture
def rated(workspace):
    """A study that anna finished carefully and bert began without listening."""
    running = RunningStudy(small_study(workspace, tasks=TASKS))
    for rater, most in (("anna", 9), ("bert", 6)):
        visitor = Visitor(running, rater)
        for _ in range(most):
            shown = running._desks[rater, "rate"].session.task
            better = {"a": "A", "b": "B"}
            answer = "A strongly"
            if rater == "anna" and shown.task.check:
                is_left = shown.shown_first == shown.task.check
                answer = better["a" if is_left else "b"]
            elif shown.task.check:
                answer = "Tie"
            visitor.rate(answer)
    Visitor(running, "anna").fill("rate")
    return running


def test_the_overview_counts(rated):
    found = overview(*rated.parts)
    anna, bert = found["raters"]
    answers = [a for a in PreferenceStore(rated.study.feedback).load() if a.is_check]
    n_checks = Counter(answer.rater_id for answer in answers)
    assert (anna["rater"], anna["answers"], anna["state"]) == ("anna", 9, "done")
    assert anna["checks failed"] == f"0 of {n_checks['anna']}"
    assert (bert["sittings"], bert["answers"], bert["state"]) == ("0 of 1", 6, "rating")
    assert bert["checks failed"] == f"{n_checks['bert']} of {n_checks['bert']}"
    assert found["pairs"] == {"asked about": 6, "answered": 6, "still needed": 0}
    assert found["agreement"]["n_shared_pairs"] == 6 - n_checks["bert"]
    text = as_text(found)
    assert "15 answers of 2 raters; 6 of 6 pairs have one" in text


def test_the_command_prints_the_same_and_writes_the_downloads(rated, workspace, capsys):
    file = workspace / "study.yaml"
    file.write_text(json.dumps(rated.study.model_dump(exclude_none=True)))  # JSON is YAML
    assert main(["study_report", str(file), "--output_dir", "out"]) == 0
    assert as_text(overview(*rated.parts)) in capsys.readouterr().out
    result = import_feedback(workspace / "out/answers.csv", [rated.parts[1]])
    assert list(result.annotations) == PreferenceStore(rated.study.feedback).load()
    assert json.loads((workspace / "out/raters.json").read_text())[0]["rater_id"] == "anna"


def test_the_data_set_of_a_study(rated):
    store = rated.parts[2]
    content = zipfile.ZipFile(io.BytesIO(download("preferences.zip", *rated.parts)))
    rows = [json.loads(line) for line in content.read("data/train.jsonl").splitlines()]
    answers = store.current()
    assert len(rows) == len(answers) == 15
    for row, answer in zip(rows, answers, strict=True):
        for side, name in (("edit_a", answer.edit_a_id), ("edit_b", answer.edit_b_id)):
            assert row[side]["path"] == f"{answer.song_id}/{answer.song_id}_{name}.wav"
        assert row["original"] == f"{answer.song_id}/original.wav"
        assert (row["preference"], row["strength"]) == (answer.preference, answer.strength)
        assert row["rater"] == {"anna": 1, "bert": 2}[answer.rater_id]
        assert row["simulated"] is False
    card = content.read("README.md").decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["pretty_name"] == "A study"
    assert "license" not in front and "**Licence**: none is stated" in card
    assert "**Raters**: 2 human, 0 simulated" in card
    assert "anna" not in card and "bert" not in card


def test_a_deleted_rater_is_gone_and_the_others_are_not(rated, workspace):
    store = PreferenceStore(rated.study.feedback)
    before = store.load()
    (workspace / "feedback/quality_report.json").write_text('{"anna": 1}')
    done = delete_rater(rated.study, "anna", workspace / "models")
    assert (done.answers, done.record, done.trained, done.unknown) == (9, True, [], [])
    assert store.load() == [answer for answer in before if answer.rater_id == "bert"]
    for path in (workspace / "feedback").rglob("*"):
        assert path.is_dir() or b"anna" not in path.read_bytes(), path
    assert delete_rater(rated.study, "anna", workspace / "models").answers == 0


def test_nobody_is_deleted_while_the_study_is_served(rated, workspace):
    with only_writer(study_folder(rated.study)), pytest.raises(InputError, match="another command"):
        delete_rater(rated.study, "anna", workspace / "models")


def test_models_trained_on_a_rater_are_named(workspace):
    manifest = small_manifest(small_songs(1))
    store = PreferenceStore("feedback")
    models = workspace / "models"
    made = {}

    def answer(rater, number):
        task = manifest.tasks[number]
        store.add(
            Annotation.new(
                song_id=task.song_id,
                edit_a_id=task.edit_a_id,
                edit_b_id=task.edit_b_id,
                preference="a",
                strength=1,
                rater_id=rater,
                rater_kind="human",
            )
        )

    def train(name, parent=None, digest=None):
        about = {"name": name, "parents": {"parent": made[parent]} if parent else {}}
        if digest is not None:
            about["feedback_sha256"] = digest
        path = save_archive(models / f"{name}.pt", {"about": about})
        made[name] = file_sha256(path)

    train("v8")
    answer("bert", 0)
    train("before", "v8", file_sha256(store.path))
    answer("anna", 1)
    train("with", "before", file_sha256(store.path))
    answer("bert", 2)
    train("after", "before", file_sha256(store.path))
    train("child", "with")
    train("grandchild", "child")
    train("elsewhere", "v8", "0" * 64)
    trained, unknown = models_trained_on(store, "anna", models)
    assert {path.stem for path in trained} == {"with", "after", "child", "grandchild"}
    assert {path.stem for path in unknown} == {"elsewhere"}


def test_sign_in_links_are_printed(rated, workspace, capsys):
    file = workspace / "study.yaml"
    file.write_text(json.dumps(rated.study.model_dump(exclude_none=True) | {"sign_in": "links"}))
    options = ["--raters", "anna, zoë", "--address", "https://x.example/"]
    assert main(["study_links", str(file), *options]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"https://x.example/?rater=anna&key={rated.keys.of_rater('anna')}"
    assert second.startswith("https://x.example/?rater=zo%C3%AB&key=")


@pytest.mark.slow
def test_a_rehearsal_by_http(workspace, capsys):
    """Simulated raters behave as their names say, and their answers are called simulated."""
    from rlhf_lib.analysis.song import load_songs
    from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
    from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
    from rlhf_lib.steps.candidates import generate_candidates
    from rlhf_lib.web.simulate import rehearse

    compose_songs(workspace / "songs", 2, 0, 20.0)
    songs, _ = load_songs(workspace / "songs")
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    ref = PolicyRef(name="planner", sha256="0" * 64)
    generate_candidates(songs, policy, ref, workspace / "eval_outputs")
    study = small_study(workspace, tasks={"per_sitting": 6, "overlap": 1.0}, training_trials=1)
    (workspace / "study.yaml").write_text(json.dumps(study.model_dump(exclude_none=True)))
    assert main(["simulate_study", "study.yaml", "--raters", "5", "--feedback", "rehearsal"]) == 0
    answers = PreferenceStore("rehearsal").load()
    by_rater = Counter(answer.rater_id for answer in answers)
    assert by_rater == {
        "careful_1": 6, "careless_2": 6, "side_biased_3": 6, "dropping_out_4": 2, "reloading_5": 6
    }  # fmt: skip
    assert {answer.rater_kind for answer in answers} == {"simulated"}
    assert all(a.listening.seconds_a == 1.0 for a in answers if a.rater_id == "careless_2")
    assert "26 answers of 5 raters" in capsys.readouterr().out
    everyone = rehearse(workspace / "eval_outputs/evaluation_manifest.json", "apart", 2, "smooth")
    tasks = Manifest.load(workspace / "eval_outputs/evaluation_manifest.json").tasks
    assert Counter(a.task_id for a in everyone) == {task.task_id: 2 for task in tasks}
    assert {a.rater_id for a in everyone} == {"careful_1", "careful_2"}
    assert not (workspace / "feedback").exists()
