"""An inference response: JSON, and behind it the outputs that were asked for as they are."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.protocols.json_values import check_json_size
from service.protocols.oip.datatypes import WIRE, Given
from service.protocols.oip.elements import write_elements


@dataclass(frozen=True)
class OutputTensor:
    """`data` is an array, or with datatype BYTES one element an image; `is_text` says that those
    are UTF-8.
    """

    name: str
    datatype: Given
    shape: tuple[int, ...]
    data: NDArray[np.generic] | Sequence[bytes]
    is_text: bool = False

    def wire(self) -> list[bytes | memoryview]:
        """Its bytes, to be sent one after another."""
        if isinstance(self.data, np.ndarray):
            array = np.ascontiguousarray(self.data, WIRE[self.datatype])
            return [array.reshape(-1).view(np.uint8).data]
        return list(write_elements(self.data))


@dataclass(frozen=True)
class Body:
    """`json_bytes` None says that all of it is JSON."""

    chunks: Sequence[bytes | memoryview]
    json_bytes: int | None

    @property
    def media_type(self) -> str:
        return "application/json" if self.json_bytes is None else "application/octet-stream"

    def joined(self) -> bytes:
        return b"".join(self.chunks)


def write_response(
    model_name: str,
    model_version: str,
    request_id: str,
    outputs: Sequence[tuple[OutputTensor, bool]],
) -> Body:
    """The body of an answer with `outputs`, each with whether it is sent as it is.

    Raises AnswerTooLargeError for more numbers than JSON may hold.
    """
    entries = []
    tensors: list[bytes | memoryview] = []
    for output, binary in outputs:
        # An entry with data has no parameters: a client takes them for a sign of binary data.
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if binary:
            wire = output.wire()
            entry["parameters"] = {"binary_data_size": sum(len(part) for part in wire)}
            tensors += wire
        else:
            entry["data"] = _json_data(output)
        entries.append(entry)
    document: dict[str, Any] = {"model_name": model_name, "model_version": model_version}
    if request_id:
        document["id"] = request_id
    text = orjson.dumps(document | {"outputs": entries}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Body([text, *tensors], len(text) if tensors else None)


def _json_data(output: OutputTensor) -> Any:
    if isinstance(output.data, np.ndarray):
        check_json_size(output.name, [output.data], "Ask for it with the parameter binary_data.")
        return np.ascontiguousarray(output.data.reshape(-1))
    if output.is_text:
        return [element.decode() for element in output.data]
    return [base64.b64encode(element).decode() for element in output.data]
