"""Data whose files say two things: of two layouts at once, or split by lists beside them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import DatasetError
from models.data.examination import examine
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import scan_dataset
from models.data.repair import suggest_repair, write_repaired

WHOLE = SplitOptions(fraction=0)
IDS = np.zeros((12, 16), np.uint8)
IDS[2:6, 3:9] = 1
CORNERS = [[3, 2], [9, 2], [9, 6], [3, 6]]
NAMES = [f"p{number}" for number in range(6)]


def write(folder: Path, names: list[str]) -> Path:
    """Images and masks of two classes."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (*IDS.shape, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        Image.fromarray(IDS).save(folder / "masks" / f"{name}.png")
    classes = [
        {"id": 0, "name": "background", "color": "#000000"},
        {"id": 1, "name": "car", "color": "#ff0000"},
    ]
    document = {"name": "made", "ignore": 255, "classes": classes}
    (folder / "classes.json").write_text(json.dumps(document))
    return folder


def write_labelme(folder: Path) -> None:
    shape = {"label": "car", "points": CORNERS, "shape_type": "polygon"}
    document = {"shapes": [shape], "imagePath": "p0.png", "imageHeight": 12, "imageWidth": 16}
    (folder / "images" / "p0.json").write_text(json.dumps(document))


def write_coco(folder: Path) -> None:
    flat = [number for corner in CORNERS for number in corner]
    document = {
        "images": [{"id": 1, "file_name": "p0.png", "height": 12, "width": 16}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [flat]}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(json.dumps(document))


def write_cvat(folder: Path) -> None:
    points = ";".join(f"{x},{y}" for x, y in CORNERS)
    (folder / "annotations.xml").write_text(
        "<annotations><meta><task><labels><label><name>car</name></label></labels></task></meta>"
        f'<image name="p0.png" width="16" height="12"><polygon label="car" points="{points}"/>'
        "</image></annotations>"
    )


def write_ultralytics(folder: Path) -> None:
    (folder / "data.yaml").write_text("train: images\nnames: [car, tree]\nmasks_dir: other\n")
    (folder / "other").mkdir()
    Image.fromarray(IDS).save(folder / "other" / "p0.png")


def test_no_copy_is_written_that_settles_a_question_by_chance(tmp_path: Path) -> None:
    two_layouts = write(tmp_path / "layouts", ["p0"])
    write_labelme(two_layouts)
    two_splits = write(tmp_path / "splits", NAMES)
    (two_splits / "splits.json").write_text(json.dumps({"train": NAMES, "test": ["p5"]}))
    shared = write(tmp_path / "shared", ["p0"])
    Image.open(shared / "images" / "p0.png").rotate(180).save(shared / "images" / "p0.tif")
    for folder in (two_layouts, two_splits, shared):
        examination = examine(scan_dataset(folder))
        repair = suggest_repair(examination)
        assert repair is not None
        with pytest.raises(DatasetError, match="was not written"):
            write_repaired(examination, repair, tmp_path / "clean")
        assert not (tmp_path / "clean").exists()


def errors_of(folder: Path, layout: LayoutOptions | None = None) -> list[str]:
    return [i.text for i in examine(scan_dataset(folder, WHOLE, layout or LayoutOptions())).errors]


@pytest.mark.parametrize(
    ("layout", "annotate"),
    [
        ("labelme", write_labelme),
        ("coco", write_coco),
        ("cvat", write_cvat),
        ("folders", write_ultralytics),
    ],
)
def test_annotations_beside_masks_of_the_same_images_are_refused_until_one_is_said(
    layout: str, annotate: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", ["p0"])
    assert errors_of(folder) == []
    annotate(folder)
    text = errors_of(folder)[0]
    assert "can be read as " in text
    assert f"and as {layout}, and " in text
    assert errors_of(folder, LayoutOptions(name="folders")) == []


def test_a_table_says_itself_which_masks_are_meant(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", ["p0"])
    write_labelme(folder)
    (folder / "list.csv").write_text("image,mask\nimages/p0.png,masks/p0.png\n")
    assert errors_of(folder) == []


@pytest.mark.parametrize(
    "files",
    [
        {"train.txt": "p0\np1\np2\np3\n", "val.txt": "p4\n", "test.txt": "p5\n"},
        {
            "splits/train_list.txt": "".join(f"./images/p{n}.png x\n" for n in range(4)),
            "splits/valid.txt": "data/set/images/p4.png\n",
            "splits/test.txt": "images\\p5.png\n",
        },
        {"ImageSets/Main/train.txt": "p0 1\np1 -1\np2 1\np3 1\n", "ImageSets/Main/val.txt": "p4\n",
         "ImageSets/Main/test.txt": "p5\n"},
        {"splits.json": json.dumps({"train": NAMES[:4], "validation": ["p4.png"], "test": ["p5"]})},
        {"meta.csv": "file,label,Split\n" + "".join(
            f"images/p{n}.png,masks/p{n}.png,{'train' if n < 4 else 'val' if n < 5 else 'test'}\n"
            for n in range(6))},
    ],
)  # fmt: skip
def test_lists_beside_images_and_masks_divide_them(files: dict[str, str], tmp_path: Path) -> None:
    folder = write(tmp_path / "a", NAMES)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    dataset = scan_dataset(folder)
    named = {split: [s.image.stem for s in of] for split, of in dataset.splits.items()}
    assert named == {"train": NAMES[:4], "val": ["p4"], "test": ["p5"]}
    assert dataset.issues == ()


def test_what_no_list_names_is_a_split_of_its_own_and_unknown_names_are_said(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path / "a", NAMES)
    (folder / "train.txt").write_text("p0\np1\np9\n")
    (folder / "val.txt").write_text("p2\n")
    (folder / "training_log.txt").write_text("epoch 1: a loss\n")
    dataset = scan_dataset(folder)
    assert {name: len(of) for name, of in dataset.splits.items()} == {
        "train": 2, "val": 1, "unlisted": 3,
    }  # fmt: skip
    texts = [issue.text for issue in dataset.issues]
    assert "lists 1 name of no image here, such as p9" in texts[0]
    assert "the split 'unlisted' of 3 images is none of train, val and test" in texts[1]


def test_lists_that_put_an_image_into_two_splits_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", NAMES)
    (folder / "train_fold1.txt").write_text("p0\np1\n")
    (folder / "test_fold2.txt").write_text("p1\n")
    error = next(i for i in scan_dataset(folder).issues if i.severity == "error")
    assert "put p1 into " in error.text
