"""A rater's browser without a screen: the requests of the pages, with their patience."""

import time
import uuid
from itertools import chain, repeat
from typing import Any
from urllib.parse import quote

import httpx

from rlhf_lib.errors import InputError

#: Seconds between two tries while there is no connection, as in link.js; the last one repeats.
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
_PATIENCE = 60.0  # s


class Client:
    """One rater's connection to a study.

    Parameters
    ----------
    http : httpx.Client
        With the address of the server as its base; raters may share one.
    rater_id : str
        The id in the link.
    simulation : str
        The study's key of simulated raters; see `Keys.simulation`.
    id_name : str
        The parameter of the link that holds the id.
    """

    def __init__(self, http: httpx.Client, rater_id: str, simulation: str, id_name: str):
        self._http = http
        self._begin = {"query": {id_name: rater_id}, "simulation": simulation}
        self._headers: dict[str, str] = {}
        self.rater_id = rater_id
        #: The page that the rater is on.
        self.page: dict[str, Any] = {}

    def begin(self) -> None:
        """Open the link; also to open it again, as after a closed tab."""
        self._send("POST", "/begin", self._begin)
        key = self.page["key"]
        self._headers = {"Rater": quote(self.page["rater"]), "Authorization": f"Bearer {key}"}

    def fill(self, **given: Any) -> None:
        """Fill in the page that is on."""
        self._send("POST", "/fill", {"step": self.page["step"], "given": given})

    def answer(self, answer: str, heard: dict[str, float], times: int = 1, **more: Any) -> str:
        """Answer the pair on screen, and return the key under which it is stored.

        Parameters
        ----------
        answer : str
            One of `ANSWERS`.
        heard : dict
            left, right, original (s), seams.
        times : int
            How often it is sent; it is stored once.
        """
        message = {"kind": "answer", "serial": self.page["screen"]["serial"], "answer": answer}
        sent = {"key": uuid.uuid4().hex, "message": message | {"heard": heard} | more}
        for _ in range(times):
            self._send("POST", "/act", sent)
            if not self.page["stored"]:
                raise InputError(f"the answer {sent['key']} of {self.rater_id} was not stored")
        return sent["key"]

    def sound(self, side: str) -> bytes:
        """Return the sound of a side of the pair on screen."""
        name = self.page["sounds"][self.page["screen"]["serial"]][side]
        return self._request("GET", f"/sound/{name}").content

    def _send(self, method: str, path: str, body: dict[str, Any]) -> None:
        self.page = self._request(method, path, body).json()

    def _request(self, method: str, path: str, body: dict | None = None) -> httpx.Response:
        give_up = time.monotonic() + _PATIENCE
        for wait in chain(_WAITS, repeat(_WAITS[-1])):
            try:
                response = self._http.request(method, path, json=body, headers=self._headers)
            except httpx.TransportError as error:
                if time.monotonic() > give_up:
                    raise InputError(f"no server at {self._http.base_url} ({error})") from error
            else:
                if response.status_code not in (429, 503):
                    break
            time.sleep(wait)
        if response.status_code != 200:
            raise InputError(f"{path} was refused: {response.status_code} {response.text[:200]}")
        return response
