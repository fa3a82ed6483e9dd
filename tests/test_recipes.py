"""The programs in docs/recipes.md run as they stand, and print what they say."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parent.parent / "docs/recipes.md").read_text(encoding="utf-8")
RECIPES = {
    title: re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
#: What each recipe prints, as a pattern.
PRINTED = {
    "My songs": r"song_001 41 s, \d+ beats.*song_002 41 s.*21 pairs to compare",
    "My beats": r"\d+ beats, bars begin at \[ ?0 +4 +8 +12 +16\]",
    "My preferences from a list": r"^2 answers added;",
    "My rater": r"^\d+ answers$",
    "My reward function": r"^all episodes done longest piece: \[\d\d\.0\]$",
    "My logger": r'^\{"step": 50, .*"kl": \d',
    "My judge": r"new policy +greedy +0\.\d.*new, mean plan",
    "Shorten a folder": r"song_001\.flac .* → .*song_001_short\.flac.*song_002_short\.flac",
    "Compare two policies": r"win_rate.*new policy +greedy +(?!0\.50? )[01]\.\d",
}


def test_there_are_nine_of_at_most_twenty_lines():
    assert list(RECIPES) == list(PRINTED)
    for title, blocks in RECIPES.items():
        (code,) = blocks
        assert len(code.splitlines()) <= 20, title  # blank lines count


@pytest.mark.slow
def test_every_recipe_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RLHF_WORKSPACE", str(tmp_path))
    exec(re.findall(r"```python\n(.*?)```", PAGE.split("## ")[0], re.DOTALL)[0], {})
    capsys.readouterr()
    for title, (code,) in RECIPES.items():
        exec(compile(code, title, "exec"), {})
        printed = capsys.readouterr().out
        assert re.search(PRINTED[title], printed, re.DOTALL), f"{title}:\n{printed}"
