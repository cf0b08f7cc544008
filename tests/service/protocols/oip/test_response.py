"""Responses byte by byte, as clients read them."""

import base64
import struct

import numpy as np
import orjson
import pytest

from service.domain.errors import AnswerTooLargeError
from service.protocols.json_values import MAX_JSON_VALUES
from service.protocols.oip.response import OutputTensor, write_response

MASK = OutputTensor("class_map", "UINT8", (2, 3), np.arange(6, dtype=np.uint8).reshape(2, 3))
SHARES = OutputTensor("probabilities", "FP32", (1, 2), np.array([[0.25, 0.75]], np.float32))
PNG = OutputTensor("png", "BYTES", (2,), [b"\x89PNG", b""])
TEXT = OutputTensor("rle", "BYTES", (1,), ['{"µ":1}'.encode()], is_text=True)


def test_binary_outputs_follow_the_json_in_order() -> None:
    body = write_response("street", "1", "", [(MASK, True), (SHARES, False), (PNG, True)])
    assert body.media_type == "application/octet-stream"
    assert body.json_bytes is not None
    joined = body.joined()
    document = orjson.loads(joined[: body.json_bytes])
    assert document == {
        "model_name": "street",
        "model_version": "1",
        "outputs": [
            {
                "name": "class_map",
                "datatype": "UINT8",
                "shape": [2, 3],
                "parameters": {"binary_data_size": 6},
            },
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]},
            {
                "name": "png",
                "datatype": "BYTES",
                "shape": [2],
                "parameters": {"binary_data_size": 12},
            },
        ],
    }
    behind = joined[body.json_bytes :]
    assert behind == bytes(range(6)) + struct.pack("<I", 4) + b"\x89PNG" + bytes(4)


def test_floats_are_little_endian() -> None:
    body = write_response("street", "1", "", [(SHARES, True)])
    assert body.joined()[body.json_bytes :] == struct.pack("<2f", 0.25, 0.75)


def test_an_answer_all_in_json_has_no_header_and_no_parameters() -> None:
    body = write_response("street", "2", "a-7", [(MASK, False), (PNG, False), (TEXT, False)])
    assert body.media_type == "application/json"
    assert body.json_bytes is None
    document = orjson.loads(body.joined())
    assert document["id"] == "a-7"
    assert [set(output) for output in document["outputs"]] == [
        {"name", "datatype", "shape", "data"}
    ] * 3
    assert document["outputs"][0]["data"] == [0, 1, 2, 3, 4, 5]
    assert document["outputs"][1]["data"] == [base64.b64encode(b"\x89PNG").decode(), ""]
    assert document["outputs"][2]["data"] == ['{"µ":1}']


def test_more_numbers_than_json_should_hold_are_refused_with_the_way_out() -> None:
    large = np.broadcast_to(np.uint8(0), (MAX_JSON_VALUES + 1,))
    output = OutputTensor("class_map", "UINT8", large.shape, large)
    with pytest.raises(AnswerTooLargeError, match="binary_data"):
        write_response("street", "1", "", [(output, False)])
