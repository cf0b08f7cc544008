"""What a folder's files call its classes, what of them is void, and how VOC's folders and tables
name their files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import DatasetError
from models.data.examination import examine
from models.data.layouts.voc import VOC_CLASSES
from models.data.masks import VOC_VOID, voc_color
from models.data.options import LayoutName, LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
IDS = np.zeros((8, 10), np.uint8)
IDS[1:4, 2:6], IDS[5:7, 3:9] = 1, 2
FOLDERS: dict[LayoutName, tuple[str, str]] = {
    "folders": ("images", "masks"),
    "voc": ("JPEGImages", "SegmentationClass"),
    "csv": ("a", "b"),
}


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*IDS.shape, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def save(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8)).save(path)


def write(
    folder: Path, layout: LayoutName, mask: np.ndarray, names: Sequence[str] = ("p0", "p1")
) -> Path:
    """A folder of the layout that names no classes; every image has the same mask."""
    images, masks = FOLDERS[layout]
    for seed, name in enumerate(names):
        picture(folder / images / f"{name}.png", seed)
        save(folder / masks / f"{name}.png", mask)
    if layout == "csv":
        rows = "".join(f"a/{name}.png,b/{name}.png\n" for name in names)
        (folder / "list.csv").write_text(f"image,mask\n{rows}")
    return folder


def classes_of(folder: Path) -> list[str]:
    return [c.name for c in read_dataset(folder, WHOLE).class_list.classes]


def mask_of(folder: Path) -> np.ndarray:
    return read_dataset(folder, WHOLE).split("train")[0].mask.read()


def in_voc_colors(ids: np.ndarray) -> np.ndarray:
    colors: np.ndarray = np.array([voc_color(n) for n in range(256)], np.uint8)[ids]
    return colors


@pytest.mark.parametrize("layout", FOLDERS)
@pytest.mark.parametrize("file", ["class_names.txt", "labels.txt", "classes.txt", "codes.txt"])
@pytest.mark.parametrize("has_colors", [False, True])
def test_a_list_of_names_says_the_classes_in_every_layout_of_mask_files(
    has_colors: bool, file: str, layout: LayoutName, tmp_path: Path
) -> None:
    folder = write(tmp_path, layout, in_voc_colors(IDS) if has_colors else IDS)
    (folder / file).write_bytes("\ufeff_background_\r\ncrack\r\nrust, old\r\n\r\n".encode())
    dataset = read_dataset(folder, WHOLE)
    assert [c.name for c in dataset.class_list.classes] == ["_background_", "crack", "rust, old"]
    assert dataset.class_list.background == 0
    np.testing.assert_array_equal(mask_of(folder), IDS)


def test_labelme_s_own_list_counts_from_its_second_line(tmp_path: Path) -> None:
    folder = write(tmp_path, "voc", IDS)
    (folder / "labels.txt").write_text("__ignore__\n_background_\ncrack\nrust\n")
    assert classes_of(folder) == ["_background_", "crack", "rust"]
    np.testing.assert_array_equal(mask_of(folder), IDS)


def test_numbers_in_a_list_of_names_are_the_ids_or_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    (folder / "classes.txt").write_text("0: background\n1: crack\n2: rust\n")
    assert classes_of(folder) == ["background", "crack", "rust"]
    (folder / "classes.txt").write_text("1 background\n2 crack\n3 rust\n")
    with pytest.raises(DatasetError, match=r"classes\.txt counts its classes from 1"):
        read_dataset(folder, WHOLE)


def test_two_lists_that_name_other_classes_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    (folder / "labels.txt").write_text("background\ncrack\nrust\n")
    (folder / "classes.txt").write_text("background\ncrack\nrust\n")
    assert len(classes_of(folder)) == 3
    (folder / "classes.txt").write_text("background\ncrack\nmoss\n")
    with pytest.raises(DatasetError, match="list other classes"):
        read_dataset(folder, WHOLE)
    (folder / "classes.txt").write_text("background\nrust\ncrack\n")
    with pytest.raises(DatasetError, match="list the classes in two orders"):
        read_dataset(folder, WHOLE)


def test_voc_s_names_are_for_voc_s_own_pictures(tmp_path: Path) -> None:
    own = write(tmp_path / "own", "voc", IDS, ["2007_000032", "2011_003276"])
    lists = own / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n2011_003276\n")
    assert classes_of(own) == list(VOC_CLASSES)
    other = write(tmp_path / "VOC2012", "voc", IDS, ["000001", "000002"])
    lists = other / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("000001\n000002\n")
    issue = scan_dataset(other, WHOLE).issues[0]
    assert issue.severity == "error"
    assert "does not name its classes: put class_names.txt there" in issue.text


@pytest.mark.parametrize("layout", FOLDERS)
@pytest.mark.parametrize("name", ["ignored", "Void", "unlabelled", "border"])
def test_void_is_known_by_its_name_and_by_voc_s_color_in_every_layout(
    name: str, layout: LayoutName, tmp_path: Path
) -> None:
    folder = write(tmp_path, layout, in_voc_colors(np.where(IDS == 2, 255, IDS)))
    palette = f"ground:0,0,0::\nthing:128,0,0::\n{name}:{','.join(map(str, VOC_VOID))}::\n"
    (folder / "labelmap.txt").write_text(palette)
    assert classes_of(folder) == ["ground", "thing"]
    np.testing.assert_array_equal(mask_of(folder), np.where(IDS == 2, 255, IDS))
    (folder / "labelmap.txt").write_text("ground:0,0,0::\nthing:128,0,0::\n")  # not even listed
    np.testing.assert_array_equal(mask_of(folder), np.where(IDS == 2, 255, IDS))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_values_of_a_void_class_are_ignored_wherever_it_stands(place: int, tmp_path: Path) -> None:
    names = ["ground", "thing"]
    names.insert(place, "unlabelled")
    expected = np.insert([0, 1], place, 255).astype(np.uint8)[IDS]
    classes = [{"id": n, "name": name, "color": f"#0000{n}0"} for n, name in enumerate(names)]
    for file, text in (
        ("classes.json", json.dumps({"name": "x", "classes": classes})),
        ("class_names.txt", "\n".join(names)),
        (
            "class_dict.csv",
            "name,r,g,b\n" + "\n".join(f"{name},{n},{n},9" for n, name in enumerate(names)),
        ),
    ):
        folder = write(tmp_path / file, "folders", IDS)
        (folder / file).write_text(text)
        assert classes_of(folder) == ["ground", "thing"]
        np.testing.assert_array_equal(mask_of(folder), expected)
        assert examine(read_dataset(folder, WHOLE)).errors == []
        said = [issue.text for issue in scan_dataset(folder, WHOLE).issues]
        assert any("'unlabelled', which is void" in text for text in said) == (
            file == "classes.json"
        )


def test_a_line_without_a_color_in_a_palette_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    (folder / "labelmap.txt").write_text("ground:0,0,0::\nthing:::\nother:0,128,0::\n")
    with pytest.raises(DatasetError, match="'thing:::' has no colour"):
        read_dataset(folder, WHOLE)
    (folder / "labelmap.txt").write_text("ground:::\nthing:128,0,0::\nother:0,128,0::\n")
    with pytest.raises(DatasetError, match="'ground:::' has no colour"):  # and is no heading
        read_dataset(folder, WHOLE)


def test_a_palette_without_colors_is_a_list_of_names(tmp_path: Path) -> None:
    """As Datumaro writes it for classes that it knows no colours of; the masks have VOC's."""
    folder = write(tmp_path, "voc", IDS)
    (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\na b:::\nc:::\nd:::\n")
    assert classes_of(folder) == ["a b", "c", "d"]
    np.testing.assert_array_equal(mask_of(folder), IDS)


def test_a_faulty_class_list_is_not_guessed_over(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    (folder / "classes.json").write_text('{"name": "x", "classes": [{"id": 1}]}')
    assert examine(scan_dataset(folder, WHOLE)).faulty_classes is not None
    (folder / "classes.json").unlink()
    assert examine(scan_dataset(folder, WHOLE)).faulty_classes is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_class_list_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", np.minimum(IDS, 1))
    names = ["ground", "thing"]
    classes = [{"id": n, "name": name, "color": f"#00000{n}"} for n, name in enumerate(names)]
    text = json.dumps({"name": "x", "classes": classes})
    (folder / "classes.json").write_text(text, encoding=encoding)
    assert classes_of(folder) == names


@pytest.mark.parametrize(
    "line",
    ["{}", "{}.png", "JPEGImages/{}.png", "/JPEGImages/{}.png SegmentationClass/{}.png", "{} 1"],
)
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_voc_s_lists_name_images_in_subfolders_in_many_ways(
    line: str, separator: str, tmp_path: Path
) -> None:
    names = ["site1/0000", "site2/0000", "site2/my photo 1"]
    folder = write(tmp_path, "voc", IDS, names)
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    listed = names if " " not in line else names[:2]
    lines = [line.format(name, name).replace("/", separator) for name in listed]
    (lists / "default.txt").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    dataset = read_dataset(folder, WHOLE)
    assert [
        s.image.relative_to(folder / "JPEGImages").with_suffix("").as_posix()
        for s in dataset.split("train")
    ] == listed
    left_out = [issue.text for issue in dataset.issues if "in no list" in issue.text]
    assert len(left_out) == len(names) - len(listed)


def test_two_files_of_one_name_in_a_voc_folder_are_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path, "voc", IDS)
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    picture(folder / "JPEGImages" / "p0.jpg", 5)
    save(folder / "SegmentationClass" / "p1.tif", IDS)
    said = [issue.text for issue in scan_dataset(folder, WHOLE).issues]
    assert "2 images of one name, p0.jpg and p0.png" in said[0]
    assert "2 masks of one name, p1.png and p1.tif" in said[1]


def test_masks_of_labelme_s_older_converter_are_found(tmp_path: Path) -> None:
    folder = write(tmp_path, "voc", IDS)
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    (folder / "SegmentationClass").rename(folder / "SegmentationClassPNG")
    (folder / "SegmentationClass").mkdir()
    np.save(folder / "SegmentationClass" / "p0.npy", IDS)
    np.testing.assert_array_equal(mask_of(folder), IDS)


@pytest.mark.parametrize(
    "content",
    [
        b"sep=;\r\nimage;mask\r\na\\p0.png;b\\p0.png\r\n",
        "image\tmask\na/p0.png\tb/p0.png\n".encode("utf-16"),
        b'\xef\xbb\xbfimage,mask,note\n"a/p0.png",b/p0.png,"two\nlines"\n',
    ],
)
def test_tables_of_spreadsheets_are_read(content: bytes, tmp_path: Path) -> None:
    folder = write(tmp_path, "csv", IDS)
    (folder / "list.csv").write_bytes(content)
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    dataset = read_dataset(folder, WHOLE)
    assert [sample.image.name for sample in dataset.split("train")] == ["p0.png"]
    assert "does not list 1 image, such as" in dataset.issues[0].text


def test_a_split_that_is_none_of_the_three_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path, "csv", IDS)
    (folder / "list.csv").write_text(
        "image,mask,split\na/p0.png,b/p0.png,Train\na/p1.png,b/p1.png,dev\n"
    )
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    texts = [issue.text for issue in read_dataset(folder).issues]
    assert any("the split 'dev' of 1 image is none of train, val and test" in t for t in texts)


