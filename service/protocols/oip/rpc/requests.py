"""A ModelInferRequest as the same request that HTTP reads, and results as a ModelInferResponse."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from service.protocols.base64_text import undo_second_encoding
from service.protocols.oip.request import (
    INPUT_NAME,
    InferRequest,
    RequestedOutput,
    Tensor,
    check_files,
    check_input,
    checked_shape,
    tensor_of_bytes,
)
from service.protocols.oip.response import OutputTensor
from service.protocols.oip.rpc.messages import INFERENCE
from service.protocols.problems import MalformedRequestError


def read_request(message: Any, max_images: int) -> InferRequest:
    """The request, which has up to `max_images` files. Raises MalformedRequestError."""
    if len(message.inputs) != 1:
        raise MalformedRequestError(
            f"The request has {len(message.inputs)} inputs; it takes one, {INPUT_NAME}."
        )
    outputs = tuple(
        RequestedOutput(output.name, parameters=_parameters(output.parameters))
        for output in message.outputs
    )
    return InferRequest(
        id=message.id,
        parameters=_parameters(message.parameters),
        input=_read_input(message.inputs[0], message.raw_input_contents, max_images),
        outputs=outputs or None,
        binary=True,
    )


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, parameter in given.items():
        chosen = parameter.WhichOneof("choice")
        if chosen is not None:
            values[name] = getattr(parameter, chosen)
    return values


def _read_input(tensor: Any, raw: Sequence[bytes], max_images: int) -> Tensor:
    name = tensor.name
    if "shared_memory_region" in tensor.parameters:
        raise MalformedRequestError(
            f"Input {name[:40]} lies in shared memory, which this server does not read. "
            "Send it in the request."
        )
    check_input(name, tensor.datatype)
    shape = checked_shape(name, list(tensor.shape))
    check_files(tensor.datatype, shape, max_images)
    filled = [field.name for field, _ in tensor.contents.ListFields()]
    if raw:
        if len(raw) != 1 or filled:
            raise MalformedRequestError(
                f"Input {name} has {len(raw)} raw_input_contents"
                f"{' and contents beside them' if filled else ''}; it takes one, or contents."
            )
        return tensor_of_bytes(name, tensor.datatype, shape, memoryview(raw[0]))
    member = "uint_contents" if tensor.datatype == "UINT8" else "bytes_contents"
    if filled != [member]:
        raise MalformedRequestError(
            f"Input {name} has {', '.join(filled) or 'no data'}; {tensor.datatype} takes "
            f"raw_input_contents or {member}."
        )
    values = getattr(tensor.contents, member)
    if len(values) != prod(shape):
        raise MalformedRequestError(
            f"Input {name} has {len(values)} values and its shape {list(shape)} says {prod(shape)}."
        )
    if tensor.datatype == "BYTES":
        files = [undo_second_encoding(memoryview(value)) for value in values]
        return Tensor(name, tensor.datatype, shape, files)
    numbers = np.array(values, np.uint32)
    if numbers.max() > 255:
        raise MalformedRequestError(
            f"Input {name} has the value {numbers.max()}; UINT8 takes whole numbers from 0 to 255."
        )
    return Tensor(name, tensor.datatype, shape, numbers.astype(np.uint8).reshape(shape))


def write_response(
    model_name: str, model_version: str, request_id: str, outputs: Sequence[OutputTensor]
) -> Any:
    """The outputs always as they are: a client reads numbers from nowhere else."""
    return INFERENCE["ModelInferResponse"](
        model_name=model_name,
        model_version=model_version,
        id=request_id,
        outputs=[
            INFERENCE["InferOutputTensor"](
                name=output.name, datatype=output.datatype, shape=output.shape
            )
            for output in outputs
        ],
        raw_output_contents=[b"".join(output.wire()) for output in outputs],
    )
