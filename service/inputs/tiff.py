"""TIFF: which pictures of a file are pages, and who reads their samples right.

Pillow reads the plain forms of 8 bits and fewer. It takes planes of 16 bits for one picture, gives
16 bits with white at zero as its negative and signed bytes as unsigned, all without a word; so
deeper samples and what else it has no form for are read by GDAL (`gdal_tiff.py`). What no rule
brings to gray or RGB is refused, and the text says what it is. `docs/formats.md` has the rule.
"""

from service.domain.errors import ImageTooLargeError, UnsupportedImageTypeError
from service.domain.source import Source, SourceInfo
from service.inputs.gdal_tiff import COLOR_SAMPLES, GdalTiffSource
from service.inputs.input import (
    Input,
    place_of_page,
    refuse_empty_side,
    refuse_large,
    starts_with,
)
from service.inputs.pillow_source import PillowSource, open_with_pillow, reader_of
from service.inputs.rowwise import RowwiseSource
from service.inputs.tiff_directory import (
    BLACK_IS_ZERO,
    CMYK,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Directory,
    begin_with,
    read_directories,
)

NAME = "TIFF"

_MAX_BITS = 16
_PILLOW_BITS = (1, 2, 4, 8)
_GRAY = (WHITE_IS_ZERO, BLACK_IS_ZERO)
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
    bits = directory.bits[0]
    stated = directory.stated_bits or (bits if bits not in (8, 16) else None)
    info = SourceInfo(page=place + 1, pages=len(pages), significant_bits=stated)
    data = begin_with(data, directory)
    if _is_for_gdal(directory):
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
    fault = _why_not_read(directory)
    if fault is not None:
        raise UnsupportedImageTypeError(
            f"The TIFF {fault}. Save it with 8 or 16 bits a channel, unsigned, as gray, RGB or "
            "CMYK."
        )


def _why_not_read(directory: Directory) -> str | None:
    bits, photometric = directory.bits[0], directory.photometric
    if directory.format != "unsigned":
        return f"has {directory.format} pixels of {bits} bits"
    if len(set(directory.bits)) > 1:
        return f"has samples of different depths ({', '.join(map(str, directory.bits))} bits)"
    if not 1 <= bits <= _MAX_BITS:
        return f"has pixels of {bits} bits a channel; at most {_MAX_BITS} are read"
    if photometric is None:
        return "does not say how its numbers are colors (it has no PhotometricInterpretation)"
    if photometric not in COLOR_SAMPLES:
        return f"has pixels of the kind {photometric}"
    needed = COLOR_SAMPLES[photometric]
    if directory.samples < needed:
        return f"is called {photometric} and has {directory.samples} samples a pixel"
    if photometric in _GRAY and directory.samples > 2:
        return (
            f"has {directory.samples} bands of {bits} bits that its header calls gray "
            f"({photometric}), not red, green and blue"
        )
    if photometric == CMYK and directory.has_other_inks:
        return "is printed with other inks than cyan, magenta, yellow and black"
    if photometric == YCBCR and (bits != 8 or directory.is_planar):
        return f"has YCbCr pixels of {bits} bits{' in planes' if directory.is_planar else ''}"
    return None


def _is_for_gdal(directory: Directory) -> bool:
    """Pillow has gray, and RGB of 8 bits with at most alpha behind it, each pixel in one piece; and
    CMYK and YCbCr of 8 bits, but for packed chroma that nothing compresses.
    """
    bits, samples = directory.bits[0], directory.samples
    if directory.photometric == YCBCR:
        return not directory.is_compressed
    if directory.photometric == CMYK:
        return bits != 8
    if directory.is_planar or bits not in _PILLOW_BITS:
        return True
    if directory.photometric == RGB:
        return bits != 8 or samples > COLOR_SAMPLES[RGB] + 1
    return directory.photometric == PALETTE or samples > 1


def _has_plain_rows(directory: Directory) -> bool:
    """Whether GDAL gives the 8-bit rows that Pillow gives, which turns them as it decodes."""
    return (
        directory.bits[0] == 8
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
