"""The one table that gives each fault its HTTP status, and the problem+json that a caller reads (RFC 9457)."""

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.catalogue.registry import UnknownModelError
from service.domain import errors
from service.inputs import readable_types
from service.protocols.telemetry.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:segserve:problem:"

log = logging.getLogger(__name__)


class RequestError(Exception):
    """A fault of a request rather than of its image, whose text a caller may read."""


class MalformedRequestError(RequestError):
    """A parameter or the body is not of the form this route takes."""


class UnauthorizedError(RequestError):
    """No API key, or not one of ours."""


class NotAcceptableError(RequestError):
    """No format has the name, or the media types, that the caller asked for."""


class NotSupportedError(RequestError):
    """The protocol knows this call, and this server does not do it."""


class UploadTimeoutError(RequestError):
    """The body did not arrive in time."""


class BodyTooLargeError(RequestError):
    """The body is, or announces to be, larger than its limit."""


class UnsupportedBodyError(RequestError):
    """The Content-Type is not one that this route takes."""


class UploadsFullError(RequestError):
    """The bodies of other requests fill the memory that is set aside for them."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ClientDisconnectedError(RequestError):
    """The client hung up. Nobody reads the answer; the log and the metrics do."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `slug` ends the problem's type; `example` is a detail as a caller would get it."""

    slug: str
    status: int
    title: str
    example: str


INTERNAL = Row(
    "internal-error",
    500,
    "Internal error",
    "The server failed on this request. Its log has the cause under this request_id; please report it.",
)

ROWS: Mapping[type[Exception], Row] = {
    MalformedRequestError: Row(
        "malformed-request",
        400,
        "Malformed request",
        "Parameter alpha does not belong to format png; it belongs to overlay. png takes: classes.",
    ),
    errors.InvalidOptionError: Row(
        "invalid-option",
        400,
        "Option does not fit the model",
        "street/1 has no class 'cat'; its classes are sky, building, road.",
    ),
    NotSupportedError: Row(
        "not-supported",
        400,
        "Not done by this server",
        "Models come and go with their folders in the store; take the folder of this one away to unload it.",
    ),
    UnauthorizedError: Row(
        "unauthorized",
        401,
        "API key missing or wrong",
        "This server asks for an API key: send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
    ),
    UnknownModelError: Row(
        "unknown-model",
        404,
        "Unknown model",
        "There is no model 'strete'; this server has: street/1.",
    ),
    NotAcceptableError: Row(
        "not-acceptable",
        406,
        "No such format",
        "There is no format 'tiff'; the formats are png (image/png), rle (application/json).",
    ),
    UploadTimeoutError: Row(
        "upload-timeout",
        408,
        "Upload took too long",
        "The body was not received within 30 s; 1048576 bytes had arrived. Send a smaller image or use a faster link.",
    ),
    BodyTooLargeError: Row(
        "body-too-large",
        413,
        "Body too large",
        "The body is larger than this route's limit of 67108864 bytes. Send a smaller or a compressed image.",
    ),
    errors.ImageTooLargeError: Row(
        "image-too-large",
        413,
        "Image has too many pixels",
        "The image is 60000 × 60000 pixels; the limit is 100000000 pixels. Scale it down or cut it up.",
    ),
    errors.AnswerTooLargeError: Row(
        "answer-too-large",
        413,
        "Answer would be too large",
        "The probabilities of 4000 × 3000 pixels and 11 classes take 528000000 bytes; the limit is 536870912 bytes. "
        "Leave out probabilities, or send a smaller image.",
    ),
    UnsupportedBodyError: Row(
        "unsupported-body",
        415,
        "Not a body this route takes",
        "The body's Content-Type is text/plain. Send the image as multipart/form-data in a part named image, "
        "or as the raw body with Content-Type image/jpeg, any other image type, or application/octet-stream.",
    ),
    errors.UnsupportedImageTypeError: Row(
        "unsupported-image-type",
        415,
        "Not an image type this server reads",
        f"The bytes are not an image of a type we read. Send {readable_types()}.",
    ),
    errors.UnreadableImageError: Row(
        "unreadable-image",
        422,
        "Image does not decode",
        "The JPEG ends before its last pixel. The upload was cut short or the file is damaged; send it again.",
    ),
    errors.QueueFullError: Row(
        "queue-full",
        429,
        "Queue is full",
        "64 images wait for street/1, as many as may. Try again in 3 s.",
    ),
    UploadsFullError: Row(
        "uploads-full",
        429,
        "Too many uploads at once",
        "The uploads under way fill the memory set aside for them, 1073741824 bytes. Try again in 1 s.",
    ),
    ClientDisconnectedError: Row(
        "client-left", 499, "Client left", "The client closed the connection."
    ),
    errors.InferenceError: Row(
        "inference-failed",
        500,
        "Model failed",
        "street/1 failed on this image. The cause is in the server's log; if it fails again, tell the operator.",
    ),
    errors.ModelUnavailableError: Row(
        "model-unavailable",
        503,
        "Model not available",
        "street/1 is being loaded. Try again in 5 s.",
    ),
    errors.DeadlineExceededError: Row(
        "deadline-exceeded",
        504,
        "Not done in time",
        "The image was not done within 60 s of its arrival. Try again when there is less load, or send it smaller.",
    ),
}

