"""The web server of a study: pages, sounds and answers; nothing else can be read or run."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from rlhf_lib.errors import InputError
from rlhf_lib.studio import desk
from rlhf_lib.web.exports import DOWNLOADS, download
from rlhf_lib.web.keys import same
from rlhf_lib.web.limits import Buckets, Guarded, SmallBodies
from rlhf_lib.web.overview import overview
from rlhf_lib.web.pages import Refused
from rlhf_lib.web.running import RunningStudy
from rlhf_lib.web.study import Study

_PAGE = Path(__file__).parent / "page"
#: Everything comes from this server; no inline script or style, no frame around the page.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "media-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # where nothing else is said
}
#: Sounds never change under their name; they are kept by the rater's own browser only.
_FOREVER = {"Cache-Control": "private, max-age=604800, immutable"}

Short = Annotated[str, StringConstraints(max_length=200)]
Long = Annotated[str, StringConstraints(max_length=2000)]

_log = logging.getLogger(__name__)


class Sent(BaseModel):
    """Base of what browsers send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Begin(Sent):
    """Who comes to the page."""

    query: dict[Short, Long] = Field(default={}, max_length=50)
    rater: Short = ""
    key: Short = ""
    language: Short = ""
    simulation: Short = ""


class Filled(Sent):
    """A page that was filled in."""

    step: Short
    given: dict[Short, int | Annotated[str, StringConstraints(max_length=1000)]] = Field(
        default={}, max_length=50
    )


class HeardOf(Sent):
    """What was heard of a pair."""

    left: float = Field(ge=0)
    right: float = Field(ge=0)
    original: float = Field(ge=0)
    seams: int = Field(ge=0)


class Message(Sent):
    """What the annotator asks."""

    kind: Literal["answer", "undo", "keep", "rest", "go on", "again"]
    serial: Short | None = None
    answer: Literal[tuple(desk.ANSWERS)] | None = None
    confidence: Literal[tuple(desk.CONFIDENCES)] | None = None
    tags: list[Annotated[str, StringConstraints(max_length=50, pattern=r"^[a-z][a-z ]*[a-z]$")]] = (
        Field(default=[], max_length=20)
    )
    notes: str = Field(default="", max_length=10_000)
    heard: HeardOf | None = None


class Action(Sent):
    """A message of the annotator, with the key by which an answer is stored once."""

    key: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")
    message: Message


def application(running: RunningStudy) -> FastAPI:
    """Return the web application of a study."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SmallBodies)
    app.add_middleware(Guarded, headers=HEADERS)
    arrivals = Buckets(rate=20.0, burst=400)  # all raters together: a full room may come at once
    requests = Buckets(rate=20.0, burst=100)  # each rater
    guesses = Buckets(rate=0.5, burst=10)  # wrong keys, by address
    files = _files(running.study)

    @app.exception_handler(Refused)
    async def refused(request: Request, reason: Refused) -> JSONResponse:
        return JSONResponse({"refused": str(reason)}, 403)

    @app.exception_handler(InputError)
    async def failed(request: Request, error: InputError) -> JSONResponse:
        _log.error("%s", error)  # names files: for the coordinator, not for raters
        return JSONResponse({"refused": "failed"}, 503)

    @app.exception_handler(RequestValidationError)
    async def not_ours(request: Request, problem: RequestValidationError) -> JSONResponse:
        return JSONResponse({"refused": "not ours"}, 422)  # and nothing of what was sent

    def limit(buckets: Buckets, name: str) -> None:
        if not buckets.take(name):
            raise HTTPException(429, headers={"Retry-After": "2"})

    def rater(
        request: Request,
        rater: Annotated[str, Header(max_length=2000)] = "",
        authorization: Annotated[str, Header(max_length=200)] = "",
    ) -> str:
        rater_id = unquote(rater)
        if not running.admits(rater_id, authorization.removeprefix("Bearer ")):
            limit(guesses, request.client.host)
            raise Refused("not there")
        limit(requests, rater_id)
        return rater_id

    def coordinator(
        request: Request, authorization: Annotated[str, Header(max_length=200)] = ""
    ) -> None:
        if not same(authorization.removeprefix("Bearer "), running.keys.coordinator):
            limit(guesses, request.client.host)
            raise Refused("not there")

    Rater = Annotated[str, Depends(rater)]

    @app.get("/")
    def index() -> Response:
        return files["index.html"]()

    @app.get("/coordinator")
    def coordinators_page() -> Response:
        return files["coordinator.html"]()

    @app.get("/page/{name}")
    def page(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return files[name]()

    @app.post("/begin")
    def begin(sent: Begin) -> JSONResponse:
        limit(arrivals, "")
        return JSONResponse(running.begin(sent.model_dump()))

    @app.get("/now")
    def now(rater: Rater) -> JSONResponse:
        return JSONResponse(running.page(rater))

    @app.post("/fill")
    def fill(rater: Rater, sent: Filled) -> JSONResponse:
        return JSONResponse(running.fill(rater, sent.step, sent.given))

    @app.post("/act")
    def act(rater: Rater, sent: Action) -> JSONResponse:
        message = sent.message
        if message.kind == "answer" and (not sent.key or None in (message.answer, message.heard)):
            raise HTTPException(422)
        return JSONResponse(running.act(rater, message.model_dump(), sent.key))

    @app.get("/sound/{name}")
    def sound(rater: Rater, name: str) -> Response:
        path = running.sound(rater, name)
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type=f"audio/{path.suffix[1:]}", headers=_FOREVER)

    @app.get("/trial")
    def trial(rater: Rater) -> Response:
        return _flac(running.trial(rater))

    @app.get("/example/{name}")
    def example(name: str) -> Response:
        return _flac(running.sounds.example(name))

    @app.get("/overview", dependencies=[Depends(coordinator)])
    def show_overview() -> JSONResponse:
        return JSONResponse(overview(*running.parts))

    @app.get("/download/{name}", dependencies=[Depends(coordinator)])
    def give(name: str) -> Response:
        if name not in DOWNLOADS:
            raise HTTPException(404)
        return Response(download(name, *running.parts), media_type=DOWNLOADS[name])

    return app


def _files(study: Study) -> dict[str, partial[Response]]:
    """Return the files of the pages, held in memory; no other file can be asked for by name."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(_PAGE.iterdir())}
    texts |= {"annotator.js": desk.script(), "annotator.css": desk.style()}
    shown = {
        "title": study.title,
        "languages": study.languages,
        "labels": {language: study.page_labels(language) for language in study.languages},
    }
    texts["study.json"] = json.dumps(shown)
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
    kinds["json"] = "application/json"
    headers = {"Cache-Control": "no-cache"}
    return {
        name: partial(Response, text, media_type=kinds[name.rpartition(".")[2]], headers=headers)
        for name, text in texts.items()
    }


def _flac(sound: bytes | None) -> Response:
    if sound is None:
        raise HTTPException(404)
    return Response(sound, media_type="audio/flac")


def serve(running: RunningStudy, host: str, port: int) -> None:
    """Serve a study until it is interrupted."""
    # A proxy on this machine may say where a request came from.
    uvicorn.run(
        application(running),
        host=host,
        port=port,
        log_level="warning",
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=5,
    )
