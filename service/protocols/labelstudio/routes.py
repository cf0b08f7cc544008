"""Label Studio's protocol for machine-learning backends: /labelstudio, or /labelstudio/street and
/labelstudio/street/1 for a model or a version of it.

Label Studio asks for all tasks that a person chose in one request, waits 100 s, and of a failure
shows a status alone. So where some tasks of several cannot be done, their places hold an empty
list: no prediction is stored for them, and asking again does them. Where none can be done, or one
alone is asked for, the answer is the error.
"""

import base64
import binascii
import logging
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from service.concurrency import as_completed
from service.domain.errors import AnswerTooLargeError, ServiceError
from service.outputs.labelstudio import PREDICTION, PredictionOptions
from service.protocols.auth import name_of_caller
from service.protocols.context import AppContext, RequestContext, context_of, request_context
from service.protocols.disconnect import cancel_on_disconnect
from service.protocols.exchange import aside, read_body
from service.protocols.labelstudio.config import Project, read_config
from service.protocols.labelstudio.media import load_image, reference_of
from service.protocols.limits import body_limit, take_upload
from service.protocols.model_names import Served, find
from service.protocols.problems import BodyTooLargeError, MalformedRequestError, RequestError

# Tasks come with all their annotations, whose masks are lists of numbers.
MAX_JSON_BYTES: Final = 128 * 2**20
# What the predictions of one request may add up to; those beyond it are asked for again.
MAX_PREDICTION_BYTES: Final = 64 * 2**20
_NOTHING: Final = b"[]"

log = logging.getLogger(__name__)


def require_basic_key(request: Request) -> None:
    """Let the request pass, or raise UnauthorizedError: Label Studio sends a user's name and a
    password, and the password is the API key."""
    headers = request.headers
    authorization, key = headers.get("authorization", ""), headers.get("x-api-key")
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            key = None
    caller = name_of_caller(context_of(request).keys, authorization, key)
    request_context(request.scope).caller = caller


router = APIRouter(
    prefix="/labelstudio",
    include_in_schema=False,
    dependencies=[Depends(require_basic_key), Depends(body_limit("max_batch_upload_bytes"))],
)


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")


def _find(request: Request) -> Served:
    """The model that a path names, or the default one. Raises UnknownModelError."""
    parts, path = context_of(request), request.path_params
    if "name" in path:
        return find(parts, path["name"], path.get("version"))
    name, _, version = parts.registry.check(None).partition("/")
    return find(parts, name, version)


async def _read(request: Request) -> dict[str, Any]:
    """The request's JSON object. Raises RequestError."""
    body = await read_body(request)
    if len(body) > MAX_JSON_BYTES:
        raise BodyTooLargeError(
            f"The JSON has {len(body)} bytes; the limit is {MAX_JSON_BYTES} bytes. Ask for fewer "
            "tasks at once."
        )

    def load() -> Any:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedRequestError(f"The request is not JSON: {error.msg}.") from None

    document = await aside(request, len(body), load)
    if not isinstance(document, dict):
        raise MalformedRequestError("The request is not a JSON object.")
    return document


@router.get("/health")
@router.get("/{name}/health")
@router.get("/{name}/{version}/health")
async def health(request: Request) -> Response:
    return _json({"status": "UP", "model_version": _find(request).state.id})


@router.get("/versions")
@router.get("/{name}/versions")
@router.get("/{name}/{version}/versions")
async def versions(request: Request) -> Response:
    return _json({"versions": [_find(request).state.id]})


@router.post("/setup")
@router.post("/{name}/setup")
@router.post("/{name}/{version}/setup")
async def setup(request: Request) -> Response:
    """The model's version, where a project's configuration has labels for its classes. The token
    that Label Studio sends along is not kept."""
    served = _find(request)
    document = await _read(request)
    if document.get("schema"):
        read_config(document["schema"], _class_names(served))
    return _json({"model_version": served.state.id})


@router.post("/webhook")
@router.post("/{name}/webhook")
@router.post("/{name}/{version}/webhook")
async def webhook(request: Request) -> Response:
    """Nothing is trained here: an export is, by `segtrain train`."""
    action = str((await _read(request)).get("action"))[:80]
    log.info("Label Studio tells of %s; models are trained with `segtrain train`", action)
    return _json({"status": "ignored"})


@router.post("/predict")
@router.post("/{name}/predict")
@router.post("/{name}/{version}/predict")
async def predict(request: Request) -> Response:
    served = _find(request)
    document = await _read(request)
    project = read_config(document.get("label_config"), _class_names(served))
    tasks = document.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise MalformedRequestError("tasks takes a list of objects, each with its data.")
    work = _Predictions(context_of(request), request_context(request.scope), served, project)
    results = await cancel_on_disconnect(request, work.of(tasks))
    return Response(
        b'{"results":[' + b",".join(results) + b"]}",
        headers={"X-Model": served.state.id},
        media_type="application/json",
    )


def _class_names(served: Served) -> list[str]:
    return [segmentation_class.name for segmentation_class in served.contract.classes]


class _Predictions:
    """The predictions of one request's tasks."""

    def __init__(
        self, parts: AppContext, context: RequestContext, served: Served, project: Project
    ) -> None:
        self._parts = parts
        self._context = context
        self._served = served
        self._project = project
        self._options = PredictionOptions(control=project.control)
        self._bytes = 0
        self._failed: list[Exception] = []

    async def of(self, tasks: Sequence[dict[str, Any]]) -> list[bytes]:
        """Each task's prediction as JSON, or an empty list. Raises what the first task raised where
        none could be done."""
        at_once = self._parts.max_batch_images_at_once
        work = [partial(self._one, index, task) for index, task in enumerate(tasks)]
        results = [_NOTHING] * len(tasks)
        async with aclosing(as_completed(work, at_once)) as completed:
            async for index, prediction in completed:
                results[index] = prediction
        if tasks and len(self._failed) == len(tasks):
            raise self._failed[0]
        if self._failed:
            log.warning(
                "%d of %d tasks have no prediction, and can be asked for again; the first: %s",
                len(self._failed),
                len(tasks),
                self._failed[0],
            )
        return results

    async def _one(self, index: int, task: dict[str, Any]) -> tuple[int, bytes]:
        try:
            prediction = await self._predicted(task)
            self._bytes += len(prediction)
            return index, prediction
        except (ServiceError, RequestError) as error:
            self._failed.append(error)
            return index, _NOTHING

    async def _predicted(self, task: dict[str, Any]) -> bytes:
        """Raises ServiceError and RequestError."""
        if self._bytes > MAX_PREDICTION_BYTES:
            raise AnswerTooLargeError(
                f"The predictions of this request have more than {MAX_PREDICTION_BYTES} bytes; ask "
                "for fewer tasks at once."
            )
        deadline, limit = self._context.deadline, self._parts.limits.max_upload_bytes
        assert deadline is not None  # begin_request sets it
        reference = reference_of(task, self._project.image_key)
        fetcher = self._parts.fetcher
        image = await load_image(reference, task.get("id"), fetcher, limit, deadline)
        take_upload(self._context.upload, len(image))
        try:
            answer = await self._parts.inference.segment(
                image, PREDICTION, self._options, deadline, model=self._served.state.id
            )
        finally:
            self._context.upload.give_back(len(image))
        self._context.note_answer(answer, self._parts.tracing)
        return answer.encoded.body
