"""A new type of input and a new format cost a file and a row each: here this file holds both."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import Field

from service.app import openapi_document
from service.cli import main
from service.domain.segmentation import Segmentation
from service.domain.source import Samples, SourceInfo, Window
from service.inputs import INPUTS, readable_types
from service.inputs.input import Input, place_of_page, refuse_large, starts_with
from service.outputs import OUTPUTS
from service.outputs.output import Output, OutputOptions
from tests.docs.tables import formats_table, inputs_table
from tests.service.serving import picture, serving
from tests.solvable import solve

MAGIC = b"RAWRGB\0\1"


class RawSource:
    """Height, width, and the pixels as they are."""

    type = "Raw"
    bands = 3
    sample_bytes = 1
    scales: Sequence[float] = (1.0,)
    orientation = 1

    def __init__(self, data: bytes) -> None:
        self.height, self.width = struct.unpack_from("<II", data, len(MAGIC))
        self.info = SourceInfo()
        self._data = data

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        assert window is None
        assert scale == 1.0
        pixels = np.frombuffer(self._data, np.uint8, offset=len(MAGIC) + 8)
        return pixels.reshape(self.height, self.width, 3)

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        yield self.read(scale=scale)

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:  # noqa: ARG002
        assert scale == 1.0
        return 0

    def overhang(self, scale: float) -> tuple[int, int]:
        assert scale == 1.0
        return 0, 0


def open_raw(data: bytes, page: int | None, max_pixels: int) -> RawSource:
    source = RawSource(data)
    refuse_large(source.width, source.height, max_pixels)
    place_of_page("Raw", page, 1)
    return source


def raw(pixels: NDArray[np.uint8]) -> bytes:
    return MAGIC + struct.pack("<II", *pixels.shape[:2]) + pixels.tobytes()


class TextOptions(OutputOptions):
    separator: str = Field(default=" ", description="Between ids.")


def encode_text(segmentation: Segmentation, options: TextOptions) -> Iterator[bytes]:
    for row in segmentation.class_map:
        yield options.separator.join(map(str, row)).encode() + b"\n"


RAW = Input("Raw", ("image/x-raw",), (".rgb",), starts_with(MAGIC), open_raw)
TEXT = Output(
    name="text",
    title="Text",
    extensions={"text/x-class-map": ".map"},
    options=TextOptions,
    description="A line a row.",
    encode=encode_text,
)
LAST_OF_OURS = list(INPUTS)[-1]
PICTURE = picture(5, 7, seed=3)
EXPECTED = "".join(" ".join(map(str, row)) + "\n" for row in solve(PICTURE))


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUTS, "Raw", RAW)
    monkeypatch.setitem(OUTPUTS, "text", TEXT)


def test_both_are_there_over_http(solvable_store: Path) -> None:
    with serving(solvable_store, default_model="solvable") as server:
        body = raw(PICTURE)

        def post(path: str, **headers: str) -> httpx.Response:
            return server.client.post(path, content=body, headers=headers)

        by_name = post("/segment?format=text", **{"Content-Type": "image/x-raw"})
        assert by_name.text == EXPECTED
        assert by_name.headers["Content-Type"].startswith("text/x-class-map")
        assert post("/segment", Accept="text/x-class-map").text == EXPECTED
        assert post("/segment?format=text&separator=,").text == EXPECTED.replace(" ", ",")
        assert "separator" in post("/segment?separator=,").json()["detail"]
        batch = server.client.post(
            "/segment/batch?container=zip&format=text", files={"image": ("a.rgb", body)}
        )
        assert b"a.map" in batch.content
        refused = server.client.post("/segment", content=b"%PDF-").json()["detail"]
        assert refused.endswith(f", {LAST_OF_OURS} or Raw.")
        page = server.client.get("/", headers={"Accept": "text/html"}).text
        assert ".rgb" in page
        assert '"title":"Text"' in page


def test_both_are_there_on_the_command_line(
    solvable_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.rgb").write_bytes(raw(PICTURE))
    (tmp_path / "photos/a.txt").write_bytes(raw(PICTURE))
    arguments = ["predict", str(tmp_path / "photos"), "-o", str(tmp_path / "out"), "-f", "text"]
    store = ["--model-store", str(solvable_store), "-m", "solvable"]
    assert main([*arguments, *store]) == 0, capsys.readouterr()
    written = list((tmp_path / "out").rglob("*.map"))
    assert [path.name for path in written] == ["a.map"]
    assert written[0].read_text() == EXPECTED


def test_both_are_there_in_the_openapi_document() -> None:
    operation = openapi_document()["paths"]["/segment"]["post"]
    assert "image/x-raw" in operation["requestBody"]["content"]
    assert f"{LAST_OF_OURS} or Raw" in operation["requestBody"]["description"]
    assert "text/x-class-map" in operation["responses"]["200"]["content"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert "text" in parameters["format"]["schema"]["enum"]
    assert (
        parameters["separator"]["description"] == "Between ids. Default: ` `. Only for format text."
    )


def test_both_are_there_in_the_tables_of_the_docs() -> None:
    assert "| `text` | `text/x-class-map` | A line a row. |" in formats_table()
    assert "| Raw | `image/x-raw` | .rgb |" in inputs_table()
    assert readable_types("and").endswith(f", {LAST_OF_OURS} and Raw")
