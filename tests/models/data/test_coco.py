"""COCO as tools write it: ids and paths in other forms, several files, damaged regions; read right
or said."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.data.dataset import DatasetError
from models.data.examination import Examination, examine
from models.data.layouts.coco_drawing import run_lengths
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
SIZE = 20


def square(left: int, top: int, side: int = 4) -> list[list[float]]:
    right, bottom = left + side, top + side
    return [[left, top, right, top, right, bottom, left, bottom]]


def pictures(folder: Path, *names: str, size: tuple[int, int] = (SIZE, SIZE), **save: Any) -> None:
    for number, name in enumerate(names):
        draw = np.random.default_rng([number, *name.encode()])
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path, **save)


def document(
    names: Sequence[str],
    annotations: Sequence[Any],
    categories: Sequence[str] | Sequence[Mapping[str, Any]] = ("cup", "table"),
    size: tuple[int, int] = (SIZE, SIZE),
) -> dict[str, Any]:
    """Images of the ids 1, 2, …; annotations are of image 1 and category 1 where they do not say
    it."""
    return {
        "images": [
            {"id": n, "file_name": name, "width": size[0], "height": size[1]}
            for n, name in enumerate(names, start=1)
        ],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, **annotation}
            for n, annotation in enumerate(annotations, start=1)
        ],
        "categories": [
            {"id": n, "name": c} if isinstance(c, str) else c
            for n, c in enumerate(categories, start=1)
        ],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def masks_of(folder: Path) -> list[NDArray[np.uint8]]:
    return [s.mask.read() for s in read_dataset(folder, WHOLE).split("train")]


def examined(folder: Path) -> Examination:
    return examine(scan_dataset(folder, WHOLE))


def test_run_lengths_are_those_of_pycocotools() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        height, width = draw.integers(1, 40, 2)
        stencil = (draw.random((height, width)) < draw.random()).astype(np.uint8)
        stencil = np.kron(stencil, np.ones((1, 1 + draw.integers(9)), np.uint8))
        code = coco_mask.encode(np.asfortranarray(stencil))
        runs = run_lengths(code["counts"].decode(), *stencil.shape)
        flat = np.repeat(np.arange(len(runs)) % 2, runs)
        np.testing.assert_array_equal(flat.reshape(stencil.shape[::-1]).T, stencil)
        assert run_lengths(runs.tolist(), *stencil.shape).tolist() == runs.tolist()


def compressed(height: int, width: int) -> dict[str, Any]:
    """The run lengths of a picture of that size, as text, in a region that says SIZE."""
    code = coco_mask.encode(np.asfortranarray(np.eye(height, width, dtype=np.uint8)))
    return {"size": [SIZE, SIZE], "counts": code["counts"].decode()}


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        (compressed(SIZE, SIZE - 2), "its runs cover 360 pixels and the picture has 400"),
        (compressed(SIZE + 3, SIZE), "its runs cover 460 pixels and the picture has 400"),
        ({"size": [SIZE, SIZE], "counts": [0, 6]}, "its runs cover 6 pixels"),
        ({"size": [SIZE, SIZE], "counts": [10, -4, 394]}, "a run of less than no pixels"),
        ({"size": [SIZE, SIZE], "counts": [10.5, 389.5]}, "neither whole numbers nor"),
        ({"size": [SIZE, SIZE], "counts": "\x01\x02"}, "not COCO's compressed text"),
        ({"size": [SIZE, SIZE], "counts": "zzzzzzzzzzzz"}, "not COCO's compressed text"),
        ({"size": [SIZE, SIZE], "counts": ""}, "not COCO's compressed text"),
        ({"size": [SIZE // 2, SIZE], "counts": [200]}, "its size is"),
        ({"size": [SIZE, SIZE]}, "counts"),
    ],
)
def test_run_lengths_that_do_not_fill_the_picture_are_named(
    segmentation: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path / "x.json", document(["a.png"], [{"segmentation": segmentation}]))
    with pytest.raises(DatasetError, match=r"x\.json: the segmentation of annotation 1") as error:
        masks_of(tmp_path)
    assert sentence in str(error.value)
    assert examined(tmp_path).errors


@pytest.mark.parametrize("area", [None, 0, 400, [16], "16", float("nan"), -3])
@pytest.mark.parametrize("as_runs", [False, True])
def test_the_region_of_fewer_pixels_is_on_top_whatever_its_area_says(
    area: Any, as_runs: bool, tmp_path: Path
) -> None:
    pictures(tmp_path, "a.png")
    cup: dict[str, Any] = {"segmentation": square(8, 8)}
    if as_runs:
        stencil = np.zeros((SIZE, SIZE), np.uint8)
        stencil[8:12, 8:12] = 1
        code = coco_mask.encode(np.asfortranarray(stencil))
        cup = {"segmentation": {**code, "counts": code["counts"].decode()}}
    table = {"segmentation": square(2, 2, 14), "category_id": 2}
    if area is not None:
        cup, table = {**cup, "area": area}, {**table, "area": area}
    write(tmp_path / "x.json", document(["a.png"], [cup, table]))
    (mask,) = masks_of(tmp_path)
    assert (mask == 1).sum() == 16
    assert (mask == 2).sum() == 14 * 14 - 16


def test_regions_of_one_size_and_two_classes_that_overlap_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    both: list[dict[str, Any]]
    both = [{"segmentation": square(4, 4)}, {"segmentation": square(5, 5), "category_id": 2}]
    write(tmp_path / "x.json", document(["a.png"], both))
    with pytest.raises(DatasetError, match=r"annotation 1 and annotation 2 of a\.png overlap"):
        masks_of(tmp_path)
    apart = [both[0], {**both[1], "segmentation": square(9, 9)}]
    write(tmp_path / "x.json", document(["a.png"], apart))
    assert np.bincount(masks_of(tmp_path)[0].ravel()).tolist() == [368, 16, 16]


@pytest.mark.parametrize("form", [str, float, "{}.0".format, " {} ".format, "0{}".format])
def test_ids_are_one_number_in_whatever_form(form: Any, tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    region = {"segmentation": square(4, 4), "image_id": form(1), "category_id": form(2)}
    content = document(["a.png"], [region])
    write(tmp_path / "x.json", content)
    assert (masks_of(tmp_path)[0] == 2).sum() == 16
    content["annotations"][0] |= {"image_id": 1, "category_id": 2}
    content["images"][0]["id"] = form(1)
    content["categories"][1]["id"] = form(2)
    write(tmp_path / "x.json", content)
    assert (masks_of(tmp_path)[0] == 2).sum() == 16


@pytest.mark.parametrize("value", [True, None, [1], 1.5])
def test_an_id_that_is_none_is_named(value: Any, tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    write(
        tmp_path / "x.json",
        document(["a.png"], [{"segmentation": square(4, 4), "image_id": value}]),
    )
    assert "annotations[0] is not as COCO has it (its id" in examined(tmp_path).errors[0].text


def test_two_images_of_one_id_are_named(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    content = document(["a.png", "b.png"], [{"segmentation": square(4, 4)}])
    content["images"][1]["id"] = "1"
    write(tmp_path / "x.json", content)
    assert "images[1] is not as COCO has it (its id 1 is that of a.png too)" in str(
        examined(tmp_path).errors[0].text
    )


@pytest.mark.parametrize("shift", [-1, 1])
def test_annotations_that_count_otherwise_than_images_are_an_error_and_their_images_left_out(
    shift: int, tmp_path: Path
) -> None:
    names = ["a.png", "b.png", "c.png"]
    pictures(tmp_path, *names)
    regions = [{"segmentation": square(4, 4), "image_id": n + shift} for n in (1, 2, 3)]
    write(tmp_path / "x.json", document(names, regions))
    dataset = scan_dataset(tmp_path, WHOLE)
    assert not dataset.splits
    assert f"with {-shift:+d} all would be of listed ones" in dataset.issues[0].text


def test_annotations_of_no_listed_image_are_counted(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", "c.png")
    regions = [{"segmentation": square(4, 4), "image_id": n} for n in (1, 7, 7, 9)]
    write(tmp_path / "x.json", document(["a.png", "b.png"], regions))
    examination = examined(tmp_path)
    texts = [issue.text for issue in examination.warnings]
    assert any("3 annotations of 2 images that it does not list" in text for text in texts)
    assert any("1 of 2 images, such as b.png, have no annotation" in text for text in texts)
    assert any("no annotation file lists 1 image, such as" in text for text in texts)
    lost = [{"segmentation": square(4, 4), "image_id": f"img{n}"} for n in (1, 2)]
    write(tmp_path / "x.json", document(["a.png", "b.png"], lost))
    assert "and none of one that it lists" in examined(tmp_path).errors[0].text


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("images\\a 1.png", "images/a 1.png"),
        ("a%201.png", "a 1.png"),
        ("images\\a%201.png", "images/a 1.png"),
        ("\u00e9.png", "e\u0301.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("site1\\day2\\a.png", "images/site1/day2/a.png"),
    ],
)
def test_a_file_is_found_by_the_name_that_another_system_gives_it(
    written: str, place: str, tmp_path: Path
) -> None:
    pictures(tmp_path, place)
    write(tmp_path / "x.json", document([written], [{"segmentation": square(4, 4)}]))
    assert read_dataset(tmp_path, WHOLE).split("train")[0].image == tmp_path / place


def test_an_image_elsewhere_or_at_two_places_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, "images/a.png")
    write(tmp_path / "x.json", document(["..\\..\\upload\\a.png"], []))
    assert (
        f"{tmp_path / 'images' / 'a.png'} is: if that is meant" in examined(tmp_path).errors[0].text
    )
    pictures(tmp_path, "a.png")
    write(tmp_path / "x.json", document(["a.png"], []))
    assert "lists a.png, and " in examined(tmp_path).errors[0].text


def test_files_of_one_picture_are_merged_where_they_do_not_overlap(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    cups = document(["a.png", "b.png"], [{"segmentation": square(2, 2)}], ["cup"])
    tables = document(["a.png"], [{"segmentation": square(9, 9)}], ["table"])
    write(tmp_path / "cups.json", cups)
    write(tmp_path / "tables.json", tables)
    first, _ = masks_of(tmp_path)
    assert np.bincount(first.ravel()).tolist() == [368, 16, 16]
    texts = [issue.text for issue in examined(tmp_path).warnings]
    assert any("tell of the same images but for 1" in text for text in texts)
    tables["annotations"][0]["segmentation"] = square(4, 4)
    write(tmp_path / "tables.json", tables)
    with pytest.raises(DatasetError, match="say different classes of 4 pixels"):
        masks_of(tmp_path)


def test_an_image_that_one_file_lists_twice_is_one(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    regions = [{"segmentation": square(2, 2)}, {"segmentation": square(9, 9), "image_id": 2}]
    write(tmp_path / "x.json", document(["a.png", "a.png"], regions))
    (mask,) = masks_of(tmp_path)
    assert (mask == 1).sum() == 32


@pytest.mark.parametrize(
    "place",
    ["valid.json", "annotations/valid.json", "valid/result.json", "annotations/valid/x.json"],
)
def test_a_file_beside_instances_is_read_too(place: str, tmp_path: Path) -> None:
    pictures(tmp_path, "images/a.png", "images/b.png")
    write(tmp_path / "annotations" / "instances_train.json", document(["a.png"], []))
    write(tmp_path / place, document(["b.png"], []))
    dataset = read_dataset(tmp_path, WHOLE)
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {
        "train": 1,
        "val": 1,
    }


def test_a_panoptic_file_of_another_name_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path / "mine.json", document(["a.png"], [{"segments_info": []}]))
    assert "it is of the panoptic task" in examined(tmp_path).errors[0].text


def test_void_categories_are_ignored_and_a_grouping_one_is_no_class(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    names = ["things", "cup", "ignored", "Void", "_background_"]
    categories = [
        {"id": n, "name": name, "supercategory": "things"} for n, name in enumerate(names)
    ]
    regions = [
        {"segmentation": square(1 + 5 * (n % 3), 1 + 5 * (n // 3)), "category_id": n}
        for n in (1, 2, 3)
    ]
    write(tmp_path / "x.json", document(["a.png"], regions, categories))
    dataset = read_dataset(tmp_path, WHOLE)
    assert [c.name for c in dataset.class_list.classes] == ["background", "cup"]
    mask = dataset.split("train")[0].mask.read()
    assert ((mask == 1).sum(), (mask == 255).sum()) == (16, 32)
    used = [*regions, {"segmentation": square(14, 14), "category_id": 0}]
    write(tmp_path / "x.json", document(["a.png"], used, categories))
    names = [c.name for c in read_dataset(tmp_path, WHOLE).class_list.classes]
    assert names == ["background", "things", "cup"]


def test_names_that_differ_in_case_alone_are_refused_until_classes_json_settles_it(
    tmp_path: Path,
) -> None:
    pictures(tmp_path, "a.png")
    regions = [{"segmentation": square(2, 2)}, {"segmentation": square(9, 9), "category_id": 2}]
    write(tmp_path / "x.json", document(["a.png"], regions, ["Cup", "cup "]))
    with pytest.raises(DatasetError, match="'Cup' and 'cup' differ in case alone"):
        scan_dataset(tmp_path, WHOLE)
    for names, ids in ((["ground", "cup"], [1, 1]), (["ground", "cup", "Cup"], [2, 1])):
        classes = [{"id": n, "name": name, "color": f"#00000{n}"} for n, name in enumerate(names)]
        write(tmp_path / "classes.json", {"name": "x", "classes": classes})
        (mask,) = masks_of(tmp_path)
        assert [mask[3, 3], mask[10, 10]] == ids


def test_what_no_region_covers_is_not_a_class_that_is_drawn(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path / "x.json", document(["a.png"], [{"segmentation": square(2, 2)}]))
    names = ["cup", "table"]
    classes = [{"id": n, "name": name, "color": f"#00000{n}"} for n, name in enumerate(names)]
    write(tmp_path / "classes.json", {"name": "x", "classes": classes})
    with pytest.raises(DatasetError, match=r"no region covers 384 pixels of a\.png"):
        masks_of(tmp_path)
    whole = [{"segmentation": square(0, 0, SIZE), "category_id": 2}, {"segmentation": square(2, 2)}]
    write(tmp_path / "x.json", document(["a.png"], whole))
    assert np.bincount(masks_of(tmp_path)[0].ravel()).tolist() == [16, 384]


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ([2, 2, 6, 2, 6, 6], "one flat list of numbers"),
        ([[2, 2, 6, 2, 6]], "not x and y in turn"),
        ([[2, 2, 6, 2, 6, "six"]], "not x and y in turn"),
        ([[2, 2, 6, 2, 6, float("nan")]], "not x and y in turn"),
        ([[2, 2, 6, 2, 6, 6], [1, 1, 2, 2]], "less than three corners"),
        ([{"size": [SIZE, SIZE], "counts": [400]}], "not a list of polygons"),
        ("polygon", "not a polygon or run length"),
    ],
)
def test_a_segmentation_of_another_form_is_named(
    segmentation: Any, sentence: str, tmp_path: Path
) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path / "x.json", document(["a.png"], [{"segmentation": segmentation}]))
    text = examined(tmp_path).errors[0].text
    assert "x.json: annotations[0] is not as COCO has it" in text
    assert sentence in text


def test_coordinates_from_0_to_1_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    shares = [[0.1, 0.1, 0.5, 0.1, 0.5, 0.5, 0.1, 0.5]]
    write(tmp_path / "x.json", document(["a.png"], [{"segmentation": shares}]))
    assert "all coordinates of a.png lie between 0 and 1" in examined(tmp_path).errors[0].text
    speck = [{"segmentation": [[0, 0, 1, 0, 1, 1, 0, 1]]}, {"segmentation": square(4, 4)}]
    write(tmp_path / "x.json", document(["a.png"], speck))
    assert (masks_of(tmp_path)[0] == 1).sum() == 17


def test_regions_beyond_the_picture_are_cut_off_and_said(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    regions = [{"segmentation": square(-4, 4, 8)}, {"segmentation": square(4, 14)}]
    write(tmp_path / "x.json", document(["a.png"], regions))
    examination = examined(tmp_path)
    assert examination.errors == []
    assert any(
        "1 of 2 regions of a.png reach beyond the picture" in issue.text
        for issue in examination.warnings
    )
    assert (masks_of(tmp_path)[0] == 1).sum() == 4 * 8 + 16


def test_pictures_made_smaller_after_labelling_are_an_error(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    regions = [{"segmentation": square(25, 40 + n, 8), "image_id": n} for n in (1, 2)]
    write(tmp_path / "x.json", document(["a.png", "b.png"], regions))
    examination = examined(tmp_path)
    assert "most regions lie outside the picture" in examination.errors[0].text
    assert any("no pixel of the picture lies in them" in i.text for i in examination.warnings)


def test_a_region_that_smaller_ones_cover_whole_is_said(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    halves = [[4, 4, 6, 4, 6, 8, 4, 8]], [[6, 4, 8, 4, 8, 8, 6, 8]]
    covers = [{"segmentation": half, "category_id": 2} for half in halves]
    write(tmp_path / "x.json", document(["a.png"], [{"segmentation": square(4, 4)}, *covers]))
    texts = [issue.text for issue in examined(tmp_path).warnings]
    assert any("annotation 1 of a.png: smaller regions of other classes cover" in t for t in texts)


def test_a_turned_photograph_whose_stated_size_is_the_unturned_one_is_refused_with_what_is_so(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures(tmp_path, "a.jpg", size=(24, 12), exif=exif)
    region = [{"segmentation": square(2, 16)}]
    write(tmp_path / "x.json", document(["a.jpg"], region, size=(24, 12)))
    text = examined(tmp_path).errors[0].text
    assert "a.jpg is 12×24 as its EXIF orientation turns it" in text
    assert "its regions may be of either" in text
    write(tmp_path / "x.json", document(["a.jpg"], region, size=(12, 24)))
    assert examined(tmp_path).errors == []
    assert masks_of(tmp_path)[0][17, 3] == 1


def test_a_value_mapping_is_for_mask_files(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    write(tmp_path / "x.json", document(["a.png"], []))
    with pytest.raises(DatasetError, match="COCO draws its masks from regions"):
        scan_dataset(tmp_path, WHOLE, LayoutOptions(ignore=0, shift=-1))


def test_an_answer_of_the_service_keeps_its_model_s_ids(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    names = ["sky", "road"]
    categories = [
        {"id": n + 1, "class_id": n, "name": name, "color": f"#00000{n}"}
        for n, name in enumerate(names)
    ]
    whole: list[dict[str, Any]]
    whole = [{"segmentation": square(0, 0, SIZE)}, {"segmentation": square(2, 2), "category_id": 2}]
    write(tmp_path / "x.json", document(["a.png"], whole, categories))
    class_list = read_dataset(tmp_path, WHOLE).class_list
    assert [(c.name, c.color) for c in class_list.classes] == [
        ("sky", "#000000"),
        ("road", "#000001"),
    ]
    assert np.bincount(masks_of(tmp_path)[0].ravel()).tolist() == [384, 16]


@pytest.mark.parametrize("word", [0, 0.0, False, None, "0", "false"])
def test_a_region_that_is_no_crowd_is_on_top_in_whatever_form_it_says_so(
    word: Any, tmp_path: Path
) -> None:
    pictures(tmp_path, "a.png")
    cup = {"segmentation": square(8, 8), "iscrowd": word}
    table = {"segmentation": square(2, 2, 16), "category_id": 2}
    write(tmp_path / "x.json", document(["a.png"], [cup, table]))
    assert np.bincount(masks_of(tmp_path)[0].ravel()).tolist() == [144, 16, 240]
    cup["iscrowd"] = "1"
    write(tmp_path / "x.json", document(["a.png"], [cup, table]))
    assert np.bincount(masks_of(tmp_path)[0].ravel()).tolist() == [144, 0, 256]
    hidden = [i.text for i in examined(tmp_path).warnings if i.kind == "regions without a pixel"]
    assert len(hidden) == 1
    assert "say 0 where each is one object" in hidden[0]
    cup["iscrowd"] = "maybe"
    write(tmp_path / "x.json", document(["a.png"], [cup, table]))
    with pytest.raises(DatasetError, match="its iscrowd is 'maybe', and is to be 0 or 1"):
        masks_of(tmp_path)


@pytest.mark.parametrize(
    ("other", "splits"),
    [
        ("annotations/dev.json", {"train": 1, "val": 1, "dev": 1}),
        ("annotations/instances_minival2014.json", {"train": 1, "val": 1, "minival2014": 1}),
        ("extra/_annotations.coco.json", {"train": 1, "val": 1, "extra": 1}),
        ("annotations/instances_trainval.json", {"train": 2, "val": 1}),
    ],
)
def test_a_file_of_another_split_is_not_learned_from_without_a_word(
    other: str, splits: dict[str, int], tmp_path: Path
) -> None:
    files = ("annotations/instances_train2017.json", "annotations/val.json", other)
    for number, path in enumerate(files):
        pictures(tmp_path, f"{number}.png")
        write(tmp_path / path, document([f"{number}.png"], [{"segmentation": square(4, 4)}]))
    dataset = read_dataset(tmp_path)
    assert {name: len(samples) for name, samples in dataset.splits.items()} == splits
    kind = "no split of its own" if len(splits) == 2 else "another split"
    assert kind in [issue.kind for issue in dataset.issues]


@pytest.mark.parametrize("name", [None, True, " ", "\u200b", ["cup"]])
def test_a_category_without_a_name_is_named(name: Any, tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    categories = [{"id": 1, "name": name}, {"id": 2, "name": "table"}]
    content = document(["a.png"], [{"segmentation": square(4, 4)}], categories)
    write(tmp_path / "x.json", content)
    assert any(
        "categories[0] is not as COCO has it (its name" in i.text for i in examined(tmp_path).errors
    )


def test_two_versions_of_a_file_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    for name, left in (("v1", 4), ("v2", 5)):
        content = document(["a.png"], [{"segmentation": square(left, 4)}])
        write(tmp_path / f"{name}.json", content)
    with pytest.raises(DatasetError, match="as two versions of one mask do"):
        masks_of(tmp_path)


@pytest.mark.parametrize("subset", ["default", "train", "my photos"])
def test_images_lie_in_a_folder_of_their_file_s_name(subset: str, tmp_path: Path) -> None:
    """As CVAT and Datumaro put them."""
    pictures(tmp_path, f"images/{subset}/a.png")
    content = document(["a.png"], [{"segmentation": square(4, 4)}])
    write(tmp_path / "annotations" / f"instances_{subset}.json", content)
    assert np.bincount(masks_of(tmp_path)[0].ravel()).tolist() == [384, 16]
