"""The rating page that `make annotate` serves, for raters without Jupyter, in a real browser."""

from pathlib import Path

import pytest
from browsing import (
    browser_page,
    listen_to_both,
    need_browser,
    server,
    wait_for_count,
    wait_for_sound,
)
from listening_material import listening_folder

import rlhf_lib.studio.annotator as annotator
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.task_order import presentations

need_browser()

STUDIO = Path(annotator.__file__).parent
# As in the Makefile's target.
VOILA = (
    "voila",
    str(STUDIO / "rating_page.ipynb"),
    f"--Voila.config_file_paths={STUDIO}",
    "--no-browser",
    "--port={port}",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("voila")


@pytest.fixture(scope="module")
def manifest(workspace):
    return listening_folder(workspace / "eval_outputs")


@pytest.fixture(scope="module")
def address(workspace, manifest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLHF_MIN_SECONDS", "0.5")
        with server(workspace, *VOILA) as address:
            yield address


def test_a_rater_without_jupyter(workspace, manifest, address):
    def stored():
        return PreferenceStore(workspace / "feedback").load()

    with browser_page(color_scheme="dark") as page:
        elsewhere = []
        page.on(
            "request",
            lambda r: (
                r.url.startswith(("http", "ws")) and address not in r.url and elsewhere.append(r)
            ),
        )
        page.goto(address)
        page.get_by_label("Who listens?").fill("bert")
        page.get_by_role("button", name="Begin").click()
        wait_for_sound(page)
        wait_for_count(page, "0 of")
        # Voilà's page has a light theme, but the annotator follows the browser's dark scheme.
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 24)"

        page.get_by_role("button", name="Listen to the original").click()
        page.wait_for_function("document.querySelector('.rlhf-annotator').dataset.beat >= 5")
        data = "document.querySelector('.rlhf-annotator').dataset"
        page.keyboard.press(" ")
        before = int(page.evaluate(f"{data}.beat"))
        page.keyboard.press("b")
        page.wait_for_function(f"{data}.side === 'B' && {data}.playing === 'true'")
        assert before <= int(page.evaluate(f"{data}.beat")) <= before + 2

        listen_to_both(page)
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        wait_for_count(page, "1 of")
        wait_for_sound(page)
        listen_to_both(page)
        page.get_by_role("button", name="Both are equally good").click()
        page.get_by_role("button", name="Save the answer").click()
        wait_for_count(page, "2 of")
        plan = presentations(manifest, "bert")
        assert [a.task_id for a in stored()] == [item.task.task_id for item in plan[:2]]
        assert [(a.rater_id, a.strength) for a in stored()] == [("bert", 1), ("bert", 0)]

        page.reload()  # a new kernel; the address now names the rater
        wait_for_sound(page)
        wait_for_count(page, "2 of")
        page.locator(".rlhf-annotator").click(position={"x": 5, "y": 5})
        page.keyboard.press("u")
        keep = page.get_by_role("button", name="Leave this answer as it is")
        keep.click()
        keep.wait_for(state="hidden")
        wait_for_sound(page)
        listen_to_both(page)
        page.keyboard.press("0")
        page.keyboard.press("Enter")
        wait_for_count(page, "3 of")
        assert stored()[-1].task_id == plan[2].task.task_id
        assert stored()[-1].cant_tell
        # Nothing was loaded from elsewhere.
        assert [r.failure for r in elsewhere if r.failure != "csp"] == []