def test_images_and_masks_behind_links_are_paired(tmp_path: Path) -> None:
    folder, store = tmp_path / "data", tmp_path / "store"
    for seed, site in enumerate(("a", "b")):
        picture(store / site / "im" / f"{site}.png", seed)
        save(store / site / "ma" / f"{site}.png", IDS)
        for part, place in (("images", "im"), ("masks", "ma")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / site).symlink_to(store / site / place)
    (folder / "images" / "again").symlink_to(folder / "images")
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    assert len(read_dataset(folder, WHOLE).split("train")) == 2


def test_a_mask_is_found_by_its_name_in_the_other_form_of_unicode(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS, ["\u00e9"])
    (folder / "masks" / "\u00e9.png").rename(folder / "masks" / "e\u0301_mask.png")
    (folder / "class_names.txt").write_text("ground\nthing\nother\n")
    np.testing.assert_array_equal(mask_of(folder), IDS)


def test_a_layout_option_of_values_is_read_from_the_list_too(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    (folder / "class_names.txt").write_text("thing\nother\n")
    dataset = read_dataset(folder, WHOLE, LayoutOptions(ignore=0, shift=-1))
    expected = np.array([255, 0, 1], np.uint8)[IDS]
    np.testing.assert_array_equal(dataset.split("train")[0].mask.read(), expected)


def test_voc_s_names_are_for_the_years_of_voc_alone(tmp_path: Path) -> None:
    for name, is_voc_s in (("2012_000001", True), ("2023_000001", False)):
        folder = write(tmp_path / name, "voc", IDS, [name])
        lists = folder / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        (lists / "Train.TXT").write_text(f"{name}\n")
        dataset = scan_dataset(folder, WHOLE)
        assert (len(dataset.class_list.classes) == len(VOC_CLASSES)) == is_voc_s
        assert any("does not name its classes" in i.text for i in dataset.issues) != is_voc_s


def test_two_data_sets_of_voc_in_one_folder_are_refused(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        write(tmp_path / "VOCdevkit" / year, "voc", IDS)
    with pytest.raises(DatasetError, match=r"holds 2 data sets .* \(VOC2007, VOC2012\)"):
        scan_dataset(tmp_path)


def test_a_list_of_one_class_says_what_is_missing(tmp_path: Path) -> None:
    folder = write(tmp_path, "voc", IDS)
    (folder / "labels.txt").write_text("dent\n")
    with pytest.raises(DatasetError, match="names 1 class; list every class in the order of the"):
        scan_dataset(folder)


def test_void_that_is_drawn_in_color_is_no_0_255_mask(tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.array([(0, 0, 0), (128, 0, 0), (0, 64, 0)], np.uint8)[IDS % 2]).save(
            path
        )
    (folder / "labelmap.txt").write_text("void:0,0,0::\ndent:128,0,0::\nrust:0,64,0::\n")
    kinds = [issue.kind for issue in examine(scan_dataset(folder, WHOLE)).issues]
    assert "0/255 mask" not in kinds
    assert "absent class" in kinds


@pytest.mark.parametrize("heading", ["name,b,g,r", "class name,blue,green,red", "B G R name"])
def test_colors_in_another_order_are_refused(heading: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "folders", IDS)
    palette = folder / "class_dict.csv"
    palette.write_text(f"{heading}\nground,0,0,0\nred,0,0,128\nblue,128,0,0\n")
    with pytest.raises(DatasetError, match="gives its colours as b, g, r; they are read as red"):
        read_dataset(folder, WHOLE)
    palette.write_text("name,r,g,b\nground,0,0,0\nred,128,0,0\nblue,0,0,128\n")
    assert classes_of(folder) == ["ground", "red", "blue"]
