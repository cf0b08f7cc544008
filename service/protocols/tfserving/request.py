"""A predict request of TensorFlow Serving's REST API, in rows or in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.protocols.base64_text import decode_base64
from service.protocols.json_values import load_json, read_uint8, shape_of
from service.protocols.model_names import Served
from service.protocols.pictures import Files, Pictures, Pixels
from service.protocols.problems import MalformedRequestError

INPUT_NAME: Final = "image"
DEFAULT_SIGNATURE: Final = "serving_default"
_B64: Final = "b64"


@dataclass(frozen=True)
class PredictRequest:
    """`images` has an entry an image: nested lists of pixels, or a file.

    `by_row` says how to answer.
    """

    signature: str
    by_row: bool
    images: Sequence[Any]


def parse_request(body: bytes | bytearray) -> PredictRequest:
    """Raises MalformedRequestError and BodyTooLargeError."""
    document = load_json(body)
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise MalformedRequestError(
            'The request takes one of instances and inputs: {"instances": [image, …]} or '
            '{"inputs": {"image": [image, …]}}.'
        )
    signature = document.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(signature, str):
        raise MalformedRequestError("signature_name takes a text.")
    if "instances" in document:
        return PredictRequest(signature, True, _rows(document["instances"]))
    return PredictRequest(signature, False, _column(document["inputs"]))


def _rows(instances: Any) -> list[Any]:
    if not isinstance(instances, list) or not instances:
        raise MalformedRequestError("instances takes a list with at least one image.")
    kinds = {_kind(instance) for instance in instances}
    if len(kinds) > 1:
        raise MalformedRequestError(
            "instances mixes pixels, files and named inputs; write all of them in one way."
        )
    return [_unnamed(instance, "An instance") for instance in instances]


def _kind(instance: Any) -> str:
    if isinstance(instance, dict):
        return "file" if _is_file(instance) else f"named {sorted(instance)}"
    return type(instance).__name__


def _column(inputs: Any) -> list[Any]:
    value = _unnamed(inputs, "inputs")
    if isinstance(value, list) and value:
        return [_unnamed(one, "An element of inputs") for one in value]
    if isinstance(value, list):
        raise MalformedRequestError("inputs takes at least one image.")
    return [value]


def _unnamed(value: Any, where: str) -> Any:
    """The one input without its name. Clients call it what they like, for it is the only one."""
    if not isinstance(value, dict) or _is_file(value):
        return value
    if INPUT_NAME in value:
        return value[INPUT_NAME]
    if len(value) == 1:
        return next(iter(value.values()))
    names = ", ".join(str(name)[:40] for name in list(value)[:8]) or "no name"
    raise MalformedRequestError(f"{where} has the inputs {names}; there is one, {INPUT_NAME}.")


def _is_file(value: dict[Any, Any]) -> bool:
    return list(value) == [_B64]


def pictures_of(request: PredictRequest, served: Served) -> Pictures:
    """Raises MalformedRequestError, with what the model takes."""
    if not any(isinstance(image, list) for image in request.images):
        return Files([_file(index, image) for index, image in enumerate(request.images)])
    if served.takes_files:
        raise MalformedRequestError(
            f'{served.name} takes files: {{"instances": [{{"b64": "…"}}]}}; send pixels to '
            f"{served.state.name}."
        )
    return Pixels(_pixels(request.images, served))


def _file(index: int, image: Any) -> bytes:
    what = f"Image {index}"
    text = image.get(_B64) if isinstance(image, dict) and _is_file(image) else image
    if not isinstance(text, str):
        raise MalformedRequestError(
            f'{what} is neither pixels nor a file: send [[[r, g, b], …], …], or {{"b64": "…"}}.'
        )
    return decode_base64(text, what)


def _pixels(images: Sequence[Any], served: Served) -> NDArray[np.uint8]:
    channels = served.contract.channels
    shape = shape_of(images)
    if len(shape) != 4 or shape[-1] != channels or 0 in shape:
        raise MalformedRequestError(
            f"The images have shape {shape[:8]}; {served.name} takes pixels of shape "
            f'[images, height, width, {channels}] from 0 to 255, or files: {{"b64": "…"}}.'
        )
    values = read_uint8(list(images), shape, INPUT_NAME)
    return np.frombuffer(values, np.uint8).reshape(shape)
