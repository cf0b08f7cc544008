"""The types of files that are read. A new one is a file beside these and a row here."""

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import UnreadableImageError, UnsupportedImageTypeError
from service.domain.source import Source
from service.inputs.foreign import name_of_foreign
from service.inputs.heic import HEIC
from service.inputs.input import SNIFFED_BYTES, Body, Input
from service.inputs.jpeg import JPEG
from service.inputs.pillow import AVIF, BMP, GIF, WEBP
from service.inputs.pixels import read_image
from service.inputs.png import PNG
from service.inputs.tiff import TIFF

__all__ = [
    "INPUTS",
    "Input",
    "decode",
    "open_source",
    "opens_at_once",
    "read_image",
    "readable_suffixes",
    "readable_types",
]

# AVIF before HEIC: a file of both brands is decoded by the first.
INPUTS: dict[str, Input] = {row.name: row for row in (JPEG, PNG, WEBP, TIFF, BMP, GIF, AVIF, HEIC)}


def open_source(body: Body, max_pixels: int, page: int | None = None) -> Source:
    """Read the header of a file, and find its page (from 1; the main one where it is None).

    Raises UnsupportedImageTypeError, ImageTooLargeError (nothing is decoded yet),
    UnreadableImageError, and InvalidOptionError where it has no such page.
    """
    data = bytes(body)
    if not data:
        raise UnreadableImageError(
            f"The image is empty (0 bytes). Send the bytes of a {readable_types()} file."
        )
    row = _row_of(data)
    if row is None:
        found = name_of_foreign(data)
        what = f"The bytes are {found}, and" if found else "The bytes are"
        raise UnsupportedImageTypeError(
            f"{what} not an image of a type we read. Send {readable_types()}."
        )
    return row.open(data, page, max_pixels)


def decode(body: Body, channels: int, max_pixels: int) -> NDArray[np.uint8]:
    """The pixels (H, W, `channels`) of a file, upright. Raises as `open_source` does."""
    return read_image(open_source(body, max_pixels), channels)


def opens_at_once(body: Body) -> bool:
    """Whether `open_source` takes a fraction of a millisecond and no more."""
    row = _row_of(body)
    return row is not None and row.opens_at_once(body)


def readable_types(conjunction: str = "or") -> str:
    """The types in a sentence: JPEG, PNG or WebP."""
    *others, last = INPUTS
    return f"{', '.join(others)} {conjunction} {last}"


def readable_suffixes() -> frozenset[str]:
    """Which files of a folder are taken for images, by their suffix in lower case."""
    return frozenset(suffix for row in INPUTS.values() for suffix in row.suffixes)


def _row_of(body: Body) -> Input | None:
    """By the first bytes; names and declared media types are not asked."""
    start = bytes(body[:SNIFFED_BYTES])
    return next((row for row in INPUTS.values() if row.sniff(start)), None)
