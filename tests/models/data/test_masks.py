"""Mask files: what an indexed image, alpha, pages, parts and a value mapping mean, and what is
refused as it may mean two things."""

import json
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import DatasetError
from models.data.examination import examine
from models.data.mask_files import LossyMaskError
from models.data.options import LayoutOptions, SplitOptions
from models.data.reading import read_dataset, scan_dataset

WHOLE = SplitOptions(fraction=0)
IDS = np.zeros((12, 16), np.uint8)
IDS[2:6, 3:9], IDS[8:11, 4:12] = 1, 2
BLACK, RED, GREEN, WHITE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 255)
COLORS = (BLACK, RED, GREEN)
FORMATS = ("png", "tif", "bmp", "gif")

Rgb = tuple[int, int, int]


def indexed(ids: NDArray[np.uint8], places: Sequence[int], colors: Sequence[Rgb]) -> Image.Image:
    """An indexed picture that has the id n at the index `places[n]`, in the color `colors[n]`."""
    table = np.array(places, np.uint8)
    palette = [BLACK] * (max(places) + 1)
    for place, color in zip(places, colors, strict=True):
        palette[place] = color
    image = Image.fromarray(table[ids])
    image.putpalette([channel for color in palette for channel in color])
    return image


def write(
    folder: Path,
    masks: Sequence[Image.Image],
    suffix: str = "png",
    colors: Sequence[Rgb] = COLORS,
    ignore: int | None = 255,
    **save: object,
) -> Path:
    """A folder of these masks; the classes are called ground, thing, other."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number, mask in enumerate(masks):
        draw = np.random.default_rng(number)
        picture = draw.integers(0, 256, (mask.height, mask.width, 3), np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
        mask.save(folder / "masks" / f"{number}.{suffix}", **save)  # type: ignore[arg-type]
    write_classes(folder, colors, ignore)
    return folder


def write_classes(folder: Path, colors: Sequence[Rgb], ignore: int | None = 255) -> None:
    names = ("background", "thing", "other")[: len(colors)]
    classes = [
        {"id": n, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*rgb)}
        for n, (name, rgb) in enumerate(zip(names, colors, strict=True))
    ]
    document = {"name": "made", "ignore": ignore, "classes": classes}
    (folder / "classes.json").write_text(json.dumps(document))


def masks_of(folder: Path, layout: LayoutOptions | None = None) -> list[NDArray[np.uint8]]:
    dataset = read_dataset(folder, WHOLE, layout or LayoutOptions())
    return [sample.mask.read() for sample in dataset.split("train")]


def errors_of(folder: Path) -> list[str]:
    return [issue.text for issue in examine(scan_dataset(folder, WHOLE)).errors]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("places", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (7, 3, 40)])
def test_an_indexed_mask_of_the_classes_colors_is_read_by_them(
    places: tuple[int, ...], suffix: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [indexed(IDS, places, COLORS)], suffix)
    np.testing.assert_array_equal(masks_of(folder)[0], IDS)


def test_each_file_may_have_the_classes_colors_in_an_order_of_its_own(tmp_path: Path) -> None:
    orders = [(0, 1, 2), (2, 1, 0), (1, 0, 2)]
    folder = write(tmp_path / "a", [indexed(IDS, places, COLORS) for places in orders])
    assert examine(read_dataset(folder, WHOLE)).errors == []
    for mask in masks_of(folder):
        np.testing.assert_array_equal(mask, IDS)


def test_a_csv_and_a_voc_palette_are_read_by_their_colors_too(tmp_path: Path) -> None:
    folder = tmp_path / "voc"
    for part in ("JPEGImages", "SegmentationClass"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (16, 12)).save(folder / "JPEGImages" / "a.png")
    indexed(IDS, (2, 0, 1), COLORS).save(folder / "SegmentationClass" / "a.png")
    (folder / "labelmap.txt").write_text("ground:0,0,0::\nthing:255,0,0::\nother:0,255,0::\n")
    (folder / "list.csv").write_text("image,mask\nJPEGImages/a.png,SegmentationClass/a.png\n")
    for name in ("csv", "voc"):
        (mask,) = masks_of(folder, LayoutOptions(name=name))
        np.testing.assert_array_equal(mask, IDS)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grays_equal_to_ids_are_read_at_other_indices(suffix: str, tmp_path: Path) -> None:
    ids = IDS.copy()
    ids[0] = 3
    grays = [(v, v, v) for v in (0, 1, 2, 255)]
    folder = write(tmp_path / "a", [indexed(ids, (1, 3, 0, 2), grays)], suffix)
    expected = np.where(ids == 3, 255, ids)
    np.testing.assert_array_equal(masks_of(folder)[0], expected)


@pytest.mark.parametrize("colors", [(BLACK, (9, 8, 7), (3, 2, 1)), ((7, 7, 7),) * 3])
def test_an_indexed_mask_of_other_colors_is_read_by_its_indices(
    colors: tuple[Rgb, ...], tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [indexed(IDS, (0, 1, 2), colors)])
    np.testing.assert_array_equal(masks_of(folder)[0], IDS)


@pytest.mark.parametrize(
    ("colors", "sentence"),
    [
        ((BLACK, GREEN, (9, 8, 7)), "fits the classes in part: the index 1 has the colour #00ff00"),
        ((BLACK, RED, BLACK), "has one colour at two indices"),
        ((WHITE, BLACK, WHITE), "fits the classes in part|black and white"),
    ],
)
def test_a_palette_that_fits_the_classes_in_part_is_refused(
    colors: tuple[Rgb, ...], sentence: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [indexed(IDS, (0, 1, 2), colors)])
    (text,) = errors_of(folder)
    assert "0.png is an indexed image" in text
    assert any(part in text for part in sentence.split("|"))


def test_black_and_white_the_other_way_round_is_read_by_the_classes_colors_or_refused(
    tmp_path: Path,
) -> None:
    binary = (IDS > 0).astype(np.uint8)
    swapped = indexed(binary, (1, 0), (BLACK, WHITE))
    folder = write(tmp_path / "by-color", [swapped], colors=(BLACK, WHITE))
    np.testing.assert_array_equal(masks_of(folder)[0], binary)
    folder = write(tmp_path / "refused", [swapped], colors=(GREEN, RED))
    assert "is an indexed image of black and white" in errors_of(folder)[0]
    plain = indexed(binary, (0, 1), (BLACK, WHITE))
    folder = write(tmp_path / "plain", [plain], colors=(GREEN, RED))
    np.testing.assert_array_equal(masks_of(folder)[0], binary)


@pytest.mark.parametrize("has_classes", [True, False])
def test_files_whose_palettes_contradict_each_other_are_refused(
    has_classes: bool, tmp_path: Path
) -> None:
    one, other = ((10, 0, 0), (0, 10, 0)), ((0, 10, 0), (10, 0, 0))
    masks = [indexed((IDS > 0).astype(np.uint8), (0, 1), colors) for colors in (one, other)]
    folder = write(tmp_path / "a", masks, colors=((1, 2, 3), (4, 5, 6)))
    if not has_classes:
        (folder / "classes.json").unlink()
    examination = examine(scan_dataset(folder, WHOLE))
    assert "neither indices nor colours mean the same in both" in examination.errors[-1].text
    assert examination.contradictions


def cut_out(mode: str, beneath: int) -> Image.Image:
    """A mask of thing (1, or red) on what is transparent, with `beneath` hidden there."""
    clear = IDS != 1
    if mode == "LA":
        return Image.fromarray(
            np.dstack([np.where(clear, beneath, 1), 255 * ~clear]).astype(np.uint8)
        )
    if mode == "RGBA":
        pixels = np.zeros((*IDS.shape, 4), np.uint8)
        pixels[..., 0] = np.where(clear, 255 * beneath, 255)
        pixels[..., 3] = 255 * ~clear
        return Image.fromarray(pixels)
    image = indexed(
        np.where(clear, 2 * beneath, 1).astype(np.uint8), (0, 1, 2), (BLACK, RED, GREEN)
    )
    image.info["transparency"] = bytes([0, 255, 0])
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_a_cut_out_is_background_where_background_lies_beneath(mode: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [cut_out(mode, 0)])
    np.testing.assert_array_equal(masks_of(folder)[0], IDS == 1)


def test_a_cut_out_of_one_color_goes_by_its_indices(tmp_path: Path) -> None:
    mask = indexed((IDS == 1).astype(np.uint8), (0, 1), (RED, RED))
    mask.info["transparency"] = bytes([0, 255])
    folder = write(tmp_path / "a", [mask])
    np.testing.assert_array_equal(masks_of(folder)[0], IDS == 1)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_a_cut_out_with_a_class_hidden_beneath_is_refused(mode: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [cut_out(mode, 1)])
    (text,) = errors_of(folder)
    assert "0.png is transparent in 168 pixels, and a class lies hidden beneath 168" in text


def test_transparency_where_no_class_is_background_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [cut_out("RGBA", 0)])
    text = (folder / "classes.json").read_text().replace("background", "road")
    (folder / "classes.json").write_text(text)
    assert "what lies beneath is class 0, not background" in errors_of(folder)[0]


def test_half_transparent_pixels_are_refused(tmp_path: Path) -> None:
    soft = cut_out("RGBA", 0)
    soft.putpixel((0, 0), (255, 0, 0, 128))
    folder = write(tmp_path / "a", [soft])
    assert "is half transparent in 1 pixels" in errors_of(folder)[0]


@pytest.mark.parametrize("suffix", ["tif", "gif", "png"])
def test_a_mask_of_several_pages_is_refused(suffix: str, tmp_path: Path) -> None:
    pages = [Image.fromarray(IDS), Image.fromarray(IDS[::-1].copy())]
    folder = write(
        tmp_path / "a", pages[:1], suffix, save_all=True, append_images=pages[1:], duration=100
    )
    assert f"0.{suffix} has 2 pages; a mask is one picture" in errors_of(folder)[0]


def test_a_tiff_that_is_compressed_as_jpeg_is_lossy(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)], "tif", compression="jpeg")
    with pytest.raises(LossyMaskError, match="changes class ids"):
        masks_of(folder)


def test_a_mask_with_an_orientation_of_its_own_is_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    folder = write(tmp_path / "a", [Image.fromarray(IDS)], exif=exif)
    assert "0.png has an EXIF orientation" in errors_of(folder)[0]


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        (("0.png", "0.tif"), "0.png has 2 masks"),
        (("0.bmp", "0.png"), "0.png has 2 masks"),
        (("0.png", "0_mask.png"), "0.png has 2 masks"),
        (("0.png", "0_old.png"), "0_old.png is of no image, and looks like a further mask of 0"),
        (("0_seg.png", "0_seg-more.png"), "0_seg-more.png is of no image"),
    ],
)
def test_two_masks_of_one_image_are_an_error(
    masks: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)])
    (folder / "masks" / "0.png").unlink()
    for name in masks:
        Image.fromarray(IDS).save(folder / "masks" / name)
    assert any(sentence in text for text in errors_of(folder))


@pytest.mark.parametrize("ending", ["_mask", "_seg", "_gt"])
def test_numbered_masks_of_one_image_are_merged_where_they_do_not_overlap(
    ending: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)])
    (folder / "masks" / "0.png").unlink()
    for number, class_id in (("", 1), ("_1", 2)):
        part = np.where(class_id == IDS, IDS, 0).astype(np.uint8)
        Image.fromarray(part).save(folder / "masks" / f"0{ending}{number}.png")
    np.testing.assert_array_equal(masks_of(folder)[0], IDS)
    Image.fromarray(np.full_like(IDS, 2)).save(folder / "masks" / f"0{ending}_2.png")
    assert "say different classes in 24 pixels" in errors_of(folder)[0]


def test_a_number_that_is_an_image_of_its_own_is_no_part(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS), Image.fromarray(IDS)])
    for part, ending in (("images", ""), ("masks", "_mask")):
        (folder / part / "0.png").rename(folder / part / f"0{ending}.png")
        (folder / part / "1.png").rename(folder / part / f"0_mask_1{ending}.png")
    (folder / "masks" / "0_mask_1_mask.png").rename(folder / "masks" / "0_mask_1.png")
    dataset = read_dataset(folder, WHOLE)
    assert [s.mask.path.name for s in dataset.split("train")] == ["0_mask.png", "0_mask_1.png"]


def test_rows_of_a_table_with_several_masks_of_one_image_are_merged(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)])
    for class_id in (1, 2):
        part = np.where(class_id == IDS, IDS, 0).astype(np.uint8)
        Image.fromarray(part).save(folder / f"m{class_id}.png")
    rows = "images/0.png,m1.png\nimages/0.png,m2.png\nimages/0.png,m1.png\n"
    (folder / "list.csv").write_text(f"image,mask\n{rows}")
    np.testing.assert_array_equal(masks_of(folder)[0], IDS)
    warnings = [issue.text for issue in scan_dataset(folder, WHOLE).issues]
    assert any("stand in line 2 and again in 3, 4" in text for text in warnings)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_zero_as_what_is_not_labelled_is_ignored_and_the_others_shifted(
    mode: str, tmp_path: Path
) -> None:
    ids = IDS.astype(np.uint16 if mode == "I;16" else np.uint8)
    mask = Image.fromarray(ids)
    if mode == "P":
        mask = indexed(IDS, (0, 1, 2), ((7, 7, 7), (1, 9, 9), (9, 9, 1)))
    folder = write(tmp_path / "a", [mask], colors=(RED, GREEN), ignore=0)
    assert "ignore 0 is a class's id" in errors_of(folder)[0]
    assert "--ignore 0 --shift -1" in errors_of(folder)[0]
    layout = LayoutOptions(ignore=0, shift=-1)
    expected = np.array([255, 0, 1], np.uint8)[IDS]
    np.testing.assert_array_equal(masks_of(folder, layout)[0], expected)
    assert read_dataset(folder, WHOLE, layout).class_list.ignore == 255
    with pytest.raises(DatasetError, match="holds the value 0 in 144 pixels, which stands for no"):
        masks_of(folder, LayoutOptions(ignore=9, shift=-1))


def test_ignoring_a_class_s_own_value_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)])
    with pytest.raises(DatasetError, match="0 is to be ignored and is the class 'background'"):
        masks_of(folder, LayoutOptions(ignore=0))


def test_masks_that_count_from_1_are_told_of(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS + 1)])
    assert "Ids begin at 0: where these masks count classes from 1" in errors_of(folder)[0]


def test_masks_of_0_and_255_among_masks_of_0_and_1_are_refused(tmp_path: Path) -> None:
    one, scaled = (IDS == 1).astype(np.uint8), np.where(IDS == 1, 255, 0).astype(np.uint8)
    void = one.copy()
    void[-1] = 255
    colors = (BLACK, RED)
    mixed = write(tmp_path / "a", [Image.fromarray(m) for m in (one, scaled, one)], colors=colors)
    assert "hold 0 and 255, and 2 others, such as " in errors_of(mixed)[0]
    masks = [Image.fromarray(m) for m in (one, scaled, void)]
    assert errors_of(write(tmp_path / "with-void", masks, colors=colors)) == []
    wholly = [Image.fromarray(m) for m in (one, np.full_like(one, 255))]
    assert errors_of(write(tmp_path / "unlabelled", wholly, colors=colors)) == []


def test_the_palette_that_nobody_made_says_nothing(tmp_path: Path) -> None:
    ramp = Image.fromarray(IDS).convert("P")
    folder = write(tmp_path / "a", [ramp], colors=((5, 5, 5), (0, 0, 0), (1, 1, 1)))
    np.testing.assert_array_equal(masks_of(folder)[0], IDS)


def test_one_bit_a_pixel_is_two_classes_and_no_void(tmp_path: Path) -> None:
    one_bit = Image.fromarray(IDS > 0)
    folder = write(tmp_path / "two", [one_bit], colors=(RED, GREEN))
    np.testing.assert_array_equal(masks_of(folder)[0], IDS > 0)
    folder = write(tmp_path / "three", [one_bit])
    assert "has one bit a pixel, and its white may be class 1 or 255" in errors_of(folder)[0]
    both = [one_bit, Image.fromarray((IDS > 1).astype(np.uint8))]
    folder = write(tmp_path / "both", both, colors=(RED, GREEN))
    assert "1 mask of" in errors_of(folder)[0]
    assert errors_of(write(tmp_path / "no-void", both, colors=(RED, GREEN), ignore=None)) == []


@pytest.mark.parametrize("bits", [2, 4])
def test_a_png_of_few_bits_is_refused(bits: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)])
    row = IDS.reshape(12, -1, 8 // bits)
    shifts = np.arange(8 - bits, -1, -bits)
    packed = (row << shifts).sum(axis=-1).astype(np.uint8)
    lines = b"".join(b"\0" + line.tobytes() for line in packed)
    header = struct.pack(">IIBBBBB", 16, 12, bits, 0, 0, 0, 0)
    content = png_of((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    (folder / "masks" / "0.png").write_bytes(content)
    assert (
        f"has {bits} bits a pixel, so that its values may be ids or shades" in errors_of(folder)[0]
    )


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "JPEG2000"])
def test_a_lossy_file_is_known_by_its_content_whatever_it_is_called(
    form: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS).convert("RGB")], format=form)
    with pytest.raises(LossyMaskError, match=f"is a {form} file by its content"):
        masks_of(folder)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_color_mask_that_an_optimizer_made_gray_is_refused(mode: str, tmp_path: Path) -> None:
    colors = (BLACK, WHITE, RED)
    in_color = Image.fromarray(np.array(colors, np.uint8)[IDS])
    gray = Image.fromarray(np.where(IDS == 1, 255, 0).astype(np.uint8)).convert(mode)
    mixed = write(tmp_path / "mixed", [in_color, gray], colors=colors)
    assert "the value 255 may be an id or the gray of class 'thing'" in errors_of(mixed)[0]
    alone = write(tmp_path / "alone", [gray, gray], colors=colors)
    assert "have one channel, and the value 255 may be an id" in errors_of(alone)[0]
    beside_ids = write(tmp_path / "ids", [gray, Image.fromarray(IDS)], colors=colors)
    assert errors_of(beside_ids) == []  # 255 is ignored


def test_one_bit_whose_white_or_black_is_another_class_s_color_is_refused(tmp_path: Path) -> None:
    one_bit = Image.fromarray(IDS == 1)
    white_is_2 = write(tmp_path / "a", [one_bit], colors=(BLACK, RED, WHITE), ignore=None)
    assert "its white may be class 1 or class 2, whose colour is white" in errors_of(white_is_2)[0]
    turned = write(tmp_path / "b", [one_bit], colors=(WHITE, BLACK), ignore=None)
    assert "its black may be class 0 or class 1, whose colour is black" in errors_of(turned)[0]


def test_two_versions_of_one_mask_are_refused_and_parts_that_touch_merged(tmp_path: Path) -> None:
    one = np.where(IDS == 1, IDS, 0).astype(np.uint8)
    folder = write(tmp_path / "a", [Image.fromarray(one)])
    (folder / "masks" / "0.png").rename(folder / "masks" / "0_mask.png")
    part = folder / "masks" / "0_mask_1.png"
    Image.fromarray(np.roll(one, 1, axis=1)).save(part)
    assert "as two versions of one mask do" in errors_of(folder)[0]
    touching = np.roll(one, 5, axis=1)
    Image.fromarray(touching).save(part)
    np.testing.assert_array_equal(masks_of(folder)[0], one | touching)
    Image.fromarray(one).save(part)
    np.testing.assert_array_equal(masks_of(folder)[0], one)


def deep_png(samples: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits of (H, W, channels)."""
    height, width, channels = samples.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))


