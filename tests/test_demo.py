"""The demo in the smoke profile: every stage runs and writes its files."""

import pytest

from rlhf_lib.app.demo import run_demo
from rlhf_lib.errors import InputError
from rlhf_lib.paths import file_sha256


def test_demo_leaves_audio_models_curves_and_a_report(workspace, capsys):
    folder = workspace / "runs/demo"
    table = run_demo(folder, seed=1, profile="smoke")
    assert set(table["line"]) >= {"new policy", "new, mean plan", "new, best plan"}
    printed = capsys.readouterr().out
    for title in ("Win rate of v15 over v14 (simulated", "Accuracy of", "Mean keep ratio"):
        assert title in printed
    song = f"song_001_{file_sha256(folder / 'songs/song_001.flac')[:8]}/song_001"
    for name in (
        "models/policy_v15.pt",
        "models/reward_model_v9_feedback_final.pt",
        "eval_outputs/evaluation_manifest.json",
        f"eval_outputs/{song}_temp_0.9.wav",
        "feedback/preferences.json",
        "feedback/quality_report.json",
        "runs/policy_v15/metrics.csv",
    ):
        assert (folder / name).is_file(), name
    page = (folder / "report.html").read_text()
    assert "simulated" in page
    assert "data:image/svg+xml" in page and "<audio" in page
    with pytest.raises(InputError, match="not empty"):
        run_demo(folder, profile="smoke")
