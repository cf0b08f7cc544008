"""CVAT for images 1.1, by the documented form; its run lengths as cvat-sdk's encode_mask gives
them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import DatasetError
from models.data.examination import examine
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset
from tests.models.conftest import write_dataset

WHOLE = SplitOptions(fraction=0)
WIDTH, HEIGHT = 40, 30
LABELS = """<labels>
<label><name>road</name><color>#804080</color><type>any</type></label>
<label><name>car</name><color>#00008e</color><type>any</type></label>
<label><name>bone</name><color>#ffffff</color><type>points</type><parent>dog</parent></label>
</labels>"""
# [[0, 1, 1], [0, 0, 1]] at 5, 6
MASK = '<mask label="car" rle="1, 2, 2, 1" left="5" top="6" width="3" height="2" z_order="{z}"/>'
ROAD = '<polygon label="road" points="0.00,10.00;40.00,10.00;40.00,30.00;0.00,30.00" z_order="0"/>'


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def image(shapes: str, name: str = "a.png", more: str = "") -> str:
    return f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}" {more}>{shapes}</image>'


def annotated(folder: Path, *images: str, meta: str = LABELS) -> Path:
    folder.mkdir(exist_ok=True)
    text = f"<annotations><version>1.1</version><meta><task>{meta}</task></meta>"
    (folder / "annotations.xml").write_text(text + "".join(images) + "</annotations>")
    return folder


def drawn(folder: Path, shapes: str) -> NDArray[np.uint8]:
    picture(folder / "images" / "a.png")
    annotated(folder, image(shapes))
    (sample,) = read_dataset(folder, WHOLE).split("train")
    return sample.mask.read()


def test_a_mask_lies_at_its_box(tmp_path: Path) -> None:
    ids = drawn(tmp_path, MASK.format(z=0))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[6, 6:8] = expected[7, 7] = 2
    assert np.array_equal(ids, expected)


def test_classes_are_background_and_the_labels_in_their_order_with_their_colors(
    tmp_path: Path,
) -> None:
    drawn(tmp_path, ROAD)
    classes = read_dataset(tmp_path, WHOLE).class_list.classes
    assert [(c.name, c.color) for c in classes] == [
        ("background", "#000000"),
        ("road", "#804080"),
        ("car", "#00008e"),
    ]


@pytest.mark.parametrize(("z", "on_top"), [(1, 2), (-1, 1)])
def test_z_order_says_what_lies_on_top_and_not_the_order_in_the_file(
    tmp_path: Path, z: int, on_top: int
) -> None:
    block = f'<box label="car" xtl="4" ytl="12" xbr="9" ybr="15" z_order="{z}"/>'
    first, second = (block, ROAD) if z > 0 else (ROAD, block)
    ids = drawn(tmp_path, first + second)
    assert (ids[12:15, 4:9] == on_top).all()
    assert (ids[10:12] == 1).all()


def test_a_box_turns_around_its_center(tmp_path: Path) -> None:
    ids = drawn(
        tmp_path, '<box label="car" xtl="10" ytl="10" xbr="20" ybr="12" rotation="90" z_order="0"/>'
    )
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[6:16, 14:16] = 2
    assert np.array_equal(ids, expected)


def test_an_ellipse_is_drawn(tmp_path: Path) -> None:
    ids = drawn(
        tmp_path, '<ellipse label="car" cx="20" cy="15" rx="9" ry="4" rotation="90" z_order="0"/>'
    )
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    assert np.array_equal(ids == 2, ((x - 20) / 4) ** 2 + ((y - 15) / 9) ** 2 <= 1)


def test_points_of_a_skeleton_are_no_shapes_and_are_counted(tmp_path: Path) -> None:
    skeleton = '<skeleton label="dog"><points label="bone" points="1.00,1.00"/></skeleton>'
    drawn(tmp_path, ROAD + skeleton + '<polyline label="car" points="1,1;2,2"/>')
    texts = [issue.text for issue in scan_dataset(tmp_path, WHOLE).issues]
    assert any("that cover no pixels" in text and text.endswith("left out: 2") for text in texts)


def test_images_are_found_in_subfolders_and_split_by_their_subset(tmp_path: Path) -> None:
    for seed, name in enumerate(("one/a.png", "two/a.png")):
        picture(tmp_path / "images" / name, seed)
    annotated(
        tmp_path,
        image(ROAD, "one/a.png", 'subset="Train"'),
        image(MASK.format(z=0), "two/a.png", 'subset="Validation"'),
    )
    dataset = read_dataset(tmp_path, WHOLE)
    assert dataset.split("train")[0].image.parent.name == "one"
    assert dataset.split("val")[0].image.parent.name == "two"


def test_images_without_shapes_are_told_and_can_be_ignored(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.png", "b.png")):
        picture(tmp_path / name, seed)
    annotated(tmp_path, image(ROAD + MASK.format(z=0)), image("", "b.png"))
    dataset = scan_dataset(tmp_path, WHOLE)
    assert any("1 of 2 images" in issue.text for issue in dataset.issues)
    assert not dataset.split("train")[1].mask.read().any()
    ignoring = read_dataset(tmp_path, WHOLE, LayoutOptions(unlabelled="ignore"))
    assert [c.name for c in ignoring.class_list.classes] == ["road", "car"]
    assert (ignoring.split("train")[1].mask.read() == 255).all()


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (MASK.format(z=0).replace('left="5"', 'left="38"'), "not in its picture"),
        (MASK.format(z=0).replace("1, 2, 2, 1", "1, two"), "invalid literal"),
        ('<polygon label="car" points="1,1;nan,2;3,3"/>', "not a number"),
        ('<polygon label="car" points="1,1;2,2"/>', "three corners"),
        ('<box label="car" xtl="1" ytl="1" xbr="2"/>', "has no 'ybr'"),
        ('<polygon points="1,1;2,2;3,1"/>', "has no 'label'"),
    ],
)
def test_a_faulty_shape_is_named(tmp_path: Path, shapes: str, said: str) -> None:
    picture(tmp_path / "a.png")
    annotated(tmp_path, image(shapes))
    with pytest.raises(DatasetError, match=said):
        read_dataset(tmp_path, WHOLE)


def test_run_lengths_beyond_their_box_are_refused(tmp_path: Path) -> None:
    for runs in ("1, 2, 2, 100000000000", "9223372036854775807, 1", "1, 2"):
        picture(tmp_path / "a.png")
        annotated(tmp_path, image(MASK.format(z=0).replace("1, 2, 2, 1", runs)))
        (error,) = examine(scan_dataset(tmp_path, WHOLE)).errors
        assert "do not cover the 3×2 pixels of its box" in error.text


def test_tracks_of_a_video_are_refused_with_what_to_export(tmp_path: Path) -> None:
    annotated(tmp_path, '<track id="0" label="car"><box frame="0" xtl="1"/></track>')
    with pytest.raises(DatasetError, match="CVAT for video"):
        read_dataset(tmp_path)


def test_entities_are_refused(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(
        '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'
    )
    with pytest.raises(DatasetError, match="DOCTYPE"):
        read_dataset(tmp_path)


def test_what_no_region_covers_is_no_question_of_masks_in_files(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", {"train": 1})
    with pytest.raises(DatasetError, match="masks in files"):
        read_dataset(tmp_path / "set", WHOLE, LayoutOptions(unlabelled="ignore"))


def test_a_folder_beside_train_and_val_is_a_split_of_its_own(tmp_path: Path) -> None:
    names = ("train/a.png", "val/b.png", "dev/c.png")
    for seed, name in enumerate(names):
        picture(tmp_path / "images" / name, seed)
    dataset = read_dataset(annotated(tmp_path, *(image(ROAD, name) for name in names)))
    assert list(dataset.splits) == ["train", "val", "dev"]
    assert "another split" in [issue.kind for issue in dataset.issues]


def test_coordinates_from_0_to_1_are_refused(tmp_path: Path) -> None:
    shares = '<polygon label="car" points="0.1,0.1;0.5,0.1;0.5,0.9" z_order="0"/>'
    with pytest.raises(DatasetError, match="lie between 0 and 1, as shares of the picture's size"):
        drawn(tmp_path, shares)
