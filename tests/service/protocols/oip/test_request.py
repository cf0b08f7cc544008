"""Requests as the protocol's documents and its clients write them, and as they go wrong."""

import base64
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocols.json_values import MAX_JSON_BYTES
from service.protocols.oip.request import InferRequest, parse_request
from service.protocols.problems import RequestError

PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
MAX_IMAGES = 64
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(60)) + b"\0\0"


def image(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 3, 3]} | changes
    return {name: value for name, value in tensor.items() if value is not ...}


def parse(document: Any, behind: bytes | None = None) -> InferRequest:
    text = orjson.dumps(document)
    length = None if behind is None else str(len(text))
    return parse_request(memoryview(text + (behind or b"")), length, MAX_IMAGES)


def test_more_files_than_a_request_may_have_are_refused_unread() -> None:
    """Millions of empty ones fit into a body, and each would be looked at."""
    many = [image(datatype="BYTES", shape=[1000, 1000], parameters={"binary_data_size": 8})]
    with pytest.raises(RequestError, match="1000000 images; the limit is 64"):
        parse({"inputs": many}, bytes(8))
    with pytest.raises(RequestError, match="65 images; the limit is 64"):
        parse({"inputs": [image(datatype="BYTES", shape=[65], data=["!"] * 65)]})


def test_nested_and_flat_json_are_the_same_pixels() -> None:
    for data in (PIXELS.tolist(), PIXELS.reshape(-1).tolist(), [PIXELS.tolist()]):
        request = parse({"inputs": [image(data=data, shape=[1, 2, 3, 3])]})
        assert isinstance(request.input.data, np.ndarray)
        np.testing.assert_array_equal(request.input.data, [PIXELS])


def test_binary_pixels_follow_the_json() -> None:
    tensor = image(parameters={"binary_data_size": 18})
    request = parse(
        {"inputs": [tensor], "parameters": {"binary_data_output": True}}, PIXELS.tobytes()
    )
    assert isinstance(request.input.data, np.ndarray)
    np.testing.assert_array_equal(request.input.data, PIXELS)
    assert request.binary
    assert request.outputs is None


def test_a_header_as_long_as_the_body_says_that_all_is_json() -> None:
    request = parse({"id": "", "inputs": [image(data=PIXELS.tolist())]}, b"")
    assert request.id == ""
    assert request.input.shape == (2, 3, 3)


def test_a_header_of_zero_says_that_the_body_is_a_file() -> None:
    request = parse_request(memoryview(JPEG), "0", MAX_IMAGES)
    assert request.input.datatype == "BYTES"
    assert request.input.shape == (1,)
    assert [bytes(file) for file in request.input.data] == [JPEG]
    assert request.binary


def test_files_in_json_are_base64_also_as_data_url_or_without_brackets() -> None:
    text = base64.b64encode(JPEG).decode()
    url = f"data:image/jpeg;base64,{text}"
    for data, shape in (([text], [1]), ([[url]], [1, 1]), (text, [1]), (text, -1)):
        request = parse({"inputs": [image(datatype="BYTES", shape=shape, data=data)]})
        assert [bytes(file) for file in request.input.data] == [JPEG]


def test_binary_files_have_their_lengths_before_them() -> None:
    files = [JPEG, b"\x89PNG" + JPEG]
    behind = b"".join(struct.pack("<I", len(file)) + file for file in files)
    tensor = image(datatype="BYTES", shape=[2, 1], parameters={"binary_data_size": len(behind)})
    request = parse({"inputs": [tensor]}, behind)
    assert [bytes(file) for file in request.input.data] == files


def test_a_file_that_was_encoded_twice_is_read_all_the_same() -> None:
    encoded = base64.b64encode(JPEG)
    behind = struct.pack("<I", len(encoded)) + encoded
    tensor = image(datatype="BYTES", shape=[1], parameters={"binary_data_size": len(behind)})
    request = parse({"inputs": [tensor]}, behind)
    assert [bytes(file) for file in request.input.data] == [JPEG]


