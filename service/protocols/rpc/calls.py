"""What every call has, whatever it asks: a key, an id, a deadline, a line in the log, and refusals
as gRPC says them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from service.domain.errors import TryLaterError
from service.protocols.auth import name_of_caller
from service.protocols.budgets import Share
from service.protocols.context import AppContext
from service.protocols.limits import take_upload
from service.protocols.pictures import Inferred
from service.protocols.problems import (
    ClientDisconnectedError,
    MalformedRequestError,
    UploadsFullError,
    problem_of,
    row_of,
)
from service.protocols.rpc.messages import RPC, Messages
from service.protocols.telemetry import request_id
from service.protocols.telemetry.tracing import server_timing

Context = Any  # grpc.aio.ServicerContext, whose package has no types
Handler = Callable[["Call", Any], Awaitable[Any]]

_RETRY_TYPE: Final = "type.googleapis.com/google.rpc.RetryInfo"

log = logging.getLogger("segserve.access")


@dataclass
class Call:
    """One call, or one request of a stream. Times are in seconds of time.monotonic()."""

    parts: AppContext
    method: str
    timeout_seconds: float
    client_deadline: float | None
    id: str
    span: Any = None
    arrived: float = field(default_factory=time.monotonic)
    caller: str | None = None
    model: str | None = None
    server_timing: str | None = None
    scale: str | None = None

    @property
    def deadline(self) -> float:
        due = self.arrived + self.timeout_seconds
        return due if self.client_deadline is None else min(due, self.client_deadline)

    def next_request(self) -> "Call":
        """The next request of a stream, which has a time-out of its own."""
        return replace(self, arrived=time.monotonic())

    @contextmanager
    def holding(self, message: Any) -> Iterator[None]:
        """Count the message among the uploads in memory for the time of the block."""
        upload = Share(self.parts.uploads)
        try:
            take_upload(upload, message.ByteSize())
            yield
        finally:
            upload.release()

    def answered(self, inferred: Inferred) -> None:
        """Note who answered, for log, traces and trailing metadata."""
        self.model = inferred.model_id
        self.scale = inferred.scale
        self.server_timing = server_timing(inferred.timings, self.arrived)
        if self.parts.tracing is not None:
            self.parts.tracing.add_stages(self.span, inferred.model_id, inferred.timings)

    def trailer(self) -> tuple[tuple[str, str], ...]:
        pairs = (
            ("x-request-id", self.id),
            ("x-model", self.model),
            ("x-scale", self.scale),
            ("server-timing", self.server_timing),
        )
        return tuple((name, value) for name, value in pairs if value is not None)


@dataclass(frozen=True)
class Unreadable:
    """Stands for bytes that are not the message `type` that the call takes."""

    type: str


def raise_unreadable(message: Any) -> None:
    """Raises MalformedRequestError."""
    if isinstance(message, Unreadable):
        raise MalformedRequestError(
            f"The bytes are not a message {message.type}: they are cut short, are another message, "
            "or hold text that is not UTF-8. Send what the protocol's description makes."
        )


def codec_of(messages: Messages, request: str, response: str) -> dict[str, Callable[..., Any]]:
    """How the messages of a call are read and written, as grpc wants it."""
    read = messages[request].FromString

    def read_or_tell(data: bytes) -> Any:
        """gRPC has no place for a refusal before the call begins, so it comes as a message."""
        try:
            return read(data)
        except DecodeError:
            return Unreadable(request)

    return {
        "request_deserializer": read_or_tell,
        "response_serializer": messages[response].SerializeToString,
    }


@dataclass(frozen=True)
class Calls:
    """Begins and ends the calls of one server.

    `timeout_seconds` is for those whose client sets no deadline.
    """

    parts: AppContext
    timeout_seconds: float

    def unary(self, method: str, handler: Handler, *, needs_key: bool = True) -> Any:
        """The behavior of a call with one request and one answer."""

        async def behave(message: Any, context: Context) -> Any:
            async with self._begun(method, context, needs_key=needs_key) as call:
                raise_unreadable(message)
                return await handler(call, message)

        return behave

    def watch(self, method: str, handler: Callable[[Call, Any], AsyncIterator[Any]]) -> Any:
        """The behavior of a call with one request and many answers, that needs no key."""

        async def behave(message: Any, context: Context) -> AsyncGenerator[Any]:
            async with self._begun(method, context, needs_key=False) as call:
                raise_unreadable(message)
                async for answer in handler(call, message):
                    yield answer

        return behave

    def stream(
        self, method: str, handler: Callable[[Call, AsyncIterator[Any]], AsyncIterator[Any]]
    ) -> Any:
        """The behavior of a call with many requests and many answers."""

        async def behave(messages: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any]:
            async with self._begun(method, context, needs_key=True) as call:
                async for answer in handler(call, messages):
                    yield answer

        return behave

    @asynccontextmanager
    async def _begun(
        self, method: str, context: Context, *, needs_key: bool
    ) -> AsyncGenerator[Call]:
        metadata = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        }
        left = context.time_remaining()
        call = Call(
            self.parts,
            method,
            self.timeout_seconds,
            None if left is None else time.monotonic() + left,
            request_id.begin_request(metadata.get(request_id.HEADER.lower())),
        )
        tracing = self.parts.tracing
        if tracing is not None:
            call.span = tracing.begin_request("POST", method, metadata, call.id)
        self.parts.metrics.in_progress.inc()
        status, code, slug = 200, grpc.StatusCode.OK, None
        try:
            if needs_key:
                call.caller = name_of_caller(
                    self.parts.keys, metadata.get("authorization"), metadata.get("x-api-key")
                )
            yield call
            context.set_trailing_metadata(call.trailer())
        except asyncio.CancelledError:
            row = row_of(ClientDisconnectedError())
            status, code, slug = row.status, grpc.StatusCode.CANCELLED, row.slug
            raise
        except Exception as error:  # noqa: BLE001 - each has a row, and the rest are internal errors
            row = row_of(error)
            status, code, slug = row.status, code_of(error), row.slug
            await _refuse(context, call, error, code)
        finally:
            self.parts.metrics.in_progress.dec()
            self._end(call, status, code, slug)

    def _end(self, call: Call, status: int, code: grpc.StatusCode, slug: str | None) -> None:
        seconds = time.monotonic() - call.arrived
        self.parts.metrics.request_done("GRPC", call.method, code.name, seconds)
        if slug is not None:
            self.parts.metrics.rejected(slug)
        if self.parts.tracing is not None:
            self.parts.tracing.end_request(call.span, "POST", call.method, status)
        log.log(
            logging.WARNING if status >= 500 else logging.INFO,
            "GRPC %s %s %.0f ms",
            call.method,
            code.name,
            seconds * 1000,
            extra={
                "method": "GRPC",
                "route": call.method,
                "status": code.name,
                "duration_seconds": round(seconds, 6),
                "caller": call.caller,
                "model": call.model,
                "problem": slug,
                "server_timing": call.server_timing,
            },
        )


def code_of(error: BaseException) -> grpc.StatusCode:
    """What gRPC calls a fault."""
    code: grpc.StatusCode = grpc.StatusCode[row_of(error).grpc]
    return code


def sentence_of(error: BaseException) -> str:
    """What a caller may read. Logs what is the server's own fault."""
    return problem_of(error).detail


async def _refuse(context: Context, call: Call, error: Exception, code: grpc.StatusCode) -> None:
    sentence = sentence_of(error)
    trailer: tuple[tuple[str, str | bytes], ...] = call.trailer()
    if isinstance(error, TryLaterError | UploadsFullError):
        trailer = (*trailer, *_retry_metadata(code, sentence, error.retry_after_seconds))
    await context.abort(code, sentence, trailer)


def _retry_metadata(
    code: grpc.StatusCode, sentence: str, seconds: float
) -> tuple[tuple[str, str | bytes], ...]:
    """When to come back, as google.rpc has it and as HTTP does."""
    whole = max(1, round(seconds))
    info = RPC["RetryInfo"](retry_delay=RPC["Duration"](seconds=whole))
    detail = RPC["Any"](type_url=_RETRY_TYPE, value=info.SerializeToString())
    status = RPC["Status"](code=code.value[0], message=sentence, details=[detail])
    return (
        ("retry-after", str(whole)),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
