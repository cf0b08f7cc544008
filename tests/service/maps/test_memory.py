"""A3 of the facts: a map takes the memory of a few tiles, whatever the raster's size."""

import ctypes
import gc
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from tests.service.inputs.test_memory import kibibytes
from tests.service.maps.rasters import PLACE, UTM, Mapper, patches
from tests.solvable import solve

SIDE = 60_000  # 10.8 GB of samples, and 3.6 GB of classes, were they held
MOST_MEBIBYTES = 600
PICTURE = Window(50_000, 40_000, 1_500, 1_500)


def test_a_map_of_3_600_megapixels_takes_no_more_memory_than_a_small_one_s(
    solvable: Mapper, tmp_path: Path
) -> None:
    pixels = patches(PICTURE.height, PICTURE.width) | np.uint8(1)
    source, target = tmp_path / "large.tif", tmp_path / "classes.tif"
    with rasterio.open(
        source, "w", driver="GTiff", height=SIDE, width=SIDE, count=3, dtype="uint8", nodata=0,
        crs=UTM, transform=PLACE, tiled=True, blockxsize=512, blockysize=512, compress="deflate",
        photometric="RGB", sparse_ok=True, bigtiff="IF_SAFER",
    ) as dataset:  # fmt: skip
        dataset.write(np.moveaxis(pixels, -1, 0), window=PICTURE)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = kibibytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    solvable(source, {"geotiff": target})
    assert kibibytes("VmHWM") - before < MOST_MEBIBYTES * 1024
    with rasterio.open(target) as dataset:
        assert dataset.shape == (SIDE, SIDE)
        np.testing.assert_array_equal(dataset.read(1, window=PICTURE), solve(pixels))
        around = Window(49_900, 39_900, 1_700, 1_700)
        assert np.count_nonzero(dataset.read(1, window=around) != 255) == 1_500**2
