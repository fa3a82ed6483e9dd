"""Take the pictures of the annotator and of a study.

    python docs/screenshots.py annotator    # JupyterLab in headless Chromium, on a composed song
    python docs/screenshots.py study        # a study's pages in headless Chromium, simulated raters

Without an argument, both.
"""

import io
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))  # browsing: servers and a browser
IMAGES = ROOT / "docs/images"
#: Picture → theme of JupyterLab, width of the window in px.
ANNOTATOR = {
    "annotator_light.png": ("JupyterLab Light", 1000),
    "annotator_dark.png": ("JupyterLab Dark", 1600),
}
CELL = """from rlhf_lib.studio.annotator import annotate
annotate("eval_outputs/evaluation_manifest.json", rater_id="rater_1", min_seconds=0.5)"""


def annotator() -> None:
    """Rate a pair of a composed song in JupyterLab and take a screenshot."""
    from browsing import browser_page, listen_to_both, server, wait_for_sound

    with tempfile.TemporaryDirectory() as folder:
        candidates(Path(folder))
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(CELL)],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, Path(folder) / "rate.ipynb")
        lab = ("jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port={port}")
        options = ("--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True")
        for name, (theme, width) in ANNOTATOR.items():
            with server(Path(folder), *lab, *options) as address, browser_page(width, 1000) as page:
                page.goto(f"{address}/doc/tree/rate.ipynb")
                idle = "jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status"
                page.wait_for_function(f"globalThis.{idle} === 'idle'")
                change = "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })"
                page.evaluate(change, theme)
                page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
                wait_for_sound(page)
                page.locator(".rlhf-annotator").focus()
                listen_to_both(page)
                page.keyboard.press("a")
                page.keyboard.press("3")
                for label in ("audible cut", "fairly sure"):
                    page.get_by_role("button", name=label).click()
                page.wait_for_timeout(8000)  # so that the playheads are well inside
                store(name, page.locator(".rlhf-annotator").screenshot())


def study() -> None:
    """Rehearse a study; show a comparison on a phone beside the coordinator's page."""
    from browsing import browser_page, server
    from stranger import until, wait_for_step

    from rlhf_lib.web.keys import Keys
    from rlhf_lib.web.simulate import simulate_study
    from rlhf_lib.web.study import Study

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candidates(folder)
        fields = {
            "title": "Which edit is better?",
            "manifest": str(folder / "eval_outputs/evaluation_manifest.json"),
            "feedback": str(folder / "feedback"),
            "ids_from_url": ["rater"],
            "level": False,
            "headphones": {"method": "antiphase"},
            "both_bad": True,
            "tasks": {"per_sitting": 6, "overlap": 1.0, "check_share": 0.3},
            "end": {"text": "Thank you"},
        }
        (folder / "study.yaml").write_text(yaml.safe_dump(fields))
        simulate_study(Study(**fields), 5)
        fields |= {"headphones": None}
        (folder / "study.yaml").write_text(yaml.safe_dump(fields))
        sounds = "document.querySelectorAll('.rlhf-annotator .side:enabled')"
        command = ("rlhf_lib", "serve_study", str(folder / "study.yaml"), "--port", "{port}")
        with server(folder, *command) as address:
            with browser_page(390, 900, recording=False) as page:
                page.goto(f"{address}/?rater=you")
                wait_for_step(page, "rate")
                until(page, f"{sounds}.length === 3")
                page.evaluate("document.querySelector('.rlhf-annotator').focus()")
                page.keyboard.press("b")
                page.wait_for_timeout(12_000)
                page.keyboard.press("a")
                page.wait_for_timeout(7_000)
                page.evaluate("scrollTo(0, 0)")
                phone = page.screenshot()
            with browser_page(1000, 900, recording=False) as page:
                page.goto(f"{address}/coordinator#{Keys(folder / 'feedback/study').coordinator}")
                until(page, "document.querySelector('tbody tr')")
                desk = page.screenshot()
    both = [Image.open(io.BytesIO(png)) for png in (phone, desk)]
    side_by_side = Image.new("RGB", (1410, 900), "white")
    for image, left in zip(both, (0, 410), strict=True):
        side_by_side.paste(image, (left, 0))
    made = io.BytesIO()
    side_by_side.save(made, "PNG")
    store("study.png", made.getvalue())


def candidates(folder: Path) -> None:
    """Compose a song and edit it by the plan under the dense reward."""
    from rlhf_lib.analysis.song import load_songs
    from rlhf_lib.composer.compose import compose_songs
    from rlhf_lib.feedback.manifest import PolicyRef
    from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
    from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
    from rlhf_lib.steps.candidates import generate_candidates

    compose_songs(folder / "songs", n_songs=1, seed=0, seconds=90.0)
    songs, _ = load_songs(folder / "songs", cache_dir=folder / "cache")
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    nobody = PolicyRef(name="planner", sha256="0" * 64)
    generate_candidates(songs, policy, nobody, folder / "eval_outputs")


def store(name: str, png: bytes) -> None:
    """Write a picture with an adaptive palette, which suits plots and screenshots."""
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    image = image.quantize(128, dither=Image.Dither.NONE)
    image.save(IMAGES / name, optimize=True)
    print(IMAGES / name, (IMAGES / name).stat().st_size // 1000, "kB")


if __name__ == "__main__":
    for word in sys.argv[1:] or ("annotator", "study"):
        {"annotator": annotator, "study": study}[word]()
