"""Training and serving see the same pixels of a file, or both refuse it."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import DatasetError, read_image
from service.domain.errors import ServiceError
from service.inputs import decode
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

YCBCR = 6
PHOTOMETRICS = (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB)
DRAW = np.random.default_rng(11)


def seen(path: Path, channels: int) -> tuple[object, object]:
    """What training and serving make of a file: pixels, or None where they refuse it."""
    try:
        learned: object = read_image(path, channels).tolist()
    except DatasetError:
        learned = None
    try:
        served: object = decode(path.read_bytes(), channels, 10**6).tolist()
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
        TiffPage(samples_of(32, 1, FLOAT), 32, format=FLOAT),
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
