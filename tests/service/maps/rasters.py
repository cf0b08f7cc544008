"""Rasters made for tests, and maps made of them by a real model."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from service.maps.job import MapSummary, predict_raster
from service.maps.options import MapOptions
from service.predict.loaded import LoadedModel
from service.predict.model import pin_model
from service.settings import Settings

UTM = "EPSG:32633"
CALLS = ("alone", "progress", "cancelled", "before_tile", "only_rows")
PLACE = Affine(0.5, 0, 389_000.25, 0, -0.5, 5_819_000.75)


def patches(height: int, width: int, side: int = 9, seed: int = 0) -> NDArray[np.uint8]:
    """Flat patches of strong colors (height, width, 3)."""
    draw = np.random.default_rng(seed)
    rows, columns = -(-height // side), -(-width // side)
    coarse = draw.integers(0, 256, (rows, columns, 3), np.uint8)
    return coarse.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]


def save_raster(
    path: Path,
    pixels: NDArray[Any],
    *,
    valid: NDArray[np.bool_] | None = None,
    crs: str | None = UTM,
    transform: Affine | None = PLACE,
    block: int | None = 64,
    **options: Any,
) -> Path:
    """Write pixels (H, W, bands) as a GeoTIFF; `valid` becomes its internal mask."""
    height, width, bands = pixels.shape
    if block is not None:
        options |= {"tiled": True, "blockxsize": block, "blockysize": block}
    if transform is not None:
        options["transform"] = transform
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=bands,
            dtype=pixels.dtype,
            crs=crs,
            **options,
        ) as dataset,
    ):
        dataset.write(np.moveaxis(pixels, -1, 0))
        if valid is not None:
            dataset.write_mask(valid)
    return path


class Mapper:
    """One model of a store, loaded once for many maps."""

    def __init__(self, store: Path, model: str, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._pinned = pin_model(Settings(model_store=store, **settings), model)
        self._loaded = LoadedModel(self._pinned)
        self._loop.run_until_complete(self._loaded.load())

    def __call__(
        self, source: Path, targets: Mapping[str, Path], *, side: int | None = None, **how: Any
    ) -> MapSummary:
        """`how` are options of the map, and those of `predict_raster` that are callables."""
        calls = {name: how.pop(name) for name in list(how) if name in CALLS}
        work = next(iter(targets.values())).with_name("work")
        return self._loop.run_until_complete(
            predict_raster(
                self._loaded.inference,
                self._pinned.id,
                source,
                targets,
                MapOptions(**how),
                work=work,
                side=side,
                **calls,
            )
        )

    def close(self) -> None:
        self._loop.run_until_complete(self._loaded.close())
        self._loop.close()


def class_map_of(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        values: NDArray[np.uint8] = dataset.read(1)
    return values
