"""PNG: by Pillow, and by GDAL where samples have 16 bits: of color Pillow gives the upper 8."""

from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image

from models.contract.stated_bits import png_bits, png_chunks, png_header
from service.domain.classes import bands
from service.domain.errors import UnreadableImageError, UnsupportedImageTypeError
from service.domain.source import Samples, Source, SourceInfo, Window
from service.inputs.gdal import DamagedForGdalError, opened, rows_of
from service.inputs.input import Input, place_of_page, refuse_empty_side, refuse_large, starts_with
from service.inputs.pillow_source import animated_source, open_with_pillow, reader_of
from service.inputs.pixels import as_stored

NAME = "PNG"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEEP_BITS = 16
_open = reader_of("PNG")


class DeepPngSource:
    """A Source of gray or color samples of 16 bits; what is behind them, alpha, is dropped."""

    type = NAME
    sample_bytes = 2
    scales: Sequence[float] = (1.0,)

    def __init__(self, data: bytes, size: tuple[int, int], color_samples: int) -> None:
        self.bands = color_samples
        self.info = SourceInfo(significant_bits=png_bits(data))
        self._data, self._orientation = data, _orientation(data)
        self._stored_width, self._stored_height = size
        self.width, self.height = size if self._orientation < 5 else size[::-1]

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        """In bands of rows, so that bands and whole pixels are not held beside each other."""
        assert scale in self.scales
        upright = np.empty((self.height, self.width, self.bands), np.uint16)
        stored = as_stored(upright, self._orientation)
        whole = Window(0, 0, self._stored_height, self._stored_width)
        try:
            with opened(self._data, "PNG") as dataset:
                for rows in bands(self._stored_height, self._stored_width):
                    part = rows_of(whole, rows)
                    samples = dataset.read(list(range(1, self.bands + 1)), window=part)
                    stored[rows] = np.moveaxis(samples, 0, -1)
        except DamagedForGdalError as error:
            raise UnreadableImageError(
                "The PNG is truncated or corrupt: its header is whole, its pixels do not decode. "
                "Send the whole file, or open and save it with an image editor."
            ) from error
        if window is None:
            return upright
        rows = slice(window.top, window.top + window.height)
        return upright[rows, window.left : window.left + window.width]

    def decoding_bytes(self, scale: float) -> int:
        assert scale in self.scales
        return 0

    def overhang(self, scale: float) -> tuple[int, int]:
        assert scale in self.scales
        return 0, 0


def open_png(data: bytes, page: int | None, max_pixels: int) -> Source:
    """Raises as `Input.open` says."""
    if len(data) >= 24:  # Pillow does not tell "zero-sized" from "damaged"
        refuse_empty_side(NAME, int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    image = open_with_pillow(NAME, data, _open)
    frames = int(getattr(image, "n_frames", 1))
    header = png_header(data)
    if header is None or header.bits != _DEEP_BITS:
        return animated_source(NAME, image, page, frames, max_pixels)
    if frames > 1:
        raise UnsupportedImageTypeError(
            "The PNG is an animation of 16 bits a channel, which is not read. Save the picture "
            "that is meant, or all with 8 bits."
        )
    refuse_large(*image.size, max_pixels)
    place_of_page(NAME, page, frames)
    return DeepPngSource(data, image.size, header.color_samples)


def _orientation(data: bytes) -> int:
    """By an EXIF chunk anywhere in the file. As viewers do, a damaged one is passed over."""
    for kind, start, size in png_chunks(data):
        if kind == b"eXIf":
            exif = Image.Exif()
            try:
                exif.load(data[start : start + size])
                found = exif.get(ExifTags.Base.Orientation, 1)
            except Exception:  # noqa: BLE001  damaged blocks make Pillow raise nearly anything
                return 1
            return found if found in range(1, 9) else 1
    return 1


PNG = Input(
    name=NAME,
    media_types=("image/png",),
    suffixes=(".png",),
    sniff=starts_with(_SIGNATURE),
    open=open_png,
)
