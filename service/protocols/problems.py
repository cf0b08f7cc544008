"""The one table of errors: what each is called, and how HTTP and gRPC say it.

A protocol says errors in one of the forms at the end: problem+json (RFC 9457), or `{"error": …}`.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from service.capture.labeled import FeedbackRefusedError, UnknownCaptureError
from service.catalogue.registry import UnknownModelError
from service.domain import errors
from service.jobs import errors as job_errors
from service.protocols.fetching import FetchError
from service.protocols.telemetry.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:segserve:problem:"

log = logging.getLogger(__name__)


class RequestError(Exception):
    """A fault of a request rather than of its image, whose text a caller may read."""


class MalformedRequestError(RequestError):
    """A parameter or the body is not of the form this route takes."""


class MalformedHttpError(RequestError):
    """What came is no HTTP."""


class HeadersTimeoutError(RequestError):
    """The headers did not arrive in time."""


class HeadersTooLargeError(RequestError):
    """The headers, or what stands between the parts of a body, are larger than their limit."""


class UnauthorizedError(RequestError):
    """No API key, or not one of ours."""


class HostNotAllowedError(RequestError):
    """The Host header names a host that this server does not go by."""


class RouteNotFoundError(RequestError):
    """No route has this path."""


class MethodNotAllowedError(RequestError):
    """The route does not take this method."""

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class NotAcceptableError(RequestError):
    """No format has the name, or the media types, that the caller asked for."""


class NotSupportedError(RequestError):
    """The protocol knows this call, and this server does not do it."""


class UploadVersionError(RequestError):
    """The request speaks another version of tus than this server."""

    supported = "1.0.0"


class RangeNotSatisfiableError(RequestError):
    """The part of a file that was asked for lies beyond its end."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The result has {size} bytes, and the Range asks for none of them. Ask for less, or "
            "leave the header out."
        )
        self.size = size


class UploadTimeoutError(RequestError):
    """The body did not arrive in time."""


class BodyTooLargeError(RequestError):
    """The body is, or announces to be, larger than its limit."""


class UnsupportedBodyError(RequestError):
    """The Content-Type is not one that this route takes."""


