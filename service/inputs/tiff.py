"""TIFF: which pictures of a file are pages, and who reads their samples right.

By the rule of `models.contract.tiff_form`, which training shares: Pillow reads the plain forms,
GDAL the others (`gdal_tiff.py`).
"""

from models.contract.tiff_form import BLACK_IS_ZERO, RGB
from service.domain.errors import ImageTooLargeError, UnsupportedImageTypeError
from service.domain.source import Source, SourceInfo
from service.inputs.gdal_tiff import GdalTiffSource
from service.inputs.input import (
    Input,
    place_of_page,
    refuse_empty_side,
    refuse_large,
    starts_with,
)
from service.inputs.pillow_source import PillowSource, open_with_pillow, reader_of
from service.inputs.rowwise import RowwiseSource
from service.inputs.tiff_directory import Directory, begin_with, read_directories

NAME = "TIFF"

_open = reader_of("TIFF")


def open_tiff(data: bytes, page: int | None, max_pixels: int) -> Source:
    """Raises as `Input.open` says."""
    pages = pages_of(read_directories(data))
    place = place_of_page(NAME, page, len(pages))
    directory = pages[place]
    refuse_empty_side(NAME, directory.width, directory.height)
    refuse_large(directory.width, directory.height, max_pixels)
    _refuse_large_tiles(directory, max_pixels)
    _refuse_unread(directory)
    stated = directory.significant_bits
    info = SourceInfo(page=place + 1, pages=len(pages), significant_bits=stated)
    data = begin_with(data, directory)
    if directory.is_for_gdal:
        return GdalTiffSource(data, directory, info)
    image = open_with_pillow(NAME, data, _open)
    refuse_large(*image.size, max_pixels)
    source = PillowSource(NAME, image, info)
    if _has_plain_rows(directory):
        source = RowwiseSource(NAME, image, data, "GTiff", info)
    source.height, source.width = directory.upright_size  # some versions of Pillow turn it here
    return source


def pages_of(directories: list[Directory]) -> list[Directory]:
    """Those that are pictures of their own: no masks, and no smaller copies such as a pyramid's.

    Raises UnsupportedImageTypeError for a raw photograph, whose previews alone could be read.
    """
    pages = [one for one in directories if not one.is_reduced and not one.is_mask]
    if pages:
        return pages
    if any(one.has_sub_directories for one in directories):
        raise UnsupportedImageTypeError(
            "The TIFF holds previews alone, beside pixels of another kind, as raw photographs do. "
            "Export it as JPEG or as an RGB TIFF."
        )
    return directories[:1]


def _refuse_large_tiles(directory: Directory, max_pixels: int) -> None:
    width, height = directory.tile
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"The TIFF is stored in tiles of {width} × {height} pixels; the limit is "
            f"{max_pixels:,} pixels. Save it with smaller tiles, or in strips."
        )


def _refuse_unread(directory: Directory) -> None:
    if directory.fault is not None:
        raise UnsupportedImageTypeError(
            f"The TIFF {directory.fault}. Save it with 8 or 16 bits a channel, unsigned, or with "
            "floating-point numbers, as gray, RGB or CMYK."
        )


def _has_plain_rows(directory: Directory) -> bool:
    """Whether GDAL gives the 8-bit rows that Pillow gives, which turns them as it decodes."""
    return (
        directory.bits[0] == 8
        and directory.is_small
        and directory.photometric in (BLACK_IS_ZERO, RGB)
        and directory.orientation not in range(2, 9)
        and not directory.is_premultiplied
    )


TIFF = Input(
    name=NAME,
    media_types=("image/tiff",),
    suffixes=(".tif", ".tiff"),
    sniff=starts_with(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    open=open_tiff,
)
