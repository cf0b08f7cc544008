"""POST /segment over real HTTP, on a model one can solve in one's head."""

import io

import httpx
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.outputs import OUTPUTS
from tests.service.serving import TIMEOUT_SECONDS, ServerThread, class_map_of, picture, png_bytes
from tests.solvable import solve


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 37), (37, 1), (24, 40), (63, 65), (200, 300)]
)
def test_every_pixel_of_any_size_has_its_class(
    server: ServerThread, height: int, width: int
) -> None:
    image = picture(height, width)
    np.testing.assert_array_equal(class_map_of(server.segment(image)), solve(image))


def test_a_raw_body_and_a_part_give_the_same_answer(server: ServerThread) -> None:
    image = png_bytes(picture(20, 30))
    part = server.client.post("/segment", files={"image": image})
    for content_type in (
        {"Content-Type": "image/png"},
        {"Content-Type": "application/octet-stream"},
        {},
    ):
        raw = server.client.post("/segment", content=image, headers=content_type)
        assert raw.content == part.content


def test_a_chunked_body_without_length_is_read(server: ServerThread) -> None:
    image = picture(20, 30)
    body = png_bytes(image)
    chunks = (body[start : start + 100] for start in range(0, len(body), 100))
    response = server.client.post("/segment", content=chunks, headers={"Content-Type": "image/png"})
    assert response.request.headers["Transfer-Encoding"] == "chunked"
    np.testing.assert_array_equal(class_map_of(response), solve(image))


def test_two_models_answer_side_by_side(server: ServerThread) -> None:
    image = picture(16, 16, channels=1)
    gray = server.segment(image, model="gray")
    assert gray.headers["X-Model"] == "gray/1"
    np.testing.assert_array_equal(class_map_of(gray), solve(image))
    assert server.segment(picture(16, 16), model="solvable").headers["X-Model"] == "solvable/1"


def test_a_pinned_version_answers(server: ServerThread) -> None:
    assert server.segment(picture(8, 8), model="solvable/1").headers["X-Model"] == "solvable/1"


def test_an_answer_says_who_gave_it_and_where_the_time_went(server: ServerThread) -> None:
    response = server.segment(picture(16, 16))
    timing = dict(part.split(";dur=") for part in response.headers["Server-Timing"].split(", "))
    assert list(timing) == ["decode", "queue", "infer", "encode", "total"]
    assert (
        sum(float(value) for name, value in timing.items() if name != "total")
        <= float(timing["total"]) + 0.5
    )
    assert response.headers["X-Model"] == "solvable/1"
    assert response.headers["Vary"] == "Accept, Origin"
    assert "X-Tiles" not in response.headers
    assert "server" not in response.headers


def test_a_tiled_answer_says_so_and_is_exact(server: ServerThread) -> None:
    image = picture(150, 200)
    response = server.segment(image)
    assert int(response.headers["X-Tiles"]) > 1
    assert response.headers["X-Tiles-Blended"] == "false"
    np.testing.assert_array_equal(class_map_of(response), solve(image))


@pytest.mark.parametrize("name", OUTPUTS)
def test_each_format_answers_in_its_own_media_type(server: ServerThread, name: str) -> None:
    response = server.segment(picture(16, 16), format=name)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == OUTPUTS[name].media_types[0]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "image/png"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("application/geo+json", "application/geo+json"),
        ("image/*;q=0.2, application/x-npz;q=0.3", "application/x-npz"),
        ("image/jpeg", "image/jpeg"),
        ("image/png;q=0, image/*", "image/jpeg"),
    ],
)
def test_accept_chooses_the_format(server: ServerThread, accept: str, media_type: str) -> None:
    image = png_bytes(picture(16, 16))
    response = server.client.post("/segment", files={"image": image}, headers={"Accept": accept})
    assert response.headers["Content-Type"] == media_type


def test_format_beats_accept(server: ServerThread) -> None:
    image = png_bytes(picture(16, 16))
    headers = {"Accept": "image/png"}
    response = server.client.post("/segment?format=rle", files={"image": image}, headers=headers)
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("format=overlay", "*/*", "PNG"),
        ("format=overlay", "image/jpeg", "JPEG"),
        ("format=overlay", "application/json", "PNG"),
        ("format=overlay&media_type=image/png", "image/jpeg", "PNG"),
    ],
)
def test_accept_chooses_between_the_media_types_of_a_format(
    server: ServerThread, query: str, accept: str, kind: str
) -> None:
    image = png_bytes(picture(16, 16))
    response = server.client.post(
        f"/segment?{query}", files={"image": image}, headers={"Accept": accept}
    )
    assert Image.open(io.BytesIO(response.content)).format == kind


