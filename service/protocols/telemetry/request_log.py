"""What is the same for every request: its id, its line in the log, its count, its span, and the
headers of its answer.
"""

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.protocols.context import AppContext, RequestContext
from service.protocols.problems import MEDIA_TYPE as PROBLEM
from service.protocols.telemetry import request_id

CLIENT_LEFT = 499
UNMATCHED = "unmatched"
STATIC = "static"

# Scripts and styles come from here alone, in files. The pages draw pictures from memory; Swagger
# UI's style has some.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Asked for every few seconds by machines; at level info they would bury the rest.
_QUIET_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})

log = logging.getLogger("segserve.access")


class RequestLogMiddleware:
    def __init__(self, app: ASGIApp, parts: AppContext) -> None:
        self.app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parts = self._parts
        context = parts.begin_request(_sent_id(scope))
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        # A HEAD is a GET whose body the server leaves out, for every route there is.
        scope = {**scope, "method": "GET" if method == "HEAD" else method}
        context.attach(scope)
        tracing = parts.tracing
        if tracing is not None:
            headers = Headers(scope=scope)
            context.span = tracing.begin_request(method, path, headers, context.id)
        status = CLIENT_LEFT

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(
                    MutableHeaders(scope=message), context.id, closing=parts.registry.draining
                )
            await send(message)

        parts.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            seconds = time.monotonic() - context.arrived
            parts.metrics.in_progress.dec()
            route = _route_of(scope)
            parts.metrics.request_done(method, route, status, seconds)
            if context.problem is not None and route not in _QUIET_ROUTES:
                parts.metrics.rejected(context.problem)
            if tracing is not None and context.span is not None:
                tracing.end_request(context.span, method, route, status)
            _log_request(context, scope.get("client"), method, path, route, status, seconds)


def _sent_id(scope: Scope) -> str | None:
    wanted = request_id.HEADER.lower().encode()
    return next(
        (value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None
    )


def _route_of(scope: Scope) -> str:
    """The route's own path, so that no path of a stranger becomes a label."""
    if "route" in scope:
        return str(scope["route"].path)
    return STATIC if "endpoint" in scope else UNMATCHED


def _add_headers(headers: MutableHeaders, identity: str, *, closing: bool) -> None:
    headers[request_id.HEADER] = identity
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    media_type = headers.get("content-type", "")
    if media_type.startswith("text/html"):
        headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    elif media_type.startswith(PROBLEM):
        headers["Cache-Control"] = "no-store"
    if closing:
        headers["Connection"] = "close"  # so that the client's next request goes to another server


def _log_request(
    context: RequestContext,
    client: tuple[str, int] | None,
    method: str,
    path: str,
    route: str,
    status: int,
    seconds: float,
) -> None:
    level = (
        logging.DEBUG
        if route in _QUIET_ROUTES
        else logging.WARNING
        if status >= 500
        else logging.INFO
    )
    if not log.isEnabledFor(level):
        return
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
            "caller": context.caller,
            "model": context.model,
            "problem": context.problem,
            "server_timing": context.server_timing,
        },
    )