@pytest.mark.parametrize("form", ["png RGB", "png RGBA", "png LA", "tif RGB"])
def test_sixteen_bits_a_channel_are_read_where_they_are_eight_bits_said_twice(
    form: str, tmp_path: Path
) -> None:
    suffix, mode = form.split()
    opaque = np.full((*IDS.shape, 1), 255, np.uint8)
    pixels = IDS[..., None] if mode == "LA" else np.array(COLORS, np.uint8)[IDS]
    for factor in (257, 1):
        samples = pixels.astype(np.uint16) * factor
        folder = write(tmp_path / f"{factor}", [Image.fromarray(IDS)])
        path = folder / "masks" / f"0.{suffix}"
        (folder / "masks" / "0.png").unlink()
        if suffix == "tif":
            write_tiff(path, np.moveaxis(samples, -1, 0), photometric="RGB", interleave="pixel")
        else:
            alpha = [] if mode == "RGB" else [opaque.astype(np.uint16) * 257]
            path.write_bytes(deep_png(np.concatenate([samples, *alpha], axis=-1)))
        if factor == 1:
            assert "and values that 8 bits do not have" in errors_of(folder)[0]
        elif mode == "LA":  # Pillow has it as RGBA
            assert "holds class ids three times over" in errors_of(folder)[0]
        else:
            np.testing.assert_array_equal(masks_of(folder)[0], IDS)


