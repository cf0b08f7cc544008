"""The Open Inference Protocol over HTTP: /v2."""

from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from service.protocols.auth import require_key
from service.protocols.context import context_of, request_context
from service.protocols.exchange import answer_headers, aside, infer_for, read_body, size_of
from service.protocols.json_values import load_json
from service.protocols.limits import body_limit
from service.protocols.model_names import find, names_of, states_of
from service.protocols.oip import metadata
from service.protocols.oip.answer import output_tensors, read_asked
from service.protocols.oip.images import pictures_of
from service.protocols.oip.request import HEADER_LENGTH, InferRequest, parse_request
from service.protocols.oip.response import Body, write_response
from service.protocols.problems import MalformedRequestError, NotSupportedError

# What probes ask needs no key, as /health does not.
health = APIRouter(prefix="/v2", include_in_schema=False)
router = APIRouter(prefix="/v2", include_in_schema=False, dependencies=[Depends(require_key)])
_SEVERAL_IMAGES = [Depends(body_limit("max_batch_upload_bytes"))]


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


@health.get("/health/live")
async def live(request: Request) -> Response:
    parts = context_of(request)
    return _json(
        {"live": parts.is_live, "ready": parts.registry.ready}, 200 if parts.is_live else 503
    )


@health.get("/health/ready")
async def ready(request: Request) -> Response:
    reasons = context_of(request).registry.not_ready_reasons()
    if reasons:
        return _json({"live": True, "ready": False, "error": " ".join(reasons)}, 503)
    return _json({"live": True, "ready": True})


@router.get("")
@router.get("/")
async def server_metadata() -> Response:
    return _json(metadata.server_metadata())


@router.get("/models")
async def list_models(request: Request) -> Response:
    return _json({"models": names_of(context_of(request).registry.states())})


@router.get("/models/stats")
async def all_statistics(request: Request) -> Response:
    return _json({"model_stats": _statistics(request)})


@router.get("/models/{name}/stats")
@router.get("/models/{name}/versions/{version}/stats")
async def statistics(request: Request, name: str, version: str | None = None) -> Response:
    find(context_of(request), name, version)
    return _json({"model_stats": _statistics(request, name, version)})


def _statistics(
    request: Request, name: str | None = None, version: str | None = None
) -> list[dict[str, Any]]:
    parts = context_of(request)
    states = parts.registry.states() if name is None else states_of(parts, name)
    return [
        metadata.model_statistics(name or state.name, state, parts.metrics.totals(state.id))
        for state in states
        if state.model is not None and version in (None, str(state.version))
    ]


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def model_metadata(request: Request, name: str, version: str | None = None) -> Response:
    return _json(metadata.model_metadata(find(context_of(request), name, version)))


@router.get("/models/{name}/config")
@router.get("/models/{name}/versions/{version}/config")
async def model_config(request: Request, name: str, version: str | None = None) -> Response:
    parts = context_of(request)
    served = find(parts, name, version)
    return _json(metadata.model_config(served, parts.max_batch_request_images))


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
    served = find(context_of(request), name, version)
    return _json({"name": served.name, "ready": served.is_ready})


@router.post("/repository/index")
async def repository_index(request: Request) -> Response:
    body = await read_body(request)
    wish = _object(body) if body else {}
    ready_only = wish.get("ready", False)
    if not isinstance(ready_only, bool):
        raise MalformedRequestError("`ready` takes true or false.")
    states = context_of(request).registry.states()
    return _json(metadata.repository_index(states, ready_only=ready_only))


@router.post("/repository/models/{name}/load")
async def load_model(request: Request, name: str) -> Response:
    """Load a model that the memory cap or lazy loading has left out."""
    wish = _object(await read_body(request) or b"{}")
    if wish.get("parameters"):
        raise NotSupportedError(
            "A model's config and files cannot be sent with a load; put its folder into the store, "
            "and the server loads it by itself."
        )
    parts = context_of(request)
    served = find(parts, name)
    async with parts.registry.lease(served.selector, request_context(request.scope).deadline):
        return Response(status_code=200)


@router.post("/repository/models/{name}/unload")
async def unload_model(request: Request, name: str) -> Response:
    await read_body(request)
    find(context_of(request), name)
    raise NotSupportedError(metadata.WHY_NO_UNLOAD)


def _object(body: bytes | bytearray) -> dict[str, Any]:
    document = load_json(body)
    if not isinstance(document, dict):
        raise MalformedRequestError("The request is not a JSON object.")
    return document


@router.post("/models/{name}/infer", dependencies=_SEVERAL_IMAGES)
@router.post("/models/{name}/versions/{version}/infer", dependencies=_SEVERAL_IMAGES)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    served = find(context_of(request), name, version)  # before the client uploads for nothing
    wish = await _read_request(request)
    asked = read_asked(wish)
    pictures = pictures_of(wish.input, served)
    inferred = await infer_for(
        request, served.selector, pictures, asked.results, asked.timeout_seconds
    )
    tensors = output_tensors(asked.results, inferred, pictures)
    answering_version = inferred.model_id.rpartition("/")[2]

    def write() -> Body:
        outputs = list(zip(tensors, asked.binary, strict=True))
        return write_response(name, answering_version, wish.id, outputs)

    in_json = [
        image
        for images, binary in zip(inferred.results, asked.binary, strict=True)
        for image in images
        if not binary
    ]
    body = await aside(request, size_of(in_json), write)
    headers = answer_headers(request, inferred)
    if body.json_bytes is not None:
        headers[HEADER_LENGTH] = str(body.json_bytes)
    return Response(body.joined(), headers=headers, media_type=body.media_type)


async def _read_request(request: Request) -> InferRequest:
    body = memoryview(await read_body(request))
    length = request.headers.get(HEADER_LENGTH)
    in_json = int(length) if length is not None and length.isdecimal() else len(body)
    most = context_of(request).max_batch_request_images
    parse = partial(parse_request, body, length, most)
    return await aside(request, min(in_json, len(body)), parse)
