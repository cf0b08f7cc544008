"""What real clients were seen to send, byte for byte, and what they read of the answers.

`make test-clients` runs the clients themselves. tritonclient 2.73.0, kserve 0.21.0, mlserver 1.7.1;
the picture is `picture(4, 6)`. The header x-case is the recorder's.
"""

import http.client
import socket
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from tests.service.serving import TIMEOUT_SECONDS, ServerThread, picture
from tests.solvable import solve

RECORDED = Path(__file__).parent / "recorded"
LENGTH = "Inference-Header-Content-Length"


def send(server: ServerThread, request: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response, response.read()


def class_map_of(response: http.client.HTTPResponse, body: bytes) -> NDArray[np.uint8]:
    length = response.headers.get(LENGTH)
    if length is None:
        document: dict[str, Any] = orjson.loads(body)
        if "predictions" in document:
            return np.array(document["predictions"], np.uint8)
        (output,) = document["outputs"]
        return np.array(output["data"], np.uint8).reshape(output["shape"])
    (output,) = orjson.loads(body[: int(length)])["outputs"]
    return np.frombuffer(body[int(length) :], np.uint8).reshape(output["shape"])


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.http")), ids=lambda file: file.stem)
def test_what_a_real_client_sent_is_answered_in_its_form(server: ServerThread, file: Path) -> None:
    response, body = send(server, file.read_bytes())
    assert response.status == 200, body
    assert response.headers["Content-Encoding"] is None
    np.testing.assert_array_equal(class_map_of(response, body), [solve(picture(4, 6))])
    asked_for_binary = file.stem.endswith(("binary", "gzip", "file")) and "v1" not in file.stem
    assert (LENGTH in response.headers) == asked_for_binary
