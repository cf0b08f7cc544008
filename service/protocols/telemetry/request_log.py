"""What is the same for every request: its id, its line in the log, its count, its span, and the headers of its answer."""

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.catalogue.registry import Registry
from service.protocols.problems import MEDIA_TYPE as PROBLEM
from service.protocols.telemetry import request_id
from service.protocols.telemetry.metrics import Metrics
from service.protocols.telemetry.tracing import Tracing

CLIENT_LEFT = 499
UNMATCHED = "unmatched"
STATIC = "static"

# Scripts and styles come from here alone, in files. The pages draw pictures from memory; Swagger UI's style has some.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Asked for every few seconds by machines; at level info they would bury the rest.
_QUIET_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})

log = logging.getLogger("segserve.access")


class RequestLogMiddleware:
    def __init__(
        self, app: ASGIApp, registry: Registry[Any], metrics: Metrics, tracing: Tracing | None
    ) -> None:
        self.app = app
        self.registry = registry
        self.metrics = metrics
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        arrived = time.perf_counter()
        headers = Headers(scope=scope)
        identity = request_id.begin_request(headers.get(request_id.HEADER))
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        # A HEAD is a GET whose body the server leaves out, for every route there is.
        scope = {
            **scope,
            "method": "GET" if method == "HEAD" else method,
            "state": scope.get("state", {}),
        }
        tracing = self.tracing
        span = (
            tracing.begin_request(method, path, headers, identity) if tracing is not None else None
        )
        scope["state"]["span"] = span
        status = CLIENT_LEFT

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(
                    MutableHeaders(scope=message), identity, closing=self.registry.draining
                )
            await send(message)

        self.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - arrived
            self.metrics.in_progress.dec()
            route = _route_of(scope)
            self.metrics.request_done(method, route, status, seconds)
            if "problem" in scope["state"] and route not in _QUIET_ROUTES:
                self.metrics.rejected(scope["state"]["problem"])
            if tracing is not None and span is not None:
                tracing.end_request(span, method, route, status)
            _log_request(scope, method, path, route, status, seconds)


def _route_of(scope: Scope) -> str:
    """The route's own path, so that no path of a stranger becomes a label."""
    if "route" in scope:
        return str(scope["route"].path)
    return STATIC if "endpoint" in scope else UNMATCHED


def _add_headers(headers: MutableHeaders, identity: str, *, closing: bool) -> None:
    headers[request_id.HEADER] = identity
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    if headers.get("content-type", "").startswith("text/html"):
        headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    if headers.get("content-type", "").startswith(PROBLEM):
        headers["Cache-Control"] = "no-store"
    if closing:
        headers["Connection"] = "close"  # so that the client's next request goes to another server


def _log_request(
    scope: Scope, method: str, path: str, route: str, status: int, seconds: float
) -> None:
    level = (
        logging.DEBUG
        if route in _QUIET_ROUTES
        else logging.WARNING
        if status >= 500
        else logging.INFO
    )
    client = scope.get("client")
    state = scope["state"]
    log.log(
        level,
        "%s %s %d %.0f ms",
        method,
        path,
        status,
        seconds * 1000,
        extra={
            "method": method,
            "path": path,
            "route": route,
            "status": status,
            "duration_seconds": round(seconds, 6),
            "client": client[0] if client else None,
            "caller": state.get("caller"),
            "model": state.get("model"),
            "problem": state.get("problem"),
            "server_timing": state.get("server_timing"),
        },
    )
