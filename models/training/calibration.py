"""Whether a model's probabilities are what they say: of the pixels it is 80 % sure of, 80 % should
be right."""

import math

import numpy as np
from numpy.typing import NDArray

BINS = 15
_SAMPLES = 2**15  # pixels of an image that all classes' probabilities are compared on


class Calibration:
    """Confidence against accuracy in 15 bins of equal width (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", section 2), and the same of each class's own probability (Kull et al.
    2019, "Beyond temperature scaling", section 2), which is counted on a grid of pixels."""

    def __init__(self, classes: int) -> None:
        self.pixels: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._hits: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._confidences: NDArray[np.float64] = np.zeros(BINS)
        self._classes = classes
        self._class_hits: NDArray[np.int64] = np.zeros(classes * BINS, np.int64)
        self._class_sums: NDArray[np.float64] = np.zeros(classes * BINS)
        self._samples = 0
        self._squares = self._logs = 0.0

    def add(self, masks: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Count masks (N, H, W) and probabilities (N, H, W, classes); ids beyond the classes in
        `masks` are void."""
        self._add_classes(masks, probabilities)
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

    @property
    def class_error(self) -> float:
        """The mean over classes of the expected calibration error of that class's probability. NaN
        without pixels."""
        gaps = np.abs(self._class_hits - self._class_sums).reshape(self._classes, BINS).sum(axis=1)
        return float(gaps.mean() / self._samples) if self._samples else float("nan")

    @property
    def brier(self) -> float:
        """The mean over pixels of the squared distance of the probabilities to the truth, 0 to 2
        (Brier 1950). NaN without pixels."""
        return self._squares / self._samples if self._samples else float("nan")

    @property
    def log_loss(self) -> float:
        """The mean negative log-likelihood in nats. NaN without pixels."""
        return self._logs / self._samples if self._samples else float("nan")

    def summary(self) -> dict[str, float]:
        """What the probabilities are worth, by name."""
        return {
            "calibration_error": self.error,
            "class_calibration_error": self.class_error,
            "brier": self.brier,
            "log_loss": self.log_loss,
        }

    def _add_classes(self, masks: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        step = max(1, math.isqrt(masks.shape[1] * masks.shape[2] // _SAMPLES))
        grid = masks[:, ::step, ::step]
        valid = grid < self._classes
        truth = grid[valid].astype(np.intp)
        values = probabilities[:, ::step, ::step][valid]
        bins = np.clip(np.ceil(values * BINS).astype(np.intp) - 1, 0, BINS - 1)
        bins += np.arange(self._classes) * BINS
        places = np.arange(len(truth))
        of_truth = values[places, truth].astype(np.float64)
        count = len(self._class_hits)
        self._class_hits += np.bincount(bins[places, truth], minlength=count)
        self._class_sums += np.bincount(bins.reshape(-1), values.reshape(-1), minlength=count)
        self._samples += len(truth)
        self._squares += float(np.square(values, dtype=np.float64).sum() + (1 - 2 * of_truth).sum())
        self._logs -= float(np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).sum())

    def _mean(self, sums: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        mean = np.full(BINS, np.nan)
        np.divide(sums, self.pixels, out=mean, where=self.pixels > 0)
        return mean
