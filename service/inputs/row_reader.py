"""Windows of a raster whose blocks may be as wide as it is."""

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import ImageTooLargeError
from service.domain.source import Samples, Window
from service.inputs.raster import MAX_STRIP_BYTES, Raster


class RowReader:
    """Windows of a raster, left to right and row by row, in as few reads as its blocks allow.

    Of a file in strips a column's window would decode whole strips again and again, so the rows
    that are read last are kept at full width, with `margin` more above and below them.
    """

    def __init__(self, raster: Raster, margin: int) -> None:
        self._raster, self._margin = raster, margin
        self._rows = slice(0, 0)
        self._samples: Samples = np.empty((0, raster.width, raster.bands), raster.dtype)
        self._valid: NDArray[np.bool_] | None = None

    def read(self, window: Window) -> Samples:
        """As `Raster.read`. Raises ImageTooLargeError too."""
        if not self._raster.is_striped:
            return self._raster.read(window)
        return self._samples[self._held(window)]

    def valid(self, window: Window) -> NDArray[np.bool_] | None:
        """As `Raster.valid`. Raises ImageTooLargeError too."""
        if not self._raster.is_striped or not self._raster.has_void:
            return self._raster.valid(window)
        part = self._held(window)
        if self._valid is None or self._valid[part].all():
            return None
        return self._valid[part]

    def look(self, window: Window) -> tuple[Samples, NDArray[np.bool_] | None]:
        """As `Raster.look`, in arrays of the caller's own. Raises ImageTooLargeError too."""
        if not self._raster.is_striped:
            return self._raster.look(window)
        valid = self.valid(window)
        return self.read(window).copy(), None if valid is None else valid.copy()

    def _held(self, window: Window) -> tuple[slice, slice]:
        raster, bottom = self._raster, window.top + window.height
        if window.top < self._rows.start or bottom > self._rows.stop:
            margin = self._margin if raster.has_void else 0
            rows = slice(max(0, window.top - margin), min(raster.height, bottom + margin))
            height = rows.stop - rows.start
            if not raster.can_hold_rows(height):
                size = height * raster.width * raster.bands * raster.dtype.itemsize
                raise ImageTooLargeError(
                    f"The TIFF is stored in strips of its whole width, {raster.width:,} pixels: a "
                    f"row of tiles takes {size / 2**20:,.0f} MiB, and the limit is "
                    f"{MAX_STRIP_BYTES // 2**20} MiB. Save it in tiles, such as with "
                    "`gdal_translate -co TILED=YES`."
                )
            whole = Window(rows.start, 0, height, raster.width)
            self._rows, self._samples = slice(0, 0), self._samples[:0]  # not both at once
            self._samples, self._valid = raster.look(whole)
            self._rows = rows
        top, left = window.top - self._rows.start, window.left
        return slice(top, top + window.height), slice(left, left + window.width)
