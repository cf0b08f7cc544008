"""LabelMe's files and X-AnyLabeling's: every kind of shape, files that were copied and renamed,
labels that differ in spelling."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.data.dataset import DatasetError
from models.data.examination import Examination, examine
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
WIDTH, HEIGHT = 60, 40

Points = Sequence[tuple[float, float]]
BOX: Points = ((10, 10), (30, 10), (30, 20), (10, 20))


def picture(
    path: Path, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), **save: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **save)


def shape(label: str, kind: str = "polygon", points: Points = BOX, **more: Any) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, **more}


def labelme(
    path: Path, shapes: Sequence[Any], image: str, size: tuple[int, int] | None = (WIDTH, HEIGHT)
) -> None:
    document: dict[str, Any] = {"shapes": shapes, "imagePath": image, "imageData": None}
    if size:
        document |= {"imageWidth": size[0], "imageHeight": size[1]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def drawn(folder: Path, *shapes: dict[str, Any]) -> NDArray[np.uint8]:
    picture(folder / "a.png")
    labelme(folder / "a.json", shapes, "a.png")
    return masks_of(folder)["a.png"]


def masks_of(folder: Path) -> dict[str, NDArray[np.uint8]]:
    samples = read_dataset(folder, WHOLE).split("train")
    return {sample.image.name: sample.mask.read() for sample in samples}


def examined(folder: Path) -> Examination:
    return examine(scan_dataset(folder, WHOLE))


def by_pillow(points: Points, joint: str | None = None) -> NDArray[np.uint8]:
    """As LabelMe's own tools draw a polygon, or with `joint` a line of 10 pixels."""
    canvas = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(canvas)
    if joint is None:
        draw.polygon(list(points), fill=1, outline=1)
    else:
        draw.line(list(points), fill=1, width=10, joint=joint)
    return np.asarray(canvas)


@pytest.mark.parametrize("kind", ["rectangle", "oriented_rectangle", "rotation", "quadrilateral"])
@pytest.mark.parametrize("points", [BOX, ((20, 5), (35, 15), (25, 30), (10, 20))])
def test_four_corners_are_drawn_whatever_the_tool_calls_them(
    kind: str, points: Points, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(drawn(tmp_path, shape("dent", kind, points)), by_pillow(points))


def test_a_rectangle_of_four_corners_is_that_of_two(tmp_path: Path) -> None:
    two = drawn(tmp_path, shape("dent", "rectangle", (BOX[0], BOX[2])))
    np.testing.assert_array_equal(two, by_pillow(BOX))


def test_every_point_of_points_is_drawn(tmp_path: Path) -> None:
    spots: Points = ((8, 8), (40, 12), (20, 30))
    mask = drawn(tmp_path, shape("bolt", "points", spots))
    one = drawn(tmp_path, shape("bolt", "point", spots[:1]))
    assert mask.sum() == 3 * one.sum()
    assert all(mask[int(y), int(x)] for x, y in spots)


def test_the_joints_of_a_linestrip_are_round(tmp_path: Path) -> None:
    strip: Points = ((10, 30), (30, 10), (50, 30))
    mask = drawn(tmp_path, shape("crack", "linestrip", strip))
    np.testing.assert_array_equal(mask, by_pillow(strip, joint="curve"))
    assert mask.sum() > drawn(tmp_path, shape("crack", "line", strip[:2])).sum()


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("rectangle", BOX[:3]),
        ("oriented_rectangle", BOX[:3]),
        ("circle", BOX[:3]),
        ("line", BOX),
        ("linestrip", BOX[:1]),
        ("point", BOX[:2]),
        ("points", ()),
        ("polygon", BOX[:2]),
    ],
)
def test_a_shape_of_another_number_of_points_is_named(
    kind: str, points: Points, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=rf"a\.json: shapes\[1\], the {kind} 'dent', cannot be"):
        drawn(tmp_path, shape("dent"), shape("dent", kind, points))


