"""A picture and its enlargement get the same classes, over HTTP and through every format."""

import base64
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from models.contract import FrameScale, PercentileIntensity, read_contract, write_contract
from tests.service.serving import ServerThread, class_map_of, serving
from tests.solvable import save_solvable_model, solve

LONG_SIDE = 64
HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    store = tmp_path_factory.mktemp("store")
    for name, radius in (("frames", 5), ("wide", None)):
        artefact = save_solvable_model(store, name, receptive_field_radius=radius)
        facts = {
            "scale": FrameScale(long_side=LONG_SIDE),
            "intensity": PercentileIntensity(low=0, high=100),
        }
        write_contract(artefact, read_contract(artefact).model_copy(update=facts))
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


def test_native_and_a_factor_are_what_the_caller_asks_for(server: ServerThread) -> None:
    body = saved(enlarged(blobs(), 256, 192), "PNG")
    native = server.client.post("/segment", params={"scale": "native"}, content=body)
    assert native.headers["X-Scale"] == "1"
    expected = solve(np.asarray(enlarged(blobs(), 256, 192)))
    np.testing.assert_array_equal(class_map_of(native), expected)
    half = server.client.post("/segment", params={"scale": "0.5"}, content=body)
    assert half.headers["X-Scale"] == "0.5"
    double = server.client.post("/segment", params={"scale": "2"}, content=body)
    assert double.headers["X-Scale"] == "2"
    assert agreement(class_map_of(double), expected) > 0.95


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


def test_a_deep_picture_gets_the_classes_of_its_8_bit_version(server: ServerThread) -> None:
    gray = np.asarray(Image.fromarray(blobs()).convert("L"))
    for deep in (gray.astype(np.uint16) * 16, gray.astype(np.uint16) * 11 + 200):
        body = saved(Image.fromarray(deep), "PNG")
        answer = server.client.post("/segment", content=body)
        low, high = map(int, answer.headers["X-Intensity"].split(","))
        assert (low, high) == (deep.min(), deep.max())
        full = server.client.post("/segment", params={"intensity": "full"}, content=body)
        assert full.headers["X-Intensity"] == "0,65535"
    eight_bits = server.client.post("/segment", content=saved(Image.fromarray(gray), "PNG"))
    assert "X-Intensity" not in eight_bits.headers


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
