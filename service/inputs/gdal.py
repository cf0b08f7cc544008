"""GDAL, for the files that Pillow does not read right. It is imported when the first of them comes:
it is a fifth of what a start would import otherwise.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.domain.source import Window

if TYPE_CHECKING:
    import rasterio

# An upload is alone: nothing lies beside it. GDAL would keep blocks in a share of the machine's
# memory.
_ALONE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 64,
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


def rows_of(window: Window, rows: slice) -> tuple[tuple[int, int], tuple[int, int]]:
    """Some of the rows of a window, as a dataset's `read` takes them."""
    top = window.top
    return (top + rows.start, top + rows.stop), (window.left, window.left + window.width)
