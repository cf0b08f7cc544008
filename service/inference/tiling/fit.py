"""Mirror-pad a picture to a multiple of the model's stride, and cut its map back.

The graph pads the same way, so a padded picture passes through it unchanged; padding here lets
pictures of different sizes share a batch.
"""

import numpy as np
from numpy.typing import NDArray


def padded_shape(height: int, width: int, stride: int) -> tuple[int, int]:
    """The size (H, W) after padding: the next multiples of `stride`."""
    return round_up(height, stride), round_up(width, stride)


def fit(image: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Pad an image (H, W, C) at the bottom and the right to multiples of `stride`."""
    height, width = padded_shape(image.shape[0], image.shape[1], stride)
    padded = np.empty((height, width, image.shape[2]), np.uint8)
    fit_into(padded, image)
    return padded


def fit_into(padded: NDArray[np.uint8], image: NDArray[np.uint8]) -> None:
    """Write an image (H, W, C) into the larger `padded` (H', W', C), mirrored where it ends.

    As numpy's "reflect": the last row and column are not repeated, and where the padding exceeds
    the image it is mirrored again.
    """
    height, width = image.shape[:2]
    padded[:height, :width] = image
    padded[height:, :width] = image[_mirrored(height, padded.shape[0])]
    padded[:, width:] = padded[:, _mirrored(width, padded.shape[1])]


def unfit(class_map: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut a map (H', W') back to the picture's own size."""
    return class_map[:height, :width]


def round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _mirrored(length: int, padded_length: int) -> NDArray[np.intp]:
    """Which pixel each pixel of the padding copies, on one axis."""
    period = max(1, 2 * (length - 1))
    position = np.arange(length, padded_length) % period
    return np.minimum(position, period - position)