def test_an_option_reaches_its_format(server: ServerThread) -> None:
    image = picture(16, 16)
    clear = server.segment(image, format="overlay", alpha=0)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(clear.content))), image)


def test_classes_keeps_what_is_named(server: ServerThread) -> None:
    image = picture(16, 16)
    kept = class_map_of(server.segment(image, classes="green"))
    np.testing.assert_array_equal(kept, np.where(solve(image) == 1, 1, 255))


def test_rle_counts_the_pixels_of_each_class(server: ServerThread) -> None:
    image = picture(16, 16)
    document = orjson.loads(server.segment(image, format="rle").content)
    counts = {entry["id"]: entry["pixels"] for entry in document["classes"]}
    assert counts == {
        int(i): int(n) for i, n in zip(*np.unique(solve(image), return_counts=True), strict=True)
    }


def test_a_sane_request_id_comes_back_and_another_is_replaced(server: ServerThread) -> None:
    sane = server.client.get("/health/live", headers={"X-Request-ID": "batch-7/photo.42"})
    assert sane.headers["X-Request-ID"] == "batch-7/photo.42"
    for odd in ("two words", "x" * 129, "a\tb", 'quote"'):
        response = server.client.get("/health/live", headers={"X-Request-ID": odd})
        assert response.headers["X-Request-ID"] != odd
        assert len(response.headers["X-Request-ID"]) == 16


def test_a_page_of_a_known_origin_may_read_the_answer(server: ServerThread) -> None:
    preflight = server.client.options(
        "/segment",
        headers={"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    refused = server.client.post(
        "/segment?format=tiff", headers={"Origin": "https://app.example.org"}
    )
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "X-Model" in refused.headers["Access-Control-Expose-Headers"]
    stranger = server.client.get("/models", headers={"Origin": "https://evil.example.org"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


def test_a_connection_serves_one_request_after_another(server: ServerThread) -> None:
    with httpx.Client(base_url=server.url, timeout=TIMEOUT_SECONDS) as client:
        for _ in range(3):
            response = client.post("/segment", files={"image": png_bytes(picture(8, 8))})
            assert response.headers.get("Connection") != "close"


def stack_of(*images: NDArray[np.uint8]) -> bytes:
    first, *others = map(Image.fromarray, images)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.parametrize("page", [None, 1, 2, 3])
def test_the_page_that_is_used_is_said_and_can_be_chosen(
    server: ServerThread, page: int | None
) -> None:
    images = [picture(8 + place, 9, seed=place) for place in range(3)]
    query = {} if page is None else {"page": page}
    for format in ("png", "rle", "coco", "polygons"):
        answer = server.client.post(
            "/segment", params={"format": format, **query}, files={"image": stack_of(*images)}
        )
        assert answer.headers["X-Page"] == f"{page or 1}/3"
        if format == "png":
            np.testing.assert_array_equal(class_map_of(answer), solve(images[(page or 1) - 1]))
        else:
            document = answer.json()["info"] if format == "coco" else answer.json()
            assert (document["page"], document["pages"]) == (page or 1, 3)


def test_a_page_that_the_file_has_not_is_refused(server: ServerThread) -> None:
    body = stack_of(*[picture(8, 9)] * 2)
    refused = server.client.post("/segment?page=3", content=body)
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (
        400,
        "invalid-option",
    )
    assert "has 2 pages; page 3 was asked for" in refused.json()["detail"]
    assert server.client.post("/segment?page=0", content=body).status_code == 400
    single = server.client.post("/segment", content=png_bytes(picture(8, 9)))
    assert "X-Page" not in single.headers


@pytest.mark.parametrize(
    ("sent", "named"),
    [("photo.jpg", "photo.jpg"), ("C:\\trip\\a.png", "a.png"), ("../b.png", "b.png")],
)
def test_coco_names_the_picture_as_it_was_sent(server: ServerThread, sent: str, named: str) -> None:
    files = {"image": (sent, png_bytes(picture(4, 5)))}
    document = server.client.post("/segment?format=coco", files=files).json()
    assert document["images"][0]["file_name"] == named
    raw = server.client.post("/segment?format=coco", content=png_bytes(picture(4, 5))).json()
    assert raw["images"][0]["file_name"] == "image"
