"""Servers and a browser for tests that use the annotator as a rater does."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--js-flags=--expose-gc",
)
#: Milliseconds until a test gives up waiting; servers and kernels start slowly on busy machines.
PATIENCE = 120_000

#: Records the output of every AudioContext: `heard()` returns [[seconds, samples], …] since the
#: last `forget()`, in the time of the context. It also counts the decoded sounds still in memory.
RECORDER = """
const recorded = { blocks: [] };
globalThis.forget = () => { recorded.blocks = []; };
globalThis.heard = () => recorded.blocks;
const worklet = URL.createObjectURL(new Blob([`
  registerProcessor("recorder", class extends AudioWorkletProcessor {
    constructor() { super(); this.blocks = []; }
    process([input]) {
      this.blocks.push([currentFrame / sampleRate, Array.from(input[0] ?? new Float32Array(128))]);
      if (this.blocks.length >= 32) this.port.postMessage(this.blocks.splice(0));
      return true;
    }
  });
`], { type: "text/javascript" }));
const Context = globalThis.AudioContext;
globalThis.AudioContext = class extends Context {
  constructor(...options) {
    super(...options);
    this.tap = new GainNode(this);
    connect.call(this.tap, this.destination);
    this.audioWorklet.addModule(worklet).then(() => {
      const node = new AudioWorkletNode(this, "recorder");
      node.port.onmessage = ({ data }) => recorded.blocks.push(...data);
      connect.call(this.tap, node);
      globalThis.recording = true;
    });
  }
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  const tapped = target === this.context.destination && this.context.tap;
  return connect.call(this, tapped || target, ...rest);
};
const decoded = [];
globalThis.soundsInMemory = () => (gc(), decoded.filter((one) => one.deref()).length);
const decode = Context.prototype.decodeAudioData;
Context.prototype.decodeAudioData = async function (...given) {
  const buffer = await decode.apply(this, given);
  decoded.push(new WeakRef(buffer));
  return buffer;
};
"""


def need_browser() -> None:
    """Skip the calling module when no browser is found; in CI, fail."""
    if CHROMIUM is None and os.environ.get("RLHF_NEEDS_BROWSER"):
        pytest.fail("no Chromium is installed, and this run must test in a browser", pytrace=False)
    if CHROMIUM is None:
        pytest.skip(
            "no Chromium found: install it (Debian: apt install chromium) or name it in $CHROMIUM",
            allow_module_level=True,
        )


@contextmanager
def browser_page(
    width: int = 1000, height: int = 900, recording: bool = True, **options
) -> Iterator:
    """Yield a page of a headless Chromium, which records the sound it plays if asked to."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, **options)
            page.set_default_timeout(PATIENCE)
            if recording:
                page.add_init_script(RECORDER)
            yield page
        finally:
            browser.close()


@contextmanager
def server(folder: Path, *command: str) -> Iterator[str]:
    """Run a server on a free port of the loopback address and yield its address.

    Parameters
    ----------
    folder : Path
        The workspace, and the server's folder; Jupyter's settings and run files go there too.
    command : str
        A module to run and its arguments; ``{port}`` is replaced by the port.
    """
    port = free_port()
    process = started(folder, port, *command)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(folder: Path, port: int, *command: str) -> subprocess.Popen:
    """Start a server and return its process when it answers; see `server`."""
    places = ("CONFIG", "RUNTIME", "DATA")
    environment = os.environ | {f"JUPYTER_{p}_DIR": str(folder / p.lower()) for p in places}
    environment |= {
        "RLHF_WORKSPACE": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in command)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    _wait_for(f"http://127.0.0.1:{port}", process, log)
    return process


def wait_for_sound(page) -> None:
    """Wait until the annotator has the three sounds of the task on screen."""
    page.wait_for_function(
        "document.querySelectorAll('.rlhf-annotator .side:enabled').length === 3"
    )


def wait_for_count(page, text: str) -> None:
    """Wait until the annotator's header contains a text such as "2 of"."""
    page.wait_for_function(
        "text => document.querySelector('.rlhf-annotator .count').textContent.includes(text)",
        arg=f" {text} ",
    )


def listen_to_both(page) -> None:
    """Play A, then B, until answers are unlocked."""
    page.keyboard.press("a")
    page.wait_for_function(
        "/A (heard|gehört)/.test(document.querySelector('.rlhf-annotator .hint').textContent)"
        " || !document.querySelector('.rlhf-annotator .answer').disabled"
    )
    page.keyboard.press("b")
    page.wait_for_function("!document.querySelector('.rlhf-annotator .answer').disabled")


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"no server at {address}: {log.read_text()[-2000:]}") from error
            time.sleep(0.1)
