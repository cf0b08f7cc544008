"""Pictures to compare two forms of one network on."""

import numpy as np
from numpy.typing import NDArray

VERIFIED_SIZES = ((1, 1), (1, 37), (31, 47), (96, 64), (131, 257))  # H, W


def smooth_noise(
    draw: np.random.Generator, height: int, width: int, channels: int
) -> NDArray[np.uint8]:
    """Blobs of random colour (H, W, channels): noise alone would leave every pixel's class to
    chance."""
    coarse = draw.integers(0, 256, (-(-height // 16), -(-width // 16), channels))
    fine = draw.integers(-20, 21, (height, width, channels))
    blobs = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    image: NDArray[np.uint8] = np.clip(blobs + fine, 0, 255).astype(np.uint8)
    return image
