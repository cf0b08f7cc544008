"""POST /segment and POST /segment/batch."""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from service.concurrency import as_completed
from service.inference.inference import Answer
from service.protocols.auth import require_key
from service.protocols.context import AppContext, RequestContext, context_of, request_context
from service.protocols.disconnect import cancel_on_disconnect
from service.protocols.limits import body_limit
from service.protocols.native import openapi
from service.protocols.native.batch import Entry, choose_container, safe_stems
from service.protocols.native.body import ImagePart, read_image, read_images
from service.protocols.native.encoded_response import EncodedResponse
from service.protocols.native.job_params import of_segment
from service.protocols.native.jobs import accept, prefers_async
from service.protocols.native.params import (
    SegmentParams,
    parse_query,
    parse_segment_params,
    single_values,
)
from service.protocols.plain_route import PlainRoute
from service.protocols.problems import Problem, problem_of

_ASYNC_HEADERS = {"Preference-Applied": "respond-async", "Vary": "Accept, Prefer"}

router = APIRouter(tags=["segment"], dependencies=[Depends(require_key)])


@router.post(
    "/segment",
    summary="The class of every pixel of an image",
    response_class=Response,
    responses=openapi.SEGMENT_RESPONSES,
)
async def segment(request: Request) -> Response:
    """Send an image, as the raw body or as the multipart part `image`; get its class map in the
    format you ask for.

    `format` decides the format, else the `Accept` header, else it is `png`. `Prefer: respond-async`
    makes a job of it where the server does jobs.
    """
    parts, context = context_of(request), request_context(request.scope)
    params = parse_query(request.scope["query_string"], _accept_of(request))
    parts.registry.check(params.model)  # before the client uploads for nothing
    if parts.jobs is not None and "prefer" in request.headers and prefers_async(request):
        return await accept(request, parts.jobs, of_segment(params), headers=_ASYNC_HEADERS)
    image = await read_image(request)
    work = _segment(parts, params, image, context.deadline)
    answer = await cancel_on_disconnect(request, work)
    context.upload.release()
    timing = context.note_answer(answer, parts.tracing)
    headers = {
        "X-Model": answer.model_id,
        "Vary": "Accept",
        "Server-Timing": timing,
        **_page_header(answer),
        **_size_headers(answer),
        **_observed_headers(answer),
        **_tile_headers(answer),
        **_capture_header(answer),
    }
    return EncodedResponse(answer.encoded, headers)


PLAIN_ROUTES = [PlainRoute("POST", "/segment", segment)]


@router.post(
    "/segment/batch",
    summary="The same for several images at once",
    response_class=StreamingResponse,
    responses=openapi.BATCH_RESPONSES,
    dependencies=[Depends(body_limit("max_batch_upload_bytes"))],
)
async def segment_batch(request: Request) -> Response:
    """Send several parts named `image`; get a ZIP with a file an image, or NDJSON with a line an
    image as each is ready.

    An image that fails has an entry in `errors.json`, or a line with a `problem`; the others are
    not touched by it.
    """
    parts, context = context_of(request), request_context(request.scope)
    container = choose_container(
        single_values(request.query_params).get("container"), _accept_of(request)
    )
    params = parse_segment_params(request.query_params, None, besides=["container"])
    parts.registry.check(params.model)
    images = await read_images(request, parts.max_batch_request_images)
    stems = safe_stems(image.filename for image in images)
    batch = _Batch(parts, context, params)
    # one batch at the engine, one that waits for it
    at_once = min(2 * parts.registry.best_batch(params.model), parts.max_batch_images_at_once)
    entries = batch.entries(deque(zip(stems, images, strict=True)), at_once)
    return StreamingResponse(
        container.write(entries), media_type=container.media_type, headers={"Vary": "Accept"}
    )


class _Batch:
    """The images of one request, each of which succeeds or fails by itself."""

    def __init__(self, parts: AppContext, context: RequestContext, params: SegmentParams) -> None:
        self._parts = parts
        self._context = context
        self._params = params

    async def entries(
        self, images: deque[tuple[str, ImagePart]], at_once: int
    ) -> AsyncGenerator[Entry]:
        """An entry for each of `images`, which it empties, in the order they are ready."""
        answers = self._context.answer
        async with aclosing(as_completed(self._work(images), at_once)) as entries:
            async for entry in entries:
                yield entry
                answers.give_back(_size_of(entry))  # by now its container has sent it on

    def _work(
        self, images: deque[tuple[str, ImagePart]]
    ) -> Iterator[Callable[[], Coroutine[Any, Any, Entry]]]:
        index = 0
        while images:
            yield partial(self._segment, index, *images.popleft())
            index += 1

    async def _segment(self, index: int, stem: str, image: ImagePart) -> Entry:
        outcome: Answer | Problem
        try:
            outcome = await _segment(self._parts, self._params, image, self._context.deadline)
        except Exception as error:  # noqa: BLE001 - one bad image fails only its own entry
            outcome = problem_of(error)
            self._parts.metrics.rejected(outcome.slug)
        self._context.upload.give_back(len(image.body))
        entry = Entry(index, image.filename, stem, outcome)
        self._context.answer.take(_size_of(entry))
        return entry


async def _segment(
    parts: AppContext, params: SegmentParams, image: ImagePart, deadline: float | None
) -> Answer:
    return await parts.inference.segment(
        image.body,
        params.format,
        params.options,
        deadline,
        model=params.model,
        file_name=image.name,
    )


def _size_of(entry: Entry) -> int:
    return entry.outcome.encoded.size if isinstance(entry.outcome, Answer) else 0


def _accept_of(request: Request) -> str | None:
    return ", ".join(request.headers.getlist("accept")) or None


def _page_header(answer: Answer) -> dict[str, str]:
    return {"X-Page": f"{answer.page}/{answer.pages}"} if answer.pages > 1 else {}


def _capture_header(answer: Answer) -> dict[str, str]:
    return {} if answer.captured is None else {"X-Captured": answer.captured}


def _size_headers(answer: Answer) -> dict[str, str]:
    """At which size and depth the network saw the picture."""
    headers = {"X-Scale": f"{answer.scale:.4g}"}
    if answer.window is not None:
        headers["X-Intensity"] = f"{answer.window.low},{answer.window.high}"
    return headers


def _observed_headers(answer: Answer) -> dict[str, str]:
    """How sure the model is, and whether the picture is like its own."""
    confidence, found = answer.observation.confidence, answer.observation.typicality
    headers = {} if confidence is None else {"X-Confidence": f"{confidence:.4f}"}
    if found is not None:
        headers["X-Atypical"] = f"{found.score:.3f}"
        if found.reasons:
            headers["X-Atypical-Reasons"] = ",".join(found.reasons)
    return headers


def _tile_headers(answer: Answer) -> dict[str, str]:
    if answer.tiles == 1:
        return {}
    return {"X-Tiles": str(answer.tiles), "X-Tiles-Blended": str(answer.blended).lower()}
