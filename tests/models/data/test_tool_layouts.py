"""Data sets of Supervisely, Ultralytics, Roboflow, Cityscapes, ADE20K, and CVAT's masks without
images, by their documented forms."""

import base64
import io
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Dataset, DatasetError
from models.data.examination import examine
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
WIDTH, HEIGHT = 20, 12
Mask = NDArray[np.uint8]


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask_file(path: Path, *rows: int) -> Path:
    """A gray mask whose columns hold the values in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.resize(np.array(rows, np.uint8), WIDTH)
    Image.fromarray(np.tile(values, (HEIGHT, 1))).save(path)
    return path


def names_of(dataset: Dataset) -> list[str]:
    return [one.name for one in dataset.class_list.classes]


def first_row(dataset: Dataset, split: str = "train", number: int = 0) -> list[int]:
    row: list[int] = dataset.split(split)[number].mask.read()[0].tolist()
    return row


# ---- Supervisely


def bitmap(pixels: NDArray[np.bool_], left: int, top: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", transparency=0)
    data = base64.b64encode(zlib.compress(file.getvalue())).decode()
    return {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [left, top]}}


def supervisely(folder: Path, *objects: dict[str, Any], dataset: str = "ds0") -> Path:
    picture(folder / dataset / "img" / "a.jpg")
    classes = [
        {"title": "car", "shape": "any", "color": "#0000FF"},
        {"title": "Bg", "shape": "bitmap", "color": "#FF0000"},
    ]
    (folder / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
    size = {"height": HEIGHT, "width": WIDTH}
    (folder / dataset / "ann").mkdir()
    document = {"description": "", "tags": [], "size": size, "objects": objects}
    (folder / dataset / "ann" / "a.jpg.json").write_text(json.dumps(document))
    return folder


def test_supervisely_draws_bitmaps_polygons_with_holes_and_rectangles(tmp_path: Path) -> None:
    pixels = np.array([[True, False], [True, True]])
    folder = supervisely(
        tmp_path,
        {
            "classTitle": "Bg",
            "geometryType": "rectangle",
            "points": {"exterior": [[0, 0], [4, 3]], "interior": []},
        },
        {"classTitle": "car", **bitmap(pixels, 3, 2)},
        {
            "classTitle": "car",
            "geometryType": "polygon",
            "points": {
                "exterior": [[10, 2], [18, 2], [18, 10], [10, 10]],
                "interior": [[[12, 4], [16, 4], [16, 8], [12, 8]]],
            },
        },
        {"classTitle": "car", "geometryType": "point", "points": {"exterior": [[1, 1]]}},
    )
    dataset = read_dataset(folder, WHOLE)
    assert dataset.layout == "supervisely"
    assert [(c.name, c.color) for c in dataset.class_list.classes] == [
        ("background", "#000000"),
        ("car", "#0000ff"),
        ("Bg", "#ff0000"),
    ]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:4, :5] = 2
    expected[2, 3] = expected[3, 3:5] = 1
    expected[2:11, 10:19] = 1
    expected[4:9, 12:17] = 0
    assert np.array_equal(dataset.split("train")[0].mask.read(), expected)
    assert any("left out: 1" in issue.text for issue in dataset.issues)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"geometryType": "bitmap", "bitmap": {"origin": [0, 0], "data": "%"}}, "drawn"),
        (bitmap(np.ones((40, 40), np.bool_), 0, 0), "40×40 pixels and the picture"),
        (
            {
                "geometryType": "bitmap",
                "bitmap": {
                    "origin": [0, 0],
                    "data": base64.b64encode(zlib.compress(bytes(10**7))).decode(),
                },
            },
            "drawn",
        ),
        ({"geometryType": "polygon", "points": {"exterior": [[0, 0]]}}, "three corners"),
        ({"geometryType": "rectangle", "points": {"exterior": [[0, 0]]}}, "unpack"),
        ({"geometryType": "bitmap"}, "has no 'bitmap'"),
    ],
)
def test_faulty_objects_of_supervisely_are_named(
    tmp_path: Path, entry: dict[str, Any], said: str
) -> None:
    folder = supervisely(tmp_path, {"classTitle": "car", **entry})
    errors = [issue.text for issue in examine(scan_dataset(folder, WHOLE)).errors]
    assert any(said in text and "objects[0]" in text for text in errors), errors


# ---- Ultralytics


def ultralytics(folder: Path, text: str) -> Path:
    for seed, name in enumerate(("train/a.jpg", "val/b.jpg")):
        picture(folder / "images" / name, seed)
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\n" + text)
    return folder


def test_ultralytics_masks_are_mapped_and_255_is_ignored(tmp_path: Path) -> None:
    text = "names: {0: road, 1: car}\nlabel_mapping: {-1: ignore_label, 0: null, 7: 0, 8: 1}\n"
    folder = ultralytics(tmp_path, text)
    for name in ("train/a.png", "val/b.png"):
        mask_file(folder / "masks" / name, 7, 8, 0, 255)
    dataset = read_dataset(folder)
    assert dataset.layout == "ultralytics"
    assert names_of(dataset) == ["road", "car"]
    assert first_row(dataset)[:4] == [0, 1, 255, 255]
    assert {name: len(held) for name, held in dataset.splits.items()} == {"train": 1, "val": 1}
    mask_file(folder / "masks" / "val" / "b.png", 7, 9)
    (error,) = examine(scan_dataset(folder)).errors
    assert "holds the value 9" in error.text


def test_ultralytics_masks_may_lie_elsewhere_and_images_without_one_are_left_out(
    tmp_path: Path,
) -> None:
    folder = ultralytics(tmp_path, "nc: 2\nmasks_dir: annotations\n")
    mask_file(folder / "annotations" / "train" / "a.png", 0, 1)
    dataset = scan_dataset(folder)
    assert names_of(dataset) == ["class_0", "class_1"]
    assert list(dataset.splits) == ["train", "val"] or list(dataset.splits) == ["train"]
    assert any("without a mask, left out" in issue.text for issue in dataset.issues)


def test_ultralytics_polygons_have_background_as_the_last_class(tmp_path: Path) -> None:
    folder = ultralytics(tmp_path, "names: [road, car]\n")
    for name in ("train/a.txt", "val/b.txt"):
        path = folder / "labels" / name
        path.parent.mkdir(parents=True)
        path.write_text("0 0 0 1 0 1 0.5 0 0.5\n1 0 0 0.5 0 0.5 0.25 0 0.25\n")
    dataset = read_dataset(folder)
    assert names_of(dataset) == ["road", "car", "background"]
    expected = np.full((HEIGHT, WIDTH), 2, np.uint8)
    expected[:6] = 0
    expected[:3, :10] = 1
    assert np.array_equal(dataset.split("train")[0].mask.read(), expected)


@pytest.mark.parametrize(
    ("names", "classes", "first", "second"),
    [
        ("[void, car, hut]", ["car", "hut", "background"], 255, 0),
        ("[road, ignore, hut]", ["road", "hut", "background"], 0, 255),
        ("[background, car]", ["background", "car"], 0, 1),
        ("[road, Background]", ["road", "Background"], 0, 1),
    ],
)
def test_void_and_background_of_ultralytics_are_known_by_their_names(
    names: str, classes: list[str], first: int, second: int, tmp_path: Path
) -> None:
    folder = ultralytics(tmp_path, f"names: {names}\n")
    for name in ("train/a.txt", "val/b.txt"):
        path = folder / "labels" / name
        path.parent.mkdir(parents=True)
        path.write_text("0 0 0 1 0 1 0.5 0 0.5\n1 0 0 0.5 0 0.5 0.25 0 0.25\n")
    dataset = read_dataset(folder)
    assert names_of(dataset) == classes
    mask = dataset.split("train")[0].mask.read()
    assert (mask[5, 0], mask[0, 0]) == (first, second)
    rest = next(n for n, name in enumerate(classes) if name.lower() == "background")
    assert mask[-1, -1] == rest
    for place in ("masks/train/a.png", "masks/val/b.png"):
        mask_file(folder / place, 0, 1, 255)
    in_files = read_dataset(folder, layout=LayoutOptions(name="ultralytics"))
    void = [names.strip("[]").split(", ").index(n) for n in ("void", "ignore") if n in names]
    assert [first_row(in_files)[v] for v in void] == [255] * len(void)


def test_one_class_of_ultralytics_is_the_second_of_two(tmp_path: Path) -> None:
    folder = ultralytics(tmp_path, "names: [crack]\n")
    for name in ("train/a.txt", "val/b.txt"):
        path = folder / "labels" / name
        path.parent.mkdir(parents=True)
        path.write_text("0 0 0 1 0 1 0.5 0 0.5\n")
    dataset = read_dataset(folder)
    assert names_of(dataset) == ["background", "crack"]
    assert first_row(dataset)[0] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: {1: road, 2: car}\n", "not numbered from 0"),
        ("names: [road, car]\nlabel_mapping: {1: 7}\n", "beyond its 2 names"),
        ("names: [road, car]\nlabel_mapping: 3\n", "label_mapping is no mapping"),
        ("names: [road, car]\ntest: images/none\n", "which is not there"),
    ],
)
def test_faulty_yaml_is_told(tmp_path: Path, text: str, said: str) -> None:
    folder = ultralytics(tmp_path, text)
    mask_file(folder / "masks" / "train" / "a.png", 0, 1)
    with pytest.raises(DatasetError, match=said):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [("2 0 0 1 0 1 1", "the class 2"), ("0 0 0 1 0", "three corners"), ("0 0 0 1 0 9 9", "0 to 1")],
)
def test_faulty_lines_of_polygons_are_told(tmp_path: Path, line: str, said: str) -> None:
    folder = ultralytics(tmp_path, "names: [road, car]\n")
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "labels" / "train" / "a.txt").write_text(line + "\n")
    with pytest.raises(DatasetError, match=said):
        read_dataset(folder)


# ---- Roboflow


def roboflow(folder: Path, table: str = "Pixel Value, Class\n0, background\n1, cabinet\n") -> Path:
    for seed, place in enumerate(("train", "valid")):
        stem = f"kitchen_jpg.rf.{seed:032x}"
        picture(folder / place / f"{stem}.jpg", seed)
        mask_file(folder / place / f"{stem}_mask.png", 0, 1)
        (folder / place / "_classes.csv").write_text(table)
    return folder


def test_roboflow_masks_lie_beside_their_images(tmp_path: Path) -> None:
    dataset = read_dataset(roboflow(tmp_path))
    assert dataset.layout == "roboflow"
    assert names_of(dataset) == ["background", "cabinet"]
    assert first_row(dataset)[:2] == [0, 1]
    assert len(dataset.split("val")) == 1


def test_versions_of_one_picture_of_roboflow_stay_in_one_split(tmp_path: Path) -> None:
    folder = roboflow(tmp_path)
    shutil.rmtree(folder / "valid")
    dataset = read_dataset(folder)
    assert dataset.split("train")[0].group == "kitchen_jpg"


def test_a_classification_export_of_roboflow_is_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        read_dataset(roboflow(tmp_path, "filename, Fake, Real\na.jpg, 1, 0\n"))


def test_a_faulty_table_of_roboflow_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 3"):
        read_dataset(roboflow(tmp_path, "Pixel Value, Class\n0, a\n0, b\n"))


# ---- Cityscapes, ADE20K, CVAT


def test_cityscapes_ids_become_the_classes_of_its_benchmark(tmp_path: Path) -> None:
    for split, city in (("train", "aachen"), ("val", "lindau"), ("test", "berlin")):
        base = f"{split}/{city}/{city}_000000_000019"
        picture(tmp_path / "leftImg8bit" / f"{base}_leftImg8bit.png", len(city))
        mask_file(tmp_path / "gtFine" / f"{base}_gtFine_labelIds.png", 7, 33, 0, 9, 1)
    dataset = read_dataset(tmp_path)
    assert dataset.layout == "cityscapes"
    assert len(names_of(dataset)) == 19
    assert first_row(dataset)[:5] == [0, 18, 255, 255, 255]
    assert set(dataset.splits) == {"train", "val"}
    with pytest.raises(DatasetError, match="says itself"):
        read_dataset(tmp_path, layout=LayoutOptions(ignore=0))


def test_ade20k_counts_from_1(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    for seed, split in enumerate(("training", "validation")):
        picture(root / "images" / split / f"ADE_{seed}.jpg", seed)
        mask_file(root / "annotations" / split / f"ADE_{seed}.png", 0, 1, 3)
    lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName", "1\t0.1\t9\t9\t1\twall"]
    lines += ["2\t0.1\t9\t9\t1\tbuilding, edifice", "3\t0.1\t9\t9\t1\tsky"]
    (root / "objectInfo150.txt").write_text("\n".join(lines))
    dataset = read_dataset(tmp_path)
    assert names_of(dataset) == ["wall", "building", "sky"]
    assert first_row(dataset)[:3] == [255, 0, 2]
    assert set(dataset.splits) == {"train", "val"}


def test_masks_of_cvat_without_images_go_with_the_pictures_of_the_task(tmp_path: Path) -> None:
    for seed, name in enumerate(("a/1", "b/1")):
        picture(tmp_path / "photos" / f"{name}.jpg", seed)
        path = tmp_path / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(parents=True)
        colors = np.array([(0, 0, 0), (250, 50, 83)], np.uint8)
        rows = np.resize(np.array([0, 1 - seed]), WIDTH)
        Image.fromarray(np.tile(colors[rows], (HEIGHT, 1, 1))).save(path)
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\n"
    (tmp_path / "labelmap.txt").write_text(text)
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "cvat_masks"
    assert names_of(dataset) == ["background", "car"]
    assert first_row(dataset)[:2] == [0, 1]
    assert first_row(dataset, number=1)[:2] == [0, 0]
    (tmp_path / "photos" / "a" / "1.jpg").rename(tmp_path / "photos" / "a" / "2.jpg")
    (tmp_path / "photos" / "b" / "1.jpg").rename(tmp_path / "photos" / "b" / "3.jpg")
    with pytest.raises(DatasetError, match="which is not there"):
        read_dataset(tmp_path, WHOLE)


@pytest.mark.parametrize("names", ["[road, sky]", "[road]"])
def test_what_no_polygon_of_ultralytics_covers_may_be_ignored(tmp_path: Path, names: str) -> None:
    picture(tmp_path / "images/a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0 0 0.5 0 0.5 1 0 1\n")
    (tmp_path / "data.yaml").write_text(f"train: images\nval: images\nnames: {names}\n")
    dataset = read_dataset(tmp_path, WHOLE, LayoutOptions(unlabelled="ignore"))
    mask = dataset.split("train")[0].mask.read()
    road = [one.name for one in dataset.class_list.classes].index("road")
    assert (mask[:, : WIDTH // 2] == road).all()
    assert (mask[:, WIDTH // 2 :] == 255).all()
    drawn = read_dataset(tmp_path, WHOLE).class_list
    assert "background" in [one.name for one in drawn.classes]


def test_unlabelled_is_not_for_masks_in_files(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    mask_file(tmp_path / "masks/a.png", 0, 1)
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [road, sky]\n")
    with pytest.raises(DatasetError, match="the layout ultralytics has masks in files"):
        read_dataset(tmp_path, WHOLE, LayoutOptions(unlabelled="ignore"))
