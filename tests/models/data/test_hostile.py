"""Annotation files with anything in any place: each reader says what is wrong in sentences, within
bounds of time and memory, and never with a traceback.
"""

import base64
import copy
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import DatasetError
from models.data.options import SplitOptions
from models.data.reading import scan_dataset
from service.outputs.brush import encode_brush

WIDTH, HEIGHT = 8, 6
Json: TypeAlias = Any
DEEP: Json = []
for _ in range(900):
    DEEP = [DEEP]
HOSTILE: tuple[Json, ...] = (
    None,
    True,
    -1,
    10**30,
    1e308,
    "",
    "x" * 70_000,
    "\ud83d\ude00../../etc/passwd\x00",
    [],
    [[]],
    {},
    [1e308, -1e308],
    [2**31] * 7,
    DEEP,
)


def bitmap_data() -> str:
    png = io.BytesIO()
    Image.fromarray(np.ones((2, 3), np.uint8) * 255).save(png, "PNG")
    return base64.b64encode(zlib.compress(png.getvalue())).decode()


def label_studio() -> Json:
    rle = encode_brush(np.ones((HEIGHT, WIDTH), np.bool_)).tolist()
    common = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    values = [
        {"format": "rle", "rle": rle, "brushlabels": ["road"]},
        {"points": [[0, 0], [50, 0], [50, 50]], "closed": True, "polygonlabels": ["sky"]},
        {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 3, "rectanglelabels": ["sky"]},
        {"x": 50, "y": 50, "radiusX": 9, "radiusY": 9, "ellipselabels": ["sky"]},
    ]
    result = [
        {"id": str(n), "type": "x", "from_name": "tag", "to_name": "image", **common, "value": v}
        for n, v in enumerate(values)
    ]
    annotation = {"id": 1, "result": result, "was_cancelled": False, "created_at": "2026"}
    return [{"id": 1, "data": {"image": "a.png"}, "annotations": [annotation]}]


def label_studio_min() -> Json:
    rle = encode_brush(np.ones((HEIGHT, WIDTH), np.bool_)).tolist()
    value = {"format": "rle", "rle": rle, "brushlabels": ["road"]}
    value |= {"original_width": WIDTH, "original_height": HEIGHT}
    return [{"id": 1, "annotation_id": 1, "image": "a.png", "tag": [value]}]


def supervisely() -> Json:
    shapes: list[Json] = [
        {"classTitle": "road", "geometryType": "bitmap",
         "bitmap": {"data": bitmap_data(), "origin": [1, 1]}},
        {"classTitle": "sky", "geometryType": "polygon",
         "points": {"exterior": [[0, 0], [4, 0], [4, 4]], "interior": [[[1, 1], [2, 1], [2, 2]]]}},
        {"classTitle": "sky", "geometryType": "rectangle",
         "points": {"exterior": [[0, 0], [4, 4]], "interior": []}},
    ]  # fmt: skip
    return {"size": {"height": HEIGHT, "width": WIDTH}, "objects": shapes}


META = {"classes": [{"title": "road", "color": "#ff0000"}, {"title": "sky", "color": "#00ff00"}]}


def qupath() -> Json:
    classification = {"name": "road", "color": [1, 2, 3]}
    ring = [[0, 0], [4, 0], [4, 4], [0, 0]]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"objectType": "annotation", "classification": classification},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        ],
    }


def coco() -> Json:
    segmentation = [
        [[0, 0, 4, 0, 4, 4]],
        {"size": [HEIGHT, WIDTH], "counts": [10, 20, 18]},
        {"size": [HEIGHT, WIDTH], "counts": "0`1"},
    ]
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "road"}, {"id": 2, "name": "sky"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": s}
            for n, s in enumerate(segmentation)
        ],
    }


def labelme() -> Json:
    shapes: list[Json] = [
        {"label": "road", "shape_type": kind, "points": points, "flags": {}, "group_id": None}
        for kind, points in (
            ("polygon", [[0, 0], [4, 0], [4, 4]]),
            ("circle", [[3, 3], [4, 4]]),
            ("rectangle", [[0, 0], [2, 2]]),
            ("linestrip", [[0, 0], [2, 2]]),
        )
    ]
    size = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
    return {"version": "5", "shapes": shapes, "imagePath": "a.png", "imageData": None, **size}


def mapillary() -> Json:
    return {"labels": [{"name": n, "readable": n, "color": [1, 2, 3]} for n in ("road", "sky")]}


FILES: dict[str, tuple[str, Callable[[], Json]]] = {
    "labelstudio": ("export.json", label_studio),
    "labelstudio_min": ("export.json", label_studio_min),
    "supervisely": ("ds/ann/a.png.json", supervisely),
    "supervisely_meta": ("meta.json", lambda: META),
    "qupath": ("a.geojson", qupath),
    "coco": ("annotations.json", coco),
    "labelme": ("a.json", labelme),
    "mapillary": ("config.json", mapillary),
    "classes": ("classes.json", lambda: {"name": "a", "ignore": 255, **META}),
    "id2label": ("id2label.json", lambda: {"0": "road", "1": "sky"}),
}


