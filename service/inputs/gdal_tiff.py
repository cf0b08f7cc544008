"""The TIFFs that Pillow does not read right, by GDAL's GTiff driver and none of its others."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.contract.tiff_form import CMYK, COLOR_SAMPLES, PALETTE
from service.domain.classes import bands
from service.domain.errors import UnreadableImageError
from service.domain.gdal_blocks import BLOCKS
from service.domain.source import Samples, SampleType, SourceInfo, Window
from service.inputs.gdal import DamagedForGdalError, opened, rows_of
from service.inputs.pixels import assembled, cut
from service.inputs.tiff_directory import Directory

if TYPE_CHECKING:
    import rasterio


class GdalTiffSource:
    """A Source of one directory, the first of `data`, in forms that `tiff.py` lets through."""

    type = "TIFF"
    scales: Sequence[float] = (1.0,)

    def __init__(self, data: bytes, directory: Directory, info: SourceInfo) -> None:
        self.info = info
        self.bands = 1 if directory.is_gray else 3
        self.height, self.width = directory.upright_size
        self._dtype = _dtype(directory)
        self.sample_bytes = np.dtype(self._dtype).itemsize
        self._data, self._directory = data, directory

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        assert scale in self.scales
        part = self._whole if window is None or self.orientation != 1 else window
        shape = part.height, part.width, self.bands
        samples = assembled(self._rows(part), shape, self._dtype, self.orientation)
        return samples if self.orientation == 1 else cut(samples, window)

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        assert scale in self.scales
        return self._rows(self._whole)

    @property
    def orientation(self) -> int:
        stated = self._directory.orientation
        return stated if stated in range(2, 9) else 1

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:  # noqa: ARG002
        """GDAL holds a deep strip as it unpacks and once more by its samples; it reads rows of
        others."""
        assert scale in self.scales
        directory = self._directory
        if self.sample_bytes == 1 or not directory.is_compressed or any(directory.tile):
            return 0
        rows = min(directory.rows_per_strip, directory.height)
        samples = 1 if directory.is_planar else directory.samples
        return 2 * rows * directory.width * samples * self.sample_bytes

    def overhang(self, scale: float) -> tuple[int, int]:
        assert scale in self.scales
        return 0, 0

    @property
    def _whole(self) -> Window:
        return Window(0, 0, self._directory.height, self._directory.width)

    def _rows(self, part: Window) -> Iterator[Samples]:
        """In bands, so that planes and whole pixels are not held beside each other."""
        directory = self._directory
        photometric = directory.photometric
        count = COLOR_SAMPLES[photometric] + directory.is_premultiplied
        try:
            with opened(self._data, "GTiff") as dataset:
                colors = _colors(dataset) if photometric == PALETTE else None
                for rows in bands(part.height, part.width):
                    with BLOCKS.reading():
                        read = dataset.read(list(range(1, count + 1)), window=rows_of(part, rows))
                    band = np.moveaxis(read, 0, -1)
                    yield _color(band, directory) if colors is None else colors[band[..., 0]]
        except DamagedForGdalError as error:
            raise UnreadableImageError(
                "The TIFF is truncated or corrupt: its header is whole, its pixels do not decode. "
                "Send the whole file, or open and save it with an image editor."
            ) from error


def _dtype(directory: Directory) -> SampleType:
    if directory.is_floating:
        return np.float64 if directory.bits[0] == 64 else np.float32
    return np.uint8 if directory.is_small else np.uint16


def _color(samples: Samples, directory: Directory) -> Samples:
    """Gray or RGB (n, W, 1 or 3) of samples as they are stored."""
    if directory.is_floating:
        return samples.astype(_dtype(directory), copy=False)
    white = 2 ** directory.bits[0] - 1
    count = COLOR_SAMPLES[directory.photometric]
    if directory.white_is_zero:
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
