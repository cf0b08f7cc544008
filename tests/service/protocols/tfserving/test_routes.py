"""/v1 over real HTTP: what clients of TensorFlow Serving and of KServe's v1 send and read."""

import base64
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocols.problems import RequestError
from service.protocols.results import RESULTS
from service.protocols.tfserving.request import parse_request
from tests.service.conftest import MAX_BATCH_REQUEST_IMAGES
from tests.service.serving import ServerThread, picture, png_bytes
from tests.solvable import solve

PREDICT = "/v1/models/solvable:predict"


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


IMAGES = np.stack([picture(6, 9, seed) for seed in range(2)])
FILES = [b64(png_bytes(image)) for image in IMAGES]
CLASS_MAPS = [solve(image).tolist() for image in IMAGES]


@pytest.mark.parametrize(
    "instances",
    [
        IMAGES.tolist(),
        [{"image": image.tolist()} for image in IMAGES],
        FILES,
        [{"image": file} for file in FILES],
        [{"image_bytes": file} for file in FILES],
        [{"data": file["b64"]} for file in FILES],
        [file["b64"] for file in FILES],
    ],
)
def test_rows_give_a_prediction_each(server: ServerThread, instances: Any) -> None:
    body = orjson.dumps({"signature_name": "serving_default", "instances": instances})
    response = server.client.post(PREDICT, content=body)  # clients send no type, or a wrong one
    assert response.json() == {"predictions": CLASS_MAPS}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["X-Model"] == "solvable/1"


@pytest.mark.parametrize(
    "inputs",
    [
        IMAGES.tolist(),
        {"image": IMAGES.tolist()},
        {"image": IMAGES.tolist(), "other": 1},
        {"x": FILES},
        FILES,
    ],
)
def test_columns_give_outputs(server: ServerThread, inputs: Any) -> None:
    response = server.client.post(PREDICT, json={"inputs": inputs})
    assert response.json() == {"outputs": CLASS_MAPS}


def test_rows_of_files_may_have_several_sizes_and_columns_may_not(server: ServerThread) -> None:
    files = [b64(png_bytes(picture(4, 5))), b64(png_bytes(picture(5, 4)))]
    rows = server.client.post(PREDICT, json={"instances": files}).json()
    assert rows["predictions"] == [solve(picture(4, 5)).tolist(), solve(picture(5, 4)).tolist()]
    columns = server.client.post(PREDICT, json={"inputs": files})
    assert columns.status_code == 400
    assert "several sizes" in columns.json()["error"]


def test_each_result_is_a_signature(server: ServerThread) -> None:
    image = IMAGES[0]

    def predict(signature: str) -> Any:
        wish = {"signature_name": signature, "instances": [image.tolist()]}
        return server.client.post(PREDICT, json=wish).json()["predictions"][0]

    shares = np.array(predict("probabilities"))
    np.testing.assert_array_equal(shares.argmax(-1), solve(image))
    assert predict("confidence") == np.rint(shares.max(-1) * 255).tolist()
    assert base64.b64decode(predict("png")["b64"]) == server.segment(image).content
    assert orjson.loads(predict("rle"))["width"] == 9


def test_floats_are_written_as_floats(server: ServerThread) -> None:
    white = np.zeros((1, 1, 3), np.uint8)
    wish = {"signature_name": "probabilities", "instances": [white.tolist()]}
    assert b"0.333" in server.client.post(PREDICT, json=wish).content


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "takes one of instances and inputs"),
        ([], "takes one of instances and inputs"),
        ({"instances": [1], "inputs": [1]}, "takes one of instances and inputs"),
        ({"instances": []}, "at least one image"),
        ({"instances": {}}, "at least one image"),
        ({"inputs": []}, "at least one image"),
        ({"instances": [FILES[0], {"image": FILES[1]}]}, "mixes"),
        ({"instances": [IMAGES[0].tolist(), FILES[1]]}, "mixes"),
        ({"instances": [{"a": 1, "b": 2}]}, "An instance has the inputs a, b"),
        ({"inputs": {"a": 1, "b": 2}}, "inputs has the inputs a, b"),
        ({"inputs": {}}, "has the inputs no name"),
        ({"instances": [7]}, "neither pixels nor a file"),
        ({"instances": [None]}, "neither pixels nor a file"),
        ({"instances": [{"image": {"b64": 7}}]}, "neither pixels nor a file"),
        ({"instances": [{"b64": "§"}]}, "not base64"),
        ({"instances": [[[[1.0, 2, 3]]]]}, "the value 1.0; UINT8"),
        ({"instances": [[[[True, 2, 3]]]]}, "the value true; UINT8"),
        ({"instances": [[[[1, 2, 300]]]]}, "the value 300; UINT8"),
        ({"instances": [[[1, 2, 3]]]}, "The images have shape [1, 1, 3]"),
        ({"instances": [[[[1, 2, 3, 4]]]]}, "takes pixels of shape [images, height, width, 3]"),
        ({"instances": [[[[1, 2, 3]]], [[[1, 2, 3], [4, 5, 6]]]]}, "rows of different lengths"),
        ({"instances": [[[[]]]]}, "The images have shape"),
        ({"instances": FILES, "signature_name": "mask"}, "there are serving_default, class_map"),
        ({"instances": FILES, "signature_name": 7}, "signature_name takes a text"),
        (
            {"instances": [[[[1, 2, 3]]]] * (MAX_BATCH_REQUEST_IMAGES + 1)},
            f"the limit is {MAX_BATCH_REQUEST_IMAGES}",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    server: ServerThread, body: Any, expected: str
) -> None:
    response = server.client.post(PREDICT, json=body)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert expected in response.json()["error"]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["b64", "image", "x"]), inner, max_size=2)
        ),
        max_leaves=15,
    )
)
def test_no_json_raises_anything_but_a_request_error(data: Any) -> None:
    for document in (data, {"instances": data}, {"inputs": data}, {"instances": [data, data]}):
        try:
            text = orjson.dumps(document)
        except TypeError:  # a number of more than 64 bits
            continue
        try:
            parse_request(text)
        except RequestError as error:
            assert str(error)  # noqa: PT017 - most are refused


