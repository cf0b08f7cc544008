"""Masks of another size than their pictures: the same picture, drawn on a copy that was scaled."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Shape = tuple[int, ...]  # height, width


def is_scaled(mask: Shape, picture: Shape) -> bool:
    """Whether one scale leads from a picture's size to its mask's, each side rounded by less than a
    pixel."""
    if mask == picture or min(*mask, *picture) < 1:
        return False
    bounds = [
        ((own - 1) / whole, (own + 1) / whole) for own, whole in zip(mask, picture, strict=True)
    ]
    return max(low for low, _ in bounds) < min(high for _, high in bounds)


def fitted(ids: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The class ids (height, width): by the nearest pixel where the mask is the picture's, scaled;
    else as they are."""
    if not is_scaled(ids.shape, (height, width)):
        return ids
    nearest = Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(nearest)
