"""Load a study's server with simulated raters, and kill it in between.

    python benchmarks/study_load.py [--raters 200] [--minutes 3] [--kills 10] [--write]

Server and raters share this machine, and nothing goes beyond the loopback address. Every rater
opens the link, loads the two edits of each pair (as a browser does, not twice), waits 20 to 40 s
and answers. In the first two thirds of the time the server is killed with SIGKILL and started
again. At the end every acknowledged answer is looked up in preferences.json.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import yaml
from measuring import arguments, publish

from rlhf_lib.analysis.song import load_songs
from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.feedback.manifest import PolicyRef
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps.candidates import generate_candidates
from rlhf_lib.web.client import Client
from rlhf_lib.web.keys import Keys

GOAL = 250.0  # ms, of the 95th percentile of saving
PORT = 8867
_PAUSE = (20.0, 40.0)  # s from a pair to its answer; each edit is to be heard for 10 s
HEARD = {"left": 12.0, "right": 12.0, "original": 3.0, "seams": 1}


class Timed(httpx.Client):
    """Counts the seconds of every request that was answered, by its path."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seconds: dict[str, list[float]] = {"/act": [], "/sound": []}

    def request(self, method, url, **options):
        """Send a request, and note how long it took if there was a response."""
        began = time.perf_counter()
        response = super().request(method, url, **options)
        path = "/sound" if url.startswith("/sound") else url
        if path in self.seconds and response.status_code == 200:
            self.seconds[path].append(time.perf_counter() - began)
        return response


class Server:
    """The server of the study as a process of its own."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "rlhf_lib", "serve_study", "study.yaml"]
        self.process = subprocess.Popen(
            [*command, "--port", str(PORT)],
            env=os.environ | {"RLHF_WORKSPACE": str(self._folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{PORT}/", timeout=5)
                return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    sys.exit("the server did not start")
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def megabytes(self) -> float:
        """The memory that the process holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in text.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024


def main() -> None:
    """Print the table; exit with 1 when an answer was lost or doubled."""
    parser = arguments(__doc__)
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--kills", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        server = Server(folder)
        http = Timed(
            base_url=f"http://127.0.0.1:{PORT}",
            timeout=30.0,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
        simulation = Keys(folder / "feedback/study").simulation
        acknowledged: list[str] = []
        until = time.monotonic() + 60 * args.minutes
        raters = [
            threading.Thread(target=rate, args=(http, number, simulation, until, acknowledged))
            for number in range(args.raters)
        ]
        for rater in raters:
            rater.start()
        down = []
        for _ in range(args.kills):
            time.sleep(40 * args.minutes / args.kills)
            began = time.perf_counter()
            server.kill()
            server.start()
            down.append(time.perf_counter() - began)
        time.sleep(20)  # until every rater has come back
        before = server.megabytes
        for rater in raters:
            rater.join()
        after = server.megabytes
        server.process.terminate()
        server.process.wait()
        stored = Counter(one.annotation_id for one in PreferenceStore(folder / "feedback").load())
        pairs = Counter(
            (one.rater_id, one.task_id) for one in PreferenceStore(folder / "feedback").load()
        )
    lost = sum(stored[key] == 0 for key in acknowledged)
    doubled = sum(n > 1 for n in stored.values()) + sum(n > 1 for n in pairs.values())
    saving = np.array(http.seconds["/act"]) * 1000
    percentiles = [f"{np.percentile(saving, share):.0f}" for share in (50, 95, 99)]
    rows = [
        ("answers acknowledged", len(acknowledged), ""),
        ("answers lost", lost, 0),
        ("answers doubled", doubled, 0),
        ("saving, ms: median", percentiles[0], ""),
        ("saving, ms: 95th percentile", percentiles[1], GOAL),
        ("saving, ms: 99th percentile", percentiles[2], ""),
        ("sounds loaded", len(http.seconds["/sound"]), ""),
        ("memory of the server 20 s after the last start, MB", f"{before:.0f}", ""),
        ("memory of the server at the end, MB", f"{after:.0f}", "the same"),
        ("longest time from a kill to the next response, s", f"{max(down, default=0):.1f}", ""),
    ]
    about = (
        f"{args.raters} simulated raters at once for {args.minutes:g} minutes; the server was "
        f"killed with SIGKILL {args.kills} times in the first two thirds. Server and raters share "
        "the cores."
    )
    table = pd.DataFrame(rows, columns=["", "measured", "goal"])
    publish("study_load", table, about, args.write)
    sys.exit(int(lost > 0 or doubled > 0))


def prepare(folder: Path) -> None:
    """Compose songs, edit them and write a study in which every rater gets every pair."""
    songs, _ = load_songs(compose_songs(folder / "songs", 10, 0, 30.0)[0].parent)
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    generate_candidates(
        songs, policy, PolicyRef(name="planner", sha256="0" * 64), folder / "eval_outputs"
    )
    study = {
        "title": "Load",
        "manifest": str(folder / "eval_outputs/evaluation_manifest.json"),
        "feedback": str(folder / "feedback"),
        "ids_from_url": ["rater"],
        "level": False,
        "sound": "ogg",
        "tasks": {"per_sitting": 30, "overlap": 1.0, "repeat_share": 0.0},
        "end": {"text": "Thanks"},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))


def rate(
    http: httpx.Client, number: int, simulation: str, until: float, acknowledged: list[str]
) -> None:
    """Take part in the study as one rater until the time is over."""
    chance, loaded = random.Random(number), set()
    time.sleep(chance.uniform(0, 20))
    client = Client(http, f"rater_{number}", simulation, "rater")
    client.begin()
    while time.monotonic() < until and client.page["step"] == "rate":
        serial = client.page["screen"]["serial"]
        for side in "AB":
            name = client.page["sounds"][serial][side]
            if name not in loaded:
                client.sound(side)
                loaded.add(name)
        time.sleep(chance.uniform(*_PAUSE))
        answer = chance.choice(["A", "B", "Tie", "A slightly", "B strongly"])
        acknowledged.append(client.answer(answer, HEARD, notes=json.dumps({"n": number})))


if __name__ == "__main__":
    main()
