"""Training and serving see the same pixels of a file, or both refuse it."""

import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import MemoryFile

from models.contract import PercentileIntensity
from models.contract.preprocessing import Intensity, WindowIntensity
from models.data.dataset import DatasetError, is_gray_file, read_image, read_picture
from service.domain.errors import ServiceError, UnreadableImageError
from service.domain.requests import IntensityRequest
from service.inference.prepare import prepare
from service.inputs import open_source
from tests.pictures import (
    BLACK_IS_ZERO,
    CIELAB,
    CMYK,
    FLOAT,
    PALETTE,
    RGB,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    TiffPage,
    tiff,
)
from tests.service.inputs.files import png
from tests.solvable import contract_of_depth

YCBCR = 6
PHOTOMETRICS = (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB)
DRAW = np.random.default_rng(11)
FOUND = PercentileIntensity(gray=(3, 102), color=(20, 213))
RULES = (None, PercentileIntensity(), FOUND, WindowIntensity(low=100, high=3000))


def seen(path: Path, channels: int, rule: Intensity | None = FOUND) -> tuple[object, object]:
    """What training and serving make of a file: pixels, or None where they refuse it."""
    try:
        learned: object = read_image(path, channels, rule).tolist()
    except DatasetError:
        learned = None
    try:
        source = open_source(path.read_bytes(), 10**6)
        model = contract_of_depth(channels, rule)
        prepared = prepare(source, model, None, IntensityRequest(), show=False)
        served: object = prepared.image.tolist()
    except ServiceError:
        served = None
    return learned, served


def samples_of(bits: int, count: int, format: int) -> NDArray[np.generic]:
    kind = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[format]
    size = max(bits // 8 + (bits % 8 > 0), 2 if format == FLOAT else 1)
    values = DRAW.integers(0, 2 ** (bits if format == UNSIGNED else 7), (7, 9, count))
    return values.astype(f"{kind}{size}")


@pytest.mark.parametrize("photometric", PHOTOMETRICS)
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("is_planar", [False, True], ids=["pixels", "planes"])
def test_every_form_of_tiff_is_learned_as_it_is_served(
    tmp_path: Path, photometric: int, bits: int, is_planar: bool
) -> None:
    color = {RGB: 3, CMYK: 4, YCBCR: 3, CIELAB: 3}.get(photometric, 1)
    extras: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (0, 0)]
    for extra, (order, orientation) in product(extras, (("<", 1), (">", 6))):
        samples = samples_of(bits, color + len(extra), UNSIGNED)
        tags: dict[int, list[int]] = {274: [orientation]}
        if photometric == PALETTE:
            tags[320] = DRAW.integers(0, 65536, 3 * 2**bits).tolist()
        page = TiffPage(samples, bits, photometric, is_planar, extra=extra, tags=tags)
        path = tmp_path / "page.tif"
        path.write_bytes(tiff(page, order=order))
        for channels in (1, 3):
            learned, served = seen(path, channels)
            assert learned == served, (extra, order, orientation, channels)


@pytest.mark.parametrize(
    "page",
    [
        TiffPage(samples_of(8, 1, SIGNED), 8, format=SIGNED),
        TiffPage(samples_of(16, 3, SIGNED), 16, RGB, format=SIGNED),
        TiffPage(samples_of(32, 1, FLOAT), 32, WHITE_IS_ZERO, format=FLOAT),
        TiffPage(samples_of(32, 4, FLOAT), 32, RGB, format=FLOAT, extra=(1,)),
        TiffPage(samples_of(32, 1, UNSIGNED), 32),
        TiffPage(samples_of(16, 3, UNSIGNED), 16),
        TiffPage(samples_of(8, 3, UNSIGNED), 8),
        TiffPage(samples_of(8, 1, UNSIGNED), 8, tags={262: None}),
        TiffPage(samples_of(8, 4, UNSIGNED), 8, CMYK, tags={332: [2]}),
        TiffPage(samples_of(8, 1, UNSIGNED), 8, tags={254: [1], 330: [8]}),
    ],
)
def test_what_one_refuses_the_other_refuses(tmp_path: Path, page: TiffPage) -> None:
    path = tmp_path / "page.tif"
    path.write_bytes(tiff(page))
    assert seen(path, 3) == (None, None)


