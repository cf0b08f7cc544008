"""Signatures as TensorFlow Serving's clients know them: each of our results is one, by its name."""

from typing import Any, Final

from service.protocols.model_names import Served
from service.protocols.problems import MalformedRequestError
from service.protocols.results import DEFAULT, RESULTS, Kind, Result, Wanted, wanted
from service.protocols.tfserving.request import DEFAULT_SIGNATURE, INPUT_NAME

_DTYPES: Final[dict[Kind, str]] = {"UINT8": "DT_UINT8", "FP32": "DT_FLOAT", "BYTES": "DT_STRING"}
_METHOD: Final = "tensorflow/serving/predict"
# JSON gives what ends so as {"b64": …}, and other texts as they are.
_BYTES_SUFFIX: Final = "_bytes"


def asked_by(signature: str) -> Wanted:
    """Raises MalformedRequestError."""
    name = DEFAULT if signature == DEFAULT_SIGNATURE else signature
    if name not in RESULTS:
        raise MalformedRequestError(
            f"There is no signature {name[:40]!r}; there are {DEFAULT_SIGNATURE}, "
            f"{', '.join(RESULTS)}."
        )
    return wanted({name: {}}, {})[0]


def output_name(result: Result) -> str:
    return result.name + (_BYTES_SUFFIX if result.tensor is None and not result.is_text else "")


def metadata(served: Served) -> dict[str, Any]:
    """`signature_def` stands twice: one is the field that was asked for, one the message's."""
    signatures = {DEFAULT_SIGNATURE: RESULTS[DEFAULT], **RESULTS}
    return {
        "model_spec": {"name": served.name, "signature_name": "", "version": served.version},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    name: _signature(name, result, served) for name, result in signatures.items()
                }
            }
        },
    }


def _signature(name: str, result: Result, served: Served) -> dict[str, Any]:
    dtype = "DT_STRING" if served.takes_files else "DT_UINT8"
    shape_in = (-1,) if served.takes_files else (-1, -1, -1, served.contract.channels)
    classes = len(served.contract.classes)
    shape = {None: (-1,), "probabilities": (-1, -1, -1, classes)}.get(result.tensor, (-1, -1, -1))
    return {
        "inputs": {
            INPUT_NAME: _tensor(dtype, shape_in, f"{name}_{INPUT_NAME}:0"),
        },
        "outputs": {
            output_name(result): _tensor(_DTYPES[result.kind], shape, "StatefulPartitionedCall:0")
        },
        "method_name": _METHOD,
    }


def _tensor(dtype: str, shape: tuple[int, ...], name: str) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {
        "dtype": dtype,
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": name,
    }
