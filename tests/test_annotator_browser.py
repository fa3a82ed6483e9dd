"""The annotator in JupyterLab, used in a real browser: sound, keys, undo, a killed kernel."""

import json
import os
import signal

import nbformat
import numpy as np
import pytest
from browsing import (
    browser_page,
    listen_to_both,
    need_browser,
    server,
    wait_for_count,
    wait_for_sound,
)
from listening_material import N_BEATS, PERIOD, heard_in_song, listening_folder
from rating_material import small_manifest, small_songs

from rlhf_lib.editing.edit import output_order, seam_places
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.listening.task_order import presentations

need_browser()

LAB = (
    "jupyterlab",
    "--no-browser",
    "--allow-root",
    "--ServerApp.port={port}",
    "--IdentityProvider.token=",
    "--LabApp.expose_app_in_browser=True",
)
CELLS = (
    "import os, pathlib\npathlib.Path('kernel.pid').write_text(str(os.getpid()))",
    "from rlhf_lib.studio.annotator import annotate\n"
    "annotate('eval/evaluation_manifest.json', min_seconds=0.5, overlap=1.0)",
)
#: A beat that all edits hold at different times, so that switching by seconds would be far off.
COMMON = 24
WITHIN = 0.015  # s, the largest distance allowed from the same musical position


class Lab:
    """A JupyterLab page with the notebook of `CELLS` open in it."""

    def __init__(self, page, folder, manifest):
        self.page, self.folder, self.manifest = page, folder, manifest
        self.rater = None
        self.root = page.locator(".rlhf-annotator")

    def run(self):
        """Run all cells, as after opening the notebook, and wait for the annotator."""
        self.page.wait_for_function(
            "globalThis.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'"
        )
        self.page.evaluate(
            "document.querySelector('.rlhf-annotator')?.classList.add('of-an-earlier-run')"
        )
        self.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_selector(".rlhf-annotator:not(.of-an-earlier-run)")

    def sign_in(self, rater):
        self.rater = rater
        self.page.get_by_label("Who listens?").fill(rater)
        self.page.keyboard.press("Enter")
        self.wait_for_sound()

    def wait_for_sound(self):
        wait_for_sound(self.page)

    def position(self):
        return float(self.root.get_attribute("data-position"))

    def wait_for_count(self, text):
        wait_for_count(self.page, text)

    def until(self, condition):
        """Wait for an expression of `data`, the annotator's data attributes."""
        self.page.wait_for_function(
            f"(() => {{ const data = document.querySelector('.rlhf-annotator').dataset;"
            f" return {condition}; }})()"
        )

    def order(self, side):
        """Return the beats of a side of the present task, in playing order."""
        if side == "O":
            return np.arange(N_BEATS)
        shown = presentations(self.manifest, self.rater, overlap=1.0)[self.rated()]
        edit_id = shown.left_id if side == "A" else shown.right_id
        return output_order(np.array(self.manifest.candidate(shown.task.song_id, edit_id).actions))

    def seek(self, side, beat, later):
        """Click on the map of a side, `later` s after the start of a beat."""
        order = self.order(side)
        share = (int(np.flatnonzero(order == beat)[0]) + later / PERIOD) / len(order)
        name = {"O": "Original"}.get(side, side)
        slider = self.page.get_by_role("slider", name=f"Position in {name}")
        box = slider.bounding_box()
        slider.click(position={"x": share * box["width"], "y": box["height"] / 2})

    def rated(self):
        return sum(answer.rater_id == self.rater for answer in self.stored())

    def stored(self):
        return PreferenceStore(self.folder / "feedback").load()

    def listen_to_both(self):
        listen_to_both(self.page)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    manifest = listening_folder(folder / "eval")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / "rate.ipynb")
    with server(folder, *LAB) as address, browser_page() as page:
        page.goto(f"{address}/doc/tree/rate.ipynb")
        yield Lab(page, folder, manifest)


@pytest.fixture
def rating(lab, request):
    """Return the page with a new rater signed in."""
    lab.run()
    lab.sign_in(request.node.name[:60])
    return lab


def test_switching_lands_on_the_same_source_beat(rating):
    page = rating.page
    furthest = 0.0
    for before, after in ("AB", "BA", "AO", "OA", "BO", "OB"):
        rating.seek(before, COMMON, later=0.2)
        rating.until("data.playing === 'true'")
        page.wait_for_function("globalThis.recording")
        page.evaluate("forget()")
        rating.until(f"data.beat >= {COMMON + 1}")
        page.keyboard.press(after.lower())
        rating.until(f"data.side === '{after}' && data.beat >= {COMMON + 2}")
        page.keyboard.press(" ")
        page.wait_for_function("heard().at(-1)[1].every((sample) => sample === 0)")
        moments, positions = heard_in_song(page.evaluate("heard()"))
        assert positions[0] < (COMMON + 1) * PERIOD  # both sides of the switch were recorded
        assert positions[-1] > (COMMON + 1.9) * PERIOD
        # Sound that continues at the same place in the song advances as fast as the clock.
        ahead = positions - moments
        furthest = max(furthest, float(np.abs(ahead - np.median(ahead)).max()))
        assert furthest < WITHIN, (before, after)
    print(f"furthest from the same position: {furthest * 1000:.2f} ms")