def test_both_take_the_same_page(tmp_path: Path) -> None:
    pages = [TiffPage(samples_of(8, 1, UNSIGNED), tags={254: [kind]}) for kind in (1, 4, 0, 0)]
    path = tmp_path / "stack.tif"
    path.write_bytes(tiff(*pages))
    learned, served = seen(path, 1)
    assert learned == served == pages[2].samples.tolist()


MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
}


@pytest.mark.parametrize(
    ("file_format", "mode"), [(name, mode) for name, modes in MODES.items() for mode in modes]
)
def test_every_type_is_learned_as_it_is_served(tmp_path: Path, file_format: str, mode: str) -> None:
    color = Image.fromarray(samples_of(8, 3, UNSIGNED).astype(np.uint8))
    deep = Image.fromarray(samples_of(16, 1, UNSIGNED)[..., 0].astype(np.uint16))
    image = deep if mode == "I;16" else color.convert(mode)
    path = tmp_path / f"picture.{file_format.lower()}"
    image.save(path, file_format)
    for channels in (1, 3):
        learned, served = seen(path, channels)
        assert learned == served


def camera(bits: int, count: int) -> NDArray[np.uint16]:
    """What a camera of `bits` gives: most samples in a part of the range, few beyond."""
    values = DRAW.normal(2**bits * 0.2, 2**bits * 0.05, (31, 37, count))
    return np.clip(values, 0, 2**bits - 1).astype(np.uint16)


