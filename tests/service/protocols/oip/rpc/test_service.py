"""The protocol over gRPC, against a real server and a real channel, on a model one can solve in
one's head.
"""

import base64
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.app import create_app
from service.protocols.keys import format_line
from service.protocols.oip.rpc.messages import INFERENCE
from service.protocols.oip.rpc.service import HEALTH_SERVICE, SERVICE
from service.protocols.rpc.messages import HEALTH, RPC
from service.server.build import build_server
from service.server.sockets import listen
from service.settings import SettingError, Settings
from tests.service.conftest import MAX_BATCH_REQUEST_IMAGES, MAX_UPLOAD_BYTES
from tests.service.protocols.oip.rpc.asking import (
    TIMEOUT_SECONDS,
    Client,
    ask,
    ask_files,
    outputs_of,
    port_of,
    refused,
)
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.solvable import solve

KEY = "correct-horse"
AUTHORIZED = (("authorization", f"Bearer {KEY}"),)


def test_pixels_come_back_as_a_class_map(client: Client) -> None:
    image = picture(24, 40)
    response = client.infer(ask(image, id="7"))
    assert (response.model_name, response.model_version, response.id) == ("solvable", "1", "7")
    np.testing.assert_array_equal(outputs_of(response)["class_map"], solve(image))


def test_a_batch_keeps_its_order_and_gives_every_output(client: Client) -> None:
    images = np.stack([picture(16, 20, seed) for seed in range(3)])
    found = outputs_of(client.infer(ask(images, "probabilities", "class_map", "confidence")))
    assert list(found) == ["probabilities", "class_map", "confidence"]
    np.testing.assert_array_equal(found["class_map"], [solve(image) for image in images])
    np.testing.assert_array_equal(found["probabilities"].argmax(-1), found["class_map"])


def test_numbers_in_typed_contents_are_the_same_pixels(client: Client) -> None:
    image = picture(5, 7)
    message = ask(image)
    del message.raw_input_contents[:]
    message.inputs[0].contents.uint_contents.extend(image.reshape(-1).tolist())
    np.testing.assert_array_equal(outputs_of(client.infer(message))["class_map"], solve(image))
    message.inputs[0].contents.uint_contents[3] = 256
    assert "the value 256" in refused(lambda: client.infer(message)).details()


def test_files_are_read_raw_with_lengths_and_typed_without(
    server: ServerThread, client: Client
) -> None:
    image = picture(12, 10)
    file = png_bytes(image)
    raw = ask_files(file, outputs=("png", "rle"))
    raw.inputs[0].ClearField("contents")
    raw.raw_input_contents.append(struct.pack("<I", len(file)) + file)
    encoded_twice = ask_files(base64.b64encode(file), outputs=("png", "rle"))
    for message in (ask_files(file, outputs=("png", "rle")), raw, encoded_twice):
        found = outputs_of(client.infer(message))
        assert found["png"] == [server.segment(image).content]
        assert orjson.loads(found["rle"][0])["width"] == 10


def test_options_are_parameters(server: ServerThread, client: Client) -> None:
    image = picture(16, 16)
    message = ask_files(png_bytes(image), outputs=("polygons",))
    message.parameters["classes"].string_param = "red"
    message.outputs[0].parameters["tolerance"].double_param = 0.0
    found = orjson.loads(outputs_of(client.infer(message))["polygons"][0])
    assert found == server.segment(image, format="polygons", classes="red", tolerance=0).json()


def test_a_stream_answers_in_order_and_goes_on_after_a_fault(client: Client) -> None:
    images = [picture(10 + index, 12, index) for index in range(20)]

    def frames() -> Iterator[Any]:
        for index, image in enumerate(images):
            yield ask_files(png_bytes(image) if index != 7 else b"no image")

    answers = list(client.stream(frames()))
    assert len(answers) == len(images)
    for index, (image, answer) in enumerate(zip(images, answers, strict=True)):
        if index == 7:
            assert "not an image" in answer.error_message
            continue
        assert not answer.error_message
        np.testing.assert_array_equal(
            outputs_of(answer.infer_response)["class_map"][0], solve(image)
        )