def lay_out(folder: Path, kind: str) -> Path:
    """A data set of one picture but for the file of that kind."""
    picture = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    mask = Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8))
    places = {
        "supervisely": "ds/img/a.png",
        "supervisely_meta": "ds/img/a.png",
        "mapillary": "images/a.png",
        "classes": "images/a.png",
    }
    for path, image in (
        (folder / places.get(kind, "a.png"), picture),
        (folder / {"mapillary": "labels/a.png"}.get(kind, "masks/a.png"), mask),
    ):
        if image is picture or kind in ("mapillary", "classes", "id2label"):
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    if kind == "id2label":
        (folder / "metadata.csv").write_text("file_name,mask_file_name\na.png,masks/a.png\n")
    if kind.startswith("supervisely"):
        (folder / "ds/ann").mkdir(parents=True)
        (folder / "ds/ann/a.png.json").write_text(json.dumps(supervisely()))
        (folder / "meta.json").write_text(json.dumps(META))
    return folder / FILES[kind][0]


def places_in(document: Json, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a document stands; of long lists the first few."""
    yield place
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places_in(value, (*place, key))
    elif isinstance(document, list):
        for index, value in enumerate(document[:3]):
            yield from places_in(value, (*place, index))


def put(document: Json, place: tuple[Any, ...], value: Json) -> Json:
    if not place:
        return value
    changed = copy.deepcopy(document)
    at = changed
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return changed


def read_all(folder: Path) -> None:
    """Read every mask. What is wrong may be told of, in sentences that can be read."""
    try:
        dataset = scan_dataset(folder, SplitOptions(fraction=0))
        for samples in dataset.splits.values():
            for sample in samples:
                sample.mask.read()
        texts = [issue.text for issue in dataset.issues]
    except DatasetError as error:
        texts = [str(error)]
    for text in texts:
        assert len(text) < 3000


@pytest.mark.parametrize("kind", FILES)
def test_anything_in_any_place_is_read_or_told_of(tmp_path: Path, kind: str) -> None:
    path = lay_out(tmp_path, kind)
    document = FILES[kind][1]()
    path.write_text(json.dumps(document))
    assert scan_dataset(tmp_path, SplitOptions(fraction=0)).splits
    for place in places_in(document):
        for value in HOSTILE:
            path.write_text(json.dumps(put(document, place, value)))
            try:
                read_all(tmp_path)
            except Exception as error:
                error.add_note(f"{kind}: {place} is {str(value)[:60]}")
                raise


def cvat() -> ElementTree.Element:
    return ElementTree.fromstring(
        "<annotations><version>1.1</version><meta><task><labels><label><name>road</name>"
        "<color>#ff0000</color></label><label><name>sky</name></label></labels></task></meta>"
        f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">'
        '<mask label="road" rle="1, 2, 3" left="1" top="1" width="3" height="2" z_order="0"/>'
        '<polygon label="sky" points="0,0;4,0;4,4" z_order="1"/>'
        '<box label="sky" xtl="0" ytl="0" xbr="3" ybr="3" rotation="5"/>'
        '<ellipse label="sky" cx="3" cy="3" rx="2" ry="2"/></image></annotations>'
    )


def test_anything_in_any_attribute_of_cvat_is_read_or_told_of(tmp_path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    path = tmp_path / "annotations.xml"
    texts = ["", "-1", "nan", "inf", "1e308", "9" * 5000, "0,0;" * 20_000, "1," * 99_999, "é\n;,"]
    for number, element in enumerate(cvat().iter()):
        for name in element.attrib:
            for text in texts:
                root = cvat()
                list(root.iter())[number].set(name, text)
                ElementTree.ElementTree(root).write(path)
                read_all(tmp_path)


@pytest.mark.parametrize("kind", ["labelstudio", "coco", "qupath", "labelme", "supervisely"])
def test_json_that_is_nested_without_end_is_told_of(tmp_path: Path, kind: str) -> None:
    path = lay_out(tmp_path, kind)
    start = json.dumps(FILES[kind][1]())
    path.write_text(start[:-1] + ',"x":' * start.startswith("{") + "," * start.startswith("["))
    with path.open("a") as file:
        file.write("[" * 200_000)
    read_all(tmp_path)


def test_all_faults_of_a_file_are_told_at_once_with_their_shapes(tmp_path: Path) -> None:
    sly = supervisely()
    sly["objects"][0]["bitmap"]["origin"] = []
    sly["objects"][1]["points"]["exterior"] = [[0, 0]]
    xml = cvat()
    next(xml.iter("mask")).set("width", "99")
    next(xml.iter("box")).set("xtl", "left")
    studio = label_studio()
    for region in studio[0]["annotations"][0]["result"][:2]:
        region.pop("original_width")
    expected = {
        "supervisely": ["objects[0], the bitmap 'road',", "objects[1], the polygon 'sky',"],
        "cvat": ["shape 1, the mask 'road',", "shape 3, the box 'sky',"],
        "labelstudio": ["task 1, region 0", "task 1, region 1"],
        "ultralytics": ["line 1 ", "line 3 "],
    }
    for tool, told in expected.items():
        folder = tmp_path / tool
        folder.mkdir()
        if tool in FILES:
            path = lay_out(folder, tool)
            path.write_text(json.dumps({"supervisely": sly, "labelstudio": studio}[tool]))
        elif tool == "cvat":
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.png")
            ElementTree.ElementTree(xml).write(folder / "annotations.xml")
        else:
            (folder / "images").mkdir()
            (folder / "labels").mkdir()
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images/a.png")
            (folder / "labels/a.txt").write_text("7 0 0 1 0 1 1\n0 0 0 1 0 1 1\n0 0 0 1\n")
            (folder / "data.yaml").write_text("train: images\nval: images\nnames: [road, sky]\n")
        issues = scan_dataset(folder, SplitOptions(fraction=0)).issues
        texts = [issue.text for issue in issues if issue.kind == "faulty annotations"]
        assert len(texts) == 2, texts
        for text, part in zip(texts, told, strict=True):
            assert part in text