class MemoryFullError(RequestError):
    """What other requests hold fills the memory that is set aside for it."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UploadsFullError(MemoryFullError):
    """There is no room for the body beside those of other requests."""


class AnswersFullError(MemoryFullError):
    """There is no room for another answer beside those that are not sent yet."""


class ClientDisconnectedError(RequestError):
    """The client hung up. Nobody reads the answer; the log and the metrics do."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `slug` ends the problem's type; `grpc` is a name of grpc.StatusCode.

    A client may send again what got UNAVAILABLE or RESOURCE_EXHAUSTED, so these two are for what
    passes.
    """

    slug: str
    status: int
    grpc: str
    title: str


INTERNAL = Row("internal-error", 500, "INTERNAL", "Internal error")
# A sentence may repeat what a stranger sent, and gRPC sends it in the space of headers.
_MAX_DETAIL = 2000
INTERNAL_DETAIL = (
    "The server failed on this request. Its log has the cause under this request_id; "
    "please report it."
)

ROWS: Mapping[type[Exception], Row] = {
    MalformedRequestError: Row("malformed-request", 400, "INVALID_ARGUMENT", "Malformed request"),
    MalformedHttpError: Row("malformed-http", 400, "INVALID_ARGUMENT", "Bad Request"),
    errors.InvalidOptionError: Row(
        "invalid-option", 400, "INVALID_ARGUMENT", "Option does not fit the model or the image"
    ),
    NotSupportedError: Row("not-supported", 400, "UNIMPLEMENTED", "Not done by this server"),
    errors.InvalidTensorError: Row(
        "invalid-tensor", 400, "INVALID_ARGUMENT", "Tensor does not fit the model"
    ),
    UnauthorizedError: Row("unauthorized", 401, "UNAUTHENTICATED", "API key missing or wrong"),
    UnknownModelError: Row("unknown-model", 404, "NOT_FOUND", "Unknown model"),
    job_errors.UnknownJobError: Row("unknown-job", 404, "NOT_FOUND", "Unknown job"),
    UnknownCaptureError: Row("unknown-capture", 404, "NOT_FOUND", "No such picture is kept"),
    RouteNotFoundError: Row("route-not-found", 404, "UNIMPLEMENTED", "No such route"),
    MethodNotAllowedError: Row("method-not-allowed", 405, "UNIMPLEMENTED", "Method not allowed"),
    NotAcceptableError: Row("not-acceptable", 406, "INVALID_ARGUMENT", "No such format"),
    UploadTimeoutError: Row("upload-timeout", 408, "DEADLINE_EXCEEDED", "Upload took too long"),
    HeadersTimeoutError: Row("headers-timeout", 408, "DEADLINE_EXCEEDED", "Request Timeout"),
    job_errors.JobNotDoneError: Row(
        "job-not-done", 409, "FAILED_PRECONDITION", "Job has no result"
    ),
    job_errors.UploadConflictError: Row(
        "upload-conflict", 409, "ABORTED", "Part does not follow what has arrived"
    ),
    UploadVersionError: Row(
        "upload-version", 412, "FAILED_PRECONDITION", "Not a version of tus this server speaks"
    ),
    FeedbackRefusedError: Row(
        "feedback-refused", 409, "FAILED_PRECONDITION", "Feedback is not taken"
    ),
    job_errors.JobTooLargeError: Row(
        "job-too-large", 413, "INVALID_ARGUMENT", "File of a job too large"
    ),
    BodyTooLargeError: Row("body-too-large", 413, "INVALID_ARGUMENT", "Body too large"),
    errors.ImageTooLargeError: Row(
        "image-too-large", 413, "INVALID_ARGUMENT", "Image has too many pixels"
    ),
    errors.AnswerTooLargeError: Row(
        "answer-too-large", 413, "INVALID_ARGUMENT", "Answer would be too large"
    ),
    UnsupportedBodyError: Row(
        "unsupported-body", 415, "INVALID_ARGUMENT", "Not a body this route takes"
    ),
    errors.UnsupportedImageTypeError: Row(
        "unsupported-image-type", 415, "INVALID_ARGUMENT", "Not an image type this server reads"
    ),
    RangeNotSatisfiableError: Row(
        "range-not-satisfiable", 416, "OUT_OF_RANGE", "Range not satisfiable"
    ),
    errors.UnreadableImageError: Row(
        "unreadable-image", 422, "INVALID_ARGUMENT", "Image does not decode"
    ),
    FetchError: Row("image-not-fetched", 424, "FAILED_PRECONDITION", "Image could not be fetched"),
    errors.QueueFullError: Row("queue-full", 429, "RESOURCE_EXHAUSTED", "Queue is full"),
    UploadsFullError: Row("uploads-full", 429, "RESOURCE_EXHAUSTED", "Too many uploads at once"),
    AnswersFullError: Row("answers-full", 429, "RESOURCE_EXHAUSTED", "Too many answers not read"),
    job_errors.JobsFullError: Row("jobs-full", 429, "RESOURCE_EXHAUSTED", "Too many jobs"),
    job_errors.JobFolderFullError: Row(
        "job-folder-full", 429, "RESOURCE_EXHAUSTED", "No room for files of jobs"
    ),
    HostNotAllowedError: Row("host-not-allowed", 421, "PERMISSION_DENIED", "Host not allowed"),
    HeadersTooLargeError: Row(
        "headers-too-large", 431, "INVALID_ARGUMENT", "Request Header Fields Too Large"
    ),
    ClientDisconnectedError: Row("client-left", 499, "CANCELLED", "Client left"),
    errors.InferenceError: Row("inference-failed", 500, "INTERNAL", "Model failed"),
    job_errors.WorkerFailedError: Row("job-failed", 500, "INTERNAL", "Job failed"),
    job_errors.JobFolderUnusableError: Row(
        "job-folder-unusable", 503, "UNAVAILABLE", "Jobs cannot be kept"
    ),
    errors.ModelUnavailableError: Row(
        "model-unavailable", 503, "UNAVAILABLE", "Model not available"
    ),
    errors.DeadlineExceededError: Row(
        "deadline-exceeded", 504, "DEADLINE_EXCEEDED", "Not done in time"
    ),
}


class Problem(BaseModel):
    """What went wrong, the limit, and what to do about it (RFC 9457)."""

    type: str = Field(description="A name for the kind of problem that programs can compare.")
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="The HTTP status, again.")
    detail: str = Field(description="What was wrong with this request, the limit, and what to do.")
    request_id: str = Field(
        description="The X-Request-ID of this request; the server's log has it too."
    )

    @property
    def slug(self) -> str:
        return self.type.removeprefix(TYPE_PREFIX)


def row_of(error: BaseException) -> Row:
    """The row of the nearest class above `error`; what is in no row is an internal error."""
    return next((ROWS[cls] for cls in type(error).__mro__ if cls in ROWS), INTERNAL)


def problem_of(error: BaseException) -> Problem:
    """The problem that tells a caller of `error`. Logs those that are the server's own fault."""
    row = row_of(error)
    if row is INTERNAL:
        log.error("%s", INTERNAL.title, exc_info=error)
    return make_problem(row, INTERNAL_DETAIL if row is INTERNAL else str(error))


