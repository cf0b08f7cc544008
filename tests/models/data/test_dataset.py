import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import DatasetError, read_image, read_picture
from models.data.examination import examine
from models.data.masks import FileMask
from models.data.options import SplitOptions
from models.data.reading import read_dataset
from tests.models.conftest import IGNORE, write_dataset


def test_a_folder_is_read_split_by_split(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)
    assert {name: len(samples) for name, samples in dataset.splits.items()} == {
        "test": 2,
        "train": 8,
        "val": 3,
    }
    assert dataset.channels == 3
    assert dataset.class_list.background == 0
    assert all(sample.image.stem == sample.mask.path.stem for sample in dataset.split("train"))


def test_gray_pictures_make_a_gray_dataset(tmp_path: Path) -> None:
    assert read_dataset(write_dataset(tmp_path / "gray", {"train": 1}, gray=True)).channels == 1


def test_class_pixels_are_those_of_the_masks(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)
    masks = [np.asarray(Image.open(sample.mask.path)) for sample in dataset.split("train")]
    expected = [sum(int((mask == class_id).sum()) for mask in masks) for class_id in range(3)]
    assert examine(dataset, ("train",)).class_pixels("train").tolist() == expected


def test_an_unknown_split_says_which_there_are(dataset_folder: Path) -> None:
    with pytest.raises(DatasetError, match="no split 'holdout'; its splits are train, val, test"):
        read_dataset(dataset_folder).split("holdout")


def test_a_missing_class_list_shows_what_one_looks_like(own_dataset_folder: Path) -> None:
    (own_dataset_folder / "classes.json").unlink()
    with pytest.raises(DatasetError, match=r"classes\.json is missing"):
        read_dataset(own_dataset_folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ('{"name": "x", "classes": []}', "classes"),
        (
            (
                '{"name": "x", "classes": [{"id": 0, "name": "a", "color": "#000000"}, {"id": 1, '
                '"name": "a", "color": "#000000"}]}'
            ),
            "class names must differ",
        ),
        (
            (
                '{"name": "x", "classes": [{"id": 1, "name": "a", "color": "#000000"}, {"id": 0, '
                '"name": "b", "color": "#000000"}]}'
            ),
            "ids must be 0, 1",
        ),
    ],
)
def test_a_faulty_class_list_is_named(own_dataset_folder: Path, text: str, sentence: str) -> None:
    (own_dataset_folder / "classes.json").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        read_dataset(own_dataset_folder)


def test_an_ignore_id_that_is_a_class_is_refused(own_dataset_folder: Path) -> None:
    path = own_dataset_folder / "classes.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ignore": 1}))
    with pytest.raises(DatasetError, match="ignore 1 is a class's id"):
        read_dataset(own_dataset_folder)


def test_an_image_without_a_mask_is_named(own_dataset_folder: Path) -> None:
    (own_dataset_folder / "masks" / "train" / "1.png").unlink()
    with pytest.raises(DatasetError, match=r"train/1\.png has no mask"):
        read_dataset(own_dataset_folder)


def test_a_stray_value_is_named_with_its_pixels(own_dataset_folder: Path) -> None:
    path = own_dataset_folder / "masks" / "train" / "0.png"
    mask = np.array(Image.open(path))
    mask[0, :5] = 77
    Image.fromarray(mask).save(path)
    with pytest.raises(DatasetError, match=r"0\.png holds the value 77 in 5 pixels"):
        examine(read_dataset(own_dataset_folder), ("train",)).raise_on_error()


def test_several_stray_values_are_named_each_with_its_pixels(own_dataset_folder: Path) -> None:
    path = own_dataset_folder / "masks" / "train" / "0.png"
    mask = np.array(Image.open(path))
    mask[0, :5], mask[1, :3] = 77, 90
    Image.fromarray(mask).save(path)
    with pytest.raises(DatasetError, match=r"holds the values 77 in 5 pixels, 90 in 3 pixels, "):
        examine(read_dataset(own_dataset_folder), ("train",)).raise_on_error()
    mask[2, :8] = range(100, 108)
    Image.fromarray(mask).save(path)
    with pytest.raises(DatasetError, match=r"102 in 1 pixels, 5 more in 5 pixels, "):
        examine(read_dataset(own_dataset_folder), ("train",)).raise_on_error()


def test_a_mask_of_another_size_is_named(own_dataset_folder: Path) -> None:
    path = own_dataset_folder / "masks" / "train" / "0.png"
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(path)
    with pytest.raises(DatasetError, match=r"0\.png is 20×10 pixels and its image 56×40"):
        examine(read_dataset(own_dataset_folder), ("train",)).raise_on_error()


def test_a_truncated_image_is_named(own_dataset_folder: Path) -> None:
    path = own_dataset_folder / "images" / "train" / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"0\.png cannot be read"):
        read_image(path, 3)


def test_a_color_picture_is_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(DatasetError, match="no palette says what its colours mean"):
        FileMask(path).read()


def test_a_palette_mask_is_read_by_index(tmp_path: Path) -> None:
    ids = np.array([[0, 1], [2, IGNORE]], np.uint8)
    mask = Image.fromarray(ids, mode=None).convert("L")
    palette = mask.copy()
    palette.putpalette([7] * 768)
    palette.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(FileMask(tmp_path / "mask.png").read(), ids)


def test_sixteen_bit_gray_is_brought_to_8_bits_by_its_values(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", 1)[..., 0].tolist() == [[0, 1, 255]]


def test_an_image_is_turned_upright_by_its_exif(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg", 3).shape == (30, 20, 3)


def test_exif_that_cannot_be_written_again_turns_the_image_nonetheless(tmp_path: Path) -> None:
    compression = struct.pack(">HHII", 0x0103, 4, 1, 70_000)  # a number of 16 bits, says EXIF
    quarter_turn = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + compression + quarter_turn + bytes(4)
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg", 3).shape == (30, 20, 3)


def test_a_damaged_exif_block_is_passed_over(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.webp", exif=b"Exif\0\0MM\0\3\0\0\0\x08\0\0")
    picture = read_picture(tmp_path / "a.webp", 3)
    assert (picture.pixels.shape, picture.rotated_by_exif) == ((20, 30, 3), False)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_orientation_is_turned_upright_once(
    mode: str, orientation: int, suffix: str, tmp_path: Path
) -> None:
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).convert(mode).save(path, exif=exif)
    corner = ((0, 0), (0, -1), (-1, -1), (-1, 0))[(orientation - 1) % 4]
    picture = read_picture(path, 1)
    bright = picture.pixels[..., 0] > 128
    assert bright.shape == ((32, 16) if orientation >= 5 else (16, 32))
    assert bright[corner]
    assert bright.sum() == bright.size // 4
    assert picture.rotated_by_exif == (orientation > 1)


def test_an_empty_split_is_no_split(own_dataset_folder: Path) -> None:
    for path in (own_dataset_folder / "images" / "val").iterdir():
        path.unlink()
    undivided = SplitOptions(fraction=0)
    with pytest.raises(DatasetError, match="no split 'val'"):
        read_dataset(own_dataset_folder, undivided).split("val")


def test_a_file_that_is_no_image_is_named(own_dataset_folder: Path) -> None:
    (own_dataset_folder / "images" / "train" / "0.png").write_text("no image")
    with pytest.raises(DatasetError, match=r"0\.png cannot be read"):
        examine(read_dataset(own_dataset_folder), ("train",)).raise_on_error()
