"""Each layout with a picture of a few pixels whose mask one can write down."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.data.dataset import DatasetError
from models.data.layouts.voc import VOC_CLASSES
from models.data.masks import voc_color
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)


def picture(path: Path, size: tuple[int, int] = (8, 6), shade: int = 90) -> Path:
    """Save an image of `size` (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 40, 200 - shade)).save(path)
    return path


def save_ids(path: Path, ids: NDArray[np.uint8], mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids)
    if mode == "P":
        image.putpalette([channel for index in range(256) for channel in voc_color(index)])
    image.save(path)


def class_names(folder: Path) -> list[str]:
    return [c.name for c in read_dataset(folder, WHOLE).class_list.classes]


def mask_of(folder: Path, split: str = "train", index: int = 0) -> NDArray[np.uint8]:
    image, mask = read_dataset(folder, WHOLE).split(split)[index].read(3)
    assert image.dtype == mask.dtype == np.uint8
    return mask


IDS = np.zeros((6, 8), np.uint8)
IDS[1:4, 2:6] = 1
CLASSES = {
    "name": "two",
    "classes": [
        {"id": 0, "name": "ground", "color": "#102030"},
        {"id": 1, "name": "thing", "color": "#ff8000"},
    ],
}


def test_folders_without_splits_and_with_endings_are_paired(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "images" / "camera1" / "b.jpg")
    save_ids(tmp_path / "masks" / "a_mask.png", IDS)
    save_ids(tmp_path / "masks" / "camera1" / "b.bmp", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.layout == "folders"
    assert [s.mask.path.name for s in dataset.split("train")] == ["a_mask.png", "b.bmp"]
    np.testing.assert_array_equal(mask_of(tmp_path), IDS)


def test_names_of_split_folders_are_understood(tmp_path: Path) -> None:
    for split in ("training", "valid"):
        picture(tmp_path / "images" / split / "a.png")
        save_ids(tmp_path / "masks" / split / "a.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    assert sorted(read_dataset(tmp_path).splits) == ["train", "val"]


def test_color_masks_go_through_the_classes_colors(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    colors = np.array([[0x10, 0x20, 0x30], [0xFF, 0x80, 0x00]], np.uint8)[IDS]
    save_ids(tmp_path / "masks" / "train" / "a.png", colors)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    np.testing.assert_array_equal(mask_of(tmp_path), IDS)
    colors[0, :3] = 9
    save_ids(tmp_path / "masks" / "train" / "a.png", colors)
    with pytest.raises(DatasetError, match=r"a\.png holds 1 colours of no class in 3 pixels"):
        mask_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "16 32 48\tground\n255 128 0\t\tthing\n1 1 1 Void\n"),
        ("class_dict.csv", "name,r,g,b\nground,16,32,48\nthing, 255, 128, 0\nvoid,1,1,1\n"),
        ("labelmap.txt", "# label:color\nground:16,32,48::\nthing:255,128,0::\nignore:1,1,1::\n"),
    ],
)
def test_palettes_of_other_tools_name_the_classes(tmp_path: Path, name: str, text: str) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    colors = np.array([[16, 32, 48], [255, 128, 0]], np.uint8)[IDS]
    colors[0, 0] = 1
    save_ids(tmp_path / "masks" / "train" / "a.png", colors)
    (tmp_path / name).write_text(text)
    assert class_names(tmp_path) == ["ground", "thing"]
    expected = IDS.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(mask_of(tmp_path), expected)


def test_a_palette_may_lie_elsewhere(tmp_path: Path) -> None:
    data = tmp_path / "data"
    picture(data / "images" / "a.png")
    save_ids(data / "masks" / "a.png", IDS)
    (tmp_path / "colours.txt").write_text("1 2 3 sea\n4 5 6 land\n")
    layout = LayoutOptions(palette=tmp_path / "colours.txt")
    dataset = read_dataset(data, WHOLE, layout)
    assert [c.name for c in dataset.class_list.classes] == ["sea", "land"]


