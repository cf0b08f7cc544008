"""HEIC, by pillow-heif: its pixels are read where libheif has put them, without a copy."""

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pillow_heif import HeifImage, open_heif

from service.domain.classes import bands
from service.domain.errors import UnreadableImageError
from service.domain.source import Samples, Source, SourceInfo, Window
from service.inputs.input import Input, has_brand, place_of_page, refuse_large
from service.inputs.pillow_source import load_failure, open_failure
from service.inputs.pixels import assembled, cut

NAME = "HEIC"
_GRAY_MODES = frozenset({"L", "LA", "La"})
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_DECODER_BYTES = 2  # libheif's planes of a pixel, as measured, beside the pixels that it gives


class HeicSource:
    """A Source of one picture; libheif turns it as the file says, and gives it 8 bits."""

    type = NAME
    sample_bytes = 1
    scales: Sequence[float] = (1.0,)
    orientation = 1

    def __init__(self, picture: HeifImage, info: SourceInfo) -> None:
        self.info = info
        self.width, self.height = picture.size
        self.bands = 1 if picture.mode in _GRAY_MODES else 3
        self._picture = picture

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        stored = self.height, self.width, self.bands
        return cut(assembled(self.stored_rows(scale), stored, np.uint8, 1), window)

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        assert scale in self.scales
        decoded = self._decode()
        for rows in bands(self.height, self.width):
            yield self._without_alpha(decoded[rows, : self.width])

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:  # noqa: ARG002
        assert scale in self.scales
        samples = 4 if self._picture.has_alpha else self.bands
        return self.height * self.width * (samples + _DECODER_BYTES)

    def overhang(self, scale: float) -> tuple[int, int]:
        assert scale in self.scales
        return 0, 0

    def _decode(self) -> NDArray[np.uint8]:
        """The samples (H, W and more, samples a pixel), alpha among them."""
        try:
            decoded = np.asarray(self._picture)
        except Exception as error:  # damaged files make libheif raise nearly anything
            raise UnreadableImageError(load_failure(NAME, error)) from error
        if self._picture.size != (self.width, self.height):
            width, height = self._picture.size
            raise UnreadableImageError(
                f"The HEIC says that it is {self.width} × {self.height} pixels, and decodes to "
                f"{width} × {height}: it is damaged. Save it again."
            )
        return decoded.reshape(*decoded.shape[:2], -1)

    def _without_alpha(self, band: NDArray[np.uint8]) -> NDArray[np.uint8]:
        mode = self._picture.mode
        if mode in _PREMULTIPLIED:
            size = band.shape[1], band.shape[0]
            image = Image.frombytes(mode, size, band.tobytes())
            plain = image.convert(_PREMULTIPLIED[mode])
            band = np.asarray(plain).reshape(*band.shape[:2], -1)
        return band[..., : self.bands]


def open_heic(data: bytes, page: int | None, max_pixels: int) -> Source:
    """The picture that the file calls its main one, or the page that is asked for. Raises as
    `Input.open` says.
    """
    try:
        pictures = open_heif(BytesIO(data), remove_stride=False)
    except Exception as error:  # as above
        raise UnreadableImageError(open_failure(NAME, error)) from error
    place = place_of_page(NAME, page, len(pictures), pictures.primary_index)
    picture = pictures[place]
    refuse_large(*picture.size, max_pixels)
    return HeicSource(picture, SourceInfo(page=place + 1, pages=len(pictures)))


HEIC = Input(
    name=NAME,
    media_types=("image/heic", "image/heif"),
    suffixes=(".heic", ".heif"),
    sniff=has_brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    open=open_heic,
)
