"""`make lab` opens JupyterLab without its question about news, which covers the annotator."""

import re
from pathlib import Path

import pytest
from browsing import browser_page, need_browser, server

pytestmark = [pytest.mark.slow]
need_browser()

ROOT = Path(__file__).resolve().parent.parent
LAB = ("jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port={port}")
LAB += ("--IdentityProvider.token=",)


def _asks_about_news(folder: Path) -> bool:
    folder.mkdir()
    with server(folder, *LAB) as address, browser_page() as page:
        page.goto(f"{address}/lab")
        page.wait_for_selector(".jp-Launcher")
        page.wait_for_timeout(3000)  # ms; the question comes with the launcher
        return page.get_by_text("official Jupyter news").count() > 0


def test_no_question_about_news(tmp_path, monkeypatch):
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    assert _asks_about_news(tmp_path / "plain")  # otherwise the next line would show nothing
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (place,) = re.findall(r'JUPYTER_CONFIG_PATH="\$\(CURDIR\)/(\S+)" .* -m jupyterlab', makefile)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(ROOT / place))
    assert not _asks_about_news(tmp_path / "as make lab")
