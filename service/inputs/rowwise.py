"""What Pillow reads as a whole and GDAL row by row: the same pixels, without the whole beside them.

Where a large picture is shrunk while it is read, most of its memory is spared. It is read as a
whole by Pillow all the same, which decides whether what is damaged is shown.
"""

from collections.abc import Iterator
from typing import Literal

from PIL import Image

from service.domain.source import Samples, SourceInfo
from service.inputs.gdal import DamagedForGdalError, rows_by_gdal
from service.inputs.pillow_source import PillowSource

Driver = Literal["PNG", "GTiff", "WEBP"]


class RowwiseSource(PillowSource):
    """A Source of `image` with 8-bit gray or RGB samples, with alpha or without, whose
    `stored_rows` one of GDAL's drivers reads.

    `decoder_bytes` is what Pillow's decoder of the type holds of a pixel, `rows_decoder_bytes` what
    GDAL's does.
    """

    def __init__(
        self,
        type: str,
        image: Image.Image,
        data: bytes,
        driver: Driver,
        info: SourceInfo,
        decoder_bytes: int = 0,
        rows_decoder_bytes: int = 0,
    ) -> None:
        super().__init__(type, image, info, decoder_bytes=decoder_bytes)
        self._data, self._driver = data, driver
        self._rows_decoder_bytes = rows_decoder_bytes

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        assert scale in self.scales
        given = 0
        try:
            for band in rows_by_gdal(self._data, self._driver, self.bands):
                yield band
                given += 1
        except DamagedForGdalError:
            for place, band in enumerate(super().stored_rows(scale)):
                if place >= given:
                    yield band

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:
        if in_rows:
            return self.height * self.width * self._rows_decoder_bytes
        return super().decoding_bytes(scale)
