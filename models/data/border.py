"""The U-Net weight map: what presses background between two near objects to be told from them."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REACH = 4  # in sigmas: beyond it the weight is under a three-thousandth of its peak


def border_weights(
    mask: NDArray[np.uint8], *, background: int, void: int, peak: float, sigma: float
) -> NDArray[np.float32]:
    """Map a mask uint8 (H, W) to `peak` · exp(-(d1 + d2)² / 2 sigma²) float32 (H, W) at background
    pixels, else 0.

    d1 and d2 are the distances in pixels to the nearest and the second nearest object (Ronneberger
    et al. 2015, equation 2); an object is a connected region (8 neighbours) of one class that is
    neither `background` nor from `void` upwards. Objects farther than 4 sigma are left out, so that
    each costs its own surroundings alone and not the whole mask.
    """
    reach = int(np.ceil(REACH * sigma))
    nearest = np.full(mask.shape, np.inf, np.float32)
    second = nearest.copy()
    for class_id in np.unique(mask):
        if class_id == background or class_id >= void:
            continue
        labels, _ = ndimage.label(mask == class_id, np.ones((3, 3), np.int8))
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            around = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in box)
            distance = ndimage.distance_transform_edt(labels[around] != number).astype(np.float32)
            first = nearest[around]
            second[around] = np.minimum(second[around], np.maximum(first, distance))
            nearest[around] = np.minimum(first, distance)
    weights = peak * np.exp(-np.square((nearest + second) / sigma) / 2)
    return np.where(mask == background, weights, 0).astype(np.float32)
