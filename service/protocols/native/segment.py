"""POST /segment and POST /segment/batch."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from service.concurrency import as_completed
from service.inference.inference import Answer
from service.protocols.auth import require_key
from service.protocols.context import AppContext, context_of
from service.protocols.disconnect import cancel_on_disconnect
from service.protocols.exchange import server_timing
from service.protocols.native import openapi
from service.protocols.native.batch import Entry, choose_container, safe_stems
from service.protocols.native.body import ImagePart, read_image, read_images
from service.protocols.native.encoded_response import EncodedResponse
from service.protocols.native.params import SegmentParams, parse_segment_params, single_values
from service.protocols.problems import TYPE_PREFIX, problem_of

router = APIRouter(tags=["segment"], dependencies=[Depends(require_key)])


@router.post(
    "/segment",
    summary="The class of every pixel of an image",
    response_class=Response,
    responses=openapi.SEGMENT_RESPONSES,
)
async def segment(request: Request) -> Response:
    """Send an image, as the raw body or as the multipart part `image`; get its class map in the format you ask for.

    `format` decides the format, else the `Accept` header, else it is `png`.
    """
    parts = context_of(request)
    params = parse_segment_params(request.query_params, _accept_of(request))
    parts.registry.check(params.model)  # before the client uploads for nothing
    image = await read_image(request)
    work = _segment(parts, params, image, request.state.deadline)
    answer = await cancel_on_disconnect(request, work)
    request.state.model = answer.model_id
    if parts.tracing is not None:
        parts.tracing.add_stages(request.state.span, answer.model_id, answer.timings)
    headers = {
        "X-Model": answer.model_id,
        "Vary": "Accept",
        **_page_header(answer),
        **_tile_headers(answer),
    }
    headers["Server-Timing"] = request.state.server_timing = server_timing(
        answer.timings, request.state.arrived
    )
    return EncodedResponse(answer.encoded, headers)


@router.post(
    "/segment/batch",
    summary="The same for several images at once",
    response_class=StreamingResponse,
    responses=openapi.BATCH_RESPONSES,
)
async def segment_batch(request: Request) -> Response:
    """Send several parts named `image`; get a ZIP with a file an image, or NDJSON with a line an image as each is ready.

    An image that fails has an entry in `errors.json`, or a line with a `problem`; the others are not touched by it.
    """
    parts = context_of(request)
    container = choose_container(
        single_values(request.query_params).get("container"), _accept_of(request)
    )
    params = parse_segment_params(request.query_params, None, besides=["container"])
    parts.registry.check(params.model)
    images = await read_images(request, parts.max_batch_request_images)
    stems = safe_stems(image.filename for image in images)
    work = [
        partial(
            _segment_entry,
            parts,
            params,
            index,
            image,
            stem,
            request.state.deadline,
        )
        for index, (image, stem) in enumerate(zip(images, stems, strict=True))
    ]
    # one batch at the engine, one that waits for it
    at_once = min(2 * parts.registry.best_batch(params.model), parts.max_batch_images_at_once)

    async def body() -> AsyncGenerator[bytes]:
        async with aclosing(as_completed(work, at_once)) as entries:
            async for chunk in container.write(entries):
                yield chunk

    return StreamingResponse(body(), media_type=container.media_type, headers={"Vary": "Accept"})


async def _segment(
    parts: AppContext, params: SegmentParams, image: ImagePart, deadline: float
) -> Answer:
    return await parts.inference.segment(
        image.body,
        params.format,
        params.options,
        deadline,
        model=params.model,
        file_name=image.name,
    )


async def _segment_entry(
    parts: AppContext,
    params: SegmentParams,
    index: int,
    image: ImagePart,
    stem: str,
    deadline: float,
) -> Entry:
    try:
        answer = await _segment(parts, params, image, deadline)
    except Exception as error:  # noqa: BLE001 - one bad image fails only its own entry
        problem = problem_of(error)
        parts.metrics.rejected(problem.type.removeprefix(TYPE_PREFIX))
        return Entry(index, image.filename, stem, problem)
    return Entry(index, image.filename, stem, answer)


def _accept_of(request: Request) -> str | None:
    return ", ".join(request.headers.getlist("accept")) or None


def _page_header(answer: Answer) -> dict[str, str]:
    return {"X-Page": f"{answer.page}/{answer.pages}"} if answer.pages > 1 else {}


def _tile_headers(answer: Answer) -> dict[str, str]:
    if answer.tiles == 1:
        return {}
    return {"X-Tiles": str(answer.tiles), "X-Tiles-Blended": str(answer.blended).lower()}
