"""What no client of good will sends to /v2 and /v1 is refused as its fault, in their own form."""

import base64
import json
import logging
import random
from typing import Any

import httpx
import orjson
import pytest

from tests.service.serving import ServerThread, picture

INFER = "/v2/models/solvable/infer"
PREDICT = "/v1/models/solvable:predict"
PIXELS = picture(4, 4)
IMAGE = {
    "name": "image",
    "datatype": "UINT8",
    "shape": [1, 4, 4, 3],
    "data": PIXELS.reshape(-1).tolist(),
}
VALUES: list[Any] = [None, True, -1, 1.5, 1e308, 2**63, "", "0" * 100_000, "\ud800", [], [[]], {}]


@pytest.fixture(autouse=True)
def nothing_is_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def check_refusal(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["error"]
    assert 10 < len(body["error"]) < 2100


def check(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        check_refusal(answer)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_of_another_kind_are_answered_or_refused(server: ServerThread, value: Any) -> None:
    requests: list[dict[str, Any]] = [
        {"inputs": [{**IMAGE, member: value}]} for member in (*IMAGE, "parameters")
    ]
    requests += [{"inputs": [IMAGE], member: value} for member in ("id", "parameters", "outputs")]
    for name in ("timeout", "scale", "classes", "page", "classification", "binary_data_output"):
        requests.append({"inputs": [IMAGE], "parameters": {name: value}})
        requests.append(
            {"inputs": [IMAGE], "outputs": [{"name": "png", "parameters": {name: value}}]}
        )
    requests += [{"instances": value}, {"inputs": value}, {"instances": [value], "inputs": value}]
    for request in requests:
        text = json.dumps(request)  # orjson has no words for half a pair of surrogates
        check(server.client.post(INFER, content=text))
        check(server.client.post(PREDICT, content=text))


@pytest.mark.parametrize("depth", [100, 2000, 200_000])
@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_json_of_any_depth_is_refused(server: ServerThread, path: str, depth: int) -> None:
    lists, objects = b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth
    for body in (
        lists,
        objects,
        b'{"instances":' + lists + b"}",
        b'{"inputs":' + objects + b"}",
        b'{"inputs":[{"name":"image","datatype":"UINT8","shape":[1],"data":' + lists + b"}]}",
    ):
        check_refusal(server.client.post(path, content=body))


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"NaN", b'{"inputs":NaN}', b"\xff", b'{"instances":[NaN]}', b'{"\\ud800":1}'],
)
@pytest.mark.parametrize("path", [INFER, PREDICT])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate", "br", "gzip, gzip", "x"])
def test_bodies_that_are_no_request_are_refused(
    server: ServerThread, path: str, body: bytes, coding: str | None
) -> None:
    headers = {} if coding is None else {"Content-Encoding": coding}
    check_refusal(server.client.post(path, content=body, headers=headers))


def test_requests_damaged_at_random_are_answered_or_refused(server: ServerThread) -> None:
    chance = random.Random(22)
    infer = orjson.dumps({"id": "1", "inputs": [IMAGE], "outputs": [{"name": "png"}]})
    predict = orjson.dumps({"signature_name": "rle", "instances": [PIXELS.tolist()]})
    for path, good in ((INFER, infer), (PREDICT, predict)):
        for _ in range(100):
            damaged = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            check(server.client.post(path, content=bytes(damaged)))


def test_several_bad_files_are_refused_once(server: ServerThread) -> None:
    """What failed beside the first is no error that nobody took."""
    texts = [base64.b64encode(b"no image %d" % index).decode() for index in range(4)]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [4], "data": texts}
    check_refusal(server.client.post(INFER, json={"inputs": [tensor]}))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/" + "a" * 5000,
        "/v2/models/%00/infer",
        "/v2/models/solvable/versions/" + "9" * 400 + "/infer",
        "/v2/models/solvable/versions/-1/infer",
        "/v1/models/%ff:predict",
        "/v1/models/:predict",
        "/v1/models/solvable/versions/x:predict",
        "/v2/systemsharedmemory/status",
    ],
    ids=lambda path: path[:40],
)
def test_paths_that_nothing_has_are_refused(server: ServerThread, method: str, path: str) -> None:
    check_refusal(server.client.request(method, path))
