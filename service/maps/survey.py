"""What a finished map shows: how much of each class, and a picture to look at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import Contract
from models.contract.intensity import IntensityWindow
from service.domain.classes import palette
from service.domain.ground import true_pixel_size
from service.domain.source import Window
from service.inference.prepare import seen_samples
from service.inputs.raster import open_raster
from service.maps.options import MapOptions
from service.maps.window import wanted_window

_BLOCK = 512  # a side of a map's blocks, within which pixels have one area
_LONG_SIDE = 1024
_OPACITY = 0.55


def tally(result: Path, contract: Contract) -> list[dict[str, Any]]:
    """The classes of the map `result`, the most frequent first: `id`, `name`, `color`, `pixels`,
    `share` of all that is no void, and `area_m2`, None where the map has no place on the Earth.
    """
    pixels, area = np.zeros(256, np.int64), np.zeros(256)
    with open_raster(result, bands="1") as raster:
        transform, crs = raster.info.transform, raster.info.reference
        for window in _blocks(raster.height, raster.width):
            counts = np.bincount(raster.read(window).reshape(-1), minlength=256)
            pixels += counts
            if transform is not None and crs is not None:
                a, b, c, d, e, f = transform
                left, top = window.left, window.top
                moved = (a, b, c + a * left + b * top, d, e, f + d * left + e * top)
                side = true_pixel_size(moved, crs, window.height, window.width)
                area += counts * (np.nan if side is None else side**2)
            else:
                area += np.nan
    known = [one for one in contract.classes if pixels[one.id]]
    total = sum(int(pixels[one.id]) for one in known)
    return [
        {
            "id": one.id,
            "name": one.name,
            "color": one.color,
            "pixels": int(pixels[one.id]),
            "share": round(int(pixels[one.id]) / total, 6),
            "area_m2": round(float(area[one.id]), 4) if np.isfinite(area[one.id]) else None,
        }
        for one in sorted(known, key=lambda one: -int(pixels[one.id]))
    ]


def write_overview(
    source: Path,
    result: Path,
    target: Path,
    contract: Contract,
    options: MapOptions,
    intensity: IntensityWindow | None,
) -> None:
    """A PNG of the raster `source` under the classes of its map, 1024 pixels long at most; what is
    void is transparent.
    """
    with open_raster(result, bands="1") as raster:
        factor = min(1.0, _LONG_SIDE / max(raster.height, raster.width))
        shape = max(1, round(raster.height * factor)), max(1, round(raster.width * factor))
        ids = raster.read(Window(0, 0, raster.height, raster.width), shape)[..., 0].astype(np.uint8)
    with open_raster(source, bands=options.bands) as raster:
        samples = raster.read(wanted_window(raster, options.bbox), shape)
    shades = seen_samples(samples, intensity, contract)
    Image.fromarray(_blend(shades, ids, contract)).save(target, "PNG")


def _blend(
    shades: NDArray[np.uint8], ids: NDArray[np.uint8], contract: Contract
) -> NDArray[np.uint8]:
    colors = palette(contract)
    known = ids < len(contract.classes)
    picture = np.zeros((*ids.shape, 4), np.uint8)
    mixed = (1 - _OPACITY) * shades + _OPACITY * colors[np.where(known, ids, 0)]
    picture[..., :3] = np.where(known[..., np.newaxis], mixed + 0.5, 0)
    picture[..., 3] = np.where(known, 255, 0)
    return picture


def _blocks(height: int, width: int) -> Iterator[Window]:
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            yield Window(top, left, min(_BLOCK, height - top), min(_BLOCK, width - left))
