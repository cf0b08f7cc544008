"""Classes that overlap: red, green and blue are wherever their channel is bright, so that a white
pixel is all three and a black one none."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.cli import main
from models.contract import Overlap, read_contract
from service.runtimes.engine import EngineOptions
from service.runtimes.loading import load_engine
from tests.models.export.portable.irs import save_strongest
from tests.service.outputs.maps import read_polygons, read_rle
from tests.service.serving import ServerThread, class_map_of, serving

NAMES = ("red", "green", "blue")
FLAGS = ("--scaling", "0..1", "--yes", "--classes", ",".join(NAMES))
PRIORITY = "blue,red,green"  # the first on top
IDS = (3, 1, 2)


def adopt(file: Path, name: str, store: Path, *flags: str) -> int:
    command = ["adopt", str(file), "--name", name, "--store", str(store), *FLAGS]
    return main([*command, "--priority", PRIORITY, *flags])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`any/1` takes any size and `fixed/1` 32×48 alone."""
    folder = tmp_path_factory.mktemp("overlap")
    for name, size in (("any", None), ("fixed", (32, 48))):
        assert adopt(save_strongest(folder / f"{name}.xml", size), name, folder / "store") == 0
    return folder / "store"


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving(store, default_model="any", tile_side_pixels=64) as running:
        yield running


def blocks(height: int, width: int, side: int = 8) -> NDArray[np.uint8]:
    """Of all eight colors that are dark or bright in each channel."""
    draw = np.random.default_rng(height)
    coarse = draw.choice(np.array([40, 220], np.uint8), (-(-height // side), -(-width // side), 3))
    return coarse.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]


def top(image: NDArray[np.uint8], kept: tuple[int, ...] = IDS) -> NDArray[np.uint8]:
    ids = np.zeros(image.shape[:2], np.uint8)
    for class_id in reversed([i for i in IDS if i in kept]):
        ids[image[..., class_id - 1] > 127] = class_id
    return ids


def masks(body: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.uint8]]]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        index = json.loads(archive.read("masks.json"))
        listed = index["classes"]
        images = {
            one["name"]: np.asarray(Image.open(io.BytesIO(archive.read(one["file"]))))
            for one in listed
        }
    assert {one["name"]: one["pixels"] for one in listed} == {
        name: int((image == 255).sum()) for name, image in images.items()
    }
    return index, images


def test_the_contract_says_which_is_on_top(store: Path) -> None:
    contract = read_contract(store / "any" / "1")
    assert [one.name for one in contract.classes] == ["background", *NAMES]
    assert len({one.color for one in contract.classes}) == len(contract.classes)
    assert contract.background == 0
    assert contract.overlap == Overlap(priority=IDS, threshold=0.5)


@pytest.mark.parametrize("model", ["any", "fixed"])
@pytest.mark.parametrize("size", [(1, 1), (31, 45), (90, 131)])
def test_a_class_map_shows_the_class_on_top(
    server: ServerThread, model: str, size: tuple[int, int]
) -> None:
    image = blocks(*size)
    response = server.segment(image, model=model, scale="native")
    np.testing.assert_array_equal(class_map_of(response), top(image))
    rle = server.segment(image, model=model, scale="native", format="rle")
    np.testing.assert_array_equal(read_rle(rle.content), top(image))
    assert rle.json()["classes_overlap"] is True


@pytest.mark.parametrize("scale", ["native", "0.5"])
@pytest.mark.parametrize(("height", "width"), [(48, 56), (160, 200)])  # whole, and in blended tiles
def test_each_class_has_all_of_its_pixels(
    server: ServerThread, height: int, width: int, scale: str
) -> None:
    image = blocks(height, width, 16 if scale == "0.5" else 8)
    clear = np.ones((height, width), np.bool_)
    if scale == "0.5":  # edges are interpolated
        inner = (np.arange(max(height, width)) - 1) % 16 < 14
        clear = inner[:height, np.newaxis] & inner[np.newaxis, :width]
    there = {name: image[..., place] > 127 for place, name in enumerate(NAMES)}
    there["background"] = ~np.any(list(there.values()), axis=0)

    def ask(**options: str) -> Any:
        return server.segment(image, scale=scale, **options)

    np.testing.assert_array_equal(class_map_of(ask())[clear], top(image)[clear])
    _, pngs = masks(ask(format="masks").content)
    coco = ask(format="coco").json()
    names = {one["id"]: one["name"] for one in coco["categories"]}
    annotated = {
        names[one["category_id"]]: coco_mask.decode(one["segmentation"])
        for one in coco["annotations"]
    }
    assert set(pngs) == set(annotated) == set(there)
    for name, expected in there.items():
        np.testing.assert_array_equal((pngs[name] == 255)[clear], expected[clear])
        np.testing.assert_array_equal(annotated[name], pngs[name] == 255)
    for class_id, name in enumerate(NAMES, start=1):
        drawn = read_polygons(ask(format="polygons", classes=name).content, rest=0)
        np.testing.assert_array_equal(drawn, np.where(pngs[name] == 255, class_id, 0))
        one = class_map_of(ask(classes=name))
        np.testing.assert_array_equal(one, drawn)
    arrays = np.load(io.BytesIO(ask(format="npz", probabilities="true", dtype="float32").content))
    shares = 1 / (1 + np.exp(2 - 4 * image[clear].astype(np.float64) / 255))
    np.testing.assert_allclose(arrays["probabilities"][clear][:, 1:], shares, atol=1e-4)
    none = 1 - shares.max(axis=-1)
    np.testing.assert_allclose(arrays["probabilities"][clear][:, 0], none, atol=1e-4)


