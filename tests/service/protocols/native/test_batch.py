"""POST /segment/batch: many images, and what goes wrong with some of them."""

import base64
import io
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.protocols.native.batch import safe_stems
from tests.service.flaky import FAIL, SLOW, mood
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.solvable import solve

IMAGES = [picture(10 + n, 20, seed=n) for n in range(3)]


def post(server: ServerThread, files: list[tuple[str, bytes]], **query: Any) -> httpx.Response:
    parts = [("image", (name, body)) for name, body in files]
    response = server.client.post("/segment/batch", params=query, files=parts)
    assert response.status_code == 200, response.text
    return response


def unpack(response: httpx.Response) -> Mapping[str, bytes]:
    assert response.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def read_lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in response.text.splitlines()]


def test_a_zip_has_the_mask_of_each_image(server: ServerThread) -> None:
    files = [(f"photo{n}.jpg", png_bytes(image)) for n, image in enumerate(IMAGES)]
    masks = unpack(post(server, files))
    assert set(masks) == {"photo0.png", "photo1.png", "photo2.png"}
    for n, image in enumerate(IMAGES):
        mask = np.array(Image.open(io.BytesIO(masks[f"photo{n}.png"])))
        np.testing.assert_array_equal(mask, solve(image))


def test_a_bad_image_fails_only_its_own_entry(server: ServerThread) -> None:
    files = [
        ("a.png", png_bytes(IMAGES[0])),
        ("b.png", b"no picture"),
        ("c.png", png_bytes(mood(FAIL))),
    ]
    entries = unpack(post(server, files, model="flaky"))
    assert set(entries) == {"a.png", "errors.json"}
    errors = orjson.loads(entries["errors.json"])
    assert [(e["index"], e["filename"], e["problem"]["status"]) for e in errors] == [
        (1, "b.png", 415),
        (2, "c.png", 500),
    ]


def test_ndjson_comes_in_the_order_of_readiness(server: ServerThread) -> None:
    files = [
        ("slow.png", png_bytes(mood(SLOW))),
        ("bad.png", b""),
        ("fast.png", png_bytes(IMAGES[0])),
    ]
    lines = read_lines(post(server, files, model="flaky", container="ndjson", format="rle"))
    assert sorted(line["index"] for line in lines) == [0, 1, 2]
    assert lines[0]["filename"] == "bad.png"
    assert lines[0]["problem"]["status"] == 422
    by_name = {line["filename"]: line for line in lines}
    assert by_name["fast.png"]["result"]["width"] == 20
    assert by_name["fast.png"]["model"] == "flaky/1"
    assert set(by_name["slow.png"]["seconds"]) == {"decode", "queue", "infer", "encode"}


def test_ndjson_carries_binary_answers_as_base64(server: ServerThread) -> None:
    (line,) = read_lines(post(server, [("a.png", png_bytes(IMAGES[0]))], container="ndjson"))
    mask = np.array(Image.open(io.BytesIO(base64.b64decode(line["result_base64"]))))
    np.testing.assert_array_equal(mask, solve(IMAGES[0]))
    assert (line["media_type"], line["width"], line["height"]) == ("image/png", 20, 10)


def test_accept_chooses_the_container(server: ServerThread) -> None:
    files = {"image": png_bytes(IMAGES[0])}
    answer = server.client.post(
        "/segment/batch", files=files, headers={"Accept": "application/x-ndjson"}
    )
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    refused = server.client.post("/segment/batch", files=files, headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert "application/zip" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("container=tar", 400),
        ("alpha=1", 400),
        ("model=strete", 404),
        ("format=tiff", 406),
        ("classes=zebra", 200),
    ],
)
def test_a_wrong_wish_is_refused_at_once_where_it_can_be(
    server: ServerThread, query: str, status: int
) -> None:
    files = {"image": png_bytes(IMAGES[0])}
    assert server.client.post(f"/segment/batch?{query}", files=files).status_code == status


def test_a_batch_larger_than_the_engines_is_answered_whole(server: ServerThread) -> None:
    files = [("same.png", png_bytes(IMAGES[n % 3])) for n in range(4)]
    assert set(unpack(post(server, files))) == {
        "same.png",
        "same-2.png",
        "same-3.png",
        "same-4.png",
    }


def test_several_batches_beside_each_other_find_room_in_the_queue(solvable_store: Path) -> None:
    files = [(f"{n}.png", png_bytes(IMAGES[n % 3])) for n in range(12)]
    with (
        serving(solvable_store, max_queue_images=4, models=("solvable",)) as server,
        ThreadPoolExecutor(3) as callers,
    ):
        answers = list(callers.map(lambda _: unpack(post(server, files)), range(3)))
    assert [set(entries) for entries in answers] == [{name for name, _ in files}] * 3


@pytest.mark.parametrize(
    ("filename", "stem"),
    [
        ("street.jpg", "street"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\me.png", "me"),
        ("/", "image-0"),
        ("", "image-0"),
        (".hidden", "image-0"),
        ("..", "image-0"),
        ("a.b.c", "a.b"),
        ("tab\there.png", "tab_here"),
        ("Größe.png", "Größe"),
        ("errors.png", "errors-2"),
        ("x" * 300 + ".png", "x" * 100),
    ],
)
def test_a_file_name_is_made_safe(filename: str, stem: str) -> None:
    assert safe_stems([filename]) == [stem]


@given(st.lists(st.text(max_size=20), max_size=10))
def test_no_two_entries_of_a_zip_share_a_name(filenames: list[str]) -> None:
    stems = safe_stems(filenames)
    assert len({stem.casefold() for stem in stems}) == len(filenames)
    for stem in stems:
        assert stem
        assert not set(stem) & set('/\\\0:*?"<>|')
        assert not stem.startswith(".")


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["x.jpg", "x.png", "x.webp", "y.jpg"], ["x.jpg", "x.png", "x.webp", "y"]),
        (["b.jpg", "b.jpg", "c.jpg"], ["b", "b-2", "c"]),
        (["one/b.jpg", "two/b.jpg", "B.JPG"], ["b", "b-2", "B-3"]),
        (["one/b.jpg", "two/b.png", "B.JPG"], ["b.jpg", "b.png", "B.JPG-2"]),
        (["x.jpg", "x.jpg.png"], ["x", "x.jpg"]),
        ([".png", "", "a"], ["image-0", "image-1", "a"]),
    ],
)
def test_pictures_of_one_name_keep_their_whole_names(names: list[str], stems: list[str]) -> None:
    assert safe_stems(names) == stems