def test_a_table_names_images_masks_splits_and_groups(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "all" / f"{number}.jpg")
        save_ids(tmp_path / "all" / f"m{number}.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    rows = (
        "all/0.jpg,all/m0.png,train,p1\n"
        "all/1.jpg,all/m1.png,validation,p2\n"
        "all/2.jpg,all/gone.png,train,p1\n"
    )
    (tmp_path / "index.csv").write_text(f"Image,Mask,split,group\n{rows}")
    dataset = scan_dataset(tmp_path)
    assert dataset.layout == "csv"
    assert [s.group for s in dataset.split("train")] == ["p1"]
    assert [s.mask.path.name for s in dataset.split("val")] == ["m1.png"]
    issue, left_over = dataset.issues
    assert "line 4: the mask" in issue.text
    assert "gone.png is not there" in issue.text
    assert "m2.png; left out" in left_over.text


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_may_be_separated_by_semicolons_or_tabs(delimiter: str, tmp_path: Path) -> None:
    picture(tmp_path / "0.jpg")
    save_ids(tmp_path / "m0.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    rows = (("image", "mask", "split"), ("0.jpg", "m0.png", "train"))
    (tmp_path / "index.csv").write_text("\n".join(map(delimiter.join, rows)))
    assert read_dataset(tmp_path, WHOLE).layout == "csv"
    np.testing.assert_array_equal(mask_of(tmp_path), IDS)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"gr\xf6\xdfe,image,mask\n", r"index\.csv, line 1: it is not UTF-8"),
        (b"image,mask\n" + b"a,b\n" * 5000 + b"\xf6,b\n", r"index\.csv, line 5002: .*not UTF-8"),
        (b'image,mask\n"a,b\n' + b"a,b\n" * 50_000, r"index\.csv is not a CSV .*a quote"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=sentence):
        scan_dataset(tmp_path)


