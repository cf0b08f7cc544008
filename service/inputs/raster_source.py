"""An upload as a raster: where it lies on the ground, and where it has no picture."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.domain.errors import InvalidOptionError, UnreadableImageError
from service.inputs.input import Body, refuse_large
from service.inputs.raster import Raster, open_raster, refuse_no_tiff


class RasterSource:
    """The first raster of a TIFF, its header read and found within the limits.

    What it says of itself is as of a `Source`; its pixels are read as those of a map are.
    `has_void` says that some of them may have no picture.
    """

    type = "TIFF"

    def __init__(self, body: Body, max_pixels: int, bands: str | None) -> None:
        """Raises as `open_raster`, and ImageTooLargeError for more than `max_pixels`."""
        self._data, self._bands = bytes(body), bands
        if not self._data:
            raise UnreadableImageError("The image is empty (0 bytes). Send the bytes of a GeoTIFF.")
        refuse_no_tiff(self._data)
        with self.opened() as raster:
            refuse_large(raster.width, raster.height, max_pixels)
            self.height, self.width, self.bands = raster.height, raster.width, raster.bands
            self.sample_bytes = raster.dtype.itemsize
            self.has_void, self.info = raster.has_void, raster.info

    @contextmanager
    def opened(self) -> Iterator[Raster]:
        """The raster, for the time of the block and one thread."""
        with open_raster(self._data, bands=self._bands) as raster:
            yield raster


def refuse_page(page: int | None) -> None:
    """Raises InvalidOptionError."""
    if page not in (None, 1):
        raise InvalidOptionError(
            f"A map is made of a file's first raster; `page={page}` was asked for. Send that page "
            "as a file of its own."
        )
