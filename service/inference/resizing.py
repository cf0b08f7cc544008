"""Shrink pixels by averaging the area of each."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BAND_PIXELS = 2**20


def resized(
    pixels: NDArray[np.uint8],
    height: int,
    width: int,
    extent: tuple[float, float],
    start: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.uint8]:
    """Bring pixels (H, W, C) to (height, width, C), by area where it shrinks and bilinearly where
    it grows.

    `extent` is how many rows and columns of `pixels`, from `start` on, hold the picture: after a
    scaled decode the outermost ones hold a part of a pixel. In bands, so that beside the result
    there are a few megabytes.
    """
    rows_a_row, columns_a_column = extent[0] / height, extent[1] / width
    shrinks = rows_a_row >= 1 and columns_a_column >= 1
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    margin = 0 if shrinks else 2
    result = np.empty((height, width, pixels.shape[2]), np.uint8)
    band = max(1, int(_BAND_PIXELS / max(pixels.shape[1], width) / max(1.0, rows_a_row)))
    for top in range(0, height, band):
        bottom = min(top + band, height)
        upper, lower = start[0] + top * rows_a_row, start[0] + bottom * rows_a_row
        first = max(0, math.floor(upper) - margin)
        last = min(pixels.shape[0], math.ceil(lower) + margin)
        right = min(start[1] + extent[1], pixels.shape[1])
        box = (start[1], upper - first, right, min(lower, last) - first)
        for channel in range(pixels.shape[2]):
            part = Image.fromarray(np.ascontiguousarray(pixels[first:last, :, channel]))
            resized_part = part.resize((width, bottom - top), how, box)
            result[top:bottom, :, channel] = np.asarray(resized_part)
    return result
