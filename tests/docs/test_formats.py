"""The decoders of docs/formats.md, run as they stand on answers of a real server."""

import base64
import io
import re
import shutil
import time
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from service.outputs import ANSWERS, OutputOptions
from tests.service.serving import ServerThread, png_bytes, serving
from tests.solvable import solve

DOCUMENT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
CLASS_MAP_FORMATS = ("png", "rle", "coco", "polygons", "npz")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def blocks(language: str) -> dict[str, str]:
    """Map the name of each decoder in the document to its code block."""
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return {re.search(r"(?:def|function) (\w+)\(", code)[1]: code for code in found}  # type: ignore[index]


def python_decoder(name: str) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(compile(blocks("python")[name], f"docs/formats.md:{name}", "exec"), namespace)  # noqa: S102
    return namespace[name]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def server(solvable_store: Path) -> Iterator[ServerThread]:
    with serving(solvable_store, default_model="solvable") as running:
        yield running


@pytest.fixture(scope="module")
def page(server: ServerThread) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.goto(f"{server.url}/health/live")
        yield page
        browser.close()


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    """Blobs of 5 pixels: regions with holes, on sides that are no multiple of anything."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    return coarse.repeat(5, axis=0).repeat(5, axis=1)[:43, :57]


def answer(server: ServerThread, image: NDArray[np.uint8], format_name: str) -> bytes:
    response = server.segment(image, format=format_name)
    assert response.status_code == 200, response.text
    return response.content


@pytest.mark.parametrize("format_name", CLASS_MAP_FORMATS)
def test_the_python_decoder_gives_the_class_map(
    server: ServerThread, image: NDArray[np.uint8], format_name: str
) -> None:
    decode = python_decoder(f"decode_{format_name}")
    np.testing.assert_array_equal(decode(answer(server, image, format_name)), solve(image))


@pytest.mark.parametrize("format_name", CLASS_MAP_FORMATS)
def test_the_javascript_decoder_gives_the_class_map(
    server: ServerThread, image: NDArray[np.uint8], page: Page, format_name: str
) -> None:
    decoded = run_javascript(
        page, f"decode{format_name.title()}", answer(server, image, format_name)
    )
    class_map = solve(image)
    assert (decoded["height"], decoded["width"]) == class_map.shape
    np.testing.assert_array_equal(np.array(decoded["ids"]), class_map.reshape(-1))


def test_both_confidence_decoders_agree(
    server: ServerThread, image: NDArray[np.uint8], page: Page
) -> None:
    body = answer(server, image, "confidence")
    expected = image.max(axis=-1) / np.maximum(image.sum(axis=-1, dtype=np.float64), 1e-9)
    np.testing.assert_allclose(python_decoder("decode_confidence")(body), expected, atol=1 / 255)
    decoded = run_javascript(page, "decodeConfidence", body)
    np.testing.assert_allclose(decoded["probability"], expected.reshape(-1), atol=1 / 255)


def test_both_batch_decoders_agree(
    server: ServerThread, image: NDArray[np.uint8], page: Page
) -> None:
    names = ["same.png", "bad.png", "same.png"]
    pictures = [image, None, image[::-1]]
    files = [
        ("image", (name, b"nothing" if picture is None else png_bytes(picture)))
        for name, picture in zip(names, pictures, strict=True)
    ]
    response = server.client.post("/segment/batch?container=ndjson&format=png", files=files)
    by_python = python_decoder("decode_ndjson")(response.content)
    assert set(by_python) == {0, 2}
    for place in by_python:
        mask = python_decoder("decode_png")(by_python[place])
        np.testing.assert_array_equal(mask, solve(pictures[place]))
    by_javascript = run_javascript(page, "decodeNdjson", response.content)
    assert {
        int(place): base64.b64decode(text) for place, text in by_javascript.items()
    } == by_python


def test_both_ways_of_sending_a_picture_give_the_answer(
    server: ServerThread, image: NDArray[np.uint8], page: Page
) -> None:
    body = png_bytes(image)
    expected = answer(server, image, "rle")
    assert python_decoder("segment")(server.url, body, format="rle") == expected
    script = f"""async ([server, encoded]) => {{
        {blocks("js")["segment"]}
        const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
        const file = new File([bytes], "photo.png");
        return new TextDecoder().decode(await segment(server, file, {{ format: "rle" }}));
    }}"""
    assert page.evaluate(script, [server.url, base64.b64encode(body).decode()]).encode() == expected


def test_the_patient_client_says_what_was_wrong_and_waits_where_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, server: ServerThread, image: NDArray[np.uint8]
) -> None:
    send = python_decoder("segment")
    with pytest.raises(RuntimeError, match="not an image of a type we read"):
        send(server.url, b"no picture at all \0")
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    refusals = iter([429, 503])
    opened: Callable[[Any], Any] = send.__globals__["urlopen"]

    def busy(request: Any) -> Any:
        for status in refusals:
            headers = Message()
            headers["Retry-After"] = "3"
            raise HTTPError(request.full_url, status, "busy", headers, io.BytesIO(b"busy"))
        return opened(request)

    monkeypatch.setitem(send.__globals__, "urlopen", busy)
    assert send(server.url, png_bytes(image), format="rle") == answer(server, image, "rle")
    assert len(waits) == 2
    assert all(3 <= wait <= 6 for wait in waits)


def test_every_format_is_documented() -> None:
    for option in OutputOptions.model_fields:
        assert f"`{option}" in DOCUMENT.split("\n## ")[0], f"option {option} is not documented"
    headings = re.findall(r"^## (\w+)$", DOCUMENT, re.MULTILINE)
    assert set(ANSWERS) <= set(headings)
    for name, format in ANSWERS.items():
        section = DOCUMENT.split(f"## {name}\n")[1].split("\n## ")[0]
        for option in set(format.options.model_fields) - set(OutputOptions.model_fields):
            assert f"`{option}" in section, f"option {option} of {name} is not documented"


def run_javascript(page: Page, name: str, body: bytes) -> dict[str, Any]:
    script = f"""async (encoded) => {{
        {blocks("js")[name]}
        const body = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0)).buffer;
        return await {name}(body);
    }}"""
    decoded = page.evaluate(script, base64.b64encode(body).decode())
    assert isinstance(decoded, dict)
    return decoded
