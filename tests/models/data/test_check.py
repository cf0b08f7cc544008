"""`segtrain check` as its user sees it: planted faults in, sentences and a report out."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.cli import main
from models.data.dataset import read_image
from models.data.reading import read_dataset
from tests.models.conftest import CLASSES, scene, take_splits_away, write_dataset
from tests.pictures import twelve_bit_tiff
from tests.solvable import save_solvable_model

TWO_CLASSES = [CLASSES[0], {"id": 1, "name": "thing <b>", "color": "#e53935"}]


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes, no ignored value, 12 train and 3 val; a test may spoil it. The reports land
    beside it."""
    monkeypatch.chdir(tmp_path)
    folder = write_dataset(tmp_path / "cells", {"train": 12, "val": 3})
    for path in (folder / "masks").rglob("*.png"):
        Image.fromarray((np.asarray(Image.open(path)) == 1).astype(np.uint8)).save(path)
    write_classes(folder, ignore=None)
    return folder


def write_classes(folder: Path, ignore: int | None) -> None:
    document = {"name": "cells", "ignore": ignore, "classes": TWO_CLASSES}
    (folder / "classes.json").write_text(json.dumps(document))


def change_mask(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    Image.fromarray(change(np.array(Image.open(path)))).save(path)


def in_two_colors(mask: np.ndarray) -> np.ndarray:
    colors: np.ndarray = np.array([[9, 9, 9], [200, 9, 9]], np.uint8)
    return colors[mask]  # type: ignore[no-any-return]


def plant_ten_faults(folder: Path) -> dict[str, str]:
    """Spoil ten files of train; what is said of each, by file name."""
    images, masks = folder / "images" / "train", folder / "masks" / "train"

    def stray(mask: np.ndarray) -> np.ndarray:
        mask[0, :5] = 77
        return mask

    change_mask(masks / "0.png", stray)
    change_mask(masks / "1.png", lambda mask: mask[:10, :20])
    (masks / "2.png").unlink()
    (images / "3.png").unlink()
    content = (images / "4.png").read_bytes()
    (images / "4.png").write_bytes(content[: len(content) // 2])
    (masks / "5.png").write_text("no image")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.open(images / "6.png").save(images / "6.png", exif=exif)
    shutil.copy(images / "7.png", folder / "images" / "val" / "0.png")
    shutil.copy(masks / "7.png", folder / "masks" / "val" / "0.png")
    change_mask(masks / "8.png", lambda mask: mask * 255)
    change_mask(masks / "9.png", in_two_colors)
    return {
        "masks/train/0.png": "holds the value 77 in 5 pixels",
        "masks/train/1.png": "is 20×10 pixels and its image 56×41",
        "images/train/2.png": "has no mask",
        "masks/train/3.png": "has no image",
        "images/train/4.png": "cannot be read",
        "masks/train/5.png": "cannot be read",
        "images/train/6.png": "is turned by its EXIF orientation",
        "images/val/0.png": "is the same picture as .*images/train/7.png",
        "masks/train/8.png": "is a 0/255 mask",
        "masks/train/9.png": "holds 2 colours of no class",
    }


def test_ten_planted_faults_are_ten_sentences(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = plant_ten_faults(cells)
    assert main(["check", str(cells)]) == 1
    printed = capsys.readouterr()
    sentences = [line for line in printed.out.splitlines() if re.match("(error|warning): ", line)]
    assert len(sentences) == 10
    for name, text in faults.items():
        assert any(re.search(f"cells/{name} .*{text}|cells/{name} {text}", s) for s in sentences), (
            name
        )
    assert "8 errors and 2 warnings" in printed.err
    report = (cells.parent / "cells-check.html").read_text()
    assert all(name in report for name in faults)
    assert "thing &lt;b&gt;" in report
    assert re.findall(r'(?:src|href)="(?!data:)', report) == []  # one file, nothing to fetch
    assert "<b>" not in report.split("Contact sheet")[1].replace("<b></b>", "")


def test_a_sound_set_is_said_to_be_sound(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(cells), "--report", "own.html"]) == 0
    printed = capsys.readouterr().out
    assert "Nothing is wrong" in printed
    assert re.search(r"background +0 +\d\d\.\d\d% \(12\) +\d\d\.\d\d% \(3\)", printed)
    assert (cells.parent / "own.html").read_text().count("data:image/jpeg") == 15


def test_warnings_alone_are_no_failure(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cells / "images" / "train" / "3.png").unlink()
    for path in (cells / "masks" / "val").iterdir():
        change_mask(path, np.zeros_like)
    assert main(["check", str(cells)]) == 0
    printed = capsys.readouterr().out
    assert "3.png has no image" in printed
    assert "thing <b>: in no mask of val" in printed


def test_the_mended_copy_is_sound_and_the_original_untouched(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant_ten_faults(cells)
    change_mask(  # ids three times over
        cells / "masks" / "train" / "10.png", lambda mask: np.stack([mask] * 3, axis=-1)
    )
    before = {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()}
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    # 0, 1, 4, 5 and 9 cannot be repaired, 7 is in val too; 2 and 3 had no partner
    assert "left out 6" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()} == before
    assert main(["check", "repaired"]) == 0
    dataset = read_dataset(Path("repaired"))
    repaired = {s.image.stem: s for s in dataset.split("train")}
    assert set(repaired) == {"6", "8", "10", "11"}
    image, mask = repaired["6"].read(3)
    assert image.shape[:2] == mask.shape
    original = np.asarray(Image.open(cells / "masks" / "train" / "8.png"))
    np.testing.assert_array_equal(repaired["8"].read(3)[1], original // 255)
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 1
    assert "is there already" in capsys.readouterr().err


def test_the_mended_copy_keeps_each_picture_in_one_split(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "images" / "test").mkdir()
    (cells / "masks" / "test").mkdir()
    for copies in (
        ("train/0", "train/1", "val/0"),  # twice in train
        ("train/2", "val/1", "test/1"),
        ("val/2", "test/2"),
    ):
        for part in ("images", "masks"):
            first, *others = (cells / part / f"{name}.png" for name in copies)
            for other in others:
                shutil.copy(first, other)
    assert main(["check", str(cells)]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("which makes scores too good") == 5
    assert "test/2.png in test is the same picture as" in printed.out
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    assert main(["check", "repaired"]) == 0
    kept = {
        name: {sample.image.stem for sample in samples}
        for name, samples in read_dataset(Path("repaired")).splits.items()
    }
    assert kept["train"] == {str(number) for number in range(3, 12)}
    assert (kept["val"], kept["test"]) == ({"0"}, {"1", "2"})


def test_an_image_that_two_rows_of_a_table_give_to_two_splits_stays_in_one(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [(number, "train") for number in range(12)] + [(0, "val")]
    rows = [f"images/train/{n}.png,masks/train/{n}.png,{split}\n" for n, split in numbers]
    (cells / "index.csv").write_text("image,mask,split\n" + "".join(rows))
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    assert "left out 1\n" in capsys.readouterr().out
    assert len(read_dataset(Path("repaired")).split("val")) == 1


def test_where_nothing_is_left_to_repair_the_first_issue_says_why(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(cells, ignore=255)
    shutil.rmtree(cells / "masks")
    (cells / "masks").mkdir()
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 1
    assert re.search(r"repaired was not written: .*0\.png has no mask", capsys.readouterr().err)


def test_masks_of_0_and_255_without_a_class_list_are_offered_one(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "classes.json").unlink()
    for path in (cells / "masks").rglob("*.png"):
        change_mask(path, lambda mask: mask * 255)
    assert main(["check", str(cells)]) == 1
    printed = capsys.readouterr()
    assert "classes.json is missing" in printed.out
    assert re.search(r"255 +1 +foreground", printed.out)
    assert "1 error and" in printed.err
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    assert main(["check", "repaired"]) == 0
    names = [c.name for c in read_dataset(Path("repaired")).class_list.classes]
    assert names == ["background", "foreground"]


def test_black_and_white_masks_of_one_and_three_channels_are_mended_together(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "classes.json").unlink()
    truth = {path: np.array(Image.open(path)) for path in (cells / "masks").rglob("*.png")}
    for number, (path, ids) in enumerate(truth.items()):
        Image.fromarray(ids * 255).convert("RGB" if number % 2 else "L").save(path)
    assert main(["check", str(cells)]) == 1
    assert re.search(r"255 +1 +foreground", capsys.readouterr().out)
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    for path, ids in truth.items():
        repaired = Path("repaired", path.relative_to(cells))
        np.testing.assert_array_equal(np.asarray(Image.open(repaired)), ids)


@pytest.mark.parametrize("ignore", [None, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_masks_of_0_and_255_are_found_and_mended_whatever_is_ignored(
    ignore: int | None, channels: int, cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(cells, ignore)
    for path in (cells / "masks").rglob("*.png"):
        change_mask(path, lambda mask: (np.stack([mask] * 3, -1) if channels == 3 else mask) * 255)
    assert main(["check", str(cells)]) == 1
    said = capsys.readouterr().out
    assert (
        "0/255 masks"
        if channels == 1 and ignore
        else "0/255 mask"
        if channels == 1
        else "black and white"
    ) in said
    if channels == 3 and ignore:  # white might as well be what is ignored, as these say
        assert '"ignore": null' in said
        assert main(["check", str(cells), "--fix-to", "repaired"]) == 1
        assert "nothing could be repaired" in capsys.readouterr().err
        return
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    assert main(["check", "repaired"]) == 0
    original = np.asarray(Image.open(cells / "masks" / "val" / "0.png").convert("L")) // 255
    np.testing.assert_array_equal(
        np.asarray(Image.open(Path("repaired", "masks", "val", "0.png"))), original
    )
    assert read_dataset(Path("repaired")).class_list.ignore is None


def test_a_split_that_is_all_ignored_is_an_error(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(cells, ignore=9)
    for path in (cells / "masks" / "val").iterdir():
        change_mask(path, lambda mask: np.full_like(mask, 9))
    assert main(["check", str(cells)]) == 1
    assert "every pixel of every mask of val is ignored" in capsys.readouterr().out


def test_one_color_picture_among_gray_ones_makes_all_of_them_color(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted((cells / "images").rglob("*.png"))
    for path in paths[:-1]:
        Image.open(path).convert("L").save(path)
    assert read_dataset(cells).channels == 3
    assert main(["check", str(cells)]) == 0
    assert "14 of 15 images are gray and the others in colour" in capsys.readouterr().out


def test_gray_of_many_bits_is_scaled_by_its_depth(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.array([[0xFFF0, 0x0100]], np.uint16)).save(path)
    assert read_image(path, 1, intensity=None)[..., 0].tolist() == [[0xFF, 0x01]]
    assert read_image(path, 1)[..., 0].tolist() == [[0xFF, 0x00]]
    path.write_bytes(twelve_bit_tiff())
    assert read_image(path, 1)[..., 0].tolist() == [[0xFF, 0x01]]


def test_pixels_that_the_service_refuses_are_no_image_to_learn_from(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cells / "images" / "train" / "0.png"
    numbers = np.random.default_rng(0).integers(0, 1000, (40, 56), np.int32)
    Image.fromarray(numbers).save(path.with_suffix(".tif"))
    path.unlink()
    assert main(["check", str(cells)]) == 1
    assert "0.tif cannot be read (it has signed pixels of 32 bits" in capsys.readouterr().out


def test_colors_without_a_palette_are_offered_as_classes(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "classes.json").unlink()
    colors = np.array([[0, 0, 0], [255, 128, 0]], np.uint8)
    for path in (cells / "masks").rglob("*.png"):
        change_mask(path, lambda mask: colors[mask])
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    assert "#ff8000" in capsys.readouterr().out
    dataset = read_dataset(Path("repaired"))
    assert [c.color for c in dataset.class_list.classes] == ["#000000", "#ff8000"]
    sample = dataset.split("train")[0]
    original = np.asarray(Image.open(cells / "masks" / "train" / sample.mask.path.name))
    np.testing.assert_array_equal(sample.mask.read(), original[..., 0] // 255)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_black_and_white_masks_saved_as_jpeg_are_mended(
    cells: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    (cells / "classes.json").unlink()
    truth = {}
    for path in (cells / "masks" / "train").glob("*.png"):
        ids = np.array(Image.open(path)).repeat(4, axis=0).repeat(4, axis=1)
        truth[path.stem] = ids
        Image.fromarray(ids * 255).convert(mode).save(path.with_suffix(".jpg"))
        path.unlink()
        image = cells / "images" / "train" / path.name
        picture = Image.open(image)
        picture.resize((picture.width * 4, picture.height * 4)).save(image)
    shutil.rmtree(cells / "images" / "val")
    assert main(["check", str(cells)]) == 1
    assert "is stored lossily" in capsys.readouterr().out
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    dataset = read_dataset(Path("repaired"))
    assert sum(map(len, dataset.splits.values())) == 12
    for sample in (*dataset.split("train"), *dataset.split("val")):
        np.testing.assert_array_equal(sample.mask.read(), truth[sample.image.stem])


def test_the_same_picture_saved_in_another_format_is_found(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, _ = scene(0, 40, 56)
    Image.fromarray(image).save(cells / "images" / "val" / "0.png")
    Image.fromarray(image).save(cells / "images" / "train" / "0.tif")
    (cells / "images" / "train" / "0.png").unlink()
    assert main(["check", str(cells)]) == 1
    assert "0.png in val is the same picture as" in capsys.readouterr().out


def test_many_faults_of_one_kind_are_told_shortly(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (cells / "masks" / "train").iterdir():
        path.unlink()
    assert main(["check", str(cells)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("has no mask") == 5
    assert "7 more like it" in printed


def test_a_folder_of_faulty_annotation_files_is_reported_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, shapes in (
        ("cut", '[{"label": "tree"'),
        ("text", '["tree"]}'),
        ("blob", '[{"label": "tree", "shape_type": "blob", "points": []}]}'),
        ("sound", '[{"label": "tree", "shape_type": "rectangle", "points": [[0, 0], [3, 3]]}]}'),
    ):
        Image.fromarray(scene(len(name), 40, 56)[0]).save(tmp_path / f"{name}.jpg")
        document = f'{{"imagePath": "{name}.jpg", "shapes": {shapes}'
        (tmp_path / f"{name}.json").write_text(document)
    assert main(["check", ".", "--split", "0"]) == 1
    printed = capsys.readouterr()
    assert "1 train (layout: labelme)" in printed.out
    assert "cut.json is not JSON" in printed.out
    assert (
        "text.json: shapes[0] is not as LabelMe writes it (it is not a JSON object)" in printed.out
    )
    assert "blob.json has a blob" in printed.out
    assert "has no JSON of shapes" not in printed.out
    assert "3 errors" in printed.err
    assert (tmp_path / f"{tmp_path.name}-check.html").is_file()


def test_what_a_training_would_miss_is_said(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(cells / "images" / "train" / "0.png", cells / "images" / "lost.png")
    (cells / "images" / "train").rename(cells / "images" / "holdout")
    (cells / "masks" / "train").rename(cells / "masks" / "holdout")
    assert main(["check", str(cells)]) == 0
    printed = capsys.readouterr().out
    assert "has no train split" in printed
    assert "1 images, such as" in printed


def test_a_folder_without_splits_is_divided_by_share_seed_and_group(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_splits_away(cells)

    def split_samples(*options: str) -> str:
        assert main(["check", str(cells), *options]) == 0
        return "\n".join(capsys.readouterr().out.splitlines()[:-1])

    assert "2 train" not in split_samples()
    half, another = split_samples("--split", "0.5"), split_samples("--split", "0.5", "--seed", "9")
    assert half == split_samples("--split", "0.5")
    assert half != another
    assert 5 <= int(re.search(r", (\d+) val", half)[1]) <= 10  # type: ignore[index]
    # By the split that stood in the name there are but two groups, and each is whole.
    assert re.search(
        r"12 train, 3 val|3 train, 12 val", split_samples("--group", "images/(train|val)")
    )


def test_a_layout_that_is_said_is_read_though_another_is_there(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"images/train/{n}.png,masks/train/{n}.png,train\n" for n in range(4))
    (cells / "some.csv").write_text(f"image,mask,split\n{rows}")
    assert main(["check", str(cells), "--layout", "folders"]) == 0
    assert "12 train, 3 val (layout: folders)" in capsys.readouterr().out
    assert main(["check", str(cells), "--layout", "csv"]) == 0
    assert re.search(r"\d train, \d val \(layout: csv\)", capsys.readouterr().out)


def test_a_palette_that_is_said_names_the_classes(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "classes.json").unlink()
    for path in (cells / "masks").rglob("*.png"):
        change_mask(path, in_two_colors)
    palette = cells.parent / "colours.txt"
    palette.write_text("9 9 9 field\n200 9 9 hut\n")
    assert main(["check", str(cells), "--palette", str(palette)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^hut +1 ", printed, re.MULTILINE)
    assert re.search(r"^masks +RGB \(15\)", printed, re.MULTILINE)
    assert "Nothing is wrong" in printed


def test_the_table_counts_sizes_and_modes_and_the_sheet_its_tiles(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(cells), "--tiles", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert set(printed[1].split(maxsplit=1)[1].split(", ")) == {
        "56×40 (5)",
        "56×41 (5)",
        "56×42 (5)",
    }
    assert printed[2].endswith("RGB (15), read as RGB")
    assert printed[3].endswith("L (15)")
    assert (cells.parent / "cells-check.html").read_text().count("data:image/jpeg") == 2


def test_a_wrong_option_is_one_sentence(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(cells), "--group", "("]) == 1
    assert "is not a regular expression" in capsys.readouterr().err
    assert main(["check", str(cells / "gone")]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_damaged_exif_is_passed_over_without_a_word_of_pillows(
    cells: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = next((cells / "images" / "train").iterdir())
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\xff\xff\x7f\xff\xff\xff\x7f" + bytes(4)
    with Image.open(path) as image:
        image.load()
        image.save(path, "PNG", exif=exif)
    assert main(["check", str(cells)]) == 0
    assert [str(warning.message) for warning in recwarn if "PIL" in warning.filename] == []


def number_objects(folder: Path, dtype: type = np.uint16, shift: int = 0) -> dict[Path, np.ndarray]:
    """Give each mask a grid of numbered objects, as tools for cells write them; the masks of 0 and
    1 by path."""
    truth = {}
    for number, path in enumerate(sorted((folder / "masks").rglob("*.png"))):
        numbered: np.ndarray = np.zeros(np.asarray(Image.open(path)).shape, dtype)
        for place in range(4 + number % 5):
            top, left = 3 + 12 * (place // 4), 3 + 13 * (place % 4)
            numbered[top : top + 8, left : left + 9] = place + 1 + shift
        Image.fromarray(numbered).save(path)
        truth[path] = (numbered > 0).astype(np.uint8)
    return truth


@pytest.mark.parametrize("ignore", [None, 255])
@pytest.mark.parametrize(("dtype", "shift"), [(np.uint8, 0), (np.uint16, 0), (np.uint16, 252)])
def test_masks_that_number_their_objects_are_offered_as_one_class(
    dtype: type, shift: int, ignore: int | None, cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(cells, ignore)
    truth = number_objects(cells, dtype, shift)
    assert main(["check", str(cells)]) == 1
    printed = capsys.readouterr().out
    assert "look as if each number were one object (up to 8 in one)" in printed
    assert re.search(r"1 and above +1 +thing", printed)
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    for path, ids in truth.items():
        written = np.asarray(Image.open(Path("repaired", path.relative_to(cells))))
        np.testing.assert_array_equal(written, ids)


def test_many_numbered_objects_without_a_class_list_are_offered_as_one_class(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "classes.json").unlink()
    for number, path in enumerate(sorted((cells / "masks").rglob("*.png"))):
        numbered = np.zeros(np.asarray(Image.open(path)).shape, np.uint16)
        numbered[2:6, 2 : 2 + 4 * (12 + number % 2)] = np.repeat(np.arange(12 + number % 2), 4) + 1
        Image.fromarray(numbered).save(path)
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    assert re.search(r"1 and above +1 +object", capsys.readouterr().out)
    assert main(["check", "repaired"]) == 0


def test_classes_of_one_region_each_are_no_objects(cells: Path) -> None:
    (cells / "classes.json").unlink()
    number_objects(cells)
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 0
    names = [c.name for c in read_dataset(Path("repaired")).class_list.classes]
    assert names == [f"class {n}" for n in range(9)]


def contradict(folder: Path) -> None:
    """Make all masks indexed images, half of them with the two colors changed about."""
    for number, path in enumerate(sorted((folder / "masks").rglob("*.png"))):
        mask = Image.fromarray(np.asarray(Image.open(path)))
        mask.putpalette([9, 0, 0, 0, 9, 0] if number % 2 else [0, 9, 0, 9, 0, 0])
        mask.save(path)


def test_no_copy_is_written_of_data_that_contradict_themselves(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contradict(cells)
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 1
    assert "neither indices nor colours mean the same in both" in capsys.readouterr().err
    assert not Path("repaired").exists()


@pytest.mark.parametrize("command", ["train", "evaluate", "quantize"])
def test_every_command_refuses_what_check_refuses(
    command: str, cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contradict(cells)
    model = save_solvable_model(tmp_path / "store", channels=1)
    for path in (cells / "images").rglob("*.png"):
        Image.open(path).convert("L").save(path)
    document = json.loads((cells / "classes.json").read_text())
    for own, name in zip(document["classes"], ("dark", "bright"), strict=True):
        own["name"] = name
    (cells / "classes.json").write_text(json.dumps(document))
    words = {
        "train": ["train", str(cells), "--minutes", "1"],
        "evaluate": ["evaluate", str(model), "--data", str(cells)],
        "quantize": ["quantize", str(model), "--data", str(cells)],
    }
    assert main(words[command]) == 1
    assert "neither indices nor colours mean the same in both" in capsys.readouterr().err


def test_a_value_that_is_not_labelled_is_said_on_the_command_line(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classes(cells, ignore=0)
    for path in (cells / "masks").rglob("*.png"):
        change_mask(path, lambda mask: np.where(np.arange(56) < 5, 0, mask + 1).astype(np.uint8))
    assert main(["check", str(cells), "--fix-to", "repaired"]) == 1
    assert "--ignore 0 --shift -1" in capsys.readouterr().err
    arguments = ["--ignore", "0", "--shift", "-1"]
    assert main(["check", str(cells), *arguments, "--fix-to", "repaired"]) == 0
    mask = np.asarray(Image.open(Path("repaired", "masks", "val", "0.png")))
    assert (mask[:, :5] == 255).all()
    assert set(np.unique(mask[:, 5:])) == {0, 1}
    assert main(["check", str(cells), "--shift", "300"]) == 1
    assert "--ignore, --shift: " in capsys.readouterr().err


def test_names_as_long_as_a_file_system_takes_are_checked_and_copied(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cells.rename(cells.parent / ("d" * 250))
    for part in ("images", "masks"):
        (folder / part / "train" / "0.png").rename(folder / part / "train" / f"{'ü' * 125}.png")
        (folder / part / "val" / "0.png").rename(folder / part / "val" / f"{'x' * 251}.png")
    assert main(["check", str(folder)]) == 0
    report = re.search(r"^report: (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert report is not None
    assert Path(report[1]).is_file()
    copy = "c" * 250
    assert main(["check", str(folder), "--fix-to", copy]) == 0
    assert Path(copy, "masks", "val", f"{'x' * 251}.png").is_file()
    assert sorted(path.name[:5] for path in Path().iterdir() if path.name.startswith(".")) == []


def test_a_report_that_cannot_be_written_is_one_sentence_after_the_findings(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(cells), "--report", "gone/report.html"]) == 1
    printed = capsys.readouterr()
    assert "Nothing is wrong" in printed.out
    assert "the report cannot be written to gone/report.html" in printed.err
    assert "say --report FILE" in printed.err


def test_pages_that_are_not_read_and_transparent_places_are_said(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cells / "images" / "train" / "0.png"
    pages = [Image.open(path).copy(), Image.open(cells / "images" / "train" / "3.png").copy()]
    pages[0].save(path.with_suffix(".tif"), save_all=True, append_images=pages[1:])
    path.unlink()
    clear = Image.open(cells / "images" / "train" / "1.png").convert("RGBA")
    clear.putpixel((3, 3), (1, 2, 3, 0))
    clear.save(cells / "images" / "train" / "1.png")
    assert main(["check", str(cells)]) == 0
    printed = capsys.readouterr().out
    assert "0.tif has 2 pages, of which the first is read" in printed
    assert "1.png is transparent in places; what is read there are the colours beneath" in printed


def test_one_picture_file_of_two_masks_is_an_error_and_two_equal_ones_a_warning(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("images", "masks"):
        shutil.copy(cells / part / "train" / "0.png", cells / part / "train" / "90.png")
    change_mask(cells / "masks" / "train" / "90.png", lambda mask: 1 - mask)
    assert main(["check", str(cells)]) == 0
    assert "0.png, and their masks differ; leave the one that is right" in capsys.readouterr().out
    rows = "".join(f"images/train/{n}.png,masks/train/{n}.png,train\n" for n in range(11))
    loose = "images/train/0.png,masks/train/90.png,\n"
    (cells / "list.csv").write_text(f"image,mask,split\n{rows}{loose}")
    assert main(["check", str(cells), "--layout", "csv", "--split", "0"]) == 1
    assert "error: " in capsys.readouterr().out
    main(["check", str(cells), "--layout", "csv", "--split", "0", "--fix-to", "repaired"])
    assert "left out 2" in capsys.readouterr().out


def test_a_val_of_few_images_and_a_share_that_rounds_to_nothing_are_said(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        for part in ("images", "masks"):
            (cells / part / "val" / f"{number}.png").unlink()
    for path in (cells / "masks" / "train").iterdir():
        change_mask(path, lambda mask: np.zeros_like(mask, shape=(300, 400)))
    speck = np.zeros((300, 400), np.uint8)
    speck[0, 0] = 1
    Image.fromarray(speck).save(cells / "masks" / "train" / "0.png")
    main(["check", str(cells)])
    printed = capsys.readouterr().out
    assert "val of" in printed
    assert "has 1 image to choose the epoch by" in printed
    assert re.search(r"thing <b> +1 +<0.01% \(1\)", printed)


def test_series_that_drawn_splits_share_are_said_with_the_pattern_that_keeps_them_together(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_splits_away(cells)
    for part in ("images", "masks"):
        for number, path in enumerate(sorted((cells / part).iterdir())):
            path.rename(path.with_name(f"0{number % 3}_t{number:03}.png"))
    assert main(["check", str(cells), "--split", "0.4"]) == 0
    printed = capsys.readouterr().out
    assert "the 15 images are of 3 series, and splits share" in printed
    pattern = re.search(r"--group '([^']+)'", printed)
    assert pattern is not None
    assert main(["check", str(cells), "--split", "0.4", "--group", pattern[1]]) == 0
    assert "images are of" not in capsys.readouterr().out


def test_the_next_command_can_be_copied_whatever_folders_are_called(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = cells.parent / "my cells [2]"
    main(["check", str(cells), "--fix-to", str(target)])
    line = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(line)[-3:] == ["segtrain", "check", str(target)]
