"""What a network sees where a raster has no picture: the picture mirrored at its edge.

Black would be a thing of its own to the network, as far into the picture as it sees. What stands
in for a void pixel depends on no pixel further than `CONTEXT` away, so every tile that holds it
gets the same.
"""

import numpy as np
from numpy.typing import NDArray

MIRRORED = 128  # pixels of void beside the picture that mirror it; beyond lies the mean color
CONTEXT = 2 * MIRRORED
_BAND_PIXELS = 2**20


def fill_voids(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_], mean: NDArray[np.uint8]
) -> None:
    """Fill the pixels (H, W, C) that are not `valid` (H, W), in place: by what lies mirrored at the
    nearest valid pixel of the row, then of the column, else by the `mean` color (C,).
    """
    known = valid.copy()
    for lines in _bands(*valid.shape):
        _mirror_along_rows(pixels[lines], known[lines])
    turned_pixels, turned_known = pixels.swapaxes(0, 1), known.swapaxes(0, 1)
    for lines in _bands(*turned_known.shape):
        band, known_band = turned_pixels[lines].copy(), turned_known[lines].copy()
        _mirror_along_rows(band, known_band)
        turned_pixels[lines], turned_known[lines] = band, known_band
    pixels[~known] = mean


def _mirror_along_rows(pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
    """Fill what lies within MIRRORED of a known pixel of its row; it is known then."""
    length = known.shape[1]
    rows, columns = np.nonzero(~known)
    if not len(rows) or not known.any():
        return
    place = np.arange(length, dtype=np.int32)
    before = np.maximum.accumulate(np.where(known, place, np.int32(-length - MIRRORED)), axis=1)
    behind = np.where(known, place, np.int32(2 * length + MIRRORED))
    behind = np.minimum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
    left, right = before[rows, columns], behind[rows, columns]
    from_left = columns - left <= right - columns
    edge = np.where(from_left, left, right)
    distance = np.abs(columns - edge)
    near = distance <= MIRRORED
    rows, columns, edge = rows[near], columns[near], edge[near]
    away = np.where(from_left, -1, 1)[near] * (distance[near] - 1)
    mirrored = np.clip(edge + away, 0, length - 1)
    mirrored = np.where(known[rows, mirrored], mirrored, edge)
    pixels[rows, columns] = pixels[rows, mirrored]
    known[rows, columns] = True


def _bands(height: int, width: int) -> list[slice]:
    rows = max(1, _BAND_PIXELS // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
