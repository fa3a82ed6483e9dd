"""A full disk in the middle of a write: a clear error, the old file, no leftover files."""

import numpy as np
import pandas as pd
import pytest
import torch
from children import files_below, full_disk, told_by_a_child
from feedback_examples import answer, manifest

from rlhf_lib import plots
from rlhf_lib.analysis import song_cache
from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.beat_files import write_beats
from rlhf_lib.app.report import Section, write_report
from rlhf_lib.feedback.exchange import export_feedback
from rlhf_lib.feedback.label_studio import write_project
from rlhf_lib.feedback.quality.report import write_quality_report
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps.checkpoints import save_model

LIMIT = 500  # bytes; every file below is longer


def _model(folder):
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(hidden=8), SYNTHETIC_WEIGHTS)
    save_model(folder / "p.pt", policy, name="policy_v14")


def _preferences(folder):
    PreferenceStore(folder).add([answer() for _ in range(20)])


def _plot(folder):
    plots.save(plots.answers([answer()]), folder / "answers.png")


def _report(folder):
    write_report(folder / "r.html", "title", [Section("heading", table=pd.DataFrame({"a": [1]}))])


def _quality(folder):
    write_quality_report(PreferenceStore(folder))


NOISE = Audio(np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)), 8000)
WRITERS = {
    "wav": lambda folder: save_audio(folder / "a.wav", NOISE),
    "flac": lambda folder: save_audio(folder / "a.flac", NOISE),
    "ogg": lambda folder: save_audio(folder / "a.ogg", NOISE),
    "beats": lambda folder: write_beats(folder / "a.beats", np.arange(1000) / 2),
    "cache": lambda folder: song_cache.write(
        folder / "a.song", {"x": NOISE.samples, "sections": ()}
    ),
    "manifest": lambda folder: manifest().save(folder / "m.json"),
    "preferences": _preferences,
    "csv": lambda folder: export_feedback([answer() for _ in range(20)], folder / "a.csv"),
    "label studio": lambda folder: write_project(manifest(), folder),
    "quality": _quality,
    "model": _model,
    "plot": _plot,
    "report": _report,
}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(tmp_path, name):
    write = WRITERS[name]
    write(tmp_path)  # an older file exists, and slow imports are done
    before = files_below(tmp_path)
    assert max(map(len, before.values())) > LIMIT

    def limited():
        full_disk(LIMIT)
        write(tmp_path)

    told = told_by_a_child(limited)
    assert told.startswith("InputError: "), told
    assert str(tmp_path) in told and "cannot be written" in told
    after = files_below(tmp_path)
    # The seal of a store is optional: a missing one only costs time.
    assert {path: after[path] for path in after if not path.endswith(".seal")} == {
        path: before[path] for path in before if not path.endswith(".seal")
    }


def test_names_in_a_report_are_no_markup(tmp_path):
    trap = "<script>alert(1)</script>"
    table = pd.DataFrame({trap: [trap]})
    (tmp_path / "<b>.wav").touch()
    section = Section(trap, trap, table, audio=[(trap, tmp_path / "<b>.wav")])
    page = write_report(tmp_path / "r.html", trap, [section]).read_text()
    assert "alert(1)" in page
    assert "<script>alert" not in page and "<b>" not in page