def test_server_and_models_say_what_they_are(client: Client) -> None:
    assert client.call("ServerLive").live
    assert client.call("ServerReady").ready
    assert client.call("ModelReady", name="solvable", version="1").ready
    assert "statistics" in client.call("ServerMetadata").extensions
    metadata = client.call("ModelMetadata", name="gray")
    assert list(metadata.inputs[0].shape) == [-1, -1, -1, 1]
    files = client.call("ModelMetadata", name="solvable.file")
    assert files.inputs[0].datatype == "BYTES"
    config = client.call("ModelConfig", name="solvable").config
    assert (config.max_batch_size, config.input[0].data_type) == (MAX_BATCH_REQUEST_IMAGES, 2)
    assert list(config.input[0].dims) == [-1, -1, 3]
    assert config.parameters["classes"].string_value == "red,green,blue"
    index = client.call("RepositoryIndex").models
    assert {"solvable", "solvable.file"} <= {entry.name for entry in index}
    assert {entry.state for entry in index} == {"READY"}


def test_statistics_count_what_was_answered(client: Client) -> None:
    def count() -> int:
        (found,) = client.call("ModelStatistics", name="solvable").model_stats
        assert found.inference_stats.success.count == found.inference_count
        return int(found.inference_count)

    before = count()
    client.infer(ask_files(png_bytes(picture(8, 8))))
    assert count() == before + 1
    assert len(client.call("ModelStatistics").model_stats) >= 2


def test_loading_is_done_and_unloading_is_not(client: Client) -> None:
    client.call("RepositoryModelLoad", model_name="solvable")
    client.call("RepositoryModelLoad", repository_name="solvable")  # KServe's field
    error = refused(lambda: client.call("RepositoryModelUnload", model_name="solvable"))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_health_speaks_of_the_server_and_of_each_model(client: Client) -> None:
    check = client.method("Check", HEALTH_SERVICE)
    for service in ("", SERVICE, "solvable"):
        assert check(HEALTH["HealthCheckRequest"](service=service)).status == 1
    error = refused(lambda: check(HEALTH["HealthCheckRequest"](service="nobody")))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    watch = client.channel.unary_stream(
        f"/{HEALTH_SERVICE}/Watch",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=HEALTH["HealthCheckResponse"].FromString,
    )
    statuses = watch(HEALTH["HealthCheckRequest"](), timeout=TIMEOUT_SECONDS)
    assert next(statuses).status == 1
    statuses.cancel()


def test_what_is_refused_has_a_code_and_a_sentence(client: Client) -> None:
    image = picture(8, 8)
    twice = ask(image)
    twice.inputs.add().CopyFrom(twice.inputs[0])
    both = ask(image)
    both.inputs[0].contents.uint_contents.append(1)
    wrong = ask(image)
    wrong.inputs[0].datatype = "FP32"
    empty = INFERENCE["ModelInferRequest"](model_name="solvable")
    shared = ask(image)
    shared.inputs[0].parameters["shared_memory_region"].string_param = "x"
    nothing = ask(image)
    del nothing.raw_input_contents[:]
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    for message, code, expected in (
        (ask(image, model="nobody"), grpc.StatusCode.NOT_FOUND, "no model 'nobody'"),
        (ask(image, "mask"), invalid, "the outputs are class_map"),
        (ask(image.transpose(2, 0, 1)), invalid, "The channels come last"),
        (twice, invalid, "has 2 inputs"),
        (both, invalid, "contents beside them"),
        (wrong, invalid, "takes UINT8"),
        (empty, invalid, "has 0 inputs"),
        (shared, invalid, "shared memory"),
        (nothing, invalid, "has no data"),
        (ask_files(b"no image at all"), invalid, "not an image"),
    ):
        error = refused(lambda message=message: client.infer(message))
        assert (error.code(), expected in error.details()) == (code, True), error.details()


