"""Messages of protocol buffers, made when they are imported: no generated code, no compiler.

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
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
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

HEALTH: Final = Messages("grpc.health.v1", _HEALTH, _HEALTH_ENUMS)
RPC: Final = Messages("google.rpc", _RPC, {})
