"""The messages of TensorFlow Serving's gRPC API, with TensorFlow's own that they hold.

Enumerations are numbers here, which the wire does not tell apart.
"""

from collections.abc import Mapping
from typing import Final

from service.protocols.rpc.messages import Messages

_SERVING: Final[Mapping[str, tuple[str, ...]]] = {
    "Dim": ("1 int64 size", "2 string name"),
    "TensorShapeProto": ("2 repeated Dim dim", "3 bool unknown_rank"),
    "TensorProto": (
        "1 int32 dtype",
        "2 TensorShapeProto tensor_shape",
        "3 int32 version_number",
        "4 bytes tensor_content",
        "5 repeated float float_val",
        "7 repeated int32 int_val",
        "8 repeated bytes string_val",
    ),
    "Int64Value": ("1 int64 value",),
    "ModelSpec": (
        "1 string name",
        "2 Int64Value version",
        "3 string signature_name",
        "4 string version_label",
    ),
    "PredictRequest": (
        "1 ModelSpec model_spec",
        "2 map TensorProto inputs",
        "3 repeated string output_filter",
    ),
    "PredictResponse": ("1 map TensorProto outputs", "2 ModelSpec model_spec"),
    "TensorInfo": ("1 string name", "2 int32 dtype", "3 TensorShapeProto tensor_shape"),
    "SignatureDef": ("1 map TensorInfo inputs", "2 map TensorInfo outputs", "3 string method_name"),
    "SignatureDefMap": ("1 map SignatureDef signature_def",),
    "Any": ("1 string type_url", "2 bytes value"),
    "GetModelMetadataRequest": ("1 ModelSpec model_spec", "2 repeated string metadata_field"),
    "GetModelMetadataResponse": ("1 ModelSpec model_spec", "2 map Any metadata"),
    "StatusProto": ("1 int32 error_code", "2 string error_message"),
    "ModelVersionStatus": ("1 int64 version", "2 int32 state", "3 StatusProto status"),
    "GetModelStatusRequest": ("1 ModelSpec model_spec",),
    "GetModelStatusResponse": ("1 repeated ModelVersionStatus model_version_status",),
}

SERVING: Final = Messages("tensorflow.serving", _SERVING, {})
# TensorFlow's datatypes that a signature here has.
DTYPES: Final = {"DT_FLOAT": 1, "DT_UINT8": 4, "DT_STRING": 7}
STATES: Final = {"LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}