def test_pixels_sent_to_the_name_for_files_are_refused(server: ServerThread) -> None:
    url = "/v1/models/solvable.file:predict"
    assert server.client.post(url, json={"instances": FILES}).json() == {"predictions": CLASS_MAPS}
    refused = server.client.post(url, json={"instances": IMAGES.tolist()})
    assert "send pixels to solvable" in refused.json()["error"]


@pytest.mark.parametrize("named", ["versions/1", "labels/stable"])
def test_a_version_may_be_named_by_its_number_or_a_label(server: ServerThread, named: str) -> None:
    path = f"/v1/models/solvable/{named}"
    pinned = server.client.post(f"{path}:predict", json={"instances": FILES})
    assert pinned.json() == {"predictions": CLASS_MAPS}
    (state,) = server.client.get(path).json()["model_version_status"]
    assert state["version"] == "1"
    assert server.client.get(f"{path}/metadata").json()["model_spec"]["version"] == "1"


@pytest.mark.parametrize(
    ("model", "label", "status", "words"),
    [
        ("solvable", "canary", 404, "solvable/9"),
        ("solvable", "Stable", 400, "has canary, stable"),
        ("gray", "stable", 400, "has none"),
        ("nobody", "stable", 404, "no model 'nobody'"),
    ],
)
def test_a_label_that_stands_for_nothing_is_refused(
    server: ServerThread, model: str, label: str, status: int, words: str
) -> None:
    path = f"/v1/models/{model}/labels/{label}"
    for method, end in (("POST", ":predict"), ("GET", ""), ("GET", "/metadata")):
        response = server.client.request(method, path + end)
        assert response.status_code == status
        assert words in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/v1/models/nobody/metadata", 404),
        ("POST", "/v1/models/nobody:predict", 404),
        ("GET", "/v1/models/solvable/versions/9", 404),
        ("GET", "/v1/models/solvable/versions/x/metadata", 404),
        ("POST", "/v1/models/solvable:classify", 400),
        ("POST", "/v1/models/solvable:regress", 400),
        ("POST", "/v1/models/solvable", 405),
    ],
)
def test_faults_have_the_body_that_clients_read(
    server: ServerThread, method: str, path: str, status: int
) -> None:
    response = server.client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]


def test_the_status_is_what_both_kinds_of_client_read(server: ServerThread) -> None:
    expected = {
        "name": "solvable",
        "ready": True,
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ],
    }
    assert server.client.get("/v1/models/solvable").json() == expected
    assert server.client.get("/v1/models/solvable/versions/1").json() == expected
    assert {"solvable", "solvable.file"} <= set(server.client.get("/v1/models").json()["models"])


def test_metadata_describes_every_signature(server: ServerThread) -> None:
    found = server.client.get("/v1/models/solvable/metadata").json()
    assert found["model_spec"] == {"name": "solvable", "signature_name": "", "version": "1"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", *RESULTS}
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["image"] == {
        "dtype": "DT_UINT8",
        "tensor_shape": {
            "dim": [{"size": size, "name": ""} for size in ("-1", "-1", "-1", "3")],
            "unknown_rank": False,
        },
        "name": "serving_default_image:0",
    }
    assert set(signatures["png"]["outputs"]) == {"png_bytes"}
    assert set(signatures["rle"]["outputs"]) == {"rle"}
    files = server.client.get("/v1/models/solvable.file/metadata").json()
    of_files = files["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert of_files["inputs"]["image"]["dtype"] == "DT_STRING"
