"""Calls over gRPC, as clients make them."""

import struct
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from service.protocols.oip.rpc.messages import INFERENCE
from service.protocols.oip.rpc.service import HEALTH_SERVICE, SERVICE
from service.protocols.rpc.messages import HEALTH
from service.server.grpc import GrpcListener
from tests.service.serving import ServerThread

TIMEOUT_SECONDS = 300.0


def port_of(server: ServerThread) -> int:
    (listener,) = [one for one in server.server.listeners if isinstance(one, GrpcListener)]
    return listener.port


class Client:
    """Calls by name, with this protocol's messages."""

    def __init__(self, server: ServerThread) -> None:
        lifted = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port_of(server)}", lifted)

    def method(self, name: str, service: str = SERVICE) -> Any:
        messages = HEALTH if service == HEALTH_SERVICE else INFERENCE
        response = "HealthCheckResponse" if service == HEALTH_SERVICE else f"{name}Response"
        return self.channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=messages[response].FromString,
        )

    def call(self, name: str, /, metadata: Any = None, **fields: Any) -> Any:
        message = INFERENCE[f"{name}Request"](**fields)
        return self.method(name)(message, timeout=TIMEOUT_SECONDS, metadata=metadata)

    def infer(self, message: Any, **more: Any) -> Any:
        return self.method("ModelInfer")(message, **{"timeout": TIMEOUT_SECONDS, **more})

    def stream(self, messages: Any) -> Any:
        return self.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=INFERENCE["ModelStreamInferResponse"].FromString,
        )(messages, timeout=TIMEOUT_SECONDS)


def ask(array: NDArray[np.uint8], *outputs: str, model: str = "solvable", **more: Any) -> Any:
    """Pixels as raw bytes, as tritonclient sends them."""
    return INFERENCE["ModelInferRequest"](
        model_name=model,
        inputs=[{"name": "image", "datatype": "UINT8", "shape": array.shape}],
        outputs=[{"name": name} for name in outputs],
        raw_input_contents=[array.tobytes()],
        **more,
    )


def ask_files(*files: bytes, outputs: tuple[str, ...] = (), model: str = "solvable") -> Any:
    """Files as typed contents, as KServe's client sends them."""
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [len(files)],
        "contents": {"bytes_contents": files},
    }
    return INFERENCE["ModelInferRequest"](
        model_name=model, inputs=[tensor], outputs=[{"name": name} for name in outputs]
    )


def outputs_of(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    assert len(response.outputs) == len(response.raw_output_contents)
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            files, place = [], 0
            while place < len(raw):
                (length,) = struct.unpack_from("<I", raw, place)
                files.append(raw[place + 4 : place + 4 + length])
                place += 4 + length
            found[output.name] = files
        else:
            kind = {"UINT8": "u1", "FP32": "<f4"}[output.datatype]
            found[output.name] = np.frombuffer(raw, kind).reshape(output.shape)
    return found


def refused(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value
