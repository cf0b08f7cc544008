"""The protocol's messages, made when they are imported: no generated code, no compiler of protocol
buffers.

They live in a pool of their own, so that a program can hold a client's messages of the same names
beside them.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# A field is `number type name`; `repeated` and `map` go before the type, `|` before the members of
# a oneof.
_INFERENCE: Final[Mapping[str, tuple[str, ...]]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": ("1 string name", "2 string version"),
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 string name", "2 string version", "3 repeated string extensions"),
    "ModelMetadataRequest": ("1 string name", "2 string version"),
    "TensorMetadata": ("1 string name", "2 string datatype", "3 repeated int64 shape"),
    # 6 has another type in each server's description, so nothing is sent there
    "ModelMetadataResponse": (
        "1 string name",
        "2 repeated string versions",
        "3 string platform",
        "4 repeated TensorMetadata inputs",
        "5 repeated TensorMetadata outputs",
    ),
    "InferParameter": (
        "1 | bool bool_param",
        "2 | int64 int64_param",
        "3 | string string_param",
        "4 | double double_param",
        "5 | uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 repeated bool bool_contents",
        "2 repeated int32 int_contents",
        "3 repeated int64 int64_contents",
        "4 repeated uint32 uint_contents",
        "5 repeated uint64 uint64_contents",
        "6 repeated float fp32_contents",
        "7 repeated double fp64_contents",
        "8 repeated bytes bytes_contents",
    ),
    "InferInputTensor": (
        "1 string name",
        "2 string datatype",
        "3 repeated int64 shape",
        "4 map InferParameter parameters",
        "5 InferTensorContents contents",
    ),
    "InferRequestedOutputTensor": ("1 string name", "2 map InferParameter parameters"),
    "ModelInferRequest": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        "4 map InferParameter parameters",
        "5 repeated InferInputTensor inputs",
        "6 repeated InferRequestedOutputTensor outputs",
        "7 repeated bytes raw_input_contents",
    ),
    "InferOutputTensor": (
        "1 string name",
        "2 string datatype",
        "3 repeated int64 shape",
        "4 map InferParameter parameters",
        "5 InferTensorContents contents",
    ),
    "ModelInferResponse": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        "4 map InferParameter parameters",
        "5 repeated InferOutputTensor outputs",
        "6 repeated bytes raw_output_contents",
    ),
    "ModelStreamInferResponse": ("1 string error_message", "2 ModelInferResponse infer_response"),
    "ModelConfigRequest": ("1 string name", "2 string version"),
    "ModelInput": (
        "1 string name",
        "2 DataType data_type",
        "3 Format format",
        "4 repeated int64 dims",
    ),
    "ModelOutput": ("1 string name", "2 DataType data_type", "3 repeated int64 dims"),
    "ModelParameter": ("1 string string_value",),
    "ModelDynamicBatching": (),
    "ModelConfig": (
        "1 string name",
        "2 string platform",
        "4 int32 max_batch_size",
        "5 repeated ModelInput input",
        "6 repeated ModelOutput output",
        "11 ModelDynamicBatching dynamic_batching",
        "14 map ModelParameter parameters",
        "17 string backend",
    ),
    "ModelConfigResponse": ("1 ModelConfig config",),
    "ModelStatisticsRequest": ("1 string name", "2 string version"),
    "StatisticDuration": ("1 uint64 count", "2 uint64 ns"),
    "InferStatistics": (
        "1 StatisticDuration success",
        "2 StatisticDuration fail",
        "3 StatisticDuration queue",
        "4 StatisticDuration compute_input",
        "5 StatisticDuration compute_infer",
        "6 StatisticDuration compute_output",
        "7 StatisticDuration cache_hit",
        "8 StatisticDuration cache_miss",
    ),
    "ModelStatistics": (
        "1 string name",
        "2 string version",
        "3 uint64 last_inference",
        "4 uint64 inference_count",
        "5 uint64 execution_count",
        "6 InferStatistics inference_stats",
    ),
    "ModelStatisticsResponse": ("1 repeated ModelStatistics model_stats",),
    "RepositoryIndexRequest": ("1 string repository_name", "2 bool ready"),
    "ModelIndex": ("1 string name", "2 string version", "3 string state", "4 string reason"),
    "RepositoryIndexResponse": ("1 repeated ModelIndex models",),
    # Triton has the model's name in 2 and the repository's in 1, KServe the model's in 1
    "RepositoryModelLoadRequest": ("1 string repository_name", "2 string model_name"),
    "RepositoryModelLoadResponse": ("1 string model_name", "2 bool isLoaded"),
    "RepositoryModelUnloadRequest": ("1 string repository_name", "2 string model_name"),
    "RepositoryModelUnloadResponse": ("1 string model_name", "2 bool isUnloaded"),
}

_INFERENCE_ENUMS: Final[Mapping[str, Mapping[str, int]]] = {
    "DataType": {
        "TYPE_INVALID": 0,
        "TYPE_BOOL": 1,
        "TYPE_UINT8": 2,
        "TYPE_UINT16": 3,
        "TYPE_UINT32": 4,
        "TYPE_UINT64": 5,
        "TYPE_INT8": 6,
        "TYPE_INT16": 7,
        "TYPE_INT32": 8,
        "TYPE_INT64": 9,
        "TYPE_FP16": 10,
        "TYPE_FP32": 11,
        "TYPE_FP64": 12,
        "TYPE_STRING": 13,
        "TYPE_BF16": 14,
    },
    "Format": {"FORMAT_NONE": 0, "FORMAT_NHWC": 1, "FORMAT_NCHW": 2},
}

_HEALTH: Final[Mapping[str, tuple[str, ...]]] = {
    "HealthCheckRequest": ("1 string service",),
    "HealthCheckResponse": ("1 ServingStatus status",),
}
_HEALTH_ENUMS: Final[Mapping[str, Mapping[str, int]]] = {
    "ServingStatus": {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3},
}

# What a refusal may carry beside its code, see google.rpc.
_RPC: Final[Mapping[str, tuple[str, ...]]] = {
    "Duration": ("1 int64 seconds", "2 int32 nanos"),
    "RetryInfo": ("1 Duration retry_delay",),
    "Any": ("1 string type_url", "2 bytes value"),
    "Status": ("1 int32 code", "2 string message", "3 repeated Any details"),
}

_FIELD: Final = re.compile(r"(\d+) (?:(repeated|map|\|) )?(\w+) (\w+)")
_SCALARS: Final = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


class Messages:
    """The message classes of one package, by name."""

    def __init__(
        self,
        package: str,
        messages: Mapping[str, tuple[str, ...]],
        enums: Mapping[str, Mapping[str, int]],
    ) -> None:
        file = FileDescriptorProto(
            name=f"segserve/{package}.proto", package=package, syntax="proto3"
        )
        for name, values in enums.items():
            enum = file.enum_type.add(name=name)
            for value, number in values.items():
                enum.value.add(name=value, number=number)
        for name, fields in messages.items():
            message = file.message_type.add(name=name)
            for field in fields:
                _add_field(message, field, package, enums)
        pool = DescriptorPool()
        pool.Add(file)
        self._classes: dict[str, Any] = {
            name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
            for name in messages
        }

    def __getitem__(self, name: str) -> Any:
        return self._classes[name]


def _add_field(
    message: DescriptorProto, text: str, package: str, enums: Mapping[str, Mapping[str, int]]
) -> None:
    match = _FIELD.fullmatch(text)
    assert match is not None, text
    number, label, kind, name = int(match[1]), match[2], match[3], match[4]
    field = message.field.add(name=name, number=number)
    field.label = (
        FieldDescriptorProto.LABEL_REPEATED
        if label in ("repeated", "map")
        else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if label == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = (
        FieldDescriptorProto.TYPE_ENUM if kind in enums else FieldDescriptorProto.TYPE_MESSAGE
    )
    field.type_name = f".{package}.{kind}"
    if label == "map":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(
            name="key", number=1, type=_SCALARS["string"], label=FieldDescriptorProto.LABEL_OPTIONAL
        )
        entry.field.add(
            name="value",
            number=2,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=field.type_name,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
        field.type_name = f".{package}.{message.name}.{entry.name}"


INFERENCE: Final = Messages("inference", _INFERENCE, _INFERENCE_ENUMS)
HEALTH: Final = Messages("grpc.health.v1", _HEALTH, _HEALTH_ENUMS)
RPC: Final = Messages("google.rpc", _RPC, {})
