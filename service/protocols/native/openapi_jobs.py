"""What /jobs answers, for the OpenAPI document."""

from typing import Any, Final

from service.domain import errors
from service.jobs import errors as job_errors
from service.protocols.native.openapi import (
    BINARY,
    JOB_FAULTS,
    LOCATION,
    UPLOAD_FAULTS,
    Json,
    problem_answers,
)
from service.protocols.problems import (
    MalformedRequestError,
    NotSupportedError,
    RangeNotSatisfiableError,
    UnauthorizedError,
    UnsupportedBodyError,
    UploadTimeoutError,
    UploadVersionError,
)

Answers = dict[int | str, dict[str, Any]]

_ASKED = (MalformedRequestError, NotSupportedError, UnauthorizedError)
_OF_ONE = (*_ASKED, job_errors.UnknownJobError)


def _number(description: str) -> Json:
    return {"description": description, "schema": {"type": "integer"}}


_OFFSET: Final = {"Upload-Offset": _number("Bytes of the file that have arrived.")}

CREATE_RESPONSES: Answers = {
    202: {"description": "The job, whose file is on the disk.", "headers": {"Location": LOCATION}},
    201: {
        "description": "A job whose file is announced, and is to be sent by PATCH (tus 1.0.0).",
        "headers": {"Location": LOCATION, **_OFFSET},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobView"}}},
    },
    **problem_answers(*UPLOAD_FAULTS, *JOB_FAULTS, UploadVersionError, errors.InvalidOptionError),
}
LIST_RESPONSES: Answers = problem_answers(*_ASKED)
JOB_RESPONSES: Answers = {
    200: {
        "description": "The job.",
        "headers": {**_OFFSET, "Upload-Length": _number("Bytes of the whole file.")},
    },
    **problem_answers(*_OF_ONE),
}
PATCH_RESPONSES: Answers = {
    204: {"description": "The part is on the disk.", "headers": _OFFSET},
    **problem_answers(
        *_OF_ONE,
        UploadTimeoutError,
        UploadVersionError,
        job_errors.UploadConflictError,
        UnsupportedBodyError,
        *JOB_FAULTS,
        *UPLOAD_FAULTS,
    ),
}
DELETE_RESPONSES: Answers = {
    204: {"description": "It is gone."},
    **problem_answers(*_OF_ONE, job_errors.JobFolderUnusableError),
}
_PARTS: Final = {
    "Content-Range": {"description": "Which part it is.", "schema": {"type": "string"}},
}
OVERVIEW_RESPONSES: Answers = {
    200: {"description": "The picture.", "content": {"image/png": {"schema": BINARY}}},
    206: {"description": "A part of it.", "content": {"image/png": {"schema": BINARY}}},
    **problem_answers(*_OF_ONE, job_errors.JobNotDoneError, RangeNotSatisfiableError),
}
RESULT_RESPONSES: Answers = {
    200: {
        "description": "The result, in the media type of the job's format.",
        "content": {"*/*": {"schema": BINARY}},
    },
    206: {
        "description": "The part that was asked for.",
        "headers": _PARTS,
        "content": {"*/*": {"schema": BINARY}},
    },
    **problem_answers(
        *_OF_ONE, errors.InvalidOptionError, job_errors.JobNotDoneError, RangeNotSatisfiableError
    ),
}
