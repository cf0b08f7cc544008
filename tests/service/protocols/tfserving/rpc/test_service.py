"""TensorFlow Serving's gRPC API, on a model one can solve in one's head."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from service.protocols.tfserving.rpc.messages import DTYPES, SERVING
from service.protocols.tfserving.rpc.service import MODEL_SERVICE, PREDICTION_SERVICE
from service.server.grpc import GrpcListener
from tests.service.serving import picture, png_bytes, serving
from tests.solvable import solve

TIMEOUT_SECONDS = 300.0
LABELS = ("stable=solvable/1",)


@pytest.fixture(scope="module")
def channel(store: Path) -> Iterator[grpc.Channel]:
    with serving(store, default_model="solvable", grpc_port=0, version_labels=LABELS) as server:
        (listener,) = [one for one in server.server.listeners if isinstance(one, GrpcListener)]
        with grpc.insecure_channel(f"127.0.0.1:{listener.port}") as opened:
            yield opened


def call(channel: Any, name: str, service: str = PREDICTION_SERVICE, /, **fields: Any) -> Any:
    return channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=SERVING[f"{name}Response"].FromString,
    )(SERVING[f"{name}Request"](**fields), timeout=TIMEOUT_SECONDS)


def predict(channel: Any, tensor: Any, signature: str = "", **more: Any) -> Any:
    spec = {"name": "solvable", "signature_name": signature, **more}
    return call(channel, "Predict", model_spec=spec, inputs={"image": tensor})


def tensor_of(kind: str, shape: tuple[int, ...], **values: Any) -> Any:
    dims = [{"size": size} for size in shape]
    return SERVING["TensorProto"](dtype=DTYPES[kind], tensor_shape={"dim": dims}, **values)


def pixels(array: NDArray[np.uint8]) -> Any:
    return tensor_of("DT_UINT8", array.shape, tensor_content=array.tobytes())


def array_of(tensor: Any) -> NDArray[Any]:
    values = tensor.int_val or tensor.float_val
    return np.array(values).reshape([dim.size for dim in tensor.tensor_shape.dim])


def refused(work: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    return caught.value.code(), caught.value.details()


def test_pixels_come_back_as_a_class_map_in_typed_fields(channel: Any) -> None:
    image = picture(7, 9)
    answer = predict(channel, pixels(image))
    np.testing.assert_array_equal(array_of(answer.outputs["class_map"]), solve(image))
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "solvable",
        1,
        "serving_default",
    )
    batch = np.stack([image, image[::-1]])
    each = array_of(predict(channel, pixels(batch)).outputs["class_map"])
    np.testing.assert_array_equal(each, [solve(image), solve(image[::-1])])


def test_numbers_in_typed_fields_are_the_same_pixels(channel: Any) -> None:
    image = picture(4, 5)
    tensor = tensor_of("DT_UINT8", image.shape, int_val=image.reshape(-1).tolist())
    answer = predict(channel, tensor)
    np.testing.assert_array_equal(array_of(answer.outputs["class_map"]), solve(image))


def test_files_of_several_sizes_come_back_as_files(channel: Any) -> None:
    files = [png_bytes(picture(8, 8)), png_bytes(picture(5, 6))]
    tensor = tensor_of("DT_STRING", (2,), string_val=files)
    masks = predict(channel, tensor, "png").outputs["png_bytes"].string_val
    assert [mask[:4] for mask in masks] == [b"\x89PNG"] * 2
    code, sentence = refused(lambda: predict(channel, tensor))
    assert (code, "several sizes" in sentence) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_confidence_is_a_number_from_0_to_255_a_pixel(channel: Any) -> None:
    image = np.array([[[255, 0, 0], [9, 9, 8], [90, 100, 2]]], np.uint8)
    found = array_of(predict(channel, pixels(image), "confidence").outputs["confidence"])
    expected = array_of(predict(channel, pixels(image), "probabilities").outputs["probabilities"])
    np.testing.assert_array_equal(found, np.rint(expected.max(-1) * 255))
    assert (found.min() < 128, found.max() > 127) == (True, True)


def test_a_version_may_be_named_by_its_label(channel: Any) -> None:
    answer = predict(channel, pixels(picture(4, 4)), version_label="stable")
    assert answer.model_spec.version.value == 1


def test_probabilities_are_floats(channel: Any) -> None:
    found = predict(channel, pixels(picture(4, 4)), "probabilities").outputs["probabilities"]
    assert found.dtype == DTYPES["DT_FLOAT"]
    np.testing.assert_allclose(array_of(found).sum(-1), 1, rtol=1e-5)


def test_metadata_and_status_say_what_the_model_is(channel: Any) -> None:
    answer = call(
        channel,
        "GetModelMetadata",
        model_spec={"name": "solvable"},
        metadata_field=["signature_def"],
    )
    found = answer.metadata["signature_def"]
    assert found.type_url.endswith("/tensorflow.serving.SignatureDefMap")
    known = SERVING["SignatureDefMap"].FromString(found.value).signature_def
    signature = known["serving_default"]
    assert [dim.size for dim in signature.inputs["image"].tensor_shape.dim] == [-1, -1, -1, 3]
    assert signature.outputs["class_map"].dtype == DTYPES["DT_UINT8"]
    assert "png_bytes" in known["png"].outputs
    states = call(channel, "GetModelStatus", MODEL_SERVICE, model_spec={"name": "solvable"})
    (state,) = states.model_version_status
    assert (state.version, state.state, state.status.error_code) == (1, 30, 0)


def test_what_is_refused_has_a_code_and_a_sentence(channel: Any) -> None:
    image = picture(4, 4)
    invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
    good = pixels(image)
    for work, code, words in (
        (lambda: predict(channel, good, name="nobody"), missing, "no model 'nobody'"),
        (lambda: predict(channel, good, version={"value": 9}), missing, "solvable/9"),
        (lambda: predict(channel, good, version={"value": -1}), missing, "a version is a number"),
        (lambda: predict(channel, good, version_label="canary"), invalid, "has stable"),
        (lambda: predict(channel, good, "mask"), invalid, "no signature 'mask'"),
        (lambda: predict(channel, pixels(image[..., :1])), invalid, "DT_UINT8 of shape"),
        (
            lambda: predict(channel, tensor_of("DT_FLOAT", image.shape, float_val=[1.0])),
            invalid,
            "DT_UINT8 of shape",
        ),
        (
            lambda: predict(channel, tensor_of("DT_UINT8", (-1, 4, 3), tensor_content=b"x")),
            invalid,
            "DT_UINT8 of shape",
        ),
        (
            lambda: predict(channel, tensor_of("DT_UINT8", image.shape, tensor_content=b"x")),
            invalid,
            "1 values and its shape says 48",
        ),
        (
            lambda: predict(channel, tensor_of("DT_UINT8", (9**6, 9**6, 3), int_val=[1])),
            invalid,
            "1 values and its shape",
        ),
        (
            lambda: predict(channel, tensor_of("DT_UINT8", image.shape, int_val=[300] * 48)),
            invalid,
            "the value 300",
        ),
        (
            lambda: predict(channel, tensor_of("DT_STRING", (1,), string_val=[b"no image"])),
            grpc.StatusCode.INVALID_ARGUMENT,
            "not an image",
        ),
        (
            lambda: call(
                channel,
                "Predict",
                model_spec={"name": "solvable"},
                inputs={"image": good},
                output_filter=["png"],
            ),
            invalid,
            "no output 'png'",
        ),
        (
            lambda: call(channel, "Predict", model_spec={"name": "solvable"}),
            invalid,
            "has 0 inputs",
        ),
        (
            lambda: call(channel, "GetModelMetadata", model_spec={"name": "solvable"}),
            invalid,
            "metadata_field takes",
        ),
    ):
        assert refused(work)[0] == code, words
        assert words in refused(work)[1]


def test_bytes_that_are_no_message_are_the_callers_fault(channel: Any) -> None:
    send = channel.unary_unary(f"/{PREDICTION_SERVICE}/Predict")
    code, sentence = refused(lambda: send(b"\xff\xff", timeout=TIMEOUT_SECONDS))
    assert (code, "not a message PredictRequest" in sentence) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        True,
    )
