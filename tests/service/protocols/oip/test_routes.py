"""/v2 over real HTTP, on a model one can solve in one's head."""

import base64
import gzip
import io
import struct
import time
import zlib
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.protocols.budgets import Share
from tests.service.conftest import MAX_BATCH_REQUEST_IMAGES, MAX_BATCH_UPLOAD_BYTES
from tests.service.serving import ServerThread, picture, png_bytes, wait_until
from tests.solvable import solve

INFER = "/v2/models/solvable/infer"
INFER_FILES = "/v2/models/solvable.file/infer"
LENGTH = "Inference-Header-Content-Length"


def ask(
    image: NDArray[np.uint8], outputs: Any = None, **parameters: Any
) -> tuple[bytes, dict[str, str]]:
    """A request as tritonclient writes it: the pixels behind the JSON."""
    document: dict[str, Any] = {
        "inputs": [
            {
                "name": "image",
                "datatype": "UINT8",
                "shape": list(image.shape),
                "parameters": {"binary_data_size": image.nbytes},
            }
        ],
        "parameters": parameters,
    }
    if outputs is not None:
        document["outputs"] = outputs
    text = orjson.dumps(document)
    return text + image.tobytes(), {LENGTH: str(len(text))}


def ask_files(*files: bytes, **more: Any) -> dict[str, Any]:
    """A request as a KServe client writes it: files as base64."""
    texts = [base64.b64encode(file).decode() for file in files]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(files)], "data": texts}
    return {"inputs": [tensor], **more}