def make_problem(row: Row, detail: str, request_id: str | None = None) -> Problem:
    """`request_id` None is that of the request at hand."""
    return Problem(
        type=TYPE_PREFIX + row.slug,
        title=row.title,
        status=row.status,
        detail=detail if len(detail) <= _MAX_DETAIL else detail[:_MAX_DETAIL] + "…",
        request_id=current_request_id() if request_id is None else request_id,
    )


def problem_of_status(status: int, detail: str) -> Problem:
    """The problem of a bare HTTP status, as the framework raises it for what has no row."""
    phrase = HTTPStatus(status).phrase
    row = Row(phrase.lower().replace(" ", "-"), status, "UNKNOWN", phrase)
    return make_problem(row, detail)


def retry_after_seconds(error: BaseException) -> int | None:
    """When to come back, for what passes."""
    if isinstance(error, errors.TryLaterError | MemoryFullError):
        return max(1, math.ceil(error.retry_after_seconds))
    return None


def headers_of(error: BaseException) -> dict[str, str]:
    """What an HTTP answer that tells of `error` says beside its body."""
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": 'Bearer realm="segserve"'}
    if isinstance(error, NotAcceptableError):
        return {"Vary": "Accept"}
    if isinstance(error, MethodNotAllowedError):
        return {"Allow": error.allow}
    if isinstance(error, UploadVersionError):
        return {"Tus-Version": error.supported}
    if isinstance(error, RangeNotSatisfiableError):
        return {"Content-Range": f"bytes */{error.size}"}
    seconds = retry_after_seconds(error)
    return {} if seconds is None else {"Retry-After": str(seconds)}


Form = Callable[[Problem], Response]


def as_problem_json(problem: Problem) -> Response:
    return Response(problem.model_dump_json(), problem.status, media_type=MEDIA_TYPE)


def as_detail_json(problem: Problem) -> Response:
    """As backends of Label Studio's say errors."""
    body = orjson.dumps({"status": problem.status, "detail": problem.detail})
    return Response(body, problem.status, media_type="application/json")


def as_error_json(problem: Problem) -> Response:
    """For protocols whose clients read the member `error` alone, and want this very media type."""
    body = orjson.dumps({"error": problem.detail})
    return Response(body, problem.status, media_type="application/json")
