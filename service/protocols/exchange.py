"""One request for inference, from its body to its headers: what the protocols over HTTP have in
common.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.protocols.context import context_of, request_context
from service.protocols.disconnect import cancel_on_disconnect
from service.protocols.inflate import inflate, is_compressed
from service.protocols.json_values import INLINE_BYTES
from service.protocols.limits import take_upload
from service.protocols.pictures import Inferred, Pictures, infer
from service.protocols.problems import ClientDisconnectedError
from service.protocols.results import Wanted

Done = TypeVar("Done")


async def read_body(request: Request) -> bytes | bytearray:
    """The body without its compression. Raises RequestError."""
    body = bytearray()
    async for chunk in stream_body(request):
        body += chunk
    coding = request.headers.get("content-encoding")
    if coding is None or not is_compressed(coding):
        return body
    context = request_context(request.scope)
    plain = inflate(body, coding, context.max_body_bytes)
    take_upload(context.upload, len(plain))
    return plain


async def stream_body(request: Request) -> AsyncGenerator[bytes]:
    """The body as it arrives. Raises ClientDisconnectedError, and what the limits raise."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise ClientDisconnectedError(
            "The client closed the connection before the body was complete."
        ) from None


async def aside(request: Request, size: int, work: Callable[[], Done]) -> Done:
    """Read or write a text of `size` bytes; a large one beside the event loop, one at a time, for
    lists need memory.
    """
    if size <= INLINE_BYTES:
        return work()
    async with context_of(request).one_large_text:
        return await asyncio.to_thread(work)


def size_of(images: Sequence[Any]) -> int:
    """Bytes of arrays or files."""
    return sum(image.nbytes if hasattr(image, "nbytes") else len(image) for image in images)


async def infer_for(
    request: Request,
    model: str,
    pictures: Pictures,
    asked: Sequence[Wanted],
    timeout_seconds: float | None = None,
) -> Inferred:
    """As `infer`, by the request's deadline, until its client leaves.

    Notes who answered, for log and traces.
    """
    parts, context = context_of(request), request_context(request.scope)
    deadline = context.deadline
    if timeout_seconds is not None:
        due = context.arrived + timeout_seconds
        deadline = due if deadline is None else min(deadline, due)
    inferred = await cancel_on_disconnect(request, infer(parts, model, pictures, asked, deadline))
    context.note_answer(inferred, parts.tracing)
    return inferred


def answer_headers(request: Request, inferred: Inferred) -> dict[str, str]:
    context = request_context(request.scope)
    return {
        "X-Model": inferred.model_id,
        "X-Scale": inferred.scale,
        "Server-Timing": context.server_timing or "",
    }
