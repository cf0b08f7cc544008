"""The OpenAPI document: what FastAPI cannot know of routes that read their own bodies and write
their own formats.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.catalogue.registry import UnknownModelError
from service.domain import errors
from service.domain.model import Model
from service.domain.segmentation import Segmentation
from service.domain.source import SourceInfo
from service.inputs import INPUTS, readable_types
from service.jobs import errors as job_errors
from service.maps.formats import MAP_FORMATS
from service.maps.options import MapOptions
from service.outputs import ANSWERS
from service.outputs.output import Output
from service.protocols.native.batch import CONTAINERS
from service.protocols.native.body import MULTIPART, PART_NAME, RAW
from service.protocols.problems import (
    INTERNAL,
    INTERNAL_DETAIL,
    MEDIA_TYPE,
    ROWS,
    AnswersFullError,
    BodyTooLargeError,
    HostNotAllowedError,
    MalformedRequestError,
    NotAcceptableError,
    NotSupportedError,
    Problem,
    UnauthorizedError,
    UnsupportedBodyError,
    UploadsFullError,
    UploadTimeoutError,
    make_problem,
    retry_after_seconds,
    row_of,
)

Json = dict[str, Any]

EXAMPLE_REQUEST_ID = "5f1d7a84bd0e4c11"
BINARY: Json = {"type": "string", "format": "binary"}

DESCRIPTION = """Send an image, get back the class of every pixel.

