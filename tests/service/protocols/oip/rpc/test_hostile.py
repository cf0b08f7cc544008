"""What no client of good will sends over gRPC is refused as its caller's fault, and all goes on."""

import logging
import math
import random
from typing import Any

import grpc
import pytest

from service.protocols.oip.rpc.messages import INFERENCE
from service.protocols.oip.rpc.service import HEALTH_SERVICE, SERVICE
from tests.service.protocols.oip.rpc.asking import TIMEOUT_SECONDS, Client, ask, refused
from tests.service.serving import picture

IMAGE = picture(4, 4)
LARGEST = 2**63 - 1
REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def send(client: Client, data: bytes, method: str = "ModelInfer", service: str = SERVICE) -> Any:
    """The code and the sentence that bytes are answered with."""
    try:
        client.channel.unary_unary(f"/{service}/{method}")(data, timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata", "RepositoryIndex", "ModelReady"])
def test_bytes_that_are_no_message_are_the_callers_fault(
    client: Client, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7f"):
        code, sentence = send(client, data, method)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert f"not a message {method}Request" in sentence
    assert send(client, b"\xff", "Check", HEALTH_SERVICE)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_stream_goes_on_after_bytes_that_are_no_message(client: Client) -> None:
    good = ask(IMAGE, id="7").SerializeToString()
    stream = client.channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer",
        response_deserializer=INFERENCE["ModelStreamInferResponse"].FromString,
    )
    answers = list(stream(iter([good, b"\xff", good]), timeout=TIMEOUT_SECONDS))
    sentences = [answer.error_message for answer in answers]
    assert [bool(sentence) for sentence in sentences] == [False, True, False]
    assert "not a message ModelInferRequest" in sentences[1]


def test_messages_damaged_at_random_are_answered_or_refused(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(22)
    good = ask(IMAGE, "png", "class_map").SerializeToString()
    codes = set()
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        codes.add(send(client, bytes(damaged[: chance.randint(1, 2 * len(damaged))]))[0])
    assert codes <= {*REFUSED, grpc.StatusCode.OK}
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "shape", [[-1, 4, 4, 3], [0, 4, 4, 3], [LARGEST] * 4, [-LARGEST - 1], [1] * 5000, [], [48]]
)
@pytest.mark.parametrize("datatype", ["UINT8", "BYTES", "FP32", "", "x" * 10_000])
def test_shapes_and_datatypes_that_nothing_has_are_refused(
    client: Client, shape: list[int], datatype: str
) -> None:
    message = ask(IMAGE)
    message.inputs[0].datatype = datatype
    del message.inputs[0].shape[:]
    message.inputs[0].shape.extend(shape)
    error = refused(lambda: client.infer(message))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert len(error.details()) < 600


@pytest.mark.parametrize(
    "value",
    [
        {"bool_param": True},
        {"int64_param": -1},
        {"uint64_param": 2**64 - 1},
        {"double_param": math.nan},
        {"double_param": math.inf},
        {"string_param": "x" * 100_000},
        {"string_param": "nan"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["timeout", "scale", "classes", "page", "classification", "?"])
def test_parameters_of_another_kind_are_refused(
    client: Client, name: str, value: dict[str, Any]
) -> None:
    of_request, of_output = ask(IMAGE), ask(IMAGE, "png")
    for message, parameters in (
        (of_request, of_request.parameters),
        (of_output, of_output.outputs[0].parameters),
    ):
        parameters[name].CopyFrom(INFERENCE["InferParameter"](**value))
        code, sentence = send(client, message.SerializeToString())
        assert code in REFUSED or name in ("page", "timeout"), sentence
        # what is repeated of a stranger's text fits the space that gRPC has for a sentence
        assert code != grpc.StatusCode.RESOURCE_EXHAUSTED
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