def test_confidence_is_of_the_class_on_top_among_those_kept(server: ServerThread) -> None:
    image = blocks(40, 56)
    shares = 1 / (1 + np.exp(2 - 4 * image.astype(np.float64) / 255))
    none = 1 - shares.max(axis=-1, keepdims=True)
    each = np.concatenate([none, shares], axis=-1)

    def read(**options: str) -> NDArray[np.float64]:
        body = server.segment(image, format="confidence", **options).content
        return np.asarray(Image.open(io.BytesIO(body)), np.float64)

    of_top = np.take_along_axis(each, top(image)[..., np.newaxis], -1)[..., 0]
    np.testing.assert_allclose(read(), of_top * 255, atol=0.51)
    shown = top(image, (1,))
    of_red = np.take_along_axis(each, shown[..., np.newaxis], -1)[..., 0]
    of_red[(shown == 0) & (top(image) != 0)] = 0
    np.testing.assert_allclose(read(classes="red"), of_red * 255, atol=0.51)


@pytest.mark.parametrize("name", ["labelstudio", "ultralytics"])
def test_a_format_of_one_class_a_pixel_says_that_it_is(server: ServerThread, name: str) -> None:
    response = server.segment(blocks(20, 20), format=name)
    assert response.status_code == 400
    assert "The classes of any overlap, which this format cannot hold" in response.json()["detail"]


def test_the_tools_that_draw_masks_get_each_whole(server: ServerThread) -> None:
    image = blocks(40, 48)
    white = int(np.all(image > 127, axis=-1).sum())
    assert white
    objects = server.segment(image, format="supervisely").json()["objects"]
    assert [one["classTitle"] for one in objects] == list(NAMES)
    for shapes in ("mask", "polygon"):
        text = server.segment(image, format="cvat", shapes=shapes).text
        assert all(f'label="{name}"' in text for name in NAMES)
    features = server.segment(image, format="qupath").json()["features"]
    assert {one["properties"]["classification"]["name"] for one in features} == set(NAMES)


def test_tensors_of_other_protocols_have_each_class_too(server: ServerThread) -> None:
    image = blocks(24, 32)
    given = {"name": "image", "shape": [1, *image.shape], "datatype": "UINT8"}
    for classes, expected in ((None, top(image)), ("red", top(image, (1,)))):
        parameters = {} if classes is None else {"classes": classes}
        names = ("class_map", "probabilities", "coco")
        request = {
            "inputs": [{**given, "data": image.ravel().tolist()}],
            "outputs": [{"name": name} for name in names],
            "parameters": parameters,
        }
        answer = server.client.post("/v2/models/any/infer", json=request)
        assert answer.status_code == 200, answer.text
        found = {one["name"]: one for one in answer.json()["outputs"]}
        class_map = np.array(found["class_map"]["data"], np.uint8).reshape(image.shape[:2])
        np.testing.assert_array_equal(class_map, expected)
        assert found["probabilities"]["shape"] == [1, 24, 32, 4]
        there = np.array(found["probabilities"]["data"]).reshape(24, 32, 4)[..., 1:] > 0.5
        np.testing.assert_array_equal(there, image > 127)
        coco = json.loads(found["coco"]["data"][0])
        pixels = {one["category_id"] - 1: one["area"] for one in coco["annotations"]}
        assert pixels[1] == int((image[..., 0] > 127).sum())
    rows = {"instances": [image.tolist()], "signature_name": "probabilities"}
    answer = server.client.post("/v1/models/any:predict", json=rows)
    there = np.array(answer.json()["predictions"])[0, ..., 1:] > 0.5
    np.testing.assert_array_equal(there, image > 127)


def test_the_models_of_a_server_say_it(server: ServerThread) -> None:
    contract = server.client.get("/models/any").json()["versions"][0]["contract"]
    assert contract["overlap"] == {"priority": list(IDS), "threshold": 0.5}


@pytest.mark.parametrize("output", ["logits", "sigmoid"])
def test_onnx_runtime_serves_the_same(tmp_path: Path, output: str) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    from tests.models.export.portable.test_onnx import conv_file, onnx

    nodes = None
    if output == "sigmoid":
        nodes = [
            onnx.helper.make_node("Conv", ["image", "w"], ["low"]),
            onnx.helper.make_node("Sigmoid", ["low"], ["mask"]),
        ]
    file = conv_file(tmp_path / "conv.onnx", **({"nodes": nodes} if nodes else {}))
    flags = ["--scaling", "-1..1", "--threshold", "0.6"]
    if output == "logits":
        flags += ["--output", "logits"]
    assert adopt(file, "any", tmp_path / "store", *flags) == 0
    artefact = tmp_path / "store" / "any" / "1"
    contract = read_contract(artefact)
    image = blocks(37, 53)[np.newaxis]
    image[0, :4] = 178  # sigmoid(178 / 127.5 - 1) is 0.598
    answers = []
    for name in ("openvino", "onnx"):
        engine = load_engine(artefact, contract, EngineOptions(name, threads=2))
        answers.append((engine.class_map(image), engine.probabilities(image)))
        engine.close()
    expected = top(image[0])
    expected[:4] = 0
    for class_map, probabilities in answers:
        np.testing.assert_array_equal(class_map[0], expected)
        np.testing.assert_allclose(probabilities, answers[0][1], atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--priority", "blue,red"], "names all classes that overlap, each once"),
        (["--classes", "a,red,green,blue,more"], "names all classes that overlap, each once"),
        (["--output", "probabilities"], "has one class a pixel; leave one of both out"),
        (["--classes", "none,red,green", "--priority", "green,red"], "3 channels and --priority"),
    ],
)
def test_what_cannot_overlap_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    file = save_strongest(tmp_path / "any.xml")
    assert adopt(file, "any", tmp_path / "store", *flags) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "store").exists()
