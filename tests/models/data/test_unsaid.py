"""What annotation files and folders hold beside what is read of them: it is read, said or refused,
whichever layout it is."""

import base64
import io
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import DatasetError
from models.data.examination import examine
from models.data.options import SplitOptions
from models.data.reading import scan_dataset
from models.data.repair import suggest_repair, write_repaired

WHOLE = SplitOptions(fraction=0)
IDS = np.zeros((12, 16), np.uint8)
IDS[2:6, 3:9], IDS[8:11, 4:12] = 1, 2
CAR, TREE = (3, 2, 9, 6), (4, 8, 12, 11)  # left, top, right, bottom
YAML = "train: images/train\nnames: [car, tree]\n"


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*IDS.shape, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def said_of(folder: Path, severity: str) -> list[str]:
    """The sentences of a severity; a folder that is not read at all has one error."""
    try:
        examined = examine(scan_dataset(folder, WHOLE))
    except DatasetError as error:
        return [str(error)] if severity == "error" else []
    return [issue.text for issue in examined.issues if issue.severity == severity]


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    splits = scan_dataset(folder, WHOLE).splits
    return {s.image.name: s.mask.read() for of in splits.values() for s in of}


def coco(folder: Path, **of_the_car: Any) -> None:
    def polygon(box: tuple[int, ...]) -> list[list[int]]:
        left, top, right, bottom = box
        return [[left, top, right, top, right, bottom, left, bottom]]

    picture(folder / "train" / "a.png")
    regions = [(1, CAR, of_the_car), (2, TREE, {})]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 12, "width": 16}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "tree"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": n, "segmentation": polygon(box), **more}
            for n, box, more in regions
        ],
    }
    write(folder / "train" / "_annotations.coco.json", document)


def labelme(folder: Path, name: str = "a", *, is_empty: bool = False) -> None:
    picture(folder / f"{name}.png", len(name))
    shapes = [
        {"label": label, "points": [box[:2], [box[2] - 1, box[3] - 1]], "shape_type": "rectangle"}
        for label, box in (("car", CAR), ("tree", TREE))
    ]
    size = {"imageHeight": 12, "imageWidth": 16}
    shapes = [] if is_empty else shapes
    write(folder / f"{name}.json", {"shapes": shapes, "imagePath": f"{name}.png", **size})


def supervisely(folder: Path, dataset: str = "ds", **of_the_car: Any) -> None:
    def rectangle(label: str, box: tuple[int, ...]) -> dict[str, Any]:
        points = {"exterior": [box[:2], [box[2] - 1, box[3] - 1]], "interior": []}
        return {"classTitle": label, "geometryType": "rectangle", "points": points}

    picture(folder / dataset / "img" / f"{Path(dataset).name}.png", len(dataset))
    objects = [rectangle("car", CAR) | of_the_car, rectangle("tree", TREE)]
    document = {"size": {"height": 12, "width": 16}, "objects": objects}
    write(folder / dataset / "ann" / f"{Path(dataset).name}.png.json", document)
    classes = [{"title": "car", "color": "#ff0000"}, {"title": "tree", "color": "#00ff00"}]
    write(folder / "meta.json", {"classes": classes})


def bitmap_at(left: int, top: int) -> dict[str, Any]:
    png = io.BytesIO()
    Image.new("RGBA", (6, 4), (255, 0, 0, 255)).save(png, "PNG")
    data = base64.b64encode(zlib.compress(png.getvalue())).decode()
    return {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [left, top]}}


def ultralytics(folder: Path, yaml: str = YAML, name: str = "train/a") -> None:
    picture(folder / "images" / f"{name}.png")
    write(folder / "labels" / f"{name}.txt", "0 0.2 0.2 0.5 0.2 0.5 0.5\n1 .5 .6 .9 .6 .9 .9\n")
    write(folder / "data.yaml", yaml)


def cityscapes(folder: Path, values: np.ndarray, end: str = "_leftImg8bit") -> None:
    picture(folder / "leftImg8bit" / "train" / "a" / f"x{end}.png", len(end))
    save(folder / "gtFine" / "train" / "a" / "x_gtFine_labelIds.png", values)


def ade20k(folder: Path) -> None:
    root = folder / "ADEChallengeData2016"
    write(root / "objectInfo150.txt", "Idx\tName\n1\tcar\n2\ttree\n")
    save(root / "annotations" / "training" / "a.png", IDS)
    for seed, suffix in enumerate(("jpg", "png")):
        picture(root / "images" / "training" / f"a.{suffix}", seed)


