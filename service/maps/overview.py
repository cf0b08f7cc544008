"""A finished map as a picture to look at."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import Contract
from models.contract.intensity import IntensityWindow
from service.domain.classes import palette
from service.domain.source import Window
from service.inference.prepare import seen_samples
from service.inputs.raster import open_raster
from service.maps.options import MapOptions
from service.maps.window import wanted_window

_LONG_SIDE = 1024
_OPACITY = 0.55


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
