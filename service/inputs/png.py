"""PNG: by Pillow, and by GDAL where samples have 16 bits: of color Pillow gives the upper 8."""

from collections.abc import Iterator, Sequence
from itertools import dropwhile

import numpy as np
from PIL import ExifTags, Image

from models.contract.stated_bits import PngHeader, png_bits, png_chunks, png_header
from service.domain.errors import UnreadableImageError, UnsupportedImageTypeError
from service.domain.source import Samples, Source, SourceInfo, Window
from service.inputs.gdal import DamagedForGdalError, rows_by_gdal
from service.inputs.input import Input, place_of_page, refuse_empty_side, refuse_large, starts_with
from service.inputs.pillow_source import animated_source, open_with_pillow, reader_of
from service.inputs.pixels import assembled, cut
from service.inputs.rowwise import RowwiseSource

NAME = "PNG"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEEP_BITS, _PLAIN_BITS = 16, 8
_NOT_INTERLACED = b"\0"
_TELLING = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})  # EXIF may be in each of them
_open = reader_of("PNG")


class DeepPngSource:
    """A Source of gray or color samples of 16 bits; what is behind them, alpha, is dropped."""

    type = NAME
    sample_bytes = 2
    scales: Sequence[float] = (1.0,)

    def __init__(self, data: bytes, size: tuple[int, int], color_samples: int) -> None:
        self.bands = color_samples
        self.info = SourceInfo(significant_bits=png_bits(data))
        self._data, self.orientation = data, _orientation(data)
        self._stored_width, self._stored_height = size
        self.width, self.height = size if self.orientation < 5 else size[::-1]

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        stored = self._stored_height, self._stored_width, self.bands
        rows = self.stored_rows(scale)
        return cut(assembled(rows, stored, np.uint16, self.orientation), window)

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        assert scale in self.scales
        try:
            yield from rows_by_gdal(self._data, NAME, self.bands)
        except DamagedForGdalError as error:
            raise UnreadableImageError(
                "The PNG is truncated or corrupt: its header is whole, its pixels do not decode. "
                "Send the whole file, or open and save it with an image editor."
            ) from error

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:  # noqa: ARG002
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
    if header is not None and frames == 1 and _has_plain_rows(data, header):
        refuse_large(*image.size, max_pixels)
        place_of_page(NAME, page, frames)
        return RowwiseSource(NAME, image, data, "PNG", SourceInfo())
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


def _has_plain_rows(data: bytes, header: PngHeader) -> bool:
    """Whether GDAL reads the rows of 8 bits that Pillow reads, one after another, and nothing
    behind them may turn the picture.
    """
    if header.bits != _PLAIN_BITS or not header.color_samples or data[28:29] != _NOT_INTERLACED:
        return False
    behind = dropwhile(lambda chunk: chunk.kind != b"IDAT", png_chunks(data))
    return all(chunk.kind not in _TELLING for chunk in behind)


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
