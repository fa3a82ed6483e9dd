"""JupyterLab as raters see it: `make lab` asks nothing about news, designed stops show no error."""

import re
from pathlib import Path

import nbformat
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


def test_run_all_ends_calmly_at_a_designed_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stop = "from rlhf_lib.studio.stop import stop_here\nstop_here('rate some pairs')"
    cells = [nbformat.v4.new_code_cell(code) for code in (stop, "print('la' + 'ter')")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "stop.ipynb")
    with (
        server(tmp_path, *LAB, "--LabApp.expose_app_in_browser=True") as address,
        browser_page() as page,
    ):
        page.goto(f"{address}/doc/tree/stop.ipynb")
        page.wait_for_function(
            "globalThis.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'"
        )
        page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
        page.get_by_text("The run ends here. Next: rate some pairs").wait_for()
        page.wait_for_timeout(2000)  # ms, in which a later cell would run
        assert "later" not in page.inner_text(".jp-Notebook")
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
