"""What Ray's HTTP proxies say themselves, said as the service says it.

A proxy loads this by RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH. It is there for what happens before a request is at an
HTTP replica, and when that replica is lost: the service's own middlewares run in the replica.
"""

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.errors import ModelUnavailableError, QueueFullError, TryLaterError
from service.protocols.error_middleware import ErrorAnswers
from service.protocols.problems import MEDIA_TYPE
from service.protocols.telemetry import request_id

CALLBACK = "service.cluster.proxy.middlewares"
CALLBACK_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
RETRY_SECONDS = 1.0

# The proxy's own answers about itself, which load balancers ask it for.
_PROXY_PATHS = "/-/"

LOST = ModelUnavailableError(
    "The machine that worked on this request was lost. Send it again.", RETRY_SECONDS
)
FULL = QueueFullError(
    "As many requests wait in the cluster as may. Try again after the time that Retry-After gives.",
    RETRY_SECONDS,
)
# 404 is the answer while no application is deployed; 408 that of Ray's own time limit, which is not set.
_OURS: dict[int, TryLaterError] = {404: LOST, 408: LOST, 429: FULL, 500: LOST, 503: LOST}

log = logging.getLogger(__name__)


def middlewares() -> list[Middleware]:
    return [Middleware(ProxyAnswers)]


class ProxyAnswers:
    """Puts a problem that says when to try again in place of an answer that is not the service's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_PROXY_PATHS):
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self.app(scope, receive, answer.send)
        except Exception:
            if answer.begun:
                raise
            log.exception("the proxy failed")
        if not answer.begun:
            request_id.begin_request(Headers(scope=scope).get(request_id.HEADER))
            response = ErrorAnswers({}).answer(scope, answer.error)
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
            await self._send(message)


def _is_ours(headers: Headers) -> bool:
    """Every answer of the service's middlewares has an id and this header; the proxy's own have not."""
    return headers.get("x-content-type-options") == "nosniff" or headers.get(
        "content-type", ""
    ).startswith(MEDIA_TYPE)


def _keep_one_request_id(headers: MutableHeaders) -> None:
    """The service's own, which came first; the proxy adds one of its making."""
    first = headers.getlist(request_id.HEADER)[:1]
    for value in first:
        headers[request_id.HEADER] = value
