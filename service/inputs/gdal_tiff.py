"""The TIFFs that Pillow does not read right, by GDAL's GTiff driver and none of its others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.domain.classes import bands
from service.domain.errors import UnreadableImageError
from service.domain.source import Samples, SourceInfo, Window
from service.inputs.gdal import DamagedForGdalError, opened, rows_of
from service.inputs.pixels import turn_upright
from service.inputs.tiff_directory import (
    BLACK_IS_ZERO,
    CMYK,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Directory,
)

if TYPE_CHECKING:
    import rasterio

# The samples of a pixel that are its color; those behind them are alpha, or bands of other kinds.
COLOR_SAMPLES = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, PALETTE: 1, RGB: 3, YCBCR: 3, CMYK: 4}


class GdalTiffSource:
    """A Source of one directory, the first of `data`, in forms that `tiff.py` lets through."""

    type = "TIFF"
    scales: Sequence[float] = (1.0,)

    def __init__(self, data: bytes, directory: Directory, info: SourceInfo) -> None:
        self.info = info
        self.bands = 1 if directory.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) else 3
        self.height, self.width = directory.upright_size
        self.sample_bytes = 1 if _is_small(directory) else 2
        self._data, self._directory = data, directory

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        assert scale in self.scales
        stored = self._directory.height, self._directory.width
        part, is_turned = Window(0, 0, *stored), self._directory.orientation in range(2, 9)
        if window is not None and not is_turned:
            part = window
        try:
            with opened(self._data, "GTiff") as dataset:
                samples = self._read(dataset, part)
        except DamagedForGdalError as error:
            raise UnreadableImageError(
                "The TIFF is truncated or corrupt: its header is whole, its pixels do not decode. "
                "Send the whole file, or open and save it with an image editor."
            ) from error
        if not is_turned:
            return samples
        samples = turn_upright(samples, self._directory.orientation)
        if window is None:
            return samples
        rows = slice(window.top, window.top + window.height)
        return samples[rows, window.left : window.left + window.width]

    def decoding_bytes(self, scale: float) -> int:
        assert scale in self.scales
        is_turned = self._directory.orientation in range(2, 9)
        return self.height * self.width * self.bands * self.sample_bytes if is_turned else 0

    def overhang(self, scale: float) -> tuple[int, int]:
        assert scale in self.scales
        return 0, 0

    def _read(self, dataset: "rasterio.DatasetReader", part: Window) -> Samples:
        """Read in bands of rows, so that planes and whole pixels are not held beside each other."""
        directory = self._directory
        photometric = str(directory.photometric)
        count = COLOR_SAMPLES[photometric] + directory.is_premultiplied
        colors = _colors(dataset) if photometric == PALETTE else None
        dtype = np.uint8 if _is_small(directory) else np.uint16
        samples = np.empty((part.height, part.width, self.bands), dtype)
        for rows in bands(part.height, part.width):
            read = dataset.read(list(range(1, count + 1)), window=rows_of(part, rows))
            band = np.moveaxis(read, 0, -1)
            samples[rows] = _color(band, directory) if colors is None else colors[band[..., 0]]
        return samples


def _is_small(directory: Directory) -> bool:
    """Whether 8 bits hold its samples; the colors of a palette have no more."""
    return directory.bits[0] <= 8 or directory.photometric == PALETTE


def _color(samples: Samples, directory: Directory) -> Samples:
    """Gray or RGB (n, W, 1 or 3) of samples as they are stored."""
    white = 2 ** directory.bits[0] - 1
    count = COLOR_SAMPLES[str(directory.photometric)]
    if directory.photometric == WHITE_IS_ZERO:
        samples = np.concatenate((white - samples[..., :1], samples[..., 1:]), axis=-1)
    if directory.is_premultiplied:
        wide = samples.astype(np.uint32)
        exact = wide[..., :count] * white // np.maximum(wide[..., count:], 1)
        samples = np.minimum(exact, white).astype(samples.dtype)
    if directory.photometric == CMYK:
        light = white - samples.astype(np.uint32)
        products = light[..., :3] * light[..., 3:]
        samples = ((products + white // 2) // white).astype(samples.dtype)
    if directory.bits[0] >= 8:
        return samples
    scaled: Samples = (samples.astype(np.uint16) * 255 // white).astype(np.uint8)
    return scaled


def _colors(dataset: "rasterio.DatasetReader") -> NDArray[np.uint8]:
    """The RGB (n, 3) of each index."""
    table = dataset.colormap(1)
    colors = np.zeros((max(table) + 1, 3), np.uint8)
    for index, color in table.items():
        colors[index] = color[:3]
    return colors
