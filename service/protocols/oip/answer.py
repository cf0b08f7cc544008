"""From an inference request to the results it asks for, and from those to output tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.protocols.oip.request import InferRequest, RequestedOutput
from service.protocols.oip.response import OutputTensor
from service.protocols.pictures import Inferred, Pictures, Pixels
from service.protocols.problems import MalformedRequestError
from service.protocols.results import DEFAULT, Wanted, wanted

# Parameters that clients set for every server: they ask for nothing that ours does otherwise.
_OF_THE_PROTOCOL: Final = frozenset(
    {
        "binary_data",
        "binary_data_output",
        "content_type",
        "headers",
        "priority",
        "sequence_end",
        "sequence_id",
        "sequence_start",
        "timeout",
    }
)


@dataclass(frozen=True)
class Asked:
    """`binary` says of each result whether it is sent as it is."""

    results: list[Wanted]
    binary: list[bool]
    timeout_seconds: float | None


def read_asked(request: InferRequest) -> Asked:
    """Raises MalformedRequestError."""
    outputs = request.outputs or (RequestedOutput(DEFAULT),)
    names = [output.name for output in outputs]
    if len(set(names)) < len(names):
        raise MalformedRequestError("An output is asked for twice; ask for each once.")
    own = {output.name: _options(output.parameters) for output in outputs}
    return Asked(
        results=wanted(own, _options(request.parameters)),
        binary=[request.binary if output.binary is None else output.binary for output in outputs],
        timeout_seconds=_timeout(request.parameters),
    )


def output_tensors(
    asked: Sequence[Wanted], inferred: Inferred, pictures: Pictures
) -> list[OutputTensor]:
    """Raises MalformedRequestError where images of several sizes are to be one array."""
    single = isinstance(pictures, Pixels) and pictures.single
    return [
        _tensor(one, results, single=single)
        for one, results in zip(asked, inferred.results, strict=True)
    ]


def _tensor(one: Wanted, results: list[Any], *, single: bool) -> OutputTensor:
    result = one.result
    if result.tensor is None:
        return OutputTensor(
            result.name, result.kind, (len(results),), results, is_text=result.is_text
        )
    if len({array.shape for array in results}) > 1:
        raise MalformedRequestError(
            f"The images have several sizes, so their {result.name} is not one tensor. Ask for "
            "png, rle or another output that is a file an image, or send images of one size."
        )
    array = (
        results[0] if single else results[0][np.newaxis] if len(results) == 1 else np.stack(results)
    )
    return OutputTensor(result.name, result.kind, array.shape, array)


def _options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What is meant for the outputs themselves. Raises MalformedRequestError."""
    if parameters.get("classification"):
        raise MalformedRequestError(
            "The parameter classification asks for the highest classes of an image; this server "
            "gives a class to every pixel. Leave it out."
        )
    if "shared_memory_region" in parameters:
        raise MalformedRequestError(
            "An output is to lie in shared memory, which this server does not write. "
            "Ask for it in the answer."
        )
    return {
        name: value
        for name, value in parameters.items()
        if name not in _OF_THE_PROTOCOL
        and name != "classification"
        and not name.startswith("triton_")
    }


def _timeout(parameters: Mapping[str, Any]) -> float | None:
    """In seconds. 0 is none, as the protocol has it."""
    value = parameters.get("timeout", 0)
    try:
        microseconds = int(value) if not isinstance(value, bool | float) else -1
    except (TypeError, ValueError):
        microseconds = -1
    if not 0 <= microseconds < 2**63:
        raise MalformedRequestError(
            f"Parameter timeout is {str(value)[:40]!r}; it takes whole microseconds, 0 for none."
        )
    return microseconds / 1e6 or None
