"""Limits on what comes in, how often and how large, and headers on what goes out."""

import time
from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The largest body of a request, in bytes; notes may have 10,000 characters.
LARGEST = 1 << 16
_KEPT = 10_000


class Buckets:
    """Token buckets by name: `burst` requests at once, `rate` per s in the long run.

    Parameters
    ----------
    rate, burst : float
    clock : callable
        Returns the time in s of a monotonic clock.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic):
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: dict[str, tuple[float, float]] = {}  # name → tokens, and when that was

    def take(self, name: str) -> bool:
        """Take a token; False when there is none."""
        now = self._clock()
        tokens, before = self._left.pop(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - before) * self._rate)
        self._left[name] = (max(tokens - 1, 0), now) if tokens >= 1 else (tokens, now)
        if len(self._left) > _KEPT:  # the one that was used longest ago is full again, or nearly
            self._left.pop(next(iter(self._left)), None)
        return tokens >= 1


class Guarded:
    """Middleware that adds headers to every response, unless the response has them.

    Parameters
    ----------
    app : ASGI application
    headers : mapping
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]):
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its response back with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class SmallBodies:
    """Middleware that refuses a request whose body is larger than `LARGEST`."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, more, body = 0, True, []
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client went away
            body.append(message.get("body", b""))
            size, more = size + len(body[-1]), message.get("more_body", False)
            if size > LARGEST:
                await PlainTextResponse("too large", 413)(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": b"".join(body)}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)
