"""Masks that number their objects, as tools for cells and nuclei write them: 0 and one number an
object."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_CONNECTED = 0.95  # share of the numbers; an object may be cut in two by another


def object_numbers(mask: NDArray[np.integer], void: int | None) -> int | None:
    """How many numbers a mask (H, W) has of which nearly each is one connected region.

    0 where they are not; None where there are less than two, which says nothing. `void` counts as
    no number where it follows none.
    """
    values = _held(mask)
    numbers = values[values > 0]
    if void is not None and void - 1 not in numbers:
        numbers = numbers[numbers != void]
    if len(numbers) < 2 or values[0] < 0:
        return None
    ranks = np.zeros(int(values[-1]) + 1, np.int32)
    ranks[numbers] = np.arange(1, len(numbers) + 1)
    ranked = ranks[mask]
    connected = sum(
        ndimage.label(ranked[box] == rank, np.ones((3, 3)))[1] == 1
        for rank, box in enumerate(ndimage.find_objects(ranked), start=1)
        if box is not None
    )
    return len(numbers) if connected >= _CONNECTED * len(numbers) else 0


def objects_as_one(mask: NDArray[np.integer], void: int | None) -> NDArray[np.uint8]:
    """1 for every object, 0 for what is none, uint8 (H, W); `void` stays where it is no number."""
    ids = (mask > 0).astype(np.uint8)
    if void is not None and not (mask == void - 1).any():
        ids[mask == void] = void
    return ids


def _held(mask: NDArray[np.integer]) -> NDArray[np.integer]:
    """The values of a mask, ascending."""
    if mask.dtype == np.uint8:
        return np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return np.unique(mask)
