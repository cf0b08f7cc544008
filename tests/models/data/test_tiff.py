"""TIFFs as the trainer reads them: the table of docs/formats.md, which the service keeps to as
well."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import DatasetError, read_picture
from models.data.masks import FileMask, MaskEncoding, Palette
from models.data.options import SplitOptions
from models.data.reading import read_dataset
from tests.models.conftest import write_dataset
from tests.pictures import (
    BLACK_IS_ZERO,
    CMYK,
    FLOAT,
    PALETTE,
    RGB,
    SIGNED,
    WHITE_IS_ZERO,
    TiffPage,
    tiff,
)

EIGHT = np.arange(5 * 7 * 4, dtype=np.uint8).reshape(5, 7, 4) + 60


def deep(samples: NDArray[np.uint8], bits: int) -> NDArray[np.uint16]:
    """Samples of more bits whose upper 8 are these; the lower ones are of another pixel's."""
    lower = samples[::-1].astype(np.uint16) >> (16 - bits)
    return ((samples.astype(np.uint16) << (bits - 8)) | lower).astype(np.uint16)


def read(path: Path, content: bytes, channels: int) -> NDArray[np.uint8]:
    """By all values of the samples, so that pixels of few bits and of many are the same."""
    path.write_bytes(content)
    return read_picture(path, channels, intensity=None).pixels


def rounded(samples: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    nearest: NDArray[np.uint8] = np.rint(samples.astype(float) * 255 / (2**bits - 1)).astype(
        np.uint8
    )
    return nearest


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize(("samples", "extra"), [(3, ()), (4, (0,)), (4, (2,))])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_color_is_read_in_planes_as_pixel_by_pixel(
    bits: int, samples: int, extra: tuple[int, ...], is_planar: bool, order: str, tmp_path: Path
) -> None:
    stored = EIGHT[..., :samples] if bits == 8 else deep(EIGHT[..., :samples], bits)
    page = TiffPage(stored, bits, RGB, is_planar, extra=extra)
    pixels = read(tmp_path / "a.tif", tiff(page, order=order), 3)
    np.testing.assert_array_equal(pixels, rounded(stored, bits)[..., :3])


def test_cmyk_of_16_bits_in_planes_is_that_of_8(tmp_path: Path) -> None:
    plain = read(tmp_path / "8.tif", tiff(TiffPage(EIGHT, 8, CMYK)), 3)
    in_planes = tiff(TiffPage(EIGHT.astype(np.uint16) * 257, 16, CMYK, is_planar=True))
    assert np.abs(read(tmp_path / "16.tif", in_planes, 3).astype(int) - plain).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_white_at_zero_is_turned_about_whatever_the_depth(
    bits: int, order: str, tmp_path: Path
) -> None:
    gray = EIGHT[..., :1]
    stored = gray if bits == 8 else deep(gray, bits)
    content = tiff(TiffPage(stored, bits, WHITE_IS_ZERO), order=order)
    turned = rounded(2**bits - 1 - stored.astype(int), bits)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", content, 1), turned)
    np.testing.assert_array_equal(
        read(tmp_path / "a.tif", content, 3), np.repeat(turned, 3, axis=-1)
    )


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (
            TiffPage(EIGHT[..., :3], 8, BLACK_IS_ZERO),
            "3 bands of 8 bits that its header calls gray",
        ),
        (
            TiffPage(deep(EIGHT[..., :3], 16), 16, BLACK_IS_ZERO),
            "3 bands of 16 bits that its header calls gray",
        ),
        (TiffPage(deep(EIGHT[..., :1], 16), 16, format=SIGNED), "signed pixels of 16 bits"),
        (
            TiffPage(EIGHT.astype(np.float32), 32, CMYK, format=FLOAT),
            "floating-point pixels of 32 bits of the kind CMYK",
        ),
    ],
)
def test_what_is_neither_gray_nor_in_color_is_refused_as_what_it_is(
    page: TiffPage, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=rf"a\.tif cannot be read \(it has {sentence}"):
        read(tmp_path / "a.tif", tiff(page), 3)


def test_the_pages_of_a_stack_are_counted_and_smaller_copies_are_none(tmp_path: Path) -> None:
    copy, mask = {254: [1]}, {254: [4]}
    pages = [TiffPage(EIGHT[..., :1] + n) for n in range(2)]
    extras = [TiffPage(EIGHT[:2, :3, :1], tags=tags) for tags in (copy, mask)]
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(extras[0], *pages, extras[1]))  # the copy first, as some cameras have it
    picture = read_picture(path, 1)
    assert picture.pages == 2
    np.testing.assert_array_equal(picture.pixels, EIGHT[..., :1])


def test_a_data_set_of_deep_gray_tiffs_has_one_channel(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "deep", {"train": 2, "val": 1}, gray=True)
    for path in (folder / "images").rglob("*.png"):
        gray = np.asarray(Image.open(path))[..., np.newaxis].astype(np.uint16)
        path.with_suffix(".tif").write_bytes(tiff(TiffPage(gray * 257, 16, WHITE_IS_ZERO)))
        path.unlink()
    dataset = read_dataset(folder, SplitOptions(fraction=0))
    assert dataset.channels == 1
    assert dataset.split("val")[0].read(1)[0].shape[-1] == 1


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (TiffPage(EIGHT[..., :1], 8, WHITE_IS_ZERO), "whose 0 is white"),
        (TiffPage(deep(EIGHT[..., :1], 16), 16, WHITE_IS_ZERO), "whose 0 is white"),
        (TiffPage(EIGHT[..., :3], 8, RGB, is_planar=True), "3 channels in separate planes"),
    ],
)
def test_a_mask_whose_values_may_be_others_is_refused(
    page: TiffPage, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "mask.tif").write_bytes(tiff(page))
    with pytest.raises(DatasetError, match=rf"mask\.tif is a TIFF {sentence}|of {sentence}"):
        FileMask(tmp_path / "mask.tif").read()


@pytest.mark.parametrize("scale", [1, 257])
def test_a_palette_whose_colors_were_written_with_8_bits_is_that_of_16(
    scale: int, tmp_path: Path
) -> None:
    colors = [(0, 255, 0), (0, 0, 0), (255, 0, 0)]
    table = [
        value * scale for channel in zip(*colors, strict=True) for value in (*channel, *[0] * 253)
    ]
    indices = np.array([[[0], [1], [2]], [[2], [1], [0]]], np.uint8)
    path = tmp_path / "mask.tif"
    path.write_bytes(tiff(TiffPage(indices, 8, PALETTE, tags={320: table})))
    np.testing.assert_array_equal(
        read_picture(path, 3).pixels, np.array(colors, np.uint8)[indices[..., 0]]
    )
    palette = Palette.of([((0, 0, 0), 0), ((255, 0, 0), 1), ((0, 255, 0), 2)])
    mask = FileMask(path, MaskEncoding(palette, frozenset((0, 1, 2)), background=0))
    assert mask.read().tolist() == [[2, 0, 1], [1, 0, 2]]
