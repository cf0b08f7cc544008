"""Whether a model's probabilities are what they say: of the pixels it is 80 % sure of, 80 % should
be right."""

import numpy as np
from numpy.typing import NDArray

BINS = 15


class Calibration:
    """Confidence against accuracy in 15 bins of equal width (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", section 2)."""

    def __init__(self) -> None:
        self.pixels: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._hits: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._confidences: NDArray[np.float64] = np.zeros(BINS)

    def add(self, masks: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Count masks (N, H, W) and probabilities (N, H, W, classes); ids beyond the classes in
        `masks` are void."""
        valid = masks < probabilities.shape[-1]
        confidence = probabilities.max(axis=-1)[valid]
        right = probabilities.argmax(axis=-1)[valid] == masks[valid]
        # A bin is open below: (0, 1/15], (1/15, 2/15], …
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self.pixels += np.bincount(bins, minlength=BINS)
        self._hits += np.bincount(bins[right], minlength=BINS)
        self._confidences += np.bincount(bins, confidence, minlength=BINS)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """The share of right pixels in each bin (15,), NaN in empty ones."""
        return self._mean(self._hits)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The mean confidence in each bin (15,), NaN in empty ones."""
        return self._mean(self._confidences)

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over pixels of their bin's |accuracy -
        confidence|. NaN without pixels."""
        total = self.pixels.sum()
        return (
            float(np.abs(self._hits - self._confidences).sum() / total) if total else float("nan")
        )

    def _mean(self, sums: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        mean = np.full(BINS, np.nan)
        np.divide(sums, self.pixels, out=mean, where=self.pixels > 0)
        return mean
