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
    columns = _near_void(known.T)
    for lines in _bands(*valid.shape):
        _mirror_along_rows(pixels[lines, columns], known[lines, columns])
    rows = _near_void(known)
    turned_pixels, turned_known = pixels[rows].swapaxes(0, 1), known[rows].swapaxes(0, 1)
    for lines in _bands(*turned_known.shape):
        known_band = turned_known[lines].copy()
        if known_band.all() or not known_band.any():
            continue
        band = turned_pixels[lines].copy()
        _mirror_along_rows(band, known_band)
        turned_pixels[lines], turned_known[lines] = band, known_band
    for lines in _bands(*valid.shape):
        if not known[lines].all():
            np.copyto(pixels[lines], mean, where=~known[lines, :, np.newaxis])


def _near_void(known: NDArray[np.bool_]) -> slice:
    """The rows in which columns are mirrored: those with something unknown that are near enough to
    what is known, and those that they mirror.
    """
    unknown_rows, known_rows = np.flatnonzero(~known.all(axis=1)), known.any(axis=1)
    sums = np.concatenate(([0], np.cumsum(known_rows)))
    first = np.maximum(unknown_rows - MIRRORED, 0)
    last = np.minimum(unknown_rows + MIRRORED + 1, len(known))
    near = unknown_rows[sums[last] > sums[first]]
    if not len(near):
        return slice(0, 0)
    return slice(max(0, int(near[0]) - MIRRORED), min(len(known), int(near[-1]) + MIRRORED + 1))


def _mirror_along_rows(pixels: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
    """Fill what lies within MIRRORED of a known pixel of its row; it is known then."""
    mixed = np.flatnonzero(known.any(axis=1) & ~known.all(axis=1))
    if not len(mixed):
        return
    own, length = known[mixed], known.shape[1]
    place, far = np.arange(length, dtype=np.int32), np.int32(2 * length + MIRRORED)
    left = np.maximum.accumulate(np.where(own, place, -far), axis=1)
    right = np.minimum.accumulate(np.where(own, place, far)[:, ::-1], axis=1)[:, ::-1]
    rows, columns = np.nonzero(~own & (np.minimum(place - left, right - place) <= MIRRORED))
    to_left, to_right = columns - left[rows, columns], right[rows, columns] - columns
    edge = np.where(to_left <= to_right, columns - to_left, columns + to_right)
    away = np.where(to_left <= to_right, 1 - to_left, to_right - 1)
    mirrored = np.clip(edge + away, 0, length - 1)
    mirrored = np.where(own[rows, mirrored], mirrored, edge)
    rows = mixed[rows]
    pixels[rows, columns] = pixels[rows, mirrored]
    known[rows, columns] = True


def _bands(height: int, width: int) -> list[slice]:
    rows = max(1, _BAND_PIXELS // max(1, width))
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
