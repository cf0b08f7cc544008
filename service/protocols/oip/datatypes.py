"""The datatypes of the Open Inference Protocol, and which of them this server takes and gives."""

from typing import Final, Literal

import numpy as np

Given = Literal["UINT8", "FP32", "BYTES"]

# Datatype → its name in a Triton model configuration. BF16 is Triton's own.
DATATYPES: Final = {
    "BOOL": "TYPE_BOOL",
    "UINT8": "TYPE_UINT8",
    "UINT16": "TYPE_UINT16",
    "UINT32": "TYPE_UINT32",
    "UINT64": "TYPE_UINT64",
    "INT8": "TYPE_INT8",
    "INT16": "TYPE_INT16",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "FP16": "TYPE_FP16",
    "FP32": "TYPE_FP32",
    "FP64": "TYPE_FP64",
    "BF16": "TYPE_BF16",
    "BYTES": "TYPE_STRING",
}

# What the wire calls our arrays, which are little-endian there.
WIRE: Final[dict[Given, np.dtype[np.generic]]] = {
    "UINT8": np.dtype(np.uint8),
    "FP32": np.dtype("<f4"),
}
