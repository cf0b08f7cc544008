"""Which bands of a raster are its gray or its colors."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import InvalidOptionError
from service.domain.requests import parse_bands

if TYPE_CHECKING:
    import rasterio

_COLORS = ("red", "green", "blue")


def band_indexes(dataset: "rasterio.DatasetReader", bands: str | None) -> list[int]:
    """Which bands are gray, or red, green and blue. Raises InvalidOptionError."""
    if bands is not None:
        return _named(bands, dataset.count)
    kinds = [color.name for color in dataset.colorinterp]
    if all(color in kinds for color in _COLORS):
        return [kinds.index(color) + 1 for color in _COLORS]
    others = [place for place, kind in enumerate(kinds, 1) if kind != "alpha"]
    if len(others) in (1, 3):
        return others
    raise InvalidOptionError(
        f"The TIFF has {dataset.count} bands ({', '.join(kinds)}), and none are called red, green "
        "and blue. Say which are, such as `bands=4,3,2`, or which is gray, such as `bands=1`."
    )


def _named(bands: str, count: int) -> list[int]:
    indexes = parse_bands(bands)
    if max(indexes) > count:
        has = "one band" if count == 1 else f"{count} bands"
        raise InvalidOptionError(f"The TIFF has {has}; `bands={bands}` asks for {max(indexes)}.")
    return indexes


def palette_of(dataset: "rasterio.DatasetReader") -> NDArray[np.uint8] | None:
    """Its colors (256, 3), where its one band holds their numbers."""
    if dataset.count != 1 or dataset.colorinterp[0].name != "palette":
        return None
    colors = np.zeros((256, 3), np.uint8)
    for index, color in dataset.colormap(1).items():
        if index < len(colors):
            colors[index] = color[:3]
    return colors