def test_a_table_of_something_else_does_not_matter(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    save_ids(tmp_path / "masks" / "a.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "cameras.csv").write_bytes(b"n\xe4me,lens\na,b\n")
    assert read_dataset(tmp_path, WHOLE).layout == "folders"


def test_voc_reads_its_lists_and_palette_indices(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    ids = IDS * 15
    ids[0] = 255
    for name in ("2007_000032", "2011_003276"):
        picture(root / "JPEGImages" / f"{name}.jpg")
        save_ids(root / "SegmentationClass" / f"{name}.png", ids, "P")
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("2011_003276\n")
    (lists / "trainval.txt").write_text("2007_000032\n2011_003276\n")
    dataset = read_dataset(tmp_path)
    assert dataset.layout == "voc"
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {
        "train": 1,
        "val": 1,
    }
    assert (dataset.class_list.classes[15].name, dataset.class_list.ignore) == ("person", 255)
    assert dataset.class_list.classes[15].color == "#c08080"
    np.testing.assert_array_equal(mask_of(tmp_path), ids)
    # the same masks drawn in colour, border included
    colors = np.array([*map(voc_color, range(len(VOC_CLASSES))), (224, 224, 192)], np.uint8)
    save_ids(root / "SegmentationClass" / "2007_000032.png", colors[np.where(ids == 255, 21, ids)])
    np.testing.assert_array_equal(mask_of(tmp_path), ids)


def test_a_list_of_voc_that_is_no_text_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        save_ids(tmp_path / "SegmentationClass" / f"{name}.png", IDS)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_bytes(b"\xfc\n")
    (lists / "val.txt").write_text("b\n")
    (tmp_path / "class_names.txt").write_text("ground\nthing\n")
    dataset = scan_dataset(tmp_path)
    assert list(dataset.splits) == ["val"]
    (issue,) = dataset.issues
    assert "train.txt is not UTF-8" in issue.text


def coco_document(annotations: list[dict[str, Any]]) -> str:
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 8, "height": 6}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [{"id": n, "image_id": 7, **a} for n, a in enumerate(annotations)],
    }
    return json.dumps(document)


def rectangle(left: int, top: int, right: int, bottom: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def test_coco_draws_polygons_and_both_run_lengths(tmp_path: Path) -> None:
    stamp = np.zeros((6, 8), np.uint8)
    stamp[5, 6:] = 1
    compressed = coco_mask.encode(np.asfortranarray(stamp))
    compressed["counts"] = compressed["counts"].decode()
    annotations = [
        {"category_id": 18, "segmentation": [rectangle(2, 1, 6, 4)], "iscrowd": 0},
        # column-major: the first column, then nothing
        {"category_id": 3, "segmentation": {"size": [6, 8], "counts": [0, 6, 42]}, "iscrowd": 1},
        {"category_id": 3, "segmentation": compressed, "iscrowd": 0},
        {"category_id": 3, "segmentation": [], "bbox": [0, 0, 3, 3]},
    ]
    picture(tmp_path / "train2017" / "a.jpg")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(coco_document(annotations))
    (tmp_path / "annotations" / "captions_train2017.json").write_text("not read")
    expected = IDS * 2
    expected[:, 0] = 1
    expected[5, 6:] = 1
    assert class_names(tmp_path) == ["background", "car", "dog"]
    np.testing.assert_array_equal(mask_of(tmp_path), expected)
    (issue,) = scan_dataset(tmp_path, WHOLE).issues
    assert "annotation 3 of image 7 has no region" in issue.text


def test_where_coco_regions_overlap_the_smaller_is_on_top(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    small = {"category_id": 3, "segmentation": [rectangle(2, 1, 6, 4)], "area": 12}
    large = {"category_id": 18, "segmentation": [rectangle(0, 0, 8, 6)], "area": 48}
    (tmp_path / "annotations.json").write_text(coco_document([small, large]))
    assert read_dataset(tmp_path, WHOLE).layout == "coco"
    np.testing.assert_array_equal(mask_of(tmp_path), 2 - IDS)


def test_coco_in_splits_of_roboflow(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg")
        (tmp_path / split / "_annotations.coco.json").write_text(coco_document([]))
    assert sorted(read_dataset(tmp_path).splits) == ["train", "val"]


def test_a_run_length_of_another_size_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    wrong = {"category_id": 3, "segmentation": {"size": [6, 8], "counts": [0, 6]}}
    (tmp_path / "x.json").write_text(coco_document([wrong]))
    with pytest.raises(
        DatasetError, match=r"x\.json: the segmentation of annotation 0 is not a polygon"
    ):
        mask_of(tmp_path)


def test_every_fault_of_coco_is_told_and_its_image_left_out(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.jpg")
    region = {"category_id": 3, "segmentation": [rectangle(2, 1, 6, 4)]}
    document = json.loads(coco_document([{**region, "category_id": 9}, {"image_id": 8, **region}]))
    document["images"] += [
        {"id": 8, "file_name": "b.jpg", "width": 8, "height": 6},
        {"id": 9, "file_name": "c.jpg"},
    ]
    document["categories"] += [{"name": "cat"}, "bird"]
    document["annotations"] += ["none", {"image_id": 7, "category_id": 3, "segmentation": "circle"}]
    (tmp_path / "train.json").write_text(json.dumps(document))
    (tmp_path / "val.json").write_text("{")
    dataset = scan_dataset(tmp_path, WHOLE)
    assert [sample.image.name for sample in dataset.split("train")] == ["b.jpg"]
    said = [issue.text.removeprefix(f"{tmp_path}/") for issue in dataset.issues]
    places = ("categories[2]", "categories[3]", "annotations[0]", "annotations[2]")
    for place in (*places, "annotations[3]", "images[2]"):
        assert sum(f"train.json: {place} is not as COCO has it" in text for text in said) == 1
    assert any("it has no 'id'" in text for text in said)
    assert any("its category_id is 9; the categories have 18, 3" in text for text in said)
    assert any("val.json is not JSON" in text for text in said)
    assert len(said) == 7


def test_coco_without_a_category_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    document = json.loads(coco_document([])) | {"categories": [{"name": "car"}]}
    (tmp_path / "x.json").write_text(json.dumps(document))
    told = [issue.text for issue in scan_dataset(tmp_path).issues]
    assert "x.json: categories[0] is not as COCO has it (it has no 'id')" in told[0]
    assert told[1].endswith("no annotation file lists a category")


def test_a_category_that_classes_json_does_not_list_is_told_once(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    region = {"category_id": 18, "segmentation": [rectangle(2, 1, 6, 4)]}
    (tmp_path / "x.json").write_text(coco_document([region, region]))
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES).replace("thing", "car"))
    dataset = scan_dataset(tmp_path)
    (issue,) = dataset.issues
    assert "the category 'dog', which classes.json does not list" in issue.text
    assert not dataset.splits


def labelme(shapes: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "shapes": shapes,
            "imagePath": "a.jpg",
            "imageWidth": 40,
            "imageHeight": 30,
            "imageData": None,
        }
    )


def shape(label: str, kind: str, points: list[tuple[float, float]], **more: Any) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, **more}


def test_labelme_draws_every_kind_of_shape_in_order(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (40, 30))
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 3), 255, np.uint8)).save(buffer, "png")
    png = base64.b64encode(buffer.getvalue()).decode()
    shapes = [
        shape("road", "polygon", [(0, 20), (39, 20), (39, 29), (0, 29)]),
        shape("car", "rectangle", [(9, 27), (4, 22)]),  # over the road; corners in any order
        shape("sign", "circle", [(30, 6), (33, 6)]),
        shape("sign", "mask", [(10, 3), (13, 5)], mask=png),
        shape("__ignore__", "point", [(20, 8)]),
    ]
    (tmp_path / "a.json").write_text(labelme(shapes))
    assert class_names(tmp_path) == ["background", "car", "road", "sign"]
    mask = mask_of(tmp_path)
    expected = np.zeros((30, 40), np.uint8)
    expected[20:] = 2
    expected[22:28, 4:10] = 1
    expected[3:5, 10:13] = 3
    rim = np.zeros(expected.shape, bool)
    for (x, y), radius, class_id in (((30, 6), 3, 3), ((20, 8), 5, 255)):
        far = np.hypot(*(np.mgrid[:30, :40] - np.array([y, x])[:, None, None]))
        expected[far <= radius] = class_id
        rim |= np.abs(far - radius) < 1  # how a circle's edge falls on pixels is Pillow's affair
    np.testing.assert_array_equal(mask[~rim], expected[~rim])


