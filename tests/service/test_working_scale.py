"""A picture and its enlargement get the same classes, over HTTP and through every format."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from rasterio.io import MemoryFile

from models.contract import FrameScale, PercentileIntensity, read_contract, write_contract
from service.cli import main
from tests.service.serving import ServerThread, class_map_of, serving
from tests.solvable import save_solvable_model, solve

LONG_SIDE = 64
HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    for name, radius in (("frames", 5), ("wide", None), ("gray", 5)):
        channels: Literal[1, 3] = 1 if name == "gray" else 3
        artefact = save_solvable_model(
            store, name, channels=channels, receptive_field_radius=radius
        )
        facts = {
            "scale": FrameScale(long_side=LONG_SIDE),
            "intensity": PercentileIntensity(low=0, high=100),
        }
        write_contract(artefact, read_contract(artefact).model_copy(update=facts))
    return store


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving(store, default_model="frames", tile_side_pixels=256) as running:
        yield running


def blobs() -> NDArray[np.uint8]:
    """Soft regions of the three classes, at the size of training."""
    coarse = np.random.default_rng(8).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def enlarged(picture: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    return Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, file_format: str, orientation: int = 1) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(file, file_format, exif=exif)
    return file.getvalue()


def agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.mean(one == other))


@pytest.mark.parametrize("model", ["frames", "wide"])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("size", [(128, 96), (255, 191), (513, 385), (1021, 766)])
def test_an_enlargement_gets_the_classes_of_the_picture(
    server: ServerThread, size: tuple[int, int], file_format: str, model: str
) -> None:
    width, height = size
    body = saved(enlarged(blobs(), width, height), file_format)
    answer = server.client.post("/segment", params={"model": model}, content=body)
    assert float(answer.headers["X-Scale"]) == pytest.approx(LONG_SIDE / width, rel=0.26)
    class_map = class_map_of(answer)
    assert class_map.shape == (height, width)
    expected = solve(np.asarray(enlarged(blobs(), width, height)))
    assert agreement(class_map, expected) > 0.95


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_gets_its_mask_upright(
    server: ServerThread, orientation: int, file_format: str
) -> None:
    """With sides that no power of two divides, where a scaled decode begins before the picture."""
    body = saved(enlarged(blobs(), 509, 379), file_format, orientation)
    upright = Image.open(io.BytesIO(body))
    with upright:
        upright.load()
        turned = np.asarray(_upright(upright, orientation))
    class_map = class_map_of(server.client.post("/segment", content=body))
    assert class_map.shape == turned.shape[:2]
    assert agreement(class_map, solve(turned)) > 0.97


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_270],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_90],
    }
    for turn in turns.get(orientation, []):
        image = image.transpose(turn)
    return image


@pytest.mark.parametrize("times", [2, 4, 8])
@pytest.mark.parametrize("model", ["frames", "wide"])
def test_a_picture_and_its_enlargement_agree(server: ServerThread, times: int, model: str) -> None:
    own = server.client.post(
        "/segment", params={"model": model}, content=saved(Image.fromarray(blobs()), "PNG")
    )
    size = times * WIDTH, times * HEIGHT
    for file_format in ("JPEG", "PNG", "TIFF"):
        body = saved(enlarged(blobs(), *size), file_format)
        answer = server.client.post("/segment", params={"model": model}, content=body)
        wanted = np.asarray(
            Image.fromarray(class_map_of(own)).resize(size, Image.Resampling.NEAREST)
        )
        assert agreement(class_map_of(answer), wanted) > 0.95


@pytest.mark.parametrize("size", [(52, 39), (64, 48), (79, 59), (48, 79)])
def test_a_picture_within_a_quarter_of_the_working_size_is_run_as_it_is(
    server: ServerThread, size: tuple[int, int]
) -> None:
    image = enlarged(blobs(), *size)
    answer = server.client.post("/segment", content=saved(image, "PNG"))
    assert answer.headers["X-Scale"] == "1"
    np.testing.assert_array_equal(class_map_of(answer), solve(np.asarray(image)))


def test_native_and_a_factor_are_what_the_caller_asks_for(server: ServerThread) -> None:
    """At native scale in tiles, whose result equals the whole."""
    image = enlarged(blobs(), 613, 459)
    body, expected = saved(image, "PNG"), solve(np.asarray(image))

    def ask(scale: str, **query: str) -> tuple[str, NDArray[np.uint8]]:
        answer = server.client.post("/segment", params={"scale": scale, **query}, content=body)
        used, class_map = answer.headers["X-Scale"], class_map_of(answer)
        assert ("X-Tiles" in answer.headers) == (float(used) > 0.4)
        return used, class_map

    scale, native = ask("native")
    assert scale == "1"
    np.testing.assert_array_equal(native, expected)
    for asked, used in (("0.5", "0.4992"), ("longest=200", "0.3263"), ("1.5", "1.499")):
        scale, class_map = ask(asked)
        assert scale == used
        assert agreement(class_map, expected) > 0.95


def test_every_format_answers_at_the_picture_s_size(server: ServerThread) -> None:
    body = saved(enlarged(blobs(), 512, 384), "JPEG")

    def ask(**query: str) -> bytes:
        answer = server.client.post("/segment", params=query, content=body)
        assert answer.status_code == 200, answer.text
        return answer.content

    ids = np.asarray(Image.open(io.BytesIO(ask())))
    document = json.loads(ask(format="rle"))
    assert (document["width"], document["height"], document["scale"]) == (512, 384, 0.125)
    np.testing.assert_array_equal(
        np.repeat(document["rle"]["values"], document["rle"]["lengths"]).reshape(384, 512), ids
    )
    assert Image.open(io.BytesIO(ask(format="overlay"))).size == (512, 384)
    confidence = np.asarray(Image.open(io.BytesIO(ask(format="confidence"))))
    with np.load(io.BytesIO(ask(format="npz", probabilities="true", dtype="float32"))) as arrays:
        assert arrays["probabilities"].shape == (384, 512, 3)
        np.testing.assert_allclose(arrays["probabilities"].sum(axis=-1), 1, rtol=1e-5)
        np.testing.assert_array_equal(arrays["probabilities"].argmax(axis=-1), ids)
        highest = arrays["probabilities"].max(axis=-1)
        assert np.abs(confidence - 255 * highest).max() < 0.51
    for name in ("coco", "polygons"):
        assert b'"scale":0.125' in ask(format=name)


DEPTHS = {
    "10 bits": lambda pixels: pixels.astype(np.uint16) * 4,
    "12 bits": lambda pixels: pixels.astype(np.uint16) * 16 + 15,
    "14 bits": lambda pixels: pixels.astype(np.uint16) * 64,
    "16 bits": lambda pixels: pixels.astype(np.uint16) * 257,
    "a camera's": lambda pixels: pixels.astype(np.uint16) * 11 + 200,
}


@pytest.mark.parametrize("file_format", ["PNG", "GTiff"])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("model", ["gray", "frames"])
def test_a_deep_picture_gets_the_classes_of_its_8_bit_version(
    server: ServerThread, model: str, depth: str, file_format: str
) -> None:
    """Of 8 bits that go from black to white, for the percentiles are brought to those."""
    image = enlarged(blobs(), 255, 191).convert("L" if model == "gray" else "RGB")
    pixels = np.asarray(image).reshape(191, 255, -1)
    low, high = int(pixels.min()), int(pixels.max())
    pixels = np.rint((pixels - float(low)) * 255 / (high - low)).astype(np.uint8)
    deep: NDArray[np.uint16] = DEPTHS[depth](pixels)

    def ask(samples: NDArray[np.uint8 | np.uint16], **query: str) -> httpx.Response:
        params = {"model": model, **query}
        return server.client.post("/segment", params=params, content=_raster(samples, file_format))

    plain, answer = ask(pixels), ask(deep)
    assert "X-Intensity" not in plain.headers
    assert answer.headers["X-Intensity"] == f"{deep.min()},{deep.max()}"
    assert agreement(class_map_of(plain), class_map_of(answer)) > 0.99
    document = ask(deep, format="rle").json()
    assert document["intensity"] == [deep.min(), deep.max()]
    assert document["scale"] == pytest.approx(float(answer.headers["X-Scale"]), rel=1e-3)
    full = ask(deep, intensity="full")
    assert full.headers["X-Intensity"] == "0,65535"
    named = ask(deep, intensity=f"{deep.min()},{deep.max()}")
    np.testing.assert_array_equal(class_map_of(named), class_map_of(answer))


def _raster(samples: NDArray[np.uint8 | np.uint16], driver: str) -> bytes:
    """By GDAL: Pillow writes no color of 16 bits."""
    bands = np.moveaxis(samples, -1, 0)
    count, height, width = bands.shape
    profile: dict[str, Any] = {"count": count, "height": height, "width": width}
    if driver == "GTiff":
        profile["photometric"] = "rgb" if count == 3 else "minisblack"
    with MemoryFile() as file:
        with file.open(driver=driver, dtype=bands.dtype, **profile) as dataset:
            dataset.write(bands)
        return bytes(file.getbuffer())


def test_a_batch_sees_each_picture_as_it_is_seen_alone(server: ServerThread) -> None:
    bodies = [
        saved(enlarged(blobs(), *size), "JPEG") for size in ((512, 384), (64, 48), (301, 199))
    ]
    query = {"format": "rle", "container": "ndjson"}
    parts = [("image", (f"{place}.jpg", body)) for place, body in enumerate(bodies)]
    answer = server.client.post("/segment/batch", params=query, files=parts)
    lines = sorted(map(json.loads, answer.text.splitlines()), key=lambda line: line["index"])
    alone = [server.client.post("/segment?format=rle", content=body).json() for body in bodies]
    assert [line["result"] for line in lines] == alone
    assert [one["scale"] for one in alone] == [0.125, 1, 0.25]


def test_a_folder_is_seen_as_its_pictures_are_over_http(
    server: ServerThread, store: Path, tmp_path: Path
) -> None:
    body = saved(enlarged(blobs(), 509, 379), "JPEG", 6)
    (tmp_path / "photo.jpg").write_bytes(body)
    command = ["predict", "--model-store", str(store), "-m", "frames", str(tmp_path / "photo.jpg")]
    for query in ({}, {"scale": "native"}, {"scale": "longest=100"}):
        out = tmp_path / "-".join(("out", *query.values()))
        options = [part for name, value in query.items() for part in ("-p", f"{name}={value}")]
        assert main([*command, "-o", str(out), *options]) == 0
        found = np.asarray(Image.open(out / "photo.png"))
        answer = server.client.post("/segment", params=query, content=body)
        np.testing.assert_array_equal(found, class_map_of(answer))


@pytest.mark.parametrize(
    "query", [{"scale": "9"}, {"scale": "small"}, {"intensity": "5"}, {"intensity": "9,1"}]
)
def test_what_cannot_be_meant_is_refused(server: ServerThread, query: dict[str, str]) -> None:
    answer = server.client.post(
        "/segment", params=query, content=saved(Image.new("RGB", (9, 9)), "PNG")
    )
    assert answer.status_code == 400
    assert "it can be" in answer.json()["detail"]


def infer_pixels(
    server: ServerThread, pixels: NDArray[np.uint8], model: str = "frames", **parameters: str
) -> tuple[NDArray[np.uint8], str]:
    """The class map of a tensor by the Open Inference Protocol, and at which scale it was seen."""
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(pixels.shape)}
    request = {
        "inputs": [{**tensor, "data": pixels.reshape(-1).tolist()}],
        "parameters": parameters,
    }
    answer = server.client.post(f"/v2/models/{model}/infer", json=request)
    assert answer.status_code == 200, answer.text
    output = answer.json()["outputs"][0]
    return np.array(output["data"], np.uint8).reshape(output["shape"]), answer.headers["X-Scale"]


@pytest.mark.parametrize("model", ["frames", "wide"])
def test_pixels_are_seen_as_a_file_of_the_same_pixels_is(server: ServerThread, model: str) -> None:
    """A client that decodes a photograph itself must not get another answer for it."""
    large = enlarged(blobs(), 513, 385)
    from_file = server.client.post("/segment", params={"model": model}, content=saved(large, "PNG"))
    class_map, scale = infer_pixels(server, np.asarray(large), model)
    np.testing.assert_array_equal(class_map, class_map_of(from_file))
    assert scale == from_file.headers["X-Scale"] == "0.1247"
    images = np.stack([np.asarray(large), np.asarray(large)[::-1]])
    several, scale = infer_pixels(server, images, model)
    np.testing.assert_array_equal(several[0], class_map)
    assert scale == "0.1247"


def test_pixels_are_seen_at_the_scale_that_the_request_says(server: ServerThread) -> None:
    pixels = np.asarray(enlarged(blobs(), 256, 192))
    class_map, scale = infer_pixels(server, pixels, scale="native")
    assert scale == "1"
    np.testing.assert_array_equal(class_map, solve(pixels))
    assert infer_pixels(server, pixels, scale="longest=128")[1] == "0.5"


def test_rows_of_pixels_are_seen_as_files_are(server: ServerThread) -> None:
    pixels = np.asarray(enlarged(blobs(), 256, 192))
    answer = server.client.post("/v1/models/frames:predict", json={"instances": [pixels.tolist()]})
    assert answer.headers["X-Scale"] == "0.25"
    expected = infer_pixels(server, pixels)[0]
    np.testing.assert_array_equal(np.array(answer.json()["predictions"][0]), expected)


def test_files_of_one_request_each_have_a_scale(server: ServerThread) -> None:
    files = [saved(enlarged(blobs(), 64 * factor, 48 * factor), "PNG") for factor in (1, 4)]
    texts = [base64.b64encode(file).decode() for file in files]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": texts}
    answer = server.client.post(
        "/v2/models/frames/infer", json={"inputs": [tensor], "outputs": [{"name": "rle"}]}
    )
    assert answer.headers["X-Scale"] == "1, 0.25"
    scales = [json.loads(text)["scale"] for text in answer.json()["outputs"][0]["data"]]
    assert scales == [1, 0.25]