@pytest.mark.parametrize(
    ("save", "said"),
    [
        ({"nbits": 2}, "has 2 bits a pixel"),
        ({"nbits": 4, "compress": "lzw"}, "has 4 bits a pixel"),
        ({"nodata": 0}, "that 0 is no data .* in 144 pixels, which may be nothing or class 0"),
        ({"nodata": 2}, "that 2 is no data .* which may be nothing or class 2"),
        ({"bands": 2}, "is a TIFF of 2 bands; a mask has one"),
        ({"nodata": 255}, None),
        ({"dtype": "int16"}, None),
        ({"dtype": "uint32"}, None),
        ({"dtype": "float32"}, "is a F image"),
    ],
)
def test_a_tiff_is_a_mask_where_its_values_can_be_nothing_but_ids(
    save: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", [Image.fromarray(IDS)])
    (folder / "masks" / "0.png").unlink()
    bands = np.stack([IDS] * save.pop("bands", 1)).astype(save.pop("dtype", "uint8"))
    write_tiff(folder / "masks" / "0.tif", bands, **save)
    if said is None:
        np.testing.assert_array_equal(masks_of(folder)[0], IDS)
    else:
        assert re.search(said, errors_of(folder)[0])


def write_tiff(path: Path, bands: NDArray[Any], **save: Any) -> None:
    """A TIFF of (bands, H, W) by GDAL."""
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **save) as file:
        file.write(bands)


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