def outputs_of(response: httpx.Response) -> dict[str, Any]:
    """Each output by name: an array, or a list of files."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(LENGTH, len(response.content)))
    assert response.headers["content-type"] == (
        "application/octet-stream" if LENGTH in response.headers else "application/json"
    )
    behind = response.content[length:]
    found: dict[str, Any] = {}
    for output in orjson.loads(response.content[:length])["outputs"]:
        if "data" in output:
            assert "parameters" not in output
            found[output["name"]] = output["data"]
            continue
        size = output["parameters"]["binary_data_size"]
        data, behind = behind[:size], behind[size:]
        if output["datatype"] == "BYTES":
            files = []
            while data:
                (length,) = struct.unpack_from("<I", data)
                files.append(data[4 : 4 + length])
                data = data[4 + length :]
            assert output["shape"] == [len(files)]
            found[output["name"]] = files
        else:
            kind = {"UINT8": "u1", "FP32": "<f4"}[output["datatype"]]
            found[output["name"]] = np.frombuffer(data, kind).reshape(output["shape"])
    assert not behind
    return found


def test_pixels_come_back_as_a_class_map(server: ServerThread) -> None:
    image = picture(24, 40)
    body, headers = ask(image, binary_data_output=True)
    response = server.client.post(INFER, content=body, headers=headers)
    np.testing.assert_array_equal(outputs_of(response)["class_map"], solve(image))
    assert response.headers["X-Model"] == "solvable/1"
    assert "infer;dur=" in response.headers["Server-Timing"]


def test_several_images_of_one_tensor_keep_their_order(server: ServerThread) -> None:
    images = np.stack([picture(16, 20, seed) for seed in range(MAX_BATCH_REQUEST_IMAGES)])
    body, headers = ask(images, binary_data_output=True)
    class_map = outputs_of(server.client.post(INFER, content=body, headers=headers))["class_map"]
    assert class_map.shape == images.shape[:3]
    for index, image in enumerate(images):
        np.testing.assert_array_equal(class_map[index], solve(image))


def test_all_tensors_and_files_are_given_together_in_the_order_asked_for(
    server: ServerThread,
) -> None:
    image = picture(16, 20)
    outputs: list[dict[str, Any]] = [
        {"name": "png", "parameters": {"binary_data": True}},
        {"name": "probabilities", "parameters": {"binary_data": True}},
        {"name": "rle"},
        {"name": "confidence", "parameters": {"binary_data": True}},
        {"name": "class_map", "parameters": {"binary_data": True}},
    ]
    in_json: tuple[bytes, dict[str, str]] = (
        orjson.dumps(ask_files(png_bytes(image), outputs=outputs)),
        {},
    )
    for body, headers in (ask(image, outputs), in_json):
        response = server.client.post(INFER, content=body, headers=headers)
        found = outputs_of(response)
        assert list(found) == [output["name"] for output in outputs]
        probabilities = found["probabilities"].reshape(16, 20, 3)
        np.testing.assert_array_equal(found["class_map"].reshape(16, 20), solve(image))
        np.testing.assert_array_equal(probabilities.argmax(-1), solve(image))
        np.testing.assert_array_equal(
            found["confidence"].reshape(16, 20), np.rint(probabilities.max(-1) * 255)
        )
        assert found["png"] == [server.segment(image).content]
        assert orjson.loads(found["rle"][0])["width"] == 20


def test_files_of_several_sizes_come_back_as_files_in_order(server: ServerThread) -> None:
    images = [picture(8 + seed, 20 - seed, seed) for seed in range(3)]
    document = ask_files(*map(png_bytes, images), outputs=[{"name": "png"}])
    found = outputs_of(server.client.post(INFER_FILES, json=document))
    expected = [server.segment(image).content for image in images]
    assert [base64.b64decode(text) for text in found["png"]] == expected


def test_files_of_several_sizes_are_no_tensor(server: ServerThread) -> None:
    document = ask_files(png_bytes(picture(8, 9)), png_bytes(picture(9, 8)))
    response = server.client.post(INFER_FILES, json=document)
    assert response.status_code == 400
    assert "several sizes" in response.json()["error"]


def test_curl_sends_the_bare_file(server: ServerThread) -> None:
    image = picture(12, 10)
    headers = {LENGTH: "0", "Content-Type": "application/x-www-form-urlencoded"}
    for url in (INFER, INFER_FILES):
        response = server.client.post(url, content=png_bytes(image), headers=headers)
        np.testing.assert_array_equal(outputs_of(response)["class_map"], [solve(image)])


def test_a_file_as_a_vector_of_bytes_goes_to_the_name_for_files(server: ServerThread) -> None:
    file = np.frombuffer(png_bytes(picture(12, 10)), np.uint8)
    for vector in (file, file[np.newaxis]):
        body, headers = ask(vector, binary_data_output=True)
        response = server.client.post(INFER_FILES, content=body, headers=headers)
        np.testing.assert_array_equal(outputs_of(response)["class_map"], [solve(picture(12, 10))])
        refused = server.client.post(INFER, content=body, headers=headers)
        assert refused.status_code == 400
        assert "to solvable.file" in refused.json()["error"]


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_the_header_counts_the_json_of_a_compressed_body_unpacked(
    server: ServerThread, coding: str, pack: Any
) -> None:
    image = np.full((30, 40, 3), 7, np.uint8)
    body, headers = ask(image, binary_data_output=True)
    response = server.client.post(
        INFER, content=pack(body), headers={**headers, "Content-Encoding": coding}
    )
    np.testing.assert_array_equal(outputs_of(response)["class_map"], solve(image))


def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(server: ServerThread) -> None:
    bomb = gzip.compress(bytes(MAX_BATCH_UPLOAD_BYTES + 1))
    response = server.client.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert str(MAX_BATCH_UPLOAD_BYTES) in response.json()["error"]


def test_what_was_unpacked_counts_among_the_uploads_until_it_is_answered(
    server: ServerThread,
) -> None:
    uploads = server.parts.uploads
    body, headers = ask(np.zeros((20, 30, 3), np.uint8))
    packed, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    assert server.client.post(INFER, content=packed, headers=headers).is_success
    wait_until(lambda: uploads.held == 0, "the bytes to be given back")
    share = Share(uploads)
    share.take(uploads.limit - len(packed))  # room for what is sent, and not for what is in it
    try:
        refused = server.client.post(INFER, content=packed, headers=headers)
    finally:
        share.release()
    assert refused.status_code == 429
    assert "Retry-After" in refused.headers


def test_nothing_is_compressed_unasked(server: ServerThread) -> None:
    for path in ("/v2", INFER):
        response = server.client.get(path, headers={"Accept-Encoding": "gzip, deflate, br"})
        assert "content-encoding" not in response.headers


def test_a_gray_model_says_and_takes_one_channel(server: ServerThread) -> None:
    assert server.client.get("/v2/models/gray").json()["inputs"][0]["shape"] == [-1, -1, -1, 1]
    image = picture(9, 11, channels=1)
    body, headers = ask(image, binary_data_output=True)
    response = server.client.post("/v2/models/gray/infer", content=body, headers=headers)
    np.testing.assert_array_equal(outputs_of(response)["class_map"], solve(image))


def test_the_id_and_the_version_come_back(server: ServerThread) -> None:
    document = ask_files(png_bytes(picture(8, 8)), id="my-7")
    found = server.client.post("/v2/models/solvable/versions/1/infer", json=document).json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("my-7", "solvable", "1")
    unnamed = server.client.post(INFER_FILES, json=ask_files(png_bytes(picture(8, 8)))).json()
    assert "id" not in unnamed
    assert unnamed["model_name"] == "solvable.file"


def test_options_of_an_output_stand_with_it_or_with_the_request(server: ServerThread) -> None:
    image = picture(16, 16)
    body, headers = ask(image, [{"name": "polygons", "parameters": {"classes": "red"}}])
    own = outputs_of(server.client.post(INFER, content=body, headers=headers))
    body, headers = ask(image, [{"name": "polygons"}], classes="red")
    common = outputs_of(server.client.post(INFER, content=body, headers=headers))
    expected = server.segment(image, format="polygons", classes="red").json()
    assert orjson.loads(own["polygons"][0]) == orjson.loads(common["polygons"][0]) == expected


def test_classes_left_out_are_left_out_of_the_tensors_too(server: ServerThread) -> None:
    image = picture(16, 16)
    outputs = [{"name": "class_map"}, {"name": "confidence"}]
    for content, headers in (
        ask(image, outputs, classes="red"),
        (
            orjson.dumps(
                ask_files(png_bytes(image), outputs=outputs) | {"parameters": {"classes": "red"}}
            ),
            {},
        ),
    ):
        found = outputs_of(server.client.post(INFER, content=content, headers=headers))
        left_out = solve(image).reshape(-1) != 0
        assert (np.array(found["class_map"])[left_out] == 255).all()
        assert (np.array(found["confidence"])[left_out] == 0).all()
        assert (np.array(found["class_map"])[~left_out] == 0).all()


@pytest.mark.parametrize(
    ("change", "status", "expected"),
    [
        ({"outputs": [{"name": "mask"}]}, 400, "the outputs are class_map, probabilities"),
        ({"outputs": [{"name": "png"}, {"name": "png"}]}, 400, "asked for twice"),
        ({"parameters": {"clases": "red"}}, 400, "Parameter clases is not one of class_map"),
        ({"parameters": {"classes": "cat"}}, 400, "'cat'"),
        ({"parameters": {"timeout": -1}}, 400, "whole microseconds"),
        ({"parameters": {"timeout": "soon"}}, 400, "whole microseconds"),
        ({"parameters": {"timeout": 1e300}}, 400, "whole microseconds"),
        (
            {"outputs": [{"name": "class_map", "parameters": {"classification": 3}}]},
            400,
            "gives a class to every pixel",
        ),
        (
            {"outputs": [{"name": "overlay", "parameters": {"alpha": 7}}]},
            400,
            "Parameter alpha of output overlay is '7'",
        ),
        ({"parameters": {"shared_memory_region": "x"}}, 400, "shared memory"),
        (
            {
                "outputs": [
                    {"name": "png", "parameters": {"page": 1}},
                    {"name": "rle", "parameters": {"page": 2}},
                ]
            },
            400,
            "share the parameter page",
        ),
        ({"parameters": {"page": 7}}, 400, "page"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_what_can(
    server: ServerThread, change: dict[str, Any], status: int, expected: str
) -> None:
    document = ask_files(png_bytes(picture(8, 8))) | change
    response = server.client.post(INFER, json=document)
    assert response.status_code == status, response.text
    assert expected in response.json()["error"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 16, 16), "The channels come last"),
        ((2, 3, 16, 16), "The channels come last"),
        ((16, 16), "solvable takes UINT8 pixels of shape [images, height, width, 3]"),
        ((16, 16, 4), "solvable takes UINT8 pixels of shape"),
        ((1, 1, 16, 16, 3), "solvable takes UINT8 pixels of shape"),
        ((MAX_BATCH_REQUEST_IMAGES + 1, 4, 4, 3), f"the limit is {MAX_BATCH_REQUEST_IMAGES}"),
    ],
)
def test_pixels_of_another_shape_are_refused_with_the_one_to_send(
    server: ServerThread, shape: tuple[int, ...], expected: str
) -> None:
    body, headers = ask(np.zeros(shape, np.uint8))
    response = server.client.post(INFER, content=body, headers=headers)
    assert response.status_code == 400
    assert expected in response.json()["error"]


def test_the_page_of_a_file_is_chosen_and_pixels_have_none(server: ServerThread) -> None:
    pages = [picture(9, 7, seed) for seed in range(2)]
    file = io.BytesIO()
    first, second = map(Image.fromarray, pages)
    first.save(file, "TIFF", save_all=True, append_images=[second])
    document = ask_files(file.getvalue(), parameters={"page": 2})
    document["outputs"] = [{"name": "class_map", "parameters": {"binary_data": True}}]
    found = outputs_of(server.client.post(INFER, json=document))
    np.testing.assert_array_equal(found["class_map"][0], solve(pages[1]))
    body, headers = ask(pages[0], page=2)
    refused = server.client.post(INFER, content=body, headers=headers)
    assert refused.status_code == 400
    assert "pixels are taken as they are" in refused.json()["error"]


def test_pixels_sent_to_the_name_for_files_are_refused(server: ServerThread) -> None:
    body, headers = ask(picture(8, 8))
    response = server.client.post(INFER_FILES, content=body, headers=headers)
    assert "send pixels to solvable" in response.json()["error"]


def test_one_bad_file_of_several_is_named(server: ServerThread) -> None:
    document = ask_files(png_bytes(picture(8, 8)), b"no image at all")
    response = server.client.post(INFER, json=document)
    assert response.status_code == 415
    assert response.json()["error"].startswith("Image 1: ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nowhere", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/v2/models/solvable/versions/9", 404),
        ("GET", "/v2/models/solvable/versions/one/ready", 404),
        ("GET", INFER, 405),
        ("POST", INFER, 400),
        ("POST", "/v2/models/nobody/infer", 404),
        ("GET", "/v2/trace/setting", 404),
        ("POST", "/v2/repository/models/solvable/unload", 400),
        ("POST", "/v2/repository/models/nobody/unload", 404),
    ],
)
def test_every_fault_is_json_with_the_one_member_that_clients_read(
    server: ServerThread, method: str, path: str, status: int
) -> None:
    response = server.client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert isinstance(response.json()["error"], str)


def test_both_spellings_of_the_root_answer_without_a_redirect(server: ServerThread) -> None:
    for path in ("/v2", "/v2/"):
        response = server.client.get(path)
        assert response.status_code == 200
        assert response.json()["name"] == "segserve"
        assert "binary_tensor_data" in response.json()["extensions"]


def test_health_satisfies_every_reader(server: ServerThread) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert server.client.get(path).json() == {"live": True, "ready": True}
    for path in ("/v2/models/solvable/ready", "/v2/models/solvable/versions/1/ready"):
        assert server.client.get(path).json() == {"name": "solvable", "ready": True}


def test_metadata_and_config_have_one_input_and_one_output(server: ServerThread) -> None:
    assert server.client.get("/v2/models/solvable").json() == {
        "name": "solvable",
        "versions": ["1"],
        "platform": "segserve",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [{"name": "class_map", "datatype": "UINT8", "shape": [-1, -1, -1]}],
    }
    files = server.client.get("/v2/models/solvable.file/versions/1").json()
    assert files["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1, 1]}]
    config = server.client.get("/v2/models/solvable/config").json()
    assert config["max_batch_size"] == MAX_BATCH_REQUEST_IMAGES
    assert config["input"][0] == {
        "name": "image",
        "data_type": "TYPE_UINT8",
        "format": "FORMAT_NHWC",
        "dims": [-1, -1, 3],
    }
    assert config["parameters"]["classes"] == {"string_value": "red,green,blue"}


def test_the_repository_lists_both_names_of_a_model(server: ServerThread) -> None:
    index = server.client.post("/v2/repository/index").json()
    assert {"name": "solvable", "version": "1", "state": "READY", "reason": ""} in index
    assert {"name": "solvable.file", "version": "1", "state": "READY", "reason": ""} in index
    assert server.client.post("/v2/repository/index", json={"ready": True}).json() == index
    assert "solvable.file" in server.client.get("/v2/models").json()["models"]
    refused = server.client.post("/v2/repository/index", json={"ready": 1})
    assert refused.status_code == 400


def test_loading_what_is_loaded_is_done_at_once(server: ServerThread) -> None:
    loaded = server.client.post("/v2/repository/models/solvable/load", json={})
    assert (loaded.status_code, loaded.content) == (200, b"")
    refused = server.client.post(
        "/v2/repository/models/solvable/load", json={"parameters": {"config": "{}"}}
    )
    assert refused.status_code == 400
    assert "into the store" in refused.json()["error"]


def test_statistics_count_each_image_and_only_grow(server: ServerThread) -> None:
    def read() -> dict[str, Any]:
        found = server.client.get("/v2/models/solvable/stats").json()["model_stats"]
        assert [one["version"] for one in found] == ["1"]
        return dict(found[0])

    before = read()
    server.client.post(INFER, json=ask_files(*[png_bytes(picture(8, 8))] * 3))
    body, headers = ask(np.stack([picture(8, 8)] * 2))
    server.client.post(INFER, content=body, headers=headers)
    after = read()
    assert after["inference_count"] == before["inference_count"] + 5
    assert after["last_inference"] > before["last_inference"]
    assert abs(after["last_inference"] / 1000 - time.time()) < 3600
    assert after["execution_count"] > before["execution_count"]
    for name, duration in after["inference_stats"].items():
        assert duration["count"] >= before["inference_stats"][name]["count"]
        assert duration["ns"] >= before["inference_stats"][name]["ns"]
        assert type(duration["ns"]) is int
    assert set(after["inference_stats"]) >= {
        "success",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    }
    every = server.client.get("/v2/models/stats").json()["model_stats"]
    assert {one["name"] for one in every} >= {"solvable", "gray"}


def test_a_timeout_of_the_request_is_kept(server: ServerThread) -> None:
    document = ask_files(png_bytes(picture(64, 64)), parameters={"timeout": 1})
    response = server.client.post(INFER, json=document)
    assert response.status_code == 504
    assert "deadline" in response.json()["error"]


def test_requests_are_counted_under_their_route(server: ServerThread) -> None:
    labels = {"route": "/v2/models/{name}/infer", "code": "200"}
    before = server.metric("segserve_requests_total", labels)
    server.client.post(INFER, json=ask_files(png_bytes(picture(8, 8))))
    assert server.metric("segserve_requests_total", labels) == before + 1
