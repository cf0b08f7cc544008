"""Multipart bodies, whole and broken."""

import re

import httpx
import numpy as np
import pytest

from tests.service.conftest import MAX_BATCH_REQUEST_IMAGES
from tests.service.serving import ServerThread, class_map_of, picture, png_bytes
from tests.solvable import solve

IMAGE = picture(8, 8)
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
WHOLE = HEAD + png_bytes(IMAGE) + b"\r\n--x--\r\n"


def post(
    server: ServerThread, body: bytes, content_type: str = "multipart/form-data; boundary=x"
) -> httpx.Response:
    return server.client.post("/segment", content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    "content_type",
    ['multipart/form-data; boundary="x"', "Multipart/Form-Data;Boundary=x;charset=utf-8"],
)
def test_a_content_type_may_be_written_in_several_ways(
    server: ServerThread, content_type: str
) -> None:
    np.testing.assert_array_equal(class_map_of(post(server, WHOLE, content_type)), solve(IMAGE))


def test_a_body_in_single_bytes_is_put_together(server: ServerThread) -> None:
    chunks = (WHOLE[at : at + 1] for at in range(len(WHOLE)))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = server.client.post("/segment", content=chunks, headers=headers)
    np.testing.assert_array_equal(class_map_of(response), solve(IMAGE))


def test_a_part_needs_no_file_name(server: ServerThread) -> None:
    body = WHOLE.replace(b'; filename="a.png"', b"")
    np.testing.assert_array_equal(class_map_of(post(server, body)), solve(IMAGE))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "before its closing boundary"),
        (b"--x--\r\n", "no part named image"),
        (b"no boundary here", "cannot be read"),
        (WHOLE[:-20], "before its closing boundary"),
        (WHOLE.replace(b'"image"', b'"picture"'), "part named 'picture'"),
        (WHOLE.replace(b"Content-Disposition", b"X-Other"), "part named ''"),
        (HEAD + b"a\r\n" + WHOLE, "more than one part"),
        (
            WHOLE.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 1),
            "cannot be read|larger than",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="format"\r\n\r\nrle\r\n' + WHOLE,
            r"POST /segment\?format=rle",
        ),
    ],
)
def test_a_broken_body_is_refused_with_a_sentence(
    server: ServerThread, body: bytes, words: str
) -> None:
    response = post(server, body)
    assert response.status_code == 400, response.text
    assert re.search(words, response.json()["detail"])


def test_a_boundary_must_be_there(server: ServerThread) -> None:
    response = post(server, WHOLE, "multipart/form-data")
    assert response.status_code == 400
    assert "without a boundary" in response.json()["detail"]


def test_an_endless_boundary_is_refused(server: ServerThread) -> None:
    assert post(server, WHOLE, f"multipart/form-data; boundary={'x' * 5000}").status_code == 400


@pytest.mark.parametrize(
    ("images", "status"), [(MAX_BATCH_REQUEST_IMAGES, 200), (MAX_BATCH_REQUEST_IMAGES + 1, 400)]
)
def test_a_batch_takes_a_set_number_of_images(
    server: ServerThread, images: int, status: int
) -> None:
    files = [("image", png_bytes(IMAGE))] * images
    response = server.client.post("/segment/batch", files=files)
    assert response.status_code == status
    if status == 400:
        assert f"more than {MAX_BATCH_REQUEST_IMAGES} parts" in response.json()["detail"]


def test_a_batch_takes_no_raw_body(server: ServerThread) -> None:
    response = server.client.post(
        "/segment/batch", content=b"x", headers={"Content-Type": "image/png"}
    )
    assert response.status_code == 415


def test_what_curl_sends_by_default_is_taken_as_the_raw_image(server: ServerThread) -> None:
    response = post(server, png_bytes(IMAGE), "application/x-www-form-urlencoded")
    np.testing.assert_array_equal(class_map_of(response), solve(IMAGE))
