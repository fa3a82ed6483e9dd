"""Rehearse a study: simulated raters answer it through its real HTTP interface."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from tqdm.auto import tqdm

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.task_order import Presentation
from rlhf_lib.paths import resolve
from rlhf_lib.raters.simulated import SimulatedRater
from rlhf_lib.steps.candidate_files import load_manifest_songs
from rlhf_lib.studio.desk import CONFIDENCES, serial_of
from rlhf_lib.web import headphones
from rlhf_lib.web.client import Client
from rlhf_lib.web.keys import Keys
from rlhf_lib.web.running import RunningStudy
from rlhf_lib.web.server import application
from rlhf_lib.web.study import Study, in_language

#: How simulated raters behave, in turn: settings of `SimulatedRater`.
BEHAVIOURS: dict[str, dict[str, float]] = {
    "careful": {},
    "careless": {"carelessness": 1.0},
    "side_biased": {"side_bias": 2.0},
    "dropping_out": {},  # after a third of the first sitting
    "reloading": {},  # opens the link anew after every answer, and sends every answer twice
}
_CODES = {1: "{} slightly", 2: "{}", 3: "{} strongly"}
_AT_ONCE = 8


def simulate_study(
    study: Study,
    n_raters: int,
    taste: str = "smooth",
    noise: float = 0.5,
    seed: int = 0,
    behaviours: tuple[str, ...] = tuple(BEHAVIOURS),
) -> RunningStudy:
    """Serve a study on this machine, let simulated raters take part, and return it.

    Parameters
    ----------
    study : Study
        Give it a folder of answers of its own: answers of programs do not belong beside people's.
    n_raters : int
        They are named ``careful_1``, ``careless_2`` … after the behaviours, which take turns.
    taste, noise, seed
        Of the raters; see `SimulatedRater`.
    behaviours : sequence of str
        Names in `BEHAVIOURS`.

    Raises
    ------
    InputError
        When a behaviour is unknown, or the study cannot be served.
    """
    unknown = set(behaviours) - BEHAVIOURS.keys()
    if unknown or not behaviours:
        raise InputError(f"behaviours {sorted(unknown)}; choose some of {', '.join(BEHAVIOURS)}")
    # Every simulated rater comes by a link with an id, whatever the study's raters do.
    open_to_all = {"sign_in": "open", "ids_from_url": study.ids_from_url or ["rater"]}
    running = RunningStudy(study.model_copy(update=open_to_all))
    manifest = running.parts[1]
    songs = load_manifest_songs(manifest, resolve(study.manifest).parent)
    with ExitStack() as stack:
        address = stack.enter_context(served(running))
        http = stack.enter_context(httpx.Client(base_url=address, timeout=60.0))

        bar = stack.enter_context(tqdm(desc="answers", unit="answer", leave=False))

        def take_part(number: int) -> None:
            behaviour = behaviours[number % len(behaviours)]
            mind = SimulatedRater(
                f"{behaviour}_{number + 1}", taste, noise, seed=seed, **BEHAVIOURS[behaviour]
            )
            client = Client(
                http, mind.rater_id, running.keys.simulation, running.study.ids_from_url[0]
            )
            visit = SimulatedVisit(running.study, manifest, running.keys, songs, mind, client)
            visit.run(bar.update)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(take_part, range(n_raters)))
    return running


def rehearse(
    manifest: str | Path, answers_dir: str | Path, n_raters: int, taste: str, seed: int = 0
) -> list[Annotation]:
    """Let careful simulated raters answer every task of a manifest in a study; return the answers.

    The study has one sitting without repeats. Raters who have answered in `answers_dir` before
    are not asked again.

    Parameters
    ----------
    manifest : path
    answers_dir : path
        Of this rehearsal alone.
    taste : str
        All raters have it; they differ in their noise.
    """
    tasks = {"per_sitting": len(Manifest.load(manifest).tasks), "overlap": 1.0, "repeat_share": 0.0}
    study = Study(
        title="Rehearsal",
        manifest=str(manifest),
        feedback=str(answers_dir),
        level=False,
        tasks=tasks | {"seed": seed},
        end={"text": "Thank you"},
    )
    simulate_study(study, n_raters, taste, seed=seed, behaviours=("careful",))
    return PreferenceStore(answers_dir).current()


class SimulatedVisit:
    """A simulated rater's way through the pages of a study.

    Parameters
    ----------
    study : Study
    manifest : Manifest
    keys : Keys
        A program cannot hear which edits it is given: it looks them up with the study's secret.
    songs : dict
        Song id → Song.
    mind : SimulatedRater
        Its id begins with the name of a behaviour.
    client : Client
    """

    def __init__(
        self,
        study: Study,
        manifest: Manifest,
        keys: Keys,
        songs: dict[str, Song],
        mind: SimulatedRater,
        client: Client,
    ):
        self._study, self._manifest, self._keys = study, manifest, keys
        self._songs, self._mind, self._client = songs, mind, client
        self._behaviour = mind.rater_id.rpartition("_")[0]
        self._tasks = {
            serial_of(keys.secret, mind.rater_id, shown): shown
            for task in manifest.tasks
            for first in ("a", "b")
            for again in (False, True)
            for shown in (Presentation(task, first, again),)
        }
        self._chance = np.random.default_rng(keys.draw("behaviour", mind.rater_id))
        self._attempts = 0

    def run(self, answered: Callable[[], object] = lambda: None) -> None:
        """Take part until the end, or until the rater drops out; report each answer."""
        client = self._client
        client.begin()
        most = max(self._study.tasks.per_sitting // 3, 1)
        n_rated = 0
        while client.page["step"] not in ("end", "turned away"):
            if client.page["step"] in ("training", "rate") and not self._finished:
                is_rating = client.page["step"] == "rate"
                if is_rating and self._behaviour == "dropping_out" and n_rated == most:
                    return
                self._rate()
                answered()
                n_rated += is_rating
            else:
                client.fill(**self._given())

    @property
    def _finished(self) -> bool:
        return self._client.page["screen"]["stage"] == "done"

    def _given(self) -> dict[str, Any]:
        """Return what the rater fills in on the present page."""
        page = self._client.page
        if page["step"] == "background":
            given = {}
            for question in self._study.background:
                options = [in_language(one, page["language"]) for one in question.options]
                given[question.name] = str(self._chance.choice(options or ["simulated"]))
            return given
        if page["step"] == "headphones":
            place = int(self._chance.integers(3))
            if self._behaviour != "careless":
                self._attempts += page["again"] and page["number"] == 1
                about = ("trial", self._mind.rater_id, self._attempts, page["number"] - 1)
                _, place = headphones.trial(page["method"], self._keys.draw(*about))
            return {"number": page["number"], "place": place}
        return {}

    def _rate(self) -> None:
        """Answer the pair on screen."""
        client, shown = self._client, self._tasks[self._client.page["screen"]["serial"]]
        song = self._songs[shown.task.song_id]
        left, right = (
            self._manifest.candidate(shown.task.song_id, edit_id).edit(song)
            for edit_id in (shown.left_id, shown.right_id)
        )
        answer = self._mind.compare(song, left, right, occasion=int(shown.is_repeat))
        code = "Tie"
        if answer.preference != "tie":
            code = _CODES[answer.strength].format(answer.preference.upper())
        seconds = 1.0 if self._behaviour == "careless" else self._study.tasks.min_seconds
        client.answer(
            code,
            {"left": seconds, "right": seconds, "original": 0.0, "seams": 0},
            times=2 if self._behaviour == "reloading" else 1,
            confidence=min(CONFIDENCES, key=lambda k: abs(CONFIDENCES[k] - answer.confidence)),
            notes=answer.reasoning,
        )
        if self._behaviour == "reloading":
            client.begin()


@contextmanager
def served(running: RunningStudy) -> Iterator[str]:
    """Serve a study on a free port of this machine, in a thread; yield its address."""
    server = uvicorn.Server(
        uvicorn.Config(application(running), host="127.0.0.1", port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise InputError("the server of the study did not start; see its message above")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
