"""Shrink pixels by averaging the area of each."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.classes import bands

_BAND_PIXELS = 2**20


def resized(
    pixels: NDArray[np.uint8], height: int, width: int, extent: tuple[float, float]
) -> NDArray[np.uint8]:
    """Bring pixels (H, W, C) to (height, width, C), by area where it shrinks and bilinearly where
    it grows.

    `extent` is how many of its rows and columns hold the picture: after a scaled decode the last
    ones hold a part of a pixel. In bands, so that beside the result there are a few megabytes.
    """
    if extent[0] >= height and extent[1] >= width:
        rows = (pixels[rows] for rows in bands(*pixels.shape[:2]))
        return shrunk(rows, height, width, extent)
    return _enlarged(pixels, height, width, extent)


def shrunk(
    rows: Iterable[NDArray[np.uint8]], height: int, width: int, extent: tuple[float, float]
) -> NDArray[np.uint8]:
    """As `resized`, of pixels that come in bands of rows (n, W, C), none of which is held for
    longer than it is needed.
    """
    rows_a_row = extent[0] / height
    parts = list[NDArray[np.uint8]]()
    done, first = 0, 0  # rows of the result; of the picture before those that are held
    held: NDArray[np.uint8] | None = None
    for band in rows:
        held = band if held is None or not len(held) else np.concatenate((held, band))
        until = min(height, math.floor((first + len(held)) / rows_a_row))
        if until == done:
            continue
        parts.append(_area_means(held, first, slice(done, until), rows_a_row, width, extent[1]))
        done = until
        used = math.floor(done * rows_a_row) - first
        held, first = held[used:], first + used
    if done < height and held is not None:  # what rounding has left of the last row
        parts.append(_area_means(held, first, slice(done, height), rows_a_row, width, extent[1]))
    return np.concatenate(parts)


def _area_means(
    held: NDArray[np.uint8],
    first: int,
    rows: slice,
    rows_a_row: float,
    width: int,
    columns: float,
) -> NDArray[np.uint8]:
    """Some rows of the result, of the rows from `first` on that are held."""
    upper = rows.start * rows_a_row - first
    lower = min(rows.stop * rows_a_row - first, len(held))
    box = (0.0, upper, min(columns, held.shape[1]), lower)
    return _resample(held, rows.stop - rows.start, width, Image.Resampling.BOX, box)


def _enlarged(
    pixels: NDArray[np.uint8], height: int, width: int, extent: tuple[float, float]
) -> NDArray[np.uint8]:
    rows_a_row, margin = extent[0] / height, 2
    result = np.empty((height, width, pixels.shape[2]), np.uint8)
    band = max(1, int(_BAND_PIXELS / max(pixels.shape[1], width) / max(1.0, rows_a_row)))
    for top in range(0, height, band):
        bottom = min(top + band, height)
        upper, lower = top * rows_a_row, bottom * rows_a_row
        first = max(0, math.floor(upper) - margin)
        last = min(pixels.shape[0], math.ceil(lower) + margin)
        box = (0.0, upper - first, min(extent[1], pixels.shape[1]), min(lower, last) - first)
        how = Image.Resampling.BILINEAR
        result[top:bottom] = _resample(pixels[first:last], bottom - top, width, how, box)
    return result


def area_means(
    pixels: NDArray[np.uint8], height: int, width: int, box: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """The part `box` (left, upper, right, lower) of pixels as (height, width, C), by area."""
    return _resample(pixels, height, width, Image.Resampling.BOX, box)


def _resample(
    pixels: NDArray[np.uint8],
    height: int,
    width: int,
    how: Image.Resampling,
    box: tuple[float, float, float, float],
) -> NDArray[np.uint8]:
    """(height, width, C) of the part `box` (left, upper, right, lower) of gray or RGB (H, W, C)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.resize((width, height), how, box)).reshape(height, width, -1)