def png(mask: Image.Image) -> str:
    buffer = io.BytesIO()
    mask.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def test_a_mask_whose_png_is_not_of_its_box_s_size_is_named(tmp_path: Path) -> None:
    stencil = Image.fromarray(np.ones((11, 21), bool))
    mask = drawn(tmp_path, shape("dent", "mask", (BOX[0], BOX[2]), mask=png(stencil)))
    np.testing.assert_array_equal(mask, by_pillow(BOX))
    small, rgba = png(stencil.resize((10, 10))), png(stencil.convert("RGBA"))
    with pytest.raises(DatasetError, match=r"its PNG is 10×10 pixels and its box 21×11"):
        drawn(tmp_path, shape("dent", "mask", (BOX[0], BOX[2]), mask=small))
    with pytest.raises(DatasetError, match="its PNG is a RGBA image"):
        drawn(tmp_path, shape("dent", "mask", (BOX[0], BOX[2]), mask=rgba))


def test_labels_are_one_class_whatever_their_blanks(tmp_path: Path) -> None:
    for number, label in enumerate(("big dent", "big dent ", " big  dent")):
        picture(tmp_path / f"{number}.png", number)
        labelme(tmp_path / f"{number}.json", [shape(label)], f"{number}.png")
    dataset = read_dataset(tmp_path, WHOLE)
    assert [c.name for c in dataset.class_list.classes] == ["background", "big dent"]
    assert all((mask == 1).sum() == 231 for mask in masks_of(tmp_path).values())


def test_labels_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="labels: the names 'A' and 'a' differ in case alone"):
        drawn(tmp_path, shape("A"), shape("a"))


@pytest.mark.parametrize("label", ["ignored", "Unlabeled", "_void_", "__ignore__"])
def test_void_labels_are_ignored(label: str, tmp_path: Path) -> None:
    mask = drawn(tmp_path, shape("dent"), shape(label, points=((40, 5), (50, 5), (50, 9))))
    assert sorted(np.unique(mask)) == [0, 1, 255]


def test_a_file_of_shapes_is_of_the_image_beside_it(tmp_path: Path) -> None:
    for number in range(3):  # copied from 0 and not changed; renamed with its image
        picture(tmp_path / f"p{number}.png", number)
        points = [(x + number, y) for x, y in BOX]
        named = ("p0.png", "p0.png", "gone.png")[number]
        labelme(tmp_path / f"p{number}.json", [shape("dent", points=points)], named)
    masks = masks_of(tmp_path)
    for number in range(3):
        assert np.flatnonzero(masks[f"p{number}.png"].any(axis=0))[0] == 10 + number
    said = [issue.text for issue in scan_dataset(tmp_path, WHOLE).issues]
    assert len(said) == 2
    assert "p1.json names the image 'p0.png' and lies beside p1.png" in said[0]


def test_labels_in_a_folder_of_their_own_are_of_the_image_of_their_name(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / "images" / f"p{number}.png", number)
        labelme(tmp_path / "labels" / f"p{number}.json", [shape("dent")], "..\\images\\p0.png")
    assert sorted(masks_of(tmp_path)) == ["p0.png", "p1.png"]


def test_an_image_of_two_suffixes_is_the_named_one_or_refused(tmp_path: Path) -> None:
    picture(tmp_path / "p.png")
    picture(tmp_path / "p.tif", 1)
    labelme(tmp_path / "p.json", [shape("dent")], "p.tif")
    assert read_dataset(tmp_path, WHOLE).split("train")[0].image.name == "p.tif"
    labelme(tmp_path / "p.json", [shape("dent")], "old.jpg")
    assert "p.json may be of p.png and p.tif" in scan_dataset(tmp_path, WHOLE).issues[0].text


def test_two_files_of_one_image_are_merged_where_they_do_not_overlap(tmp_path: Path) -> None:
    picture(tmp_path / "p.png")
    labelme(tmp_path / "p.json", [shape("dent")], "p.png")
    labelme(tmp_path / "p_rust.json", [shape("rust", points=((40, 5), (50, 5), (50, 15)))], "p.png")
    (mask,) = masks_of(tmp_path).values()
    assert sorted(np.unique(mask)) == [0, 1, 2]
    labelme(tmp_path / "p_rust.json", [shape("rust")], "p.png")
    with pytest.raises(DatasetError, match=r"p_rust\.json are of one picture and say different"):
        masks_of(tmp_path)


