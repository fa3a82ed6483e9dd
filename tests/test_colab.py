"""The annotator on Google Colab, which is imitated by a module."""

import sys
from types import ModuleType

from rating_material import small_manifest, small_songs

from rlhf_lib.studio.annotator import annotate


def test_making_the_annotator_switches_its_widget_on(monkeypatch, workspace):
    """Colab shows a widget with JavaScript of its own only after this call."""
    calls = []
    output = ModuleType("google.colab.output")
    output.enable_custom_widget_manager = lambda: calls.append("on")
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    manifest = small_manifest(small_songs(1))
    manifest.save(workspace / "evaluation_manifest.json")
    annotate("evaluation_manifest.json")
    assert calls == ["on"]
