"""What the API's document says of POST /feedback."""

from service.capture.labeled import FeedbackRefusedError, UnknownCaptureError
from service.catalogue.registry import UnknownModelError
from service.domain import errors
from service.protocols.native.body import MULTIPART
from service.protocols.native.openapi import BINARY, Json, problem_answers
from service.protocols.problems import (
    AnswersFullError,
    BodyTooLargeError,
    MalformedRequestError,
    NotSupportedError,
    UnauthorizedError,
    UnsupportedBodyError,
    UploadsFullError,
    UploadTimeoutError,
)

FEEDBACK_RESPONSES: dict[int | str, Json] = {
    201: {
        "description": "The pair is in the data set.",
    },
    **problem_answers(
        MalformedRequestError,
        NotSupportedError,
        errors.InvalidOptionError,
        UnauthorizedError,
        UnknownModelError,
        UnknownCaptureError,
        UploadTimeoutError,
        FeedbackRefusedError,
        BodyTooLargeError,
        errors.ImageTooLargeError,
        UnsupportedBodyError,
        errors.UnsupportedImageTypeError,
        errors.UnreadableImageError,
        UploadsFullError,
        AnswersFullError,
        errors.ModelUnavailableError,
        errors.DeadlineExceededError,
    ),
}


FEEDBACK_OPERATION: Json = {
    "parameters": [
        {
            "name": "model",
            "in": "query",
            "required": False,
            "description": "Model whose classes the mask has; with an `id` the one that answered, "
            "else the default one if left out.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "description": "`mask` with `image` or with `id`.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["mask"],
                    "properties": {"mask": BINARY, "image": BINARY, "id": {"type": "string"}},
                }
            }
        },
    },
}