def test_a_message_larger_than_an_upload_is_refused(client: Client) -> None:
    large = ask(np.zeros((1, MAX_UPLOAD_BYTES // 3 + 1, 3), np.uint8))
    error = refused(lambda: client.infer(large))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_clients_deadline_is_kept(client: Client) -> None:
    message = ask_files(png_bytes(picture(64, 64)))
    message.parameters["timeout"].int64_param = 1
    error = refused(lambda: client.infer(message))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_trailing_metadata_says_who_answered_and_what_was_asked(client: Client) -> None:
    _, call = client.method("ModelInfer").with_call(
        ask_files(png_bytes(picture(8, 8))),
        timeout=TIMEOUT_SECONDS,
        metadata=(("x-request-id", "abc-1"),),
    )
    trailer = dict(call.trailing_metadata())
    assert trailer["x-request-id"] == "abc-1"
    assert trailer["x-model"] == "solvable/1"
    assert "infer;dur=" in trailer["server-timing"]


def test_calls_are_counted_by_method_and_code(server: ServerThread, client: Client) -> None:
    labels = {"route": f"/{SERVICE}/ModelInfer", "code": "OK", "method": "GRPC"}
    before = server.metric("segserve_requests_total", labels)
    client.infer(ask_files(png_bytes(picture(8, 8))))
    assert server.metric("segserve_requests_total", labels) == before + 1


def test_keys_come_as_metadata_and_health_needs_none(store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(format_line("tester", KEY))
    with serving(store, models=("solvable",), grpc_port=0, api_keys_file=keys) as guarded:
        client = Client(guarded)
        message = ask_files(png_bytes(picture(8, 8)))
        for metadata in (None, (("authorization", "Bearer wrong"),), (("x-api-key", "wrong"),)):
            error = refused(lambda metadata=metadata: client.infer(message, metadata=metadata))
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        client.infer(message, metadata=AUTHORIZED)
        client.infer(message, metadata=(("x-api-key", KEY),))
        assert client.call("ServerReady").ready
        assert client.method("Check", HEALTH_SERVICE)(HEALTH["HealthCheckRequest"]()).status == 1
        client.channel.close()


def test_a_full_queue_says_when_to_come_back(store: Path) -> None:
    with serving(store, models=("flaky",), grpc_port=0, max_queue_images=1) as small:
        client = Client(small)
        files = [png_bytes(picture(64, 64, seed)) for seed in range(40)]
        calls = [
            client.method("ModelInfer").future(
                ask_files(file, model="flaky"), timeout=TIMEOUT_SECONDS
            )
            for file in files
        ]
        codes = [call.code() for call in calls]
        full = next(call for call in calls if call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        trailer = dict(full.trailing_metadata())
        assert int(trailer["retry-after"]) >= 1
        status = RPC["Status"].FromString(trailer["grpc-status-details-bin"])
        info = RPC["RetryInfo"].FromString(status.details[0].value)
        assert info.retry_delay.seconds == int(trailer["retry-after"])
        client.channel.close()


def test_what_was_accepted_is_answered_when_the_server_ends(store: Path) -> None:
    with serving(store, models=("solvable",), grpc_port=0) as ending:
        client = Client(ending)
        client.call("ServerLive")
        calls = [
            client.method("ModelInfer").future(
                ask_files(png_bytes(picture(200, 200, seed))), timeout=TIMEOUT_SECONDS
            )
            for seed in range(4)
        ]
        first = threading.Event()
        calls[0].add_done_callback(lambda _: first.set())
        assert first.wait(TIMEOUT_SECONDS)
    codes = {call.code() for call in calls}
    # what had not arrived yet finds nobody; nothing is cut off
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert calls[0].code() == grpc.StatusCode.OK
    client.channel.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_files_of_a_certificate_encrypt_it(store: Path, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    files: dict[str, Any] = {"grpc_tls_certificate_file": certificate, "grpc_tls_key_file": key}
    with serving(store, models=("solvable",), grpc_port=0, **files) as encrypted:
        roots = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{port_of(encrypted)}", roots) as channel:
            live = channel.unary_unary(
                f"/{SERVICE}/ServerLive",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=INFERENCE["ServerLiveResponse"].FromString,
            )
            assert live(INFERENCE["ServerLiveRequest"](), timeout=TIMEOUT_SECONDS).live


def test_half_of_a_certificate_is_refused(store: Path, tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path)
    settings = Settings(model_store=store, grpc_port=0, grpc_tls_certificate_file=certificate)
    with (
        listen("127.0.0.1", 0) as bound,
        pytest.raises(SettingError, match="SEGSERVE_GRPC_TLS_KEY_FILE"),
    ):
        build_server(create_app(settings), settings, bound, lambda: None)
