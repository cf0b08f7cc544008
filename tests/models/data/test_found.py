"""Folders as they are found: public data sets by the names of their folders, and what can be paired
in two ways."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import Dataset, DatasetError
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
CLASSES = {
    "classes": [
        {"title": "Water", "shape": "polygon", "color": "#50E3C2"},
        {"title": "Land (unpaved area)", "shape": "polygon", "color": "#F5A623"},
    ]
}


def lay_out(folder: Path, *names: str, classes: object = CLASSES) -> Path:
    """Files of those names, each with pixels of its own; those of masks hold 0 and 1."""
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 2, (6, 8), np.uint8)
        Image.fromarray(pixels).save(path)
    if classes is not None:
        (folder / "classes.json").write_text(json.dumps(classes))
    return folder


def pairs(dataset: Dataset) -> dict[str, str]:
    return {
        sample.image.relative_to(dataset.folder).as_posix(): sample.mask.path.relative_to(
            dataset.folder
        ).as_posix()
        for samples in dataset.splits.values()
        for sample in samples
    }


@pytest.mark.parametrize(
    "expected",
    [
        {
            "Tile 1/images/image_part_001.jpg": "Tile 1/masks/image_part_001.png",
            "Tile 2/images/image_part_001.jpg": "Tile 2/masks/image_part_001.png",
        },
        {
            "Training_Images/a.jpg": "Ground_Truth/a.png",
            "Training_Images/b.jpg": "Ground_Truth/b.png",
        },
        {"x.jpg": "x_mask.png", "y.jpg": "y_mask.png"},
        {"x 1.png": "x 1_gt.png", "x 2.png": "x 2_gt.png"},
        {"original_images/000.jpg": "label_images_semantic/000.png"},
        {"data/images/a.tif": "data/annotations/a.png"},
        {"imgs/IMG_1.jpg": "segmentation/IMG_1_seg.png"},
        {"train/img/a.png": "train/labels/a.png", "valid/img/b.png": "valid/labels/b.png"},
        {"training/images/21_training.tif": "training/1st_manual/21_manual1.gif"},
        {"photos/a.jpg": "photos/a_label.png"},
    ],
)
def test_pairs_are_found_by_what_their_names_share(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    folder = lay_out(tmp_path / "set", *expected, *expected.values())
    dataset = scan_dataset(folder, WHOLE)
    assert dataset.layout == "found"
    assert pairs(dataset) == expected
    (said,) = [issue.text for issue in dataset.issues if issue.kind == "pairing"]
    assert f"{len(expected)} image" in said
    assert "--images" in said


def test_folders_named_after_splits_divide_what_was_found(tmp_path: Path) -> None:
    names = ("train/img/a.png", "train/gt/a.png", "valid/img/b.png", "valid/gt/b.png")
    dataset = scan_dataset(lay_out(tmp_path / "set", *names), WHOLE)
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {
        "train": 1,
        "val": 1,
    }


def test_of_two_annotators_the_first_is_read_and_the_second_told_of(tmp_path: Path) -> None:
    names = [f"Image_0{n}{side}" for n in (1, 2) for side in "LR"]
    files = [f"{name}{end}" for name in names for end in (".png", "_1stHO.png", "_2ndHO.png")]
    dataset = scan_dataset(lay_out(tmp_path / "set", *files), WHOLE)
    assert pairs(dataset) == {f"{name}.png": f"{name}_1stHO.png" for name in names}
    assert any(
        issue.kind == "second annotator" and "4 masks" in issue.text for issue in dataset.issues
    )
    options = LayoutOptions(images="*[LR].png", masks="*_2ndHO.png")
    second = scan_dataset(tmp_path / "set", WHOLE, options)
    assert pairs(second) == {f"{name}.png": f"{name}_2ndHO.png" for name in names}


def test_two_ways_of_pairing_are_refused_with_the_globs_to_choose_from(tmp_path: Path) -> None:
    names = ("pictures/a.jpg", "masks/a.png", "labels/a.png")
    folder = lay_out(tmp_path / "set", *names)
    with pytest.raises(DatasetError, match="several ways") as raised:
        read_dataset(folder, WHOLE)
    assert "--images 'pictures/*.jpg' --masks 'labels/*.png' (1 pair)" in str(raised.value)
    options = LayoutOptions(images="pictures/*", masks="labels/*")
    assert pairs(scan_dataset(folder, WHOLE, options)) == {"pictures/a.jpg": "labels/a.png"}


def test_two_versions_of_masks_are_no_two_annotators(tmp_path: Path) -> None:
    names = ("pictures/a.jpg", "masks_v1/a.png", "masks_v2/a.png")
    folder = lay_out(tmp_path / "set", *names)
    with pytest.raises(DatasetError, match="several ways"):
        read_dataset(folder, WHOLE)


def test_sizes_say_which_of_two_pairings_is_meant(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "set", "pictures/a.jpg", "masks/a.png", "labels/a.png")
    Image.new("L", (32, 32)).save(folder / "labels/a.png")  # of 8 × 6
    dataset = scan_dataset(folder, WHOLE)
    assert pairs(dataset) == {"pictures/a.jpg": "masks/a.png"}
    said = " ".join(issue.text for issue in dataset.issues)
    assert "1 mask, such as" in said
    assert "labels/a.png" in said
    Image.new("L", (16, 12)).save(folder / "labels/a.png")  # the same picture, scaled
    with pytest.raises(DatasetError, match="several ways"):
        scan_dataset(folder, WHOLE)


def test_globs_pair_folders_whose_names_tell_nothing(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "set", "one/a.jpg", "two/a.png")
    with pytest.raises(DatasetError, match="in no layout"):
        read_dataset(folder, WHOLE)
    options = LayoutOptions(images="one/*.jpg", masks="two/*.png")
    assert pairs(scan_dataset(folder, WHOLE, options)) == {"one/a.jpg": "two/a.png"}


@pytest.mark.parametrize(
    ("images", "masks", "said"),
    [
        ("one/*", None, "come together"),
        ("one/*", "three/*", "no pictures of the glob 'three/\\*'"),
        ("/one/*", "two/*", "is to be below"),
        ("../*", "two/*", "is to be below"),
        ("one/*", "one/*", "it can be one of them"),
        ("one/a.jpg", "two/b.png", "pairs are told by their names"),
    ],
)
def test_globs_that_do_not_fit_are_told(
    tmp_path: Path, images: str, masks: str | None, said: str
) -> None:
    folder = lay_out(tmp_path / "set", "one/a.jpg", "two/a.png", "two/b.png")
    with pytest.raises(DatasetError, match=said):
        read_dataset(folder, WHOLE, LayoutOptions(images=images, masks=masks))


def test_files_without_a_partner_are_counted(tmp_path: Path) -> None:
    names = ("a.jpg", "a_mask.png", "b.jpg", "c_mask.png")
    texts = [issue.text for issue in scan_dataset(lay_out(tmp_path / "set", *names), WHOLE).issues]
    assert any("1 image, such as" in text and "b.jpg" in text for text in texts)
    assert any("1 mask, such as" in text and "c_mask.png" in text for text in texts)


def test_classes_with_titles_are_the_classes(tmp_path: Path) -> None:
    dataset = read_dataset(lay_out(tmp_path / "set", "a.jpg", "a_mask.png"), WHOLE)
    assert [(c.name, c.color) for c in dataset.class_list.classes] == [
        ("Water", "#50e3c2"),
        ("Land (unpaved area)", "#f5a623"),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_dict_seg.csv", "name, r, g, b\nwater, 80, 227, 194\nland, 245, 166, 35\n"),
        ("key.txt", "water #50E3C2\nland #F5A623\n"),
        ("colors.csv", "class;color\nwater;#50e3c2\nland;#f5a623\n"),
        ("colors.csv", "R,G,B,name\n80,227,194,water\n245,166,35,land\n"),
    ],
)
def test_any_table_of_colors_beside_them_is_the_key(tmp_path: Path, name: str, text: str) -> None:
    folder = lay_out(tmp_path / "set", "a.jpg", "a_mask.png", classes=None)
    (folder / name).write_text(text)
    (folder / "readme.txt").write_text("See 1, 2, 3 for more.\n")
    dataset = read_dataset(folder, WHOLE)
    assert [(c.name, c.color) for c in dataset.class_list.classes] == [
        ("water", "#50e3c2"),
        ("land", "#f5a623"),
    ]
