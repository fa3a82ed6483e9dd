"""A headless Firefox, driven over WebDriver BiDi, with the methods of a page that tests use.

Playwright drives only a Firefox of its own; this one is the system's.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

FIREFOX = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
_PREFERENCES = {
    "media.autoplay.default": 0,
    "media.cubeb.force_mock_context": True,  # a sound card in name only
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
_DRIVEN = ("--remote-debugging-port", "0")
_PATIENCE = 60.0  # s


class FirefoxPage:
    """A page of Firefox with some of the methods that Playwright's pages have."""

    def __init__(self, socket: websocket.WebSocket):
        self._socket, self._number = socket, 0
        self._ask("session.new", capabilities={})
        (tree,) = self._ask("browsingContext.getTree")["contexts"]
        self._context = tree["context"]
        self.keyboard = self

    def set_viewport(self, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        self._ask("browsingContext.setViewport", context=self._context, viewport=size)

    def goto(self, address: str) -> None:
        self._ask("browsingContext.navigate", context=self._context, url=address, wait="complete")

    def reload(self) -> None:
        self._ask("browsingContext.reload", context=self._context, wait="complete")

    def evaluate(self, expression: str) -> str | float | bool | None:
        """Evaluate JavaScript; the result must be a plain value."""
        answer = self._ask(
            "script.evaluate",
            expression=expression,
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] != "success":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        value = {"Enter": "\ue007"}.get(key, key)
        keys = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        self._ask("input.performActions", context=self._context, actions=actions)

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(command))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]


@contextmanager
def firefox_page(width: int = 1000, height: int = 900) -> Iterator[FirefoxPage]:
    """Yield a page of a headless Firefox with a profile of its own."""
    with tempfile.TemporaryDirectory() as profile:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        log = Path(profile) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                (FIREFOX, "--headless", "--no-remote", "--profile", profile, *_DRIVEN),
                stdout=output,
                stderr=output,
                env=os.environ | {"HOME": profile},
            )
        try:
            address = _address(log, process)
            socket = websocket.create_connection(
                f"{address}/session", timeout=_PATIENCE, suppress_origin=True
            )
            page = FirefoxPage(socket)
            page.set_viewport(width, height)
            yield page
            socket.close()
        finally:
            process.terminate()
            process.wait()


def _address(log: Path, process: subprocess.Popen) -> str:
    give_up = time.monotonic() + _PATIENCE
    while not (found := re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"Firefox did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
    return found[1]
