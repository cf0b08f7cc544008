"""An inference request: its JSON, and the tensors that follow it as they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr, ValidationError

from models.contract.faults import first_fault
from service.protocols.base64_text import decode_base64, undo_second_encoding
from service.protocols.json_values import load_json, read_texts, read_uint8
from service.protocols.oip.datatypes import DATATYPES
from service.protocols.oip.elements import read_elements
from service.protocols.pictures import check_count
from service.protocols.problems import MalformedRequestError

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
INPUT_NAME: Final = "image"
_MAX_RANK: Final = 8


@dataclass(frozen=True)
class Tensor:
    """An input.

    `data` is an array of its shape where the datatype is UINT8, and files where it is BYTES.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8] | list[bytes | memoryview]


@dataclass(frozen=True)
class RequestedOutput:
    """`binary` None leaves it to the request."""

    name: str
    binary: bool | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InferRequest:
    """`outputs` None leaves the choice to the server; `binary` is for outputs that do not say."""

    id: str
    parameters: Mapping[str, Any]
    input: Tensor
    outputs: tuple[RequestedOutput, ...] | None
    binary: bool = False


class _Json(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _JsonInput(_Json):
    name: StrictStr
    datatype: StrictStr
    shape: list[StrictInt] | StrictInt
    parameters: dict[str, Any] | None = None
    data: Any = None


class _JsonOutput(_Json):
    name: StrictStr
    parameters: dict[str, Any] | None = None


class _JsonRequest(_Json):
    id: StrictStr | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[_JsonInput]
    outputs: list[_JsonOutput] | None = None


def parse_request(body: memoryview, header_length: str | None, max_images: int) -> InferRequest:
    """The request in `body`, whose JSON has `header_length` bytes; None says that all of it is
    JSON. It has up to `max_images` files.

    Raises MalformedRequestError and BodyTooLargeError.
    """
    if header_length is None:
        return _parse(body, body[len(body) :], max_images)
    length = _read_length(header_length, len(body))
    if length == 0:
        return _raw_request(body)
    return _parse(body[:length], body[length:], max_images)


def _read_length(text: str, body_length: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > body_length:
        raise MalformedRequestError(
            f"{HEADER_LENGTH} is {text[:40]!r}; it takes the bytes of the JSON before the tensors, "
            f"from 0 to the {body_length} of the body."
        )
    return int(text)


def _raw_request(body: memoryview) -> InferRequest:
    """The body is one image file and nothing else."""
    if not body:
        raise MalformedRequestError("The body is empty; it should be one image file.")
    image = Tensor(INPUT_NAME, "BYTES", (1,), [undo_second_encoding(body)])
    return InferRequest("", {}, image, None, binary=True)


def _parse(text: memoryview, tensors: memoryview, max_images: int) -> InferRequest:
    document = _read_json(text)
    if len(document.inputs) != 1:
        names = ", ".join(one.name[:40] for one in document.inputs[:8]) or "none"
        raise MalformedRequestError(
            f"The request has {len(document.inputs)} inputs ({names}); it takes one, {INPUT_NAME}."
        )
    parameters = document.parameters or {}
    outputs = document.outputs
    return InferRequest(
        id=document.id or "",
        parameters=parameters,
        input=_read_input(document.inputs[0], tensors, max_images),
        outputs=None if outputs is None else tuple(_read_output(output) for output in outputs),
        binary=read_flag(parameters, "binary_data_output") or False,
    )


def _read_json(text: memoryview) -> _JsonRequest:
    document = load_json(text)
    try:
        return _JsonRequest.model_validate(document)
    except ValidationError as error:
        fault = first_fault(error)
        raise MalformedRequestError(
            f"{fault.place[:120] or 'The request'}: {fault.message}. A request is "
            '{"inputs": [{"name", "datatype", "shape", "data"}], "outputs": [{"name"}]}.'
        ) from None


def _read_output(output: _JsonOutput) -> RequestedOutput:
    parameters = output.parameters or {}
    return RequestedOutput(output.name, read_flag(parameters, "binary_data"), parameters)


def read_flag(parameters: Mapping[str, Any], name: str) -> bool | None:
    """The parameter, or None where it is not given. Raises MalformedRequestError."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise MalformedRequestError(f"Parameter {name} takes true or false.")
    return value


def _read_input(given: _JsonInput, tensors: memoryview, max_images: int) -> Tensor:
    parameters = given.parameters or {}
    if "shared_memory_region" in parameters:
        raise MalformedRequestError(
            f"Input {given.name[:40]} lies in shared memory, which this server does not read. "
            "Send it in the request."
        )
    check_input(given.name, given.datatype)
    shape = _read_shape(given)
    check_files(given.datatype, shape, max_images)
    size = _read_binary_size(given, parameters, len(tensors))
    if size is not None:
        return tensor_of_bytes(given.name, given.datatype, shape, tensors)
    if given.datatype == "UINT8":
        values = read_uint8(given.data, shape, given.name)
        return Tensor(given.name, "UINT8", shape, np.frombuffer(values, np.uint8).reshape(shape))
    texts = read_texts(given.data, shape, given.name)
    files = [
        decode_base64(text, f"Element {index} of input {given.name}")
        for index, text in enumerate(texts)
    ]
    return Tensor(given.name, "BYTES", shape, list(files))


def check_input(name: str, datatype: str) -> None:
    """Raises MalformedRequestError for an input that no model here takes."""
    if name != INPUT_NAME:
        raise MalformedRequestError(
            f"There is no input {name[:40]!r}; the one input is {INPUT_NAME!r}."
        )
    if datatype not in ("UINT8", "BYTES"):
        what = "" if datatype in DATATYPES else ", which is not a datatype"
        raise MalformedRequestError(
            f"Input {name} is {datatype[:40]}{what}; it takes UINT8 with pixels from 0 to 255, or "
            "BYTES with encoded files. Scaling and normalization are part of the model."
        )


def check_files(datatype: str, shape: tuple[int, ...], max_images: int) -> None:
    """Refuse more files than a request may have before any is looked for: an empty one takes four
    bytes. Raises MalformedRequestError.
    """
    if datatype == "BYTES":
        check_count(prod(shape), max_images)


def tensor_of_bytes(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Tensor:
    """A tensor as the wire has it. Raises MalformedRequestError."""
    if datatype == "UINT8":
        if len(data) != prod(shape):
            raise MalformedRequestError(
                f"Input {name} has {len(data)} bytes; UINT8 of shape {list(shape)} has "
                f"{prod(shape)}."
            )
        return Tensor(name, datatype, shape, np.frombuffer(data, np.uint8).reshape(shape))
    elements = read_elements(data, prod(shape), name)
    return Tensor(name, datatype, shape, [undo_second_encoding(element) for element in elements])


def _read_shape(given: _JsonInput) -> tuple[int, ...]:
    # Some clients write -1 for one file that stands without brackets.
    if given.shape == -1 and given.datatype == "BYTES" and isinstance(given.data, str):
        return (1,)
    if isinstance(given.shape, int):
        raise MalformedRequestError(
            f"Input {given.name} has shape {given.shape}; a shape is a list of numbers."
        )
    return checked_shape(given.name, given.shape)


def checked_shape(name: str, shape: list[int]) -> tuple[int, ...]:
    """Raises MalformedRequestError for a shape that no image has."""
    if not 1 <= len(shape) <= _MAX_RANK or any(not 1 <= size < 2**31 for size in shape):
        raise MalformedRequestError(
            f"Input {name} has shape {str(shape[:_MAX_RANK])[:80]}; a shape is 1 to {_MAX_RANK} "
            "numbers, each at least 1."
        )
    return tuple(shape)


def _read_binary_size(given: _JsonInput, parameters: Mapping[str, Any], left: int) -> int | None:
    """What the input says it has behind the JSON; None where its data is in it.

    Raises MalformedRequestError.
    """
    size = parameters.get("binary_data_size")
    if size is None:
        if given.data is None:
            raise MalformedRequestError(
                f"Input {given.name} has neither data nor the parameter binary_data_size."
            )
        if left:
            raise MalformedRequestError(
                f"{left} bytes follow the JSON, and no input says with binary_data_size that they "
                "are its."
            )
        return None
    if given.data is not None:
        raise MalformedRequestError(
            f"Input {given.name} has both data and the parameter binary_data_size; send one of "
            "them."
        )
    if type(size) is not int or size != left:
        raise MalformedRequestError(
            f"Input {given.name} says that it has {str(size)[:40]} bytes (binary_data_size), and "
            f"{left} follow the JSON, whose length {HEADER_LENGTH} gives."
        )
    return size
