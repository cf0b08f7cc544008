"""Bodies are counted while they stream in, so that what is too large, too slow or too much never fills the memory."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.protocols.problems import BodyTooLargeError, UploadsFullError, UploadTimeoutError

# A connection closed on a client that still sends is reset, and the client may lose the answer that says why.
# So what it sends is thrown away for this long first.
LINGER_SECONDS = 2.0

UPLOADS_FULL_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class RequestLimits:
    """`max_body_bytes` maps a path to its own cap; `max_upload_bytes` is that of every other."""

    max_upload_bytes: int
    max_body_bytes: Mapping[str, int]
    max_held_bytes: int
    upload_timeout_seconds: float
    request_timeout_seconds: float

    def body_cap(self, path: str) -> int:
        return self.max_body_bytes.get(path, self.max_upload_bytes)


class UploadBudget:
    """Counts the bytes of all request bodies in memory, up to `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, size: int) -> None:
        if self.held + size > self.limit:
            raise UploadsFullError(
                f"The uploads under way fill the memory set aside for them, {self.limit} bytes. "
                f"Try again in {UPLOADS_FULL_RETRY_SECONDS:.0f} s.",
                UPLOADS_FULL_RETRY_SECONDS,
            )
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size


class LimitsMiddleware:
    """Guards `receive`; the fault is raised where the body is read, and answered as any other fault.

    Sets `arrived` and `deadline` of the request's state, in seconds of time.monotonic().
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits, held: UploadBudget) -> None:
        self.app = app
        self.limits = limits
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        arrived = time.monotonic()
        scope["state"]["arrived"] = arrived
        scope["state"]["deadline"] = arrived + self.limits.request_timeout_seconds
        body = _Body(scope, receive, send, self.limits, self.held, arrived)
        try:
            await self.app(scope, body.receive, body.send)
        finally:
            self.held.give_back(body.received_bytes)


class _Body:
    """The body of one request, counted."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: RequestLimits,
        held: UploadBudget,
        arrived: float,
    ) -> None:
        headers = Headers(scope=scope)
        self._receive, self._send = receive, send
        self._held = held
        self._cap = limits.body_cap(scope["path"].removeprefix(scope.get("root_path", "")))
        self._timeout_seconds = limits.upload_timeout_seconds
        self._due = arrived + limits.upload_timeout_seconds
        self._announced_bytes = int(
            headers.get("content-length", "0")
        )  # the server refuses what is no number
        self._waits_for_leave = headers.get("expect", "").lower() == "100-continue"
        self._complete = self._announced_bytes == 0 and "transfer-encoding" not in headers
        self._asked = False
        self.received_bytes = 0

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._announced_bytes > self._cap:
            raise self._too_large(
                f"is announced as {self._announced_bytes} bytes; this route's limit is"
            )
        self._asked = True
        try:
            async with asyncio.timeout(self._due - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise UploadTimeoutError(
                f"The body was not received within {self._timeout_seconds:g} s; {self.received_bytes} bytes had "
                "arrived. Send a smaller image or use a faster link."
            ) from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._complete:
            await self._send(message)
        elif message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._throw_away_the_rest()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _count(self, size: int) -> None:
        if self.received_bytes + size > self._cap:
            raise self._too_large("is larger than this route's limit of")
        self._held.take(size)
        self.received_bytes += size

    def _too_large(self, how: str) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"The body {how} {self._cap} bytes. Send a smaller or a compressed image."
        )

    async def _throw_away_the_rest(self) -> None:
        if self._waits_for_leave and not self._asked:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._complete:
                    message = await self._receive()
                    self._complete = not message.get("more_body", False)