Errors are `application/problem+json` (RFC 9457): `type` names the kind of problem, `detail` says
what was wrong, the limit, and what to do. Every answer carries an `X-Request-ID`, taken from the
request where it has one."""

TAGS = [
    {"name": "segment", "description": "Images in, class maps out."},
    {"name": "jobs", "description": "What outlasts a request."},
    {"name": "models", "description": "What this server can tell apart."},
    {"name": "operation", "description": "For orchestrators and monitoring."},
]

_COMMON_HEADERS: Json = {
    "X-Request-ID": {
        "description": "Ties this answer to the server's log.",
        "schema": {"type": "string"},
    },
    "X-Model": {
        "description": "The model and version that answered.",
        "schema": {"type": "string"},
        "example": "street/1",
    },
    "Server-Timing": {
        "description": "Milliseconds in each stage; queue is all waiting.",
        "schema": {"type": "string"},
        "example": "decode;dur=3.1, queue;dur=0.4, infer;dur=81.0, encode;dur=1.2, total;dur=86.4",
    },
    "X-Page": {
        "description": "Which picture of the file this is, and of how many, where it has several.",
        "schema": {"type": "string"},
        "example": "1/3",
    },
    "X-Scale": {
        "description": "At which part of its size the network saw the picture; the answer has its "
        "own size.",
        "schema": {"type": "number"},
        "example": 0.125,
    },
    "X-Intensity": {
        "description": "Which values became black and white, where samples have more than 8 bits.",
        "schema": {"type": "string"},
        "example": "200,3000",
    },
    "X-Confidence": {
        "description": "Mean probability of the winning classes, from a grid of pixels; not there "
        "where the runtime gives class maps alone.",
        "schema": {"type": "number"},
        "example": 0.9312,
    },
    "X-Atypical": {
        "description": "How far the picture and its answer lie outside of what the model was made "
        "on: above 1, further than 99 % of that. Not there where the contract has no reference.",
        "schema": {"type": "number"},
        "example": 0.412,
    },
    "X-Atypical-Reasons": {
        "description": "Which statistics lie outside, the furthest first, where X-Atypical is "
        "above 1.",
        "schema": {"type": "string"},
        "example": "brightness,contrast",
    },
    "X-Tiles": {
        "description": "Number of tiles, where the image was run in tiles.",
        "schema": {"type": "integer"},
    },
    "X-Tiles-Blended": {
        "description": "Whether the tiles were blended, because the model sees the whole image at "
        "once; else the tiled answer equals the untiled one.",
        "schema": {"type": "boolean"},
    },
    "X-Captured": {
        "description": "The id under which the server keeps this picture, for POST /feedback.",
        "schema": {"type": "string"},
    },
}


_BERLIN = "EPSG:32633"

LOCATION: Json = {"description": "The job's address.", "schema": {"type": "string"}}

_RETRY_AFTER: Json = {
    "description": "Seconds until it may work.",
    "schema": {"type": "integer"},
}


def problem_answers(*faults: type[Exception]) -> dict[int | str, Json]:
    """The answers to `faults`, one a status. `describe` gives each fault its example."""
    answers: dict[int | str, Json] = {}
    for row in [*(ROWS[fault] for fault in (*faults, HostNotAllowedError)), INTERNAL]:
        answer = answers.setdefault(
            row.status,
            {
                "description": row.title,
                "content": {
                    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
                },
            },
        )
        answer["content"][MEDIA_TYPE]["examples"][row.slug] = {"summary": row.title}
    return answers


UPLOAD_FAULTS = (
    MalformedRequestError,
    UnauthorizedError,
    UnknownModelError,
    NotAcceptableError,
    UploadTimeoutError,
    BodyTooLargeError,
    UnsupportedBodyError,
    UploadsFullError,
    AnswersFullError,
    errors.ModelUnavailableError,
)
JOB_FAULTS = (
    NotSupportedError,
    job_errors.JobTooLargeError,
    job_errors.JobsFullError,
    job_errors.JobFolderFullError,
    job_errors.JobFolderUnusableError,
)
_IMAGE_FAULTS = (
    errors.InvalidOptionError,
    errors.ImageTooLargeError,
    errors.AnswerTooLargeError,
    errors.UnsupportedImageTypeError,
    errors.UnreadableImageError,
    errors.QueueFullError,
    errors.InferenceError,
    errors.DeadlineExceededError,
)


def _format_media_types() -> Json:
    """What each media type that a format answers in holds."""
    content: Json = {}
    for known in ANSWERS.values():
        for media_type in known.media_types:
            is_json = media_type.endswith("json")
            content.setdefault(media_type, {"schema": {"type": "object"} if is_json else BINARY})
    return content


def _parameter(name: str, schema: Json, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }


def _option_parameters() -> list[Json]:
    """One parameter an option, with the formats that it belongs to."""
    belongs_to: dict[str, list[Output]] = {}
    for known in ANSWERS.values():
        for name in known.options.model_fields:
            belongs_to.setdefault(name, []).append(known)
    return [_option_parameter(name, formats) for name, formats in belongs_to.items()]


def _option_parameter(name: str, formats: list[Output]) -> Json:
    """Default and example stand in the description alone.

    Generated clients and "Try it out" send what a document calls a default, and an option that does
    not belong to the format asked for is refused.
    """
    schema = dict(formats[0].options.model_json_schema()["properties"][name])
    schema.pop("title", None)
    sentences = [schema.pop("description", "")]
    default, examples = schema.pop("default", None), schema.pop("examples", [])
    if default is not None:
        sentences.append(f"Default: `{_as_text(default)}`.")
    elif examples:
        sentences.append(f"Example: `{_as_text(examples[0])}`.")
    if len(formats) < len(ANSWERS):
        sentences.append(f"Only for format {' and '.join(known.name for known in formats)}.")
    if "anyOf" in schema:  # of a value or null; a query has no null, it leaves the parameter out
        values = [choice for choice in schema.pop("anyOf") if choice != {"type": "null"}]
        schema |= values[0] if len(values) == 1 else {"anyOf": values}
    return _parameter(name, schema, " ".join(sentences))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def query_parameters(*besides: Json) -> list[Json]:
    formats = "\n".join(f"- `{known.name}`: {known.description}" for known in ANSWERS.values())
    return [
        _parameter(
            "model",
            {"type": "string"},
            "Model by name, or pinned as `street/1`; the default one if left out.",
        ),
        _parameter(
            "format", {"type": "string", "enum": list(ANSWERS)}, f"Beats `Accept`.\n{formats}"
        ),
        *besides,
        *_option_parameters(),
    ]


def segment_operation() -> Json:
    """What the tables of inputs and outputs make of POST /segment."""
    raw = {
        media_type: {"schema": BINARY} for row in INPUTS.values() for media_type in row.media_types
    }
    return {
        "parameters": query_parameters(),
        "requestBody": {
            "required": True,
            "description": f"{readable_types()}; what the bytes are is read from the bytes.",
            "content": {
                MULTIPART: {
                    "schema": {
                        "type": "object",
                        "required": [PART_NAME],
                        "properties": {PART_NAME: BINARY},
                    }
                },
                **raw,
                RAW: {"schema": BINARY},
            },
        },
    }


def _job_operation() -> Json:
    """As POST /segment, and a webhook."""
    webhook = _parameter(
        "webhook",
        {"type": "string", "format": "uri"},
        "URL that is told when the job is done, at one of the servers that the operator allows.",
    )
    bbox = MapOptions.model_fields["bbox"].description or ""
    box = _parameter(
        "bbox", {"type": "string"}, f"{bbox} Only for format {' and '.join(MAP_FORMATS)}."
    )
    body = {**segment_operation()["requestBody"], "required": False}  # tus sends it later
    return {"parameters": query_parameters(webhook, box), "requestBody": body}


def _batch_operation() -> Json:
    container = _parameter(
        "container",
        {"type": "string", "enum": list(CONTAINERS)},
        "`zip`: a file an image, problems in `errors.json`. `ndjson`: a line an image. Beats "
        "`Accept`.",
    )
    return {
        "parameters": query_parameters(container),
        "requestBody": {
            "required": True,
            "description": f"{readable_types()}, each in a part of its own.",
            "content": {
                MULTIPART: {
                    "schema": {
                        "type": "object",
                        "required": [PART_NAME],
                        "properties": {
                            PART_NAME: {"type": "array", "items": BINARY, "minItems": 1}
                        },
                    }
                }
            },
        },
    }


SEGMENT_RESPONSES: dict[int | str, Json] = {
    200: {"description": "The class map.", "headers": _COMMON_HEADERS},
    202: {
        "description": "A job, where `Prefer: respond-async` was sent and the server does jobs.",
        "headers": {"Location": LOCATION},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobView"}}},
    },
    **problem_answers(*UPLOAD_FAULTS, *_IMAGE_FAULTS, *JOB_FAULTS),
}
BATCH_RESPONSES: dict[int | str, Json] = {
    200: {
        "description": "An answer or a problem for each image, in the order they are ready.",
        "headers": {"X-Request-ID": _COMMON_HEADERS["X-Request-ID"]},
        "content": {container.media_type: {"schema": BINARY} for container in CONTAINERS.values()},
    },
    **problem_answers(*UPLOAD_FAULTS, errors.InvalidOptionError),
}

MODELS_RESPONSES = problem_answers(UnauthorizedError)
MODEL_RESPONSES = problem_answers(UnauthorizedError, UnknownModelError)
LIVE_RESPONSES = problem_answers(errors.ModelUnavailableError)
READY_RESPONSES = problem_answers(errors.ModelUnavailableError)
METRICS_RESPONSES: dict[int | str, Json] = {
    200: {
        "description": "The metrics.",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'segserve_requests_total{route="/segment",code="200"} 17.0\n',
            }
        },
    },
    **problem_answers(UnauthorizedError),
}


def describe(app: FastAPI, raised: Mapping[str, Exception], model: Model) -> Json:
    """The OpenAPI document of `app`.

    Its examples are made by the code that answers: those of problems from `raised`, by slug or by
    path and slug, those of formats from a picture that `model` is said to have seen.
    """
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=TAGS
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _mend(operation)
            _add_problems(operation, path, raised)
            if path == "/segment":
                operation.update(segment_operation())
                operation["responses"]["200"]["content"] = _formats(model)
            if path == "/jobs" and method == "post":
                operation.update(_job_operation())
            if path == "/segment/batch":
                operation.update(_batch_operation())
    return document


def _add_problems(operation: Json, path: str, raised: Mapping[str, Exception]) -> None:
    for answer in operation["responses"].values():
        examples = answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        for slug, example in examples.items():
            if slug == INTERNAL.slug:
                problem = make_problem(INTERNAL, INTERNAL_DETAIL, EXAMPLE_REQUEST_ID)
            else:
                error = raised.get(f"{path} {slug}") or raised[slug]
                problem = make_problem(row_of(error), str(error), EXAMPLE_REQUEST_ID)
                seconds = retry_after_seconds(error)
                if seconds is not None:
                    answer["headers"] = {"Retry-After": {**_RETRY_AFTER, "example": seconds}}
            example["value"] = problem.model_dump()


def _mend(operation: Json) -> None:
    answers = operation["responses"]
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]  # FastAPI's own form of error, which no route of ours answers with
    if "security" in operation:
        operation["security"].append({})  # a server without keys lets everyone in


def _formats(model: Model) -> Json:
    """Each media type with the formats that answer in it, those of JSON with an example.

    The picture has 6 × 4 pixels: sky above, a car on a road below. Those of maps say that it lies
    in Berlin.
    """
    class_map = np.array([[0] * 6, [0] * 6, [1, 1, 2, 2, 1, 1], [1, 1, 2, 2, 1, 1]], np.uint8)
    confidence = np.full(class_map.shape, 230, np.uint8)
    place = SourceInfo(transform=(0.5, 0.0, 389_000.0, 0.0, -0.5, 5_819_000.0), reference=_BERLIN)
    segmentation = Segmentation(model, class_map, confidence, source=place)
    content = _format_media_types()
    for known in ANSWERS.values():
        media_type = known.media_types[0]
        if media_type.endswith("json"):
            body = known.write(segmentation, known.options()).body
            example = {"summary": f"format={known.name}", "value": orjson.loads(body)}
            content[media_type].setdefault("examples", {})[known.name] = example
    return content
