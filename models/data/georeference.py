"""Where on the ground a GeoTIFF lies: a mask of its picture's size may be of another place."""

from pathlib import Path

import rasterio
from rasterio.errors import RasterioError

from models.data.depth import ALONE

SUFFIXES = frozenset({".tif", ".tiff"})
_SLIP_PIXELS = 0.5


def displacement(picture: Path, mask: Path) -> str | None:
    """How a mask lies beside its picture, in words; None where both lie in one place by their
    georeferences, or where one of them has none."""
    if not {picture.suffix.lower(), mask.suffix.lower()} <= SUFFIXES:
        return None
    try:
        with (
            rasterio.Env(**ALONE),
            rasterio.open(picture) as first,
            rasterio.open(mask) as second,
        ):
            if first.transform.is_identity or second.transform.is_identity:
                return None
            if first.crs and second.crs and first.crs != second.crs:
                return f"is in {second.crs.to_string()} and its picture in {first.crs.to_string()}"
            to_pixels = ~first.transform @ second.transform
            corners = to_pixels @ (0, 0), to_pixels @ (second.width, second.height)
            whole = (0, 0), (first.width, first.height)
    except RasterioError:
        return None  # damaged, which is told of where it is read
    slips = [
        abs(found - expected)
        for corner, of_picture in zip(corners, whole, strict=True)
        for found, expected in zip(corner, of_picture, strict=True)
    ]
    if max(slips) <= _SLIP_PIXELS:
        return None
    (left, top), (right, bottom) = corners
    return (
        f"reaches from {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f} in its picture's pixels, "
        f"which are from 0, 0 to {first.width}, {first.height}"
    )
