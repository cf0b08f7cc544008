"""TensorFlow Serving's REST API, and KServe's v1 on the same paths: /v1/models."""

from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from service.protocols.auth import require_key
from service.protocols.context import context_of
from service.protocols.exchange import answer_headers, aside, infer_for, read_body, size_of
from service.protocols.limits import body_limit
from service.protocols.model_names import find, names_of, states_of
from service.protocols.pictures import Pictures
from service.protocols.problems import NotSupportedError
from service.protocols.tfserving import signatures
from service.protocols.tfserving.labels import version_of
from service.protocols.tfserving.request import PredictRequest, parse_request, pictures_of
from service.protocols.tfserving.response import status, write_predictions

router = APIRouter(prefix="/v1", include_in_schema=False, dependencies=[Depends(require_key)])
_SEVERAL_IMAGES = [Depends(body_limit("max_batch_upload_bytes"))]


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")


@router.get("/models")
async def list_models(request: Request) -> Response:
    return _json({"models": names_of(context_of(request).registry.states())})


@router.get("/models/{name}/labels/{label}/metadata")
async def show_labelled_metadata(request: Request, name: str, label: str) -> Response:
    return await show_metadata(request, name, version_of(context_of(request), name, label))


@router.get("/models/{name}/labels/{label}")
async def show_labelled_status(request: Request, name: str, label: str) -> Response:
    return await show_status(request, name, version_of(context_of(request), name, label))


@router.post("/models/{name}/labels/{label}:{verb}", dependencies=_SEVERAL_IMAGES)
async def predict_by_label(request: Request, name: str, label: str, verb: str) -> Response:
    return await predict(request, name, verb, version_of(context_of(request), name, label))


@router.get("/models/{name}/metadata")
@router.get("/models/{name}/versions/{version}/metadata")
async def show_metadata(request: Request, name: str, version: str | None = None) -> Response:
    return _json(signatures.metadata(find(context_of(request), name, version)))


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def show_status(request: Request, name: str, version: str | None = None) -> Response:
    parts = context_of(request)
    states = [state for state in states_of(parts, name) if version in (None, str(state.version))]
    if not states:
        find(parts, name, version)  # says what there is
    return _json(status(name, states))


@router.post("/models/{name}:{verb}", dependencies=_SEVERAL_IMAGES)
@router.post("/models/{name}/versions/{version}:{verb}", dependencies=_SEVERAL_IMAGES)
async def predict(request: Request, name: str, verb: str, version: str | None = None) -> Response:
    served = find(context_of(request), name, version)  # before the client uploads for nothing
    if verb.lower() != "predict":
        raise NotSupportedError(
            f"{name} has no method {verb[:40]!r}: it gives a class to every pixel. Call :predict."
        )
    body = await read_body(request)

    def read() -> tuple[PredictRequest, Pictures]:
        wish = parse_request(body)
        return wish, pictures_of(wish, served)

    wish, pictures = await aside(request, len(body), read)
    asked = signatures.asked_by(wish.signature)
    inferred = await infer_for(request, served.selector, pictures, [asked])
    images = inferred.results[0]
    write = partial(write_predictions, asked.result, images, by_row=wish.by_row)
    answer = await aside(request, size_of(images), write)
    return Response(
        answer, headers=answer_headers(request, inferred), media_type="application/json"
    )