def test_answers_by_keyboard_wait_until_both_sides_were_heard(rating):
    page = rating.page
    cells = page.locator(".jp-Cell").count()
    page.keyboard.press("6")
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="B is better").is_disabled()
    rating.listen_to_both()
    page.keyboard.press("6")
    assert page.get_by_role("button", name="B is better").get_attribute("aria-pressed") == "true"
    notes = page.get_by_label("Notes on this comparison")
    notes.click()
    page.keyboard.type("<img src=x onerror=alert(1)> 1 b u n")  # no shortcut while typing
    page.keyboard.press("Escape")
    page.get_by_role("button", name="The weaker edit has this fault: audible cut").click()
    page.get_by_role("button", name="How sure I am: sure", exact=True).click()
    page.keyboard.press("Enter")
    rating.wait_for_count("1 of")
    answer = rating.stored()[-1]
    assert answer.rater_id == rating.rater
    assert answer.reasoning == "<img src=x onerror=alert(1)> 1 b u n"
    assert (answer.strength, answer.confidence, answer.tags) == (2, 1.0, ["audible cut"])
    assert answer.preference == {"a": "b", "b": "a"}[answer.shown_first]  # B is the second one
    heard = answer.listening
    assert 0.5 <= heard.seconds_a < 20 and 0.5 <= heard.seconds_b < 20
    # JupyterLab's own shortcuts (a, b: insert a cell) did nothing.
    assert page.locator(".jp-Cell").count() == cells

    rating.wait_for_sound()
    page.keyboard.press("u")
    page.get_by_role("button", name="Leave this answer as it is").wait_for()
    assert notes.input_value() == "<img src=x onerror=alert(1)> 1 b u n"
    assert rating.root.locator("img").count() == 0
    assert page.get_by_role("button", name="B is better").get_attribute("aria-pressed") == "true"
    rating.wait_for_sound()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Leave this answer as it is").wait_for(state="hidden")
    old, new = rating.stored()[-2:]
    assert (new.supersedes, new.strength) == (old.annotation_id, 2)
    assert new.preference == new.shown_first


def test_seams_are_played_and_looped(rating):
    page = rating.page
    order = rating.order("A")
    seams, end = seam_places(order) * PERIOD, len(order) * PERIOD
    page.keyboard.press("a")
    rating.until("data.playing === 'true'")
    page.keyboard.press("n")
    begin = max(seams[0] - 4, 0)
    rating.until(f"data.position >= {begin} && data.position < {begin + 2}")
    page.get_by_role("button", name="Repeat the seam until paused").click()
    page.keyboard.press("p")  # wraps around to the last seam
    begin, stop = seams[-1] - 4, min(seams[-1] + 4, end)
    rating.until(f"data.position > {stop - 1}")
    rating.until(f"data.playing === 'true' && data.position < {begin + 2}")
    assert rating.position() >= begin
    page.keyboard.press(" ")
    rating.until("data.playing === 'false'")


def test_memory_of_old_tasks_is_released_and_nothing_is_revealed(rating):
    page = rating.page
    for n_rated in range(4):
        rating.listen_to_both()
        text = rating.root.evaluate("e => e.outerHTML")
        for secret in ("temp", "song_0", "toy", "check", rating.manifest.manifest_id[:8], ".wav"):
            assert secret not in text
        page.keyboard.press("4")
        page.keyboard.press("Enter")
        rating.wait_for_count(f"{n_rated + 1} of")
        rating.wait_for_sound()
    page.wait_for_function("soundsInMemory() <= 3")


def test_every_control_has_a_name(rating):
    unnamed = rating.root.evaluate(
        "e => [...e.querySelectorAll('button, input, textarea, progress, [role=slider]')].filter("
        "one => !one.getAttribute('aria-label') && !one.labels?.length && !one.innerText"
        ").map(one => one.outerHTML)"
    )
    assert unnamed == []


def test_reloaded_page_and_killed_kernel_resume_at_the_right_task(rating):
    page = rating.page
    rating.listen_to_both()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    rating.wait_for_count("1 of")
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    rating.wait_for_sound()  # the kernel keeps running, and so does the annotator
    rating.wait_for_count("1 of")
    rating.root.click(position={"x": 5, "y": 5})
    rating.listen_to_both()
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    rating.wait_for_count("2 of")

    pid = int((rating.folder / "kernel.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    page.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
    rating.root.click(position={"x": 5, "y": 5})
    page.keyboard.press("u")
    page.get_by_role("alert").filter(has_text="No connection").wait_for()
    rating.run()
    assert int((rating.folder / "kernel.pid").read_text()) != pid
    rating.sign_in(rating.rater)
    rating.wait_for_count("2 of")
    plan = presentations(rating.manifest, rating.rater, overlap=1.0)
    answers = [a for a in rating.stored() if a.rater_id == rating.rater]
    assert [a.task_id for a in answers] == [item.task.task_id for item in plan[:2]]
    claims = json.loads((rating.folder / "feedback" / "claims.json").read_text())
    claim = claims[rating.manifest.manifest_id][rating.rater]
    assert claim["task"] == plan[2].task.task_id


def test_a_notice_about_earlier_answers_is_shown_until_the_first_answer(lab):
    other = small_manifest(small_songs(1))
    store = PreferenceStore(lab.folder / "feedback")
    earlier = AnnotationSession(other, store, "carol")
    for _ in range(2):
        earlier.answer("left", 1)
    lab.run()
    lab.sign_in("carol")
    notice = lab.root.locator(".notice")
    assert "pairs that are not in this manifest: 2." in notice.inner_text()
    lab.listen_to_both()
    assert notice.is_visible()
    lab.page.keyboard.press("4")
    lab.page.keyboard.press("Enter")
    lab.wait_for_count("1 of")
    assert notice.is_hidden()


def test_the_notebook_file_holds_no_sound(rating):
    rating.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    text = (rating.folder / "rate.ipynb").read_text()
    assert "run the cell to listen and rate" in text
    assert len(text) < 10_000