# FastAPI's and starlette's own; their statuses are for the router to choose.
ROUTE_NOT_FOUND = Row(
    "route-not-found", 404, "No such route", "There is no /segmnet here; /docs lists the routes."
)
METHOD_NOT_ALLOWED = Row(
    "method-not-allowed", 405, "Method not allowed", "/segment does not take GET; it takes POST."
)


_SHUT_DOWN = errors.ModelUnavailableError(
    "The server was shut down before the answer was ready. Send it again.", 1.0
)


class Problem(BaseModel):
    """What went wrong, the limit, and what to do about it (RFC 9457)."""

    type: str = Field(description="A name for the kind of problem that programs can compare.")
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="The HTTP status, again.")
    detail: str = Field(description="What was wrong with this request, the limit, and what to do.")
    request_id: str = Field(
        description="The X-Request-ID of this request; the server's log has it too."
    )


def row_of(error: BaseException) -> Row:
    """The row of the nearest class above `error`; what is in no row is an internal error."""
    return next((ROWS[cls] for cls in type(error).__mro__ if cls in ROWS), INTERNAL)


def problem_of(error: BaseException) -> Problem:
    """The problem that tells a caller of `error`. Logs those that are the server's own fault."""
    row = row_of(error)
    if row is INTERNAL:
        log.error("%s", INTERNAL.title, exc_info=error)
        return _problem(row, INTERNAL.example)
    return _problem(row, str(error))


def install_error_handlers(app: FastAPI) -> None:
    """One handler a row, so that starlette finds subclasses by itself."""
    for error_type in ROWS:
        app.add_exception_handler(error_type, _handle)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(HTTPException, _handle_http_exception)


class ErrorMiddleware:
    """Answers what no handler caught with a problem, so that no traceback leaves the process."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch_start)
        except asyncio.CancelledError:
            # The server's grace is over. Whoever still waits is told so, rather than cut off.
            if started:
                raise
            await self._answer(_SHUT_DOWN, scope, receive, send)
        except Exception as error:
            if started:
                raise
            await self._answer(error, scope, receive, send)

    async def _answer(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        response = await _handle(Request(scope), error)
        await response(scope, receive, send)


def _problem(row: Row, detail: str) -> Problem:
    return Problem(
        type=TYPE_PREFIX + row.slug,
        title=row.title,
        status=row.status,
        detail=detail,
        request_id=current_request_id(),
    )


def _respond(
    problem: Problem, headers: Mapping[str, str], request: Request | None = None
) -> Response:
    """As problem+json; on routes of protocols that have another form, in theirs."""
    if request is not None and _reads_error_member(request):
        return Response(
            orjson.dumps({"error": problem.detail}), problem.status, headers, "application/json"
        )
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def _reads_error_member(request: Request) -> bool:
    """Clients of the Open Inference Protocol and of TensorFlow Serving read `error` and nothing else."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return path.startswith(("/v1/", "/v2/")) or path in ("/v1", "/v2")


def _headers_of(error: BaseException) -> dict[str, str]:
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": 'Bearer realm="segserve"'}
    if isinstance(error, NotAcceptableError):
        return {"Vary": "Accept"}
    if isinstance(error, errors.TryLaterError | UploadsFullError):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
    return {}


def response_to(error: BaseException, request: Request | None = None) -> Response:
    """The answer that tells a caller of `error`."""
    return _respond(problem_of(error), _headers_of(error), request)


async def _handle(request: Request, error: Exception) -> Response:
    request.state.problem = row_of(error).slug
    return response_to(error, request)


async def _handle_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"][1:])
    return await _handle(request, MalformedRequestError(f"Parameter {place}: {fault['msg']}."))


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    path = request.url.path
    if error.status_code == ROUTE_NOT_FOUND.status:
        return _respond(
            _problem(ROUTE_NOT_FOUND, f"There is no {path} here; /docs lists the routes."),
            headers,
            request,
        )
    if error.status_code == METHOD_NOT_ALLOWED.status:
        detail = f"{path} does not take {request.method}; it takes {headers.get('allow') or headers.get('Allow')}."
        return _respond(_problem(METHOD_NOT_ALLOWED, detail), headers, request)
    phrase = HTTPStatus(error.status_code).phrase
    slug = phrase.lower().replace(" ", "-")
    problem = _problem(Row(slug, error.status_code, phrase, ""), str(error.detail))
    return _respond(problem, headers, request)
