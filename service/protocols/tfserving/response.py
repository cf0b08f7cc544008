"""Answers of TensorFlow Serving's REST API: predictions, and the states of versions."""

import base64
from typing import Any, Final

import numpy as np
import orjson

from service.catalogue.slot import ModelState
from service.protocols.json_values import check_json_size
from service.protocols.problems import MalformedRequestError
from service.protocols.results import Result

_STATES: Final = {
    "loading": "LOADING",
    "ready": "AVAILABLE",
    "unloaded": "AVAILABLE",  # the first request loads it
    "failed": "END",
    "draining": "UNLOADING",
}


def write_predictions(result: Result, images: list[Any], *, by_row: bool) -> bytes:
    """The body of an answer: the one output, without its name. Raises ServiceError."""
    if result.tensor is None:
        values: Any = [_text(result, image) for image in images]
    else:
        check_json_size(result.name, images, "Send a smaller image, or ask for the signature png.")
        if not by_row and len({image.shape for image in images}) > 1:
            raise MalformedRequestError(
                "The images have several sizes, so their outputs are not one tensor. Ask by row, "
                "with instances, or send images of one size."
            )
        values = [np.ascontiguousarray(image) for image in images]
    member = "predictions" if by_row else "outputs"
    return orjson.dumps({member: values}, option=orjson.OPT_SERIALIZE_NUMPY)


def _text(result: Result, body: bytes) -> str | dict[str, str]:
    return body.decode() if result.is_text else {"b64": base64.b64encode(body).decode()}


def status(name: str, states: list[ModelState]) -> dict[str, Any]:
    """What clients of TensorFlow Serving read, and what those of KServe's v1 do."""
    return {
        "name": name,
        "ready": any(_STATES[state.state] == "AVAILABLE" for state in states),
        "model_version_status": [_version_status(state) for state in states],
    }


def _version_status(state: ModelState) -> dict[str, Any]:
    return {
        "version": str(state.version),
        "state": _STATES[state.state],
        "status": {
            "error_code": "OK" if state.error is None else "UNKNOWN",
            "error_message": state.error or "",
        },
    }
