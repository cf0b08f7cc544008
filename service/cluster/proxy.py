"""What Ray's HTTP proxies say themselves, said as the service says it.

A proxy loads this by RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH. It is there for what happens before
a request is at an HTTP replica, and when that replica is lost: the service's own middlewares run in
the replica. Nor does the replica see who reads its answers and who does not; the proxy does.
"""

import asyncio
import logging
from collections.abc import Iterator

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.errors import ModelUnavailableError, QueueFullError, TryLaterError
from service.protocols.error_middleware import ERROR_ANSWERS
from service.protocols.problems import MEDIA_TYPE
from service.protocols.telemetry import request_id

CALLBACK = "service.cluster.proxy.middlewares"
CALLBACK_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
RETRY_SECONDS = 1.0

# How long a client may take nothing of its answer. Longer than where the service has the connection
# itself and knows what the client's machine has acknowledged: here a system with full buffers looks
# for a while as if nothing went on.
ANSWER_SECONDS = 120.0
PIECE_BYTES = 2**18

# The proxy's own answers about itself, which load balancers ask it for.
_PROXY_PATHS = "/-/"

LOST = ModelUnavailableError(
    "The machine that worked on this request was lost. Send it again.", RETRY_SECONDS
)
FULL = QueueFullError(
    "As many requests wait in the cluster as may. Try again after the time that Retry-After gives.",
    RETRY_SECONDS,
)
# 404 is the answer while no application is deployed; 408 that of Ray's own time limit, which is not
# set.
_OURS: dict[int, TryLaterError] = {404: LOST, 408: LOST, 429: FULL, 500: LOST, 503: LOST}

log = logging.getLogger(__name__)


def middlewares() -> list[Middleware]:
    return [Middleware(ProxyAnswers)]


class SlowReaderError(Exception):
    """The client takes nothing of its answer. Whoever runs the connection ends it."""


class ProxyAnswers:
    """Puts a problem that says when to try again in place of what is not the service's answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_PROXY_PATHS):
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self.app(scope, receive, answer.send)
        except SlowReaderError:
            log.warning("cut off a client that took nothing of its answer in %g s", ANSWER_SECONDS)
            raise
        except Exception:
            if answer.begun:
                raise
            log.exception("the proxy failed")
        if not answer.begun:
            request_id.begin_request(Headers(scope=scope).get(request_id.HEADER))
            response = ERROR_ANSWERS.answer(scope, answer.error)
            response.headers[request_id.HEADER] = request_id.current_request_id()
            await response(scope, receive, send)


class _Answer:
    """What one request is answered. Until its body comes it can still be another one: `error`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self.begun = False
        self.error: TryLaterError = LOST  # the proxy says nothing at all where the replica was lost

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if not _is_ours(headers) and message["status"] in _OURS:
                self.error = _OURS[message["status"]]
            else:
                _keep_one_request_id(headers)
                self._start = message
        elif self._start is not None:
            if not self.begun:
                self.begun = True
                await self._send(self._start)
            for piece in _pieces(message):
                await self._send_in_time(piece)

    async def _send_in_time(self, message: Message) -> None:
        """A piece is taken once the client has taken most of the one before."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise SlowReaderError from None


def _pieces(message: Message) -> Iterator[Message]:
    body, is_last = message.get("body", b""), not message.get("more_body", False)
    for start in range(0, len(body), PIECE_BYTES):
        end = start + PIECE_BYTES
        more = end < len(body) or not is_last
        yield {**message, "body": body[start:end], "more_body": more}
    if not body:
        yield message


def _is_ours(headers: Headers) -> bool:
    """Every answer of the service's middlewares has an id and this header; the proxy's own have
    not.
    """
    return headers.get("x-content-type-options") == "nosniff" or headers.get(
        "content-type", ""
    ).startswith(MEDIA_TYPE)


def _keep_one_request_id(headers: MutableHeaders) -> None:
    """The service's own, which came first; the proxy adds one of its making."""
    first = headers.getlist(request_id.HEADER)[:1]
    for value in first:
        headers[request_id.HEADER] = value