def test_an_annotation_that_says_ignore_is_ignored_and_said(tmp_path: Path) -> None:
    coco(tmp_path, ignore=1)
    np.testing.assert_array_equal(masks_of(tmp_path)["a.png"], np.where(IDS == 1, 255, IDS))
    assert any("annotation 1 says ignore" in text for text in said_of(tmp_path, "warning"))
    coco(tmp_path, ignore=0)
    np.testing.assert_array_equal(masks_of(tmp_path)["a.png"], IDS)
    coco(tmp_path, ignore="maybe")
    assert "its ignore is 'maybe', and is to be 0 or 1" in said_of(tmp_path, "error")[0]


def test_drawn_masks_of_another_size_reach_no_copy(tmp_path: Path) -> None:
    """One scale may lead from one size to the other, and the regions be of either."""
    coco(tmp_path / "set")
    path = tmp_path / "set" / "train" / "_annotations.coco.json"
    path.write_text(
        path.read_text().replace('"height": 12, "width": 16', '"height": 24, "width": 32')
    )
    examination = examine(scan_dataset(tmp_path / "set", WHOLE))
    assert "states 32×24 pixels and its image a.png has 16×12" in examination.errors[0].text
    repair = suggest_repair(examination)
    assert repair is not None
    with pytest.raises(DatasetError, match="has another size than its image"):
        write_repaired(examination, repair, tmp_path / "clean")


def test_data_sets_in_data_sets_of_supervisely_are_read(tmp_path: Path) -> None:
    supervisely(tmp_path)
    supervisely(tmp_path, "ds/datasets/inner")
    supervisely(tmp_path, "ds/datasets/test")
    masks = masks_of(tmp_path)
    assert sorted(masks) == ["ds.png", "inner.png", "test.png"]
    for mask in masks.values():
        np.testing.assert_array_equal(mask, IDS)
    assert len(scan_dataset(tmp_path, WHOLE).split("test")) == 1


def two_empty(folder: Path) -> None:
    labelme(folder)
    labelme(folder, "bb", is_empty=True)


def other_folder_of(make: Callable[[Path], None], place: str) -> Callable[[Path], None]:
    def write_both(folder: Path) -> None:
        make(folder)
        picture(folder / place, 9)

    return write_both


def two_names_of_cityscapes(folder: Path) -> None:
    cityscapes(folder, np.array([7, 26, 21])[IDS])
    picture(folder / "leftImg8bit" / "train" / "a" / "y.png", 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (two_empty, "1 of 2 images, such as .*bb.png, have no shape and are background all over"),
        (other_folder_of(coco, "valid/b.png"), "lists 1 image, such as .*valid/b.png; left out"),
        (other_folder_of(labelme, "more/b.png"), "1 image in other folders, such as .*more/b.png"),
        (other_folder_of(supervisely, "ds2/img/b.png"), "names 1 image, such as .*ds2/img/b.png"),
        (other_folder_of(ultralytics, "images/val/b.png"), "1 image, such as .*images/val/b.png"),
        (two_names_of_cityscapes, "1 image, such as .*/y.png, are not called …_leftImg8bit.png"),
    ],
)
def test_what_is_left_out_is_said(make: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    make(tmp_path)
    assert said_of(tmp_path, "error") == []
    assert re.search(said, "\n".join(said_of(tmp_path, "warning")))


def of_kind(kind: str) -> Callable[[Path], None]:
    return lambda folder: supervisely(folder, geometryType=kind)


def with_yaml(more: str) -> Callable[[Path], None]:
    return lambda folder: ultralytics(folder, YAML + more)


def two_of_one_name(folder: Path) -> None:
    ultralytics(folder)
    picture(folder / "images" / "train" / "a.jpg", 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (of_kind("alpha_mask"), "the alpha_mask 'car', is of a kind that is not read"),
        (lambda f: supervisely(f, **bitmap_at(13, 9)), "of 6×4 pixels at 13, 9 is not in the"),
        (with_yaml("kpt_shape: [2, 2]\n"), "its labels are key points of poses"),
        (with_yaml("nc: 3\n"), "its nc is 3, and its names are 2"),
        (two_of_one_name, "have one name, and so one mask"),
        (ade20k, "are two images of one name"),
        (lambda f: cityscapes(f, np.array([0, 13, 255])[IDS]), "holds the value 255 in 24 pixels"),
    ],
)
def test_what_may_be_another_thing_than_its_layout_has_is_refused(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    make(tmp_path)
    assert any(said in text for text in said_of(tmp_path, "error"))
