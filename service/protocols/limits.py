"""Bodies and answers are counted on their way, so that what is too large, too slow or too much
never fills the memory.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.protocols.budgets import RequestLimits, Share
from service.protocols.context import context_of, request_context
from service.protocols.problems import (
    AnswersFullError,
    BodyTooLargeError,
    UploadsFullError,
    UploadTimeoutError,
)

# A connection closed on a client that still sends is reset, and the client may lose the answer that
# says why. So what it sends is thrown away for this long first.
LINGER_SECONDS = 2.0

MEMORY_FULL_RETRY_SECONDS = 1.0

# Less than this goes uncounted: the transport takes it whether the client reads or not.
UNCOUNTED_ANSWER_BYTES = 64 * 1024

_BODY_HEADERS = frozenset({b"content-length", b"expect", b"transfer-encoding"})

_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def body_limit(
    name: Literal["max_upload_bytes", "max_batch_upload_bytes"],
) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """A dependency of routes whose largest body is not `max_upload_bytes`."""

    async def set_limit(request: Request) -> None:
        limits = context_of(request).limits
        request_context(request.scope).max_body_bytes = getattr(limits, name)

    return set_limit


def take_upload(upload: Share, size: int) -> None:
    """Count `size` bytes more of a request's body. Raises UploadsFullError."""
    if not upload.has_room(size):
        raise UploadsFullError(
            "The uploads under way fill the memory set aside for them, "
            f"{upload.limit} bytes. Try again in {MEMORY_FULL_RETRY_SECONDS:.0f} s.",
            MEMORY_FULL_RETRY_SECONDS,
        )
    upload.take(size)


class LimitsMiddleware:
    """Guards `receive`: a fault is raised where the body is read, and answered as any other.

    Counts what the app sends until the client has taken it. Gives both back in the end.
    """

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self.app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = request_context(scope)
        exchange = Exchange(scope, receive, send, self._limits.upload_timeout_seconds)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            context.upload.release()
            context.answer.release()


class Exchange:
    """The body and the answer of one request, counted."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, upload_timeout_seconds: float
    ) -> None:
        headers = {name: value for name, value in scope["headers"] if name in _BODY_HEADERS}
        self.context = request_context(scope)
        self._receive, self._send = receive, send
        self._upload_timeout_seconds = upload_timeout_seconds
        # the server refuses what is no number
        self._announced_bytes = int(headers.get(b"content-length", b"0"))
        self._waits_for_leave = headers.get(b"expect", b"").lower() == b"100-continue"
        self._body_is_complete = self._announced_bytes == 0 and b"transfer-encoding" not in headers
        self._asked = False
        self._received_bytes = 0
        self._unsent_bytes = 0

    def receive(self) -> Awaitable[Message]:
        """The next part of the body. Raises RequestError."""
        return self._receive() if self._body_is_complete else self._receive_counted()

    def send(self, message: Message) -> Awaitable[None]:
        """Send; what is large counts until the server has got rid of it."""
        if not self._body_is_complete:
            return self._send_before_the_body_came(message)
        if self._unsent_bytes or len(message.get("body", b"")) > UNCOUNTED_ANSWER_BYTES:
            return self._send_counted(message)
        return self._send(message)

    async def _receive_counted(self) -> Message:
        if not self._asked:
            self._check_room()
            self._asked = True
        due = self.context.body_since + self._upload_timeout_seconds
        try:
            async with asyncio.timeout(due - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise UploadTimeoutError(
                f"The body was not received within {self._upload_timeout_seconds:g} s; "
                f"{self._received_bytes} bytes had arrived. "
                "Send a smaller image or use a faster link."
            ) from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._body_is_complete = not message.get("more_body", False)
        return message

    async def _send_before_the_body_came(self, message: Message) -> None:
        """It is a refusal, and its connection ends: nobody knows where the next request begins."""
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message.get("more_body", False):
            await self._send_counted(message)
        else:
            await self._send_counted({**message, "more_body": True})
            await self._throw_away_the_rest()
            await self._send(_END)

    def _check_room(self) -> None:
        if self._announced_bytes > self.context.max_body_bytes:
            raise self._too_large(
                f"is announced as {self._announced_bytes} bytes; this route's limit is"
            )
        answers = self.context.answer
        if not answers.has_room(0):
            raise AnswersFullError(
                f"Answers that their callers have not read yet fill the memory set aside for them, "
                f"{answers.limit} bytes. Try again in {MEMORY_FULL_RETRY_SECONDS:.0f} s.",
                MEMORY_FULL_RETRY_SECONDS,
            )

    def _count(self, size: int) -> None:
        if self._received_bytes + size > self.context.max_body_bytes:
            raise self._too_large("is larger than this route's limit of")
        take_upload(self.context.upload, size)
        self._received_bytes += size

    def _too_large(self, how: str) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"The body {how} {self.context.max_body_bytes} bytes. "
            "Send a smaller or a compressed image."
        )

    async def _send_counted(self, message: Message) -> None:
        """The server takes a message only once the client has taken most of what came before.

        So a large last part is followed by an empty one, which waits for the client.
        """
        size = len(message.get("body", b""))
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        self.context.answer.take(size)
        await self._send({**message, "more_body": True} if is_last else message)
        self.context.answer.give_back(self._unsent_bytes)
        self._unsent_bytes = size
        if is_last:
            await self._send(_END)

    async def _throw_away_the_rest(self) -> None:
        if self._waits_for_leave and not self._asked:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._body_is_complete:
                    message = await self._receive()
                    self._body_is_complete = not message.get("more_body", False)