def test_labelme_is_found_beside_other_json_and_tells_of_images_without_one(tmp_path: Path) -> None:
    (tmp_path / "0-settings.json").write_text('{"tool": "labelme"}')
    for name in ("a", "b"):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "a.json").write_text(labelme([shape("tree", "rectangle", [(0, 0), (4, 4)])]))
    dataset = scan_dataset(tmp_path)
    assert dataset.layout == "labelme"
    assert [issue.text for issue in dataset.issues] == [
        f"{tmp_path / 'b.jpg'} has no JSON of shapes and is left out"
    ]


def test_labelme_lines_are_as_wide_as_labelme_draws_them(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (40, 30))
    (tmp_path / "a.json").write_text(labelme([shape("crack", "line", [(0, 15), (39, 15)])]))
    assert np.sum(mask_of(tmp_path)[:, 20]) == 10


def test_a_label_that_classes_json_does_not_list_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (40, 30))
    (tmp_path / "a.json").write_text(labelme([shape("tree", "rectangle", [(0, 0), (4, 4)])]))
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    with pytest.raises(DatasetError, match=r"a\.json has the label 'tree'"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("ignore", [254, None])
def test_labelme_void_is_what_classes_json_ignores(ignore: int | None, tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (40, 30))
    (tmp_path / "a.json").write_text(labelme([shape("__ignore__", "rectangle", [(0, 0), (4, 4)])]))
    (tmp_path / "classes.json").write_text(json.dumps({**CLASSES, "ignore": ignore}))
    if ignore is None:
        with pytest.raises(
            DatasetError, match=r"'__ignore__' is void, and classes\.json ignores nothing"
        ):
            read_dataset(tmp_path, WHOLE)
    else:
        assert np.unique(mask_of(tmp_path)).tolist() == [0, ignore]


@pytest.mark.parametrize("size", [-5, "wide", [8]])
def test_a_size_that_is_none_is_told(size: Any, tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (40, 30))
    document = json.loads(labelme([shape("tree", "point", [(2, 2)])])) | {"imageWidth": size}
    (tmp_path / "a.json").write_text(json.dumps(document))
    (issue,) = scan_dataset(tmp_path).issues
    assert "a.json: imageWidth and imageHeight are not a size" in issue.text


def test_a_folder_of_no_layout_says_what_it_holds(tmp_path: Path) -> None:
    picture(tmp_path / "holiday.jpg")
    with pytest.raises(DatasetError, match=r"no layout that segtrain reads .*holds holiday\.jpg"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train2017", "val2017"), ["train", "val"]),
        (("train_images", "val_images", "test_images"), ["train", "val", "test"]),
        (("Train", "VAL"), ["train", "val"]),
        (("train", "dev"), ["train", "dev"]),
        (("site_a", "test_site"), ["train"]),
    ],
)
def test_folders_named_after_splits_are_those_splits(
    folders: tuple[str, ...], splits: list[str], tmp_path: Path
) -> None:
    for shade, name in enumerate(folders):
        picture(tmp_path / "images" / name / f"{name}.png", shade=shade)
        save_ids(tmp_path / "masks" / name / f"{name}.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    assert list(read_dataset(tmp_path, WHOLE).splits) == splits


def test_pictures_that_are_not_read_are_said(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.gif", "c.heic"):
        picture(tmp_path / "images" / "a.jpg").rename(tmp_path / "images" / name)
        save_ids(tmp_path / "masks" / f"{name[0]}.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    dataset = read_dataset(tmp_path, WHOLE)
    assert [sample.image.name for sample in dataset.split("train")] == ["a.jfif"]
    assert any("2 files in" in i.text and "b.gif, are of a kind" in i.text for i in dataset.issues)


def test_what_a_table_may_mean_otherwise_is_said(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png", shade=ord(name))
        save_ids(tmp_path / f"{name}_mask.png", IDS)
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    table = tmp_path / "list.csv"
    table.write_text(
        "image,mask,split\na.png,a_mask.png,train\nb.png,a_mask.png,val\nc.png,c_mask.png,\n"
    )
    texts = [issue.text for issue in read_dataset(tmp_path, WHOLE).issues]
    assert any("a_mask.png to 2 images, such as a.png and b.png" in text for text in texts)
    assert any("1 image, such as" in t and "is in no split, where others" in t for t in texts)
    table.write_text("image,mask,mask\na.png,a_mask.png,c_mask.png\n")
    with pytest.raises(DatasetError, match="has the column mask twice"):
        read_dataset(tmp_path)