@pytest.mark.parametrize("rule", RULES, ids=["none", "percentiles", "found", "window"])
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("count", [1, 3], ids=["gray", "color"])
def test_deep_pictures_are_learned_as_they_are_served(
    tmp_path: Path, count: int, bits: int, rule: Intensity | None
) -> None:
    samples = camera(bits, count)
    kind = {1: (0, BLACK_IS_ZERO), 3: (2, RGB)}[count]
    ome = f'<OME><Image><Pixels Type="uint16" SignificantBits="{bits}"/></Image></OME>'
    files = {
        "plain.png": deep_png(samples, kind[0]),
        "sbit.png": deep_png(samples, kind[0], (b"sBIT", bytes([bits] * count))),
        "spread.png": deep_png(
            (samples << 16 - bits).astype(np.uint16), kind[0], (b"sBIT", bytes([bits] * count))
        ),
        "plain.tif": tiff(TiffPage(samples, 16, kind[1])),
        "most.tif": tiff(TiffPage(samples, 16, kind[1], tags={281: [2**bits - 1] * count})),
        "wrong.tif": tiff(TiffPage(samples, 16, kind[1], tags={281: [300] * count})),
        "own.tif": tiff(TiffPage(samples, bits, kind[1])),
        "ome.tif": with_description(samples, ome),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        for channels in (1, 3) if rule is FOUND else (count,):
            learned, served = seen(path, channels, rule)
            assert learned is not None, name
            assert learned == served, (name, channels)
    assert {is_gray_file(tmp_path / name) for name in files} == {count == 1}


FLOATS = {
    "around 0": lambda drawn: drawn / 40 - 3,
    "fractions": lambda drawn: drawn / 65_536,
    "far from 0": lambda drawn: drawn + 4e4,
}


@pytest.mark.parametrize("rule", RULES, ids=["none", "percentiles", "found", "window"])
@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("count", [1, 3], ids=["gray", "color"])
@pytest.mark.parametrize("values", FLOATS)
def test_floating_point_pictures_are_learned_as_they_are_served(
    tmp_path: Path, values: str, count: int, bits: int, rule: Intensity | None
) -> None:
    samples = FLOATS[values](camera(12, count).astype(np.float64)).astype(f"f{bits // 8}")
    kind = {1: BLACK_IS_ZERO, 3: RGB}[count]
    path = tmp_path / "floats.tif"
    for order, orientation, is_planar in (("<", 1, False), (">", 6, True)):
        tags = {274: [orientation]}
        page = TiffPage(samples, bits, kind, is_planar, format=FLOAT, tags=tags)
        path.write_bytes(tiff(page, order=order))
        for channels in (1, 3):
            learned, served = seen(path, channels, rule)
            assert (learned is None) == (rule is None)
            assert learned == served


@pytest.mark.parametrize("count", [1, 3], ids=["gray", "color"])
def test_floating_point_pictures_are_seen_as_those_of_16_bits(tmp_path: Path, count: int) -> None:
    """Within what rounding a window to whole numbers does."""
    whole = camera(12, count)
    kind = {1: BLACK_IS_ZERO, 3: RGB}[count]
    (tmp_path / "16.tif").write_bytes(tiff(TiffPage(whole, 16, kind)))
    page = TiffPage((whole / 1000 - 1).astype(np.float32), 32, kind, format=FLOAT)
    (tmp_path / "floats.tif").write_bytes(tiff(page))
    deep, floating = (
        read_picture(tmp_path / name, count, FOUND) for name in ("16.tif", "floats.tif")
    )
    assert np.abs(deep.pixels.astype(int) - floating.pixels).max() <= 1
    assert len(np.unique(floating.pixels)) > 80
    assert floating.depth is not None
    assert floating.depth.is_floating


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_by_both_with_a_sentence(tmp_path: Path, value: float) -> None:
    samples = camera(12, 1).astype(np.float32)
    samples[3, 4] = value
    path = tmp_path / "floats.tif"
    path.write_bytes(tiff(TiffPage(samples, 32, format=FLOAT)))
    with pytest.raises(DatasetError, match="has one sample that is not a number"):
        read_image(path, 1)
    source = open_source(path.read_bytes(), 10**6)
    for request in ("auto", "0,100"):
        with pytest.raises(UnreadableImageError, match="has one sample that is not a number"):
            prepare(
                source,
                contract_of_depth(1, FOUND),
                None,
                IntensityRequest.parse(request),
                show=False,
            )


def test_flat_floating_point_pictures_are_black(tmp_path: Path) -> None:
    path = tmp_path / "flat.tif"
    path.write_bytes(tiff(TiffPage(np.full((5, 6, 1), 1e30, np.float32), 32, format=FLOAT)))
    learned, served = seen(path, 1)
    assert learned == served == np.zeros((5, 6, 1)).tolist()


@pytest.mark.parametrize("kind", [(4, 2), (6, 4)], ids=["gray", "color"])
def test_deep_pngs_are_read_without_their_alpha_and_upright(
    tmp_path: Path, kind: tuple[int, int]
) -> None:
    path = tmp_path / "deep.png"
    orientation = Image.Exif()
    orientation[274] = 6
    block = orientation.tobytes().removeprefix(b"Exif\0\0")
    path.write_bytes(deep_png(camera(16, kind[1]), kind[0], (b"eXIf", block)))
    for channels in (1, 3):
        learned, served = seen(path, channels)
        assert learned is not None
        assert learned == served
    picture = read_picture(path, 3)
    assert picture.rotated_by_exif
    assert picture.is_transparent
    assert is_gray_file(path) == (kind[1] == 2)


def test_color_of_16_bits_keeps_its_depth_until_the_rule_was_applied(tmp_path: Path) -> None:
    small = DRAW.integers(0, 256, (20, 20, 3)).astype(np.uint16)  # the upper 8 bits are all 0
    for name, content in (
        ("a.png", deep_png(small, 2)),
        ("a.tif", tiff(TiffPage(small, 16, RGB))),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        picture = read_picture(path, 3)
        assert len(np.unique(picture.pixels)) > 200
        assert picture.depth is not None
        assert picture.depth.by == "percentiles"


def test_an_animation_of_16_bits_is_refused_by_both(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    control = b"\0\0\0\2\0\0\0\0"
    path.write_bytes(deep_png(camera(16, 1), 0, (b"acTL", control)))
    assert seen(path, 1) == (None, None)


def deep_png(samples: NDArray[np.uint16], color_type: int, *before: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = (samples.shape[1], samples.shape[0], 16, color_type)
    return png(header, *before, (b"IDAT", zlib.compress(rows)))


def with_description(samples: NDArray[np.uint16], description: str) -> bytes:
    height, width, count = samples.shape
    profile = {"driver": "GTiff", "dtype": "uint16", "photometric": "RGB" if count > 1 else None}
    with MemoryFile() as file:
        with file.open(height=height, width=width, count=count, **profile) as dataset:
            dataset.write(np.moveaxis(samples, -1, 0))
            dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION=description)
        content: bytes = file.read()
    return content