def test_files_in_a_linked_folder_and_no_hidden_ones_are_read(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for place, number in ((data, 0), (elsewhere, 1)):
        picture(place / f"p{number}.png", number)
        labelme(place / f"p{number}.json", [shape("dent")], f"p{number}.png")
    (data / "site").symlink_to(elsewhere)
    (data / "again").symlink_to(data)
    for name in ("._p0.json", "._p0.png"):
        (data / name).write_bytes(b'\0\5\x16\7Mac OS X \xb0"shapes"')
    assert sorted(masks_of(data)) == ["p0.png", "p1.png"]


def test_a_file_that_lost_its_shapes_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "p.png")
    (tmp_path / "p.json").write_text('{"shapes": {}, "imagePath": "p.png"}')
    assert "p.json: shapes is not a list" in scan_dataset(tmp_path, WHOLE).issues[-1].text


def test_a_turned_photograph_without_a_stated_size_is_drawn_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "a.jpg", size=(60, 40), exif=exif)
    labelme(
        tmp_path / "a.json", [shape("dent", points=((5, 45), (35, 45), (35, 55)))], "a.jpg", None
    )
    assert masks_of(tmp_path)["a.jpg"].shape == (60, 40)
    assert examined(tmp_path).errors == []
    labelme(tmp_path / "a.json", [shape("dent")], "a.jpg", (60, 40))
    assert "its regions may be of either" in examined(tmp_path).errors[0].text


def test_a_photograph_that_was_resized_after_labelling_is_told_of(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("dent")], "a.png", (WIDTH * 2, HEIGHT * 2))
    assert "states 120×80 pixels and its image a.png has 60×40" in examined(tmp_path).errors[0].text


def test_coordinates_from_0_to_1_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"all coordinates of a\.png lie between 0 and 1"):
        drawn(tmp_path, shape("dent", points=((0.1, 0.1), (0.5, 0.1), (0.5, 0.5))))


def test_a_shape_that_later_ones_cover_whole_is_said(tmp_path: Path) -> None:
    table: Points = ((5, 5), (40, 5), (40, 30), (5, 30))
    drawn(tmp_path, shape("cup"), shape("table", points=table))
    texts = [issue.text for issue in examined(tmp_path).warnings]
    assert any("shapes[0], the polygon 'cup', of a.png: later shapes" in text for text in texts)


def test_a_value_mapping_is_for_mask_files(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("dent")], "a.png")
    with pytest.raises(DatasetError, match="LabelMe draws its masks from regions"):
        scan_dataset(tmp_path, WHOLE, LayoutOptions(shift=-1))


@pytest.mark.parametrize("label", [None, False, "", "\ufeff ", ["dent"]])
def test_a_label_that_is_none_is_named(label: Any, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("dent"), shape(label)], "a.png")
    texts = [issue.text for issue in scan_dataset(tmp_path, WHOLE).issues]
    assert any("shapes[1] is not as LabelMe writes it (its name" in text for text in texts)


@pytest.mark.parametrize(
    "other", ["caf\u0065\u0301", "caf\u00e9\u200b", "\ufeffcaf\u00e9", "caf\u00e9\u00a0"]
)
def test_labels_are_one_class_where_nobody_sees_a_difference(other: str, tmp_path: Path) -> None:
    for number, label in enumerate(("caf\u00e9", other)):
        picture(tmp_path / f"{number}.png", number)
        labelme(tmp_path / f"{number}.json", [shape(label)], f"{number}.png")
    names = [c.name for c in read_dataset(tmp_path, WHOLE).class_list.classes]
    assert names == ["background", "caf\u00e9"]


@pytest.mark.parametrize("kind", ["rectangle", "oriented_rectangle", "rotation", "quadrilateral"])
def test_four_corners_out_of_order_are_refused(kind: str, tmp_path: Path) -> None:
    crossed = ((10, 10), (30, 10), (10, 20), (30, 20))
    with pytest.raises(DatasetError, match="its corners are not in the order of its edge"):
        drawn(tmp_path, shape("dent", kind, crossed))


def test_a_folder_beside_train_and_val_is_a_split_of_its_own(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "dev")):
        picture(tmp_path / split / f"{number}.png", number)
        labelme(tmp_path / split / f"{number}.json", [shape("dent")], f"{number}.png")
    dataset = read_dataset(tmp_path)
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {
        "train": 1,
        "val": 1,
        "dev": 1,
    }
    assert "another split" in [issue.kind for issue in dataset.issues]


def test_two_versions_of_one_file_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("dent")], "a.png")
    moved = [(x + 3, y) for x, y in BOX]
    labelme(tmp_path / "old" / "a.json", [shape("dent", points=moved)], "../a.png")
    with pytest.raises(DatasetError, match="as two versions of one mask do"):
        masks_of(tmp_path)
