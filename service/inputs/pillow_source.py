"""A picture that Pillow decodes: what most types are read with, and what others fall back on."""

import math
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

from service.domain.classes import bands
from service.domain.errors import (
    ImageTooLargeError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.domain.source import Samples, SampleType, SourceInfo, Window
from service.inputs.input import place_of_page, refuse_large
from service.inputs.pixels import QUARTER_TURNS, assembled, cut, turned_overhang

_GRAY_MODES = frozenset({"1", "L", "LA", "La"})
_COLOR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_BYTES_IN_PILLOW = {"1": 1, "L": 1, "P": 1}  # of a pixel; of all others of 8 bits it is 4
_FRAMES_HELD = 3  # the one before, the one that is painted, and what it is put back to
# Pillow converts these by way of their plain forms only.
_PLAIN_FORMS = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA"}


class PillowSource:
    """A Source of an image that Pillow has opened.

    `frame` is the one to seek for before decoding, where that paints one frame over another.
    `decoder_bytes` is what the type's own decoder holds of a pixel, beside what Pillow does.
    """

    scales: Sequence[float] = (1.0,)

    def __init__(
        self,
        type: str,
        image: Image.Image,
        info: SourceInfo,
        frame: int | None = None,
        decoder_bytes: int = 0,
    ) -> None:
        self.type, self.info = type, info
        self.sample_bytes = 2 if image.mode in _SIXTEEN_BIT_MODES else 1
        self._decoder_bytes = decoder_bytes
        self._image, self._frame, self._stored_size = image, frame, image.size
        self.bands = 1 if image.mode in _GRAY_MODES | _SIXTEEN_BIT_MODES else 3
        self.width, self.height = image.size
        self._is_loaded = False
        if self.orientation in QUARTER_TURNS:
            self.width, self.height = image.height, image.width

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        assert scale in self.scales
        self._load()
        image = self._image
        dtype, count, _ = _conversion(self.type, image)
        stored = image.height, image.width, count
        return cut(assembled(self._loaded_rows(), stored, dtype, self.orientation), window)

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        assert scale in self.scales
        self._load()
        yield from self._loaded_rows()

    @property
    def orientation(self) -> int:
        """Pillow decodes a PNG to look for an EXIF block behind its pixels, so before they are
        decoded it is what the header says.
        """
        in_header = self._image.format == "PNG" and not self._is_loaded
        return exif_orientation(self._image, in_header=in_header)

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:  # noqa: ARG002
        mode = self._image.mode
        of_pixel = 2 if self.sample_bytes == 2 else _BYTES_IN_PILLOW.get(mode, 4)
        frames = 1 if self._frame is None else _FRAMES_HELD
        pixels = math.ceil(self.height * scale) * math.ceil(self.width * scale)
        return pixels * (of_pixel * frames + self._decoder_bytes)

    def overhang(self, scale: float) -> tuple[int, int]:
        width, height = self._stored_size
        stored = _overhang(height, scale), _overhang(width, scale)
        return turned_overhang(stored, self.orientation)

    def _load(self) -> None:
        try:
            if self._frame is not None:
                self._image.seek(self._frame)
            self._image.load()
            self._is_loaded = True
        except Exception as error:  # damaged files make Pillow raise nearly anything
            raise UnreadableImageError(load_failure(self.type, error)) from error

    def _loaded_rows(self) -> Iterator[Samples]:
        """Converted band by band, so that nothing is held twice."""
        image = self._image
        _, count, convert = _conversion(self.type, image)
        image.info.pop("transparency", None)  # Pillow would warn that RGB cannot carry it
        for rows in bands(image.height, image.width):
            band = convert(image.crop((0, rows.start, image.width, rows.stop)))
            yield band.reshape(rows.stop - rows.start, image.width, count)


def open_with_pillow(
    name: str, data: bytes, opener: Callable[[BytesIO], Image.Image]
) -> Image.Image:
    """Read the header. Raises UnreadableImageError."""
    # Pillow warns above a number of pixels of its own and fails above twice that; `refuse_large`
    # compares with ours, before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    try:
        return opener(BytesIO(data))
    except Exception as error:  # damaged headers make Pillow raise nearly anything
        raise UnreadableImageError(open_failure(name, error)) from error


def reader_of(*formats: str) -> Callable[[BytesIO], Image.Image]:
    """Pillow's reader of `formats` and none of its many others, which then cannot be reached."""
    return lambda file: Image.open(file, formats=formats)


def animated_source(
    name: str,
    image: Image.Image,
    page: int | None,
    pages: int,
    max_pixels: int,
    decoder_bytes: int = 0,
) -> PillowSource:
    """A frame of an animation whose frames have one size, each painted over those before it."""
    refuse_large(*image.size, max_pixels)
    place = place_of_page(name, page, pages)
    painted = (place + 1) * image.width * image.height
    if painted > max_pixels:
        raise ImageTooLargeError(
            f"Page {place + 1} of the {name} is painted over those before it: {place + 1} × "
            f"{image.width * image.height:,} pixels; the limit is {max_pixels:,}. Send that page "
            "as a picture of its own."
        )
    info = SourceInfo(page=place + 1, pages=pages)
    frame = place if page is not None else None
    return PillowSource(name, image, info, frame, decoder_bytes)


def exif_orientation(image: Image.Image, *, in_header: bool = False) -> int:
    """EXIF's orientation, 1 (upright) to 8. As viewers do, a damaged EXIF block is passed over.

    `in_header` asks for nothing that lies behind the pixels.
    """
    try:
        exif = Image.Image.getexif(image) if in_header else image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  as above
        return 1
    return orientation if orientation in range(1, 9) else 1


def _overhang(side: int, scale: float) -> int:
    return round(math.ceil(side * scale) / scale) - side


def _conversion(
    name: str, image: Image.Image
) -> tuple[SampleType, int, Callable[[Image.Image], Samples]]:
    """The dtype and bands that a loaded image is given in, and how to convert a part of it."""
    mode = image.mode
    if mode in _SIXTEEN_BIT_MODES:
        return np.uint16, 1, np.asarray
    if mode not in _GRAY_MODES | _COLOR_MODES:
        raise UnsupportedImageTypeError(
            f"The {name} has {_DEPTHS.get(mode, f'pixels of a kind ({mode}) that is not read')}. "
            "Save it with 8 or 16 bits a channel, gray, RGB or CMYK."
        )
    target = "L" if mode in _GRAY_MODES else "RGB"

    def convert(band: Image.Image) -> Samples:
        if mode in _PLAIN_FORMS:
            band = band.convert(_PLAIN_FORMS[mode])
        return np.asarray(band if mode == target else band.convert(target))

    return np.uint8, len(target), convert


_DEPTHS = {
    "I": "whole-number pixels of 32 bits",
    "F": "floating-point pixels",
    "LAB": "pixels in the color space CIELAB",
    "HSV": "pixels in the color space HSV",
}


def open_failure(name: str, error: Exception) -> str:
    if "decompressed data too large" in str(error).lower():
        return (
            f"The {name} holds a compressed text or color profile that unpacks to more than "
            "1 MiB. Save it again without metadata."
        )
    return (
        f"The {name}'s header cannot be read: the file is damaged, cut short, or of a kind "
        "we do not decode. Open and save it with an image editor, and send it again."
    )


def load_failure(name: str, error: Exception) -> str:
    if "truncated" in str(error).lower():
        return (
            f"The {name} is truncated: its header is whole, its pixels end early. "
            "Send the whole file."
        )
    return (
        f"The {name} is corrupt: its header is whole, its pixels do not decode. "
        "Open and save it with an image editor, and send it again."
    )