def test_members_that_clients_add_are_passed_over() -> None:
    document = {
        "id": "7",
        "model_name": "street",
        "parameters": {"content_type": "np", "headers": {}},
        "inputs": [image(data=PIXELS.tolist(), extra=1)],
        "outputs": [{"name": "png", "parameters": {"binary_data": False, "classes": "red"}}],
    }
    request = parse(document)
    assert request.id == "7"
    assert request.outputs is not None
    assert request.outputs[0].name == "png"
    assert request.outputs[0].binary is False


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"inputs": []}, "it takes one, image"),
        ({"inputs": [image(data=[1])] * 2}, "has 2 inputs"),
        ({"inputs": [image(name="INPUT0", data=[])]}, "the one input is 'image'"),
        ({"inputs": [image(datatype="FP32", data=[])]}, "takes UINT8"),
        ({"inputs": [image(datatype="uint8", data=[])]}, "is not a datatype"),
        ({"inputs": [image(shape=[2, 3], data=[1])]}, "has 1 values and its shape [2, 3] says 6"),
        ({"inputs": [image(shape=[-1, 3, 3], data=[1])]}, "each at least 1"),
        ({"inputs": [image(shape=[0], data=[])]}, "each at least 1"),
        ({"inputs": [image(shape=[1] * 9, data=[1])]}, "1 to 8 numbers"),
        ({"inputs": [image(shape=[2**40], data=[1])]}, "each at least 1"),
        ({"inputs": [image(shape=[True], data=[1])]}, "shape"),
        ({"inputs": [image(shape=3, data=[1, 2, 3])]}, "a shape is a list"),
        ({"inputs": [image(shape=["3"], data=[1, 2, 3])]}, "shape"),
        ({"inputs": [image(shape=[3], data=[1, 256, 3])]}, "the value 256; UINT8"),
        ({"inputs": [image(shape=[3], data=[1, -1, 3])]}, "the value -1; UINT8"),
        ({"inputs": [image(shape=[3], data=[1, 2.0, 3])]}, "the value 2.0; UINT8"),
        ({"inputs": [image(shape=[3], data=[1, True, 3])]}, "the value true; UINT8"),
        ({"inputs": [image(shape=[3], data=[1, None, 3])]}, "the value null; UINT8"),
        ({"inputs": [image(shape=[3], data=[1, "2", 3])]}, "the value '2'; UINT8"),
        ({"inputs": [image(shape=[3], data=[1, [2], 3])]}, "the value [2]; UINT8"),
        ({"inputs": [image(shape=[3, 2], data=[[1, 2, 3], [4, 5, 6]])]}, "data of shape [2, 3]"),
        ({"inputs": [image(shape=[2, 3], data=[[1, 2, 3], [4, 5]])]}, "rows of different lengths"),
        ({"inputs": [image(shape=[2, 3], data=[[1, 2, 3], 4])]}, "rows of different lengths"),
        ({"inputs": [image(shape=[6], data=[[[1, 2, 3]]])]}, "nest them 1 deep"),
        ({"inputs": [image(data="abc")]}, "it takes a list"),
        ({"inputs": [image(data={})]}, "it takes a list"),
        ({"inputs": [image()]}, "neither data nor"),
        ({"inputs": [image(data=None)]}, "neither data nor"),
        (
            {"inputs": [image(parameters={"shared_memory_region": "r"})]},
            "shared memory, which this server does not read",
        ),
        ({"inputs": [image(datatype="BYTES", shape=[1], data=["ÿØÿ"])]}, "not base64"),
        ({"inputs": [image(datatype="BYTES", shape=[1], data=[7])]}, "takes base64 text"),
        ({"inputs": [image(datatype="BYTES", shape=[2], data=["/9g="])]}, "has 1 values"),
        ({"inputs": {"name": "image"}}, "inputs: "),
        ({"inputs": [{"name": "image"}]}, "inputs.0."),
        ([1], "A request is"),
        ({"inputs": [image(data=[])], "outputs": [{}]}, "outputs.0.name"),
        (
            {"inputs": [image(data=PIXELS.tolist())], "parameters": {"binary_data_output": 1}},
            "binary_data_output takes true or false",
        ),
        (
            {
                "inputs": [image(data=PIXELS.tolist())],
                "outputs": [{"name": "png", "parameters": {"binary_data": "no"}}],
            },
            "binary_data takes true or false",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(document: Any, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(document)
    assert expected in str(caught.value)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("tensor", "behind", "expected"),
    [
        (image(parameters={"binary_data_size": 17}), PIXELS.tobytes(), "17 bytes"),
        (image(parameters={"binary_data_size": 18}), PIXELS.tobytes() + b"x", "19 follow"),
        (image(parameters={"binary_data_size": 17}), bytes(17), "UINT8 of shape [2, 3, 3] has 18"),
        (image(parameters={"binary_data_size": -1}), b"", "-1 bytes"),
        (image(parameters={"binary_data_size": "18"}), bytes(18), "18 bytes"),
        (image(parameters={"binary_data_size": True}), b"1", "True bytes"),
        (image(parameters={"binary_data_size": 18}, data=[1]), bytes(18), "both data and"),
        (image(data=PIXELS.tolist()), b"more", "4 bytes follow the JSON"),
        (
            image(datatype="BYTES", shape=[1], parameters={"binary_data_size": 3}),
            b"\1\0\0",
            "within the length of element 0",
        ),
        (
            image(datatype="BYTES", shape=[1], parameters={"binary_data_size": 5}),
            b"\xff\xff\xff\xffa",
            "has 4294967295 bytes, and 1 are left",
        ),
        (
            image(datatype="BYTES", shape=[1], parameters={"binary_data_size": 8}),
            bytes(8),
            "more than the 1 elements",
        ),
        (
            image(datatype="BYTES", shape=[3], parameters={"binary_data_size": 8}),
            bytes(8),
            "has 2 elements and its shape says 3",
        ),
    ],
)
def test_binary_data_must_be_what_the_json_says(
    tensor: dict[str, Any], behind: bytes, expected: str
) -> None:
    with pytest.raises(RequestError) as caught:
        parse({"inputs": [tensor]}, behind)
    assert expected in str(caught.value)


@pytest.mark.parametrize("header", ["-1", "+1", "1.0", "", "١", "1000", "9" * 30, "0x1"])
def test_a_header_that_is_no_length_within_the_body_is_refused(header: str) -> None:
    with pytest.raises(RequestError, match="takes the bytes of the JSON"):
        parse_request(memoryview(b"{}"), header, MAX_IMAGES)


def test_deep_long_and_broken_json_is_refused() -> None:
    for text, expected in (
        (b'{"inputs": [' + b"[" * 100_000, "not JSON"),
        (b'{"inputs": NaN}', "not JSON"),
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b" " * (MAX_JSON_BYTES + 1), "the limit is"),
        (b"[" + b"[],[]," * (2 * 10**6) + b"[]]", "lists"),
    ):
        with pytest.raises(RequestError, match=expected):
            parse_request(memoryview(text), None, MAX_IMAGES)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_body_raises_anything_but_a_request_error(body: bytes, length: int) -> None:
    for header in (None, str(length)):
        try:
            parse_request(memoryview(body), header, MAX_IMAGES)
        except RequestError as error:
            assert str(error)  # noqa: PT017 - most bodies are refused, a few are requests


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**40), 2**40)
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["name", "data", "shape", "parameters"]), inner)
        ),
        max_leaves=20,
    )
)
def test_no_json_raises_anything_but_a_request_error(data: Any) -> None:
    for document in (
        data,
        {"inputs": data},
        {"inputs": [data]},
        {"inputs": [image(data=data)]},
        {"inputs": [image(shape=data, data=[1])]},
        {"inputs": [image(datatype="BYTES", shape=[1], data=data)]},
        {"inputs": [image(parameters=data)]},
        {"inputs": [image(data=[1])], "outputs": data, "parameters": data},
    ):
        try:
            parse(document)
        except RequestError as error:
            assert str(error)  # noqa: PT017
