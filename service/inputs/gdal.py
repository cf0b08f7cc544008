"""GDAL, for the files that Pillow does not read right. It is imported when the first of them comes:
it is a fifth of what a start would import otherwise.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from service.domain.classes import bands
from service.domain.gdal_blocks import BLOCKS
from service.domain.source import Samples, Window

if TYPE_CHECKING:
    import rasterio

# A picture is read once, from its top to its end: room for the bands of its lines is enough, and
# what a request takes is counted without GDAL's cache.
_CACHE_BYTES = 4 * 2**20
# An upload is alone: nothing lies beside it.
_ALONE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": _CACHE_BYTES,
}


class DamagedForGdalError(Exception):
    """GDAL does not read the file, or not to its end."""


@contextmanager
def opened(data: bytes, driver: str) -> Iterator["rasterio.DatasetReader"]:
    """A file in memory, by one of GDAL's drivers and none of its others. Raises
    DamagedForGdalError for whatever goes wrong within the block.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    try:
        with (
            rasterio.Env(**_ALONE),
            MemoryFile(data) as file,
            file.open(driver=driver) as dataset,
        ):
            yield dataset
    except (RasterioError, ValueError, IndexError) as error:
        raise DamagedForGdalError from error


def rows_by_gdal(data: bytes, driver: str, count: int) -> Iterator[Samples]:
    """The first `count` samples of each pixel of a whole file, in bands of rows (n, W, `count`).

    Raises DamagedForGdalError.
    """
    with opened(data, driver) as dataset:
        whole = Window(0, 0, dataset.height, dataset.width)
        for rows in bands(dataset.height, dataset.width):
            with BLOCKS.reading():
                samples = dataset.read(list(range(1, count + 1)), window=rows_of(whole, rows))
            yield np.moveaxis(samples, 0, -1)


def rows_of(window: Window, rows: slice) -> tuple[tuple[int, int], tuple[int, int]]:
    """Some of the rows of a window, as a dataset's `read` takes them."""
    top = window.top
    return (top + rows.start, top + rows.stop), (window.left, window.left + window.width)
