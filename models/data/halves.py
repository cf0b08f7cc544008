"""How the classes of opposite halves differ: what tells whether pictures have an up or a left."""

import numpy as np
from numpy.typing import NDArray


def parts_of(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each id (3, 3, 256) in the parts of a mask (H, W): upper half, middle line and
    lower half, by left half, middle line and right half. An even side has no middle line."""
    rows, columns = (
        (slice(n // 2), slice(n // 2, n - n // 2), slice(n - n // 2, n)) for n in ids.shape
    )
    return np.array(
        [[np.bincount(ids[r, c].ravel(), minlength=256) for c in columns] for r in rows]
    )


def halves_of(parts: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Pixels of each class (4, classes) in the upper, lower, left and right half, by what
    `parts_of` gives. A middle line belongs to neither half, and what is no class counts for
    nothing."""
    halves = (
        parts[0].sum(axis=0),
        parts[2].sum(axis=0),
        parts[:, 0].sum(axis=0),
        parts[:, 2].sum(axis=0),
    )
    return np.array(halves)[:, :classes]


class Halves:
    """The halves of many masks. Grows by `add`, and keeps no more than their sums."""

    def __init__(self, classes: int) -> None:
        self._images = 0
        self._pixels = np.zeros((4, classes), np.int64)
        # of each picture: a class's share of the upper half less its share of the lower
        self._differences, self._squares = np.zeros(classes), np.zeros(classes)

    def add(self, pixels: NDArray[np.int64]) -> None:
        """Count one mask, by what `halves_of` gives."""
        upper, lower, *_ = _shares(pixels)
        self._images += 1
        self._pixels += pixels
        self._differences += upper - lower
        self._squares += (upper - lower) ** 2

    @property
    def up_down(self) -> float:
        """The share of pixels by which the classes of the upper and the lower halves differ."""
        upper, lower, *_ = _shares(self._pixels)
        return float(np.abs(upper - lower).sum() / 2)

    @property
    def left_right(self) -> float:
        """The share of pixels by which the classes of the left and the right halves differ."""
        *_, left, right = _shares(self._pixels)
        return float(np.abs(left - right).sum() / 2)

    @property
    def up_down_t(self) -> float:
        """Student's |t| over the pictures of the upper share less the lower, against a mean of 0,
        of the class where it is largest; 0 of fewer than two pictures."""
        if self._images < 2:
            return 0.0
        means = self._differences / self._images
        spread = self._squares / self._images - means**2
        errors = np.sqrt(np.maximum(spread, 0) / (self._images - 1))
        return float(np.abs(means / np.maximum(errors, 1e-9)).max())


def _shares(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels of each class (4, classes) as shares of their half; 0 where it has none."""
    shares: NDArray[np.float64] = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
    return shares
