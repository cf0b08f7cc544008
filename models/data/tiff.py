"""TIFF: what a file's first page is, and its pixels where Pillow gives others than it holds.

The rule is `models.contract.tiff_form`, which the service shares.
"""

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from models.contract.stated_bits import tiff_bits
from models.contract.tiff_form import (
    CMYK,
    COLOR_SAMPLES,
    MIXED_FORMATS,
    NO_PHOTOMETRIC,
    PALETTE,
    TiffForm,
)
from models.data.depth import ALONE, Deep

_SUBFILE, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _PLANES = 254, 258, 262, 274, 277, 284
_SUB_DIRECTORIES, _INK_SET, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 330, 332, 338, 339
_COMPRESSION, _COLOR_MAP, _DESCRIPTION, _MAX_SAMPLE_VALUE = 259, 320, 270, 281
_GDAL_NO_DATA = 42113  # a number as text
_NO_PAGE = 1 | 4  # bits of _SUBFILE: a smaller copy of another page, a mask
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BIG = 43
_MOST_PAGES = 65_535
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error)

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


@dataclass(frozen=True, kw_only=True)
class Page(TiffForm):
    """The first page of a TIFF that is a picture of its own, by its tags: its place in the file,
    counted from 0, and how many such pages the file has, 0 where it has copies and masks alone."""

    place: int
    pages: int
    orientation: int
    color_map: tuple[int, ...]
    no_data: int | None

    @property
    def palette(self) -> tuple[int, ...]:
        """The colours of a palette as 0xrrggbb; some tools write them with 8 bits, where TIFF has
        16."""
        shift = 8 if max(self.color_map, default=0) > 255 else 0
        count = len(self.color_map) // 3
        channels = (self.color_map[n * count : (n + 1) * count] for n in range(3))
        return tuple(
            (red >> shift) << 16 | (green >> shift) << 8 | blue >> shift
            for red, green, blue in zip(*channels, strict=True)
        )

    @property
    def fault(self) -> str | None:
        if not self.pages:
            return "holds previews alone, beside pixels of another kind, as raw photographs do"
        return super().fault


def read_page(path: Path) -> Page | None:
    """What a TIFF says of its first page; None for another file, or where its header is damaged."""
    try:
        directories = list(_directories(path))
    except _DAMAGED:
        return None
    if not directories:
        return None
    own = [n for n, tags in enumerate(directories) if not tags.get(_SUBFILE, 0) & _NO_PAGE]
    place = own[0] if own else 0
    is_raw = not own and any(_SUB_DIRECTORIES in tags for tags in directories)
    texts = (str(tags[_DESCRIPTION]) for tags in directories if _DESCRIPTION in tags)
    pages = 0 if is_raw else max(1, len(own))
    return _page(directories[place], place, pages, next(texts, ""))


def read_samples(path: Path, page: Page) -> NDArray[np.uint8] | Deep:
    """The samples of a page without a fault, by GDAL: (H, W, 1 or 3) as stored, uint16 where they
    have more than 8 bits, float32 or float64 where they are floating-point.

    Raises ValueError where they do not decode.
    """
    count = COLOR_SAMPLES[page.photometric] + page.is_premultiplied
    try:
        with (
            rasterio.Env(**ALONE),
            rasterio.open(f"GTIFF_DIR:{page.place + 1}:{path}", driver="GTiff") as dataset,
        ):
            samples = np.moveaxis(dataset.read(list(range(1, count + 1))), 0, -1)
            if page.photometric == PALETTE:
                colors: NDArray[np.uint8] = _colors(dataset)[samples[..., 0]]
                return colors
    except (RasterioError, IndexError) as error:
        raise ValueError(f"its pixels do not decode: {error}") from error
    if page.is_floating:
        dtype = np.float64 if page.bits[0] == 64 else np.float32
        floats: Deep = samples.astype(dtype, copy=False)
        return floats
    bits, color = page.bits[0], _color(samples, page)
    if bits > 8:
        return color.astype(np.uint16)
    return (color if bits == 8 else color * 255 // (2**bits - 1)).astype(np.uint8)


def _color(samples: NDArray[Any], page: Page) -> NDArray[Any]:
    """Gray or RGB (H, W, 1 or 3) of the stored samples (H, W, n)."""
    white = 2 ** page.bits[0] - 1
    count = COLOR_SAMPLES[page.photometric]
    wide = samples.astype(np.uint32)
    if page.white_is_zero:
        wide[..., 0] = white - wide[..., 0]
    if page.is_premultiplied:
        wide = np.minimum(wide[..., :count] * white // np.maximum(wide[..., count:], 1), white)
    if page.photometric == CMYK:
        light = white - wide
        wide = (light[..., :3] * light[..., 3:] + white // 2) // white
    return wide


def _colors(dataset: rasterio.DatasetReader) -> NDArray[np.uint8]:
    """The RGB (n, 3) of each index."""
    table = dataset.colormap(1)
    colors = np.zeros((max(table) + 1, 3), np.uint8)
    for index, color in table.items():
        colors[index] = color[:3]
    return colors


def _directories(path: Path) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    with path.open("rb") as file:
        head = file.read(16)
        if not head.startswith(_MAGIC):
            return
        is_big = _BIG in head[2:4]
        tags = TiffImagePlugin.ImageFileDirectory_v2(head if is_big else head[:8])
        at = tags.next
        seen: set[int] = set()
        while at and at not in seen and len(seen) < _MOST_PAGES:
            seen.add(at)
            file.seek(at)
            tags = TiffImagePlugin.ImageFileDirectory_v2(head if is_big else head[:8])
            tags.load(file)
            yield tags
            at = tags.next


def _page(
    tags: TiffImagePlugin.ImageFileDirectory_v2, place: int, pages: int, description: str
) -> Page:
    """OME-XML, the file's first `description`, speaks of all its pages."""
    samples = max(1, tags.get(_SAMPLES, 1))
    bits = _numbers(tags.get(_BITS, 1))
    formats = set(_numbers(tags.get(_SAMPLE_FORMAT, 1)))
    most = next((n for n in _numbers(tags.get(_MAX_SAMPLE_VALUE, 0)) if isinstance(n, int)), 0)
    return Page(
        place=place,
        pages=pages,
        photometric=tags.get(_PHOTOMETRIC, NO_PHOTOMETRIC),
        samples=samples,
        bits=bits * samples if len(bits) == 1 else bits,
        sample_format=formats.pop() if len(formats) == 1 else MIXED_FORMATS,
        is_planar=tags.get(_PLANES, 1) == 2,
        is_compressed=tags.get(_COMPRESSION, 1) != 1,
        has_other_inks=tags.get(_INK_SET, 1) != 1,
        is_premultiplied=(*_numbers(tags.get(_EXTRA_SAMPLES, ())), 0)[0] == 1,
        orientation=tags.get(_ORIENTATION, 1),
        color_map=_numbers(tags.get(_COLOR_MAP, ())),
        stated_bits=tiff_bits(most, description.encode(errors="replace"), bits[0]),
        no_data=_whole(str(tags.get(_GDAL_NO_DATA, ""))),
    )


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


def _whole(text: str) -> int | None:
    """The whole number that a text is; None for others."""
    try:
        number = float(text.strip(" \0"))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
