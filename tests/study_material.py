"""A small study, and a rater who sends requests as the pages do."""

import uuid
from urllib.parse import quote

from fastapi.testclient import TestClient
from listening_material import listening_folder

from rlhf_lib.web.running import RunningStudy
from rlhf_lib.web.server import application
from rlhf_lib.web.study import Study

HEARD = {"left": 1.5, "right": 2.5, "original": 0.0, "seams": 0}


def small_study(folder, **changes) -> Study:
    """Write candidates into a folder and return a study of them, by default without screens."""
    if not (folder / "eval_outputs").exists():
        listening_folder(folder / "eval_outputs")
    fields = {
        "title": {"en": "A study", "de": "Eine Studie"},
        "languages": ["en", "de"],
        "manifest": str(folder / "eval_outputs/evaluation_manifest.json"),
        "feedback": str(folder / "feedback"),
        "level": False,
        "ids_from_url": ["PROLIFIC_PID", "STUDY_ID"],
        "tasks": {"per_sitting": 3, "overlap": 1.0, "check_share": 0.0, "repeat_share": 0.0},
        "end": {"text": "Thanks", "code": "C0DE"},
    }
    return Study(**fields | changes)


class Visitor:
    """A rater's browser, without a browser.

    Parameters
    ----------
    server : RunningStudy or TestClient
    rater : str
        The id in the link; none for a rater without one.
    """

    def __init__(self, server, rater="", **more):
        self.client = server
        if isinstance(server, RunningStudy):
            self.client = TestClient(application(server))
        sent = {"query": {"PROLIFIC_PID": rater} if rater else {}} | more
        self.answered = self.client.post("/begin", json=sent)
        if self.answered.status_code == 200:
            self.page = self.answered.json()
            self.rater, self.key = self.page["rater"], self.page["key"]

    @property
    def headers(self):
        return {"Rater": quote(self.rater), "Authorization": f"Bearer {self.key}"}

    def get(self, path, **headers):
        return self.client.get(path, headers=self.headers | headers)

    def post(self, path, body):
        self.answered = self.client.post(path, json=body, headers=self.headers)
        if self.answered.status_code == 200:
            self.page = self.answered.json()
        return self.answered

    def fill(self, step, **given):
        return self.post("/fill", {"step": step, "given": given})

    def act(self, kind, **fields):
        serial = self.page["screen"]["serial"]
        return self.post("/act", {"message": {"kind": kind, "serial": serial} | fields})

    def message(self, answer="A", **fields):
        """Return the request that answers the pair on screen."""
        serial = self.page["screen"]["serial"]
        message = {"kind": "answer", "serial": serial, "answer": answer, "heard": HEARD} | fields
        return {"key": uuid.uuid4().hex, "message": message}

    def rate(self, answer="A", **fields):
        return self.post("/act", self.message(answer, **fields))
