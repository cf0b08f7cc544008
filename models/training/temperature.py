"""Temperatures that make probabilities honest: fitted on a split, and applied (Guo et al. 2017, "On
Calibration of Modern Neural Networks", section 4.2).

One number divides all logits, so that no class changes. Where a split is large enough to check it,
there may be one for each class, taken by a pixel's strongest class, which changes none either.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.training.evaluation import Predictor, Probabilities

_LEAST, _MOST = 0.25, 4.0
_HALVINGS = 24  # of that range, by the logarithm
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)
_SAMPLED_VALUES = 2**23  # 32 MB of float32

# Temperatures by class are tried with so many images, and for a class with so many pixels. On the
# 101 frames of one drive that are CamVid's val they did better on both halves, and worse on test.
LEAST_IMAGES, _LEAST_PIXELS = 200, 2000
# They are taken where they lower the loss on both held-out halves by this share.
_WORTHWHILE = 0.005

LogProbabilities = NDArray[np.float32]
Labels = NDArray[np.uint8]


class PixelSample:
    """Pixels spread evenly over a split: what they are, and the logarithm of what was predicted."""

    def __init__(self, classes: int, images: int) -> None:
        self.classes = classes
        self._most = max(64, _SAMPLED_VALUES // (classes * max(images, 1)))
        self._log_probabilities: list[LogProbabilities] = []
        self._labels: list[Labels] = []

    def add(self, mask: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Sample a mask (H, W) and probabilities (H, W, classes); ids beyond the classes are
        void."""
        labels = mask.reshape(-1)
        valid = np.flatnonzero(labels < self.classes)
        count = min(len(valid), self._most)
        chosen = valid[np.linspace(0, len(valid) - 1, count).astype(np.intp)] if count else valid
        values = probabilities.reshape(-1, self.classes)[chosen]
        self._log_probabilities.append(np.log(np.maximum(values, np.float32(_LEAST_PROBABILITY))))
        self._labels.append(labels[chosen])

    @property
    def images(self) -> int:
        return len(self._labels)

    def halves(self) -> tuple["PixelSample", "PixelSample"]:
        """The first and the second half of the images: neighbours are often one video's."""
        middle, parts = self.images // 2, []
        for images in (slice(None, middle), slice(middle, None)):
            part = PixelSample(self.classes, self.images)
            part._log_probabilities = self._log_probabilities[images]
            part._labels = self._labels[images]
            parts.append(part)
        return parts[0], parts[1]

    @property
    def arrays(self) -> tuple[LogProbabilities, Labels]:
        """Log probabilities (pixels, classes), and labels (pixels,)."""
        if not self._labels:
            return np.empty((0, self.classes), np.float32), np.empty(0, np.uint8)
        return np.concatenate(self._log_probabilities), np.concatenate(self._labels)


def fit_temperature(log_probabilities: LogProbabilities, labels: Labels) -> float:
    """The temperature of the least mean negative log-likelihood, within 0.25 and 4; 1 without
    pixels.

    The loss is convex in 1 / temperature, and its slope there is the mean over pixels of the
    expected logit less that of the true class.
    """
    if not len(labels):
        return 1.0
    shifted = log_probabilities - log_probabilities.max(axis=1, keepdims=True)
    of_truth = float(shifted[np.arange(len(labels)), labels].mean(dtype=np.float64))
    low, high = np.log(_LEAST), np.log(_MOST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        powers = np.exp(shifted * np.float32(np.exp(-middle)))
        expected = ((powers * shifted).sum(axis=1) / powers.sum(axis=1)).mean(dtype=np.float64)
        if expected > of_truth:  # surer than it may be
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def fit_temperatures(sample: PixelSample) -> tuple[float, tuple[float, ...] | None]:
    """One temperature, and those of the classes where they prove better on both halves of the
    split, each judged by what the other half gave."""
    arrays = sample.arrays
    overall = fit_temperature(*arrays)
    if sample.images < LEAST_IMAGES:
        return overall, None
    first, second = (half.arrays for half in sample.halves())
    for fitted_on, judged_on in ((first, second), (second, first)):
        one = fit_temperature(*fitted_on)
        by_class = _of_classes(*fitted_on, one)
        loss_of_one = negative_log_likelihood(*judged_on, (one,) * sample.classes)
        if negative_log_likelihood(*judged_on, by_class) > (1 - _WORTHWHILE) * loss_of_one:
            return overall, None
    return overall, _of_classes(*arrays, overall)


def _of_classes(
    log_probabilities: LogProbabilities, labels: Labels, overall: float
) -> tuple[float, ...]:
    strongest = log_probabilities.argmax(axis=1)
    found = []
    for class_id in range(log_probabilities.shape[1]):
        chosen = strongest == class_id
        enough = np.count_nonzero(chosen) >= _LEAST_PIXELS
        found.append(
            fit_temperature(log_probabilities[chosen], labels[chosen]) if enough else overall
        )
    return tuple(found)


def negative_log_likelihood(
    log_probabilities: LogProbabilities, labels: Labels, temperatures: Sequence[float]
) -> float:
    """Mean over pixels, in nats; NaN without any."""
    if not len(labels):
        return float("nan")
    logits = log_probabilities / _of_pixels(log_probabilities, temperatures)
    highest = logits.max(axis=1)
    total = np.log(np.exp(logits - highest[:, np.newaxis]).sum(axis=1))
    of_truth = logits[np.arange(len(labels)), labels] - highest
    return float((total - of_truth).mean(dtype=np.float64))


def calibrated(
    probabilities: NDArray[np.float32], temperatures: Sequence[float]
) -> NDArray[np.float32]:
    """Probabilities (…, classes) as if their logits had been divided by the temperature of the
    strongest class. The strongest class stays."""
    if all(temperature == 1 for temperature in temperatures):
        return probabilities
    logits = np.log(np.maximum(probabilities, np.float32(_LEAST_PROBABILITY)))
    strongest = probabilities.argmax(axis=-1)
    logits -= logits.max(axis=-1, keepdims=True)
    logits /= np.asarray(temperatures, np.float32)[strongest][..., np.newaxis]
    powers = np.exp(logits, out=logits)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def with_temperatures(predictor: Predictor, temperatures: Sequence[float]) -> Predictor:
    """Predict the same classes with probabilities at these temperatures."""

    def probabilities(images: NDArray[np.uint8]) -> Probabilities:
        return calibrated(predictor.probabilities(images), temperatures)

    return Predictor(predictor.class_maps, probabilities)


def _of_pixels(
    log_probabilities: LogProbabilities, temperatures: Sequence[float]
) -> NDArray[np.float32]:
    values = np.asarray(temperatures, np.float32)
    if (values == values[0]).all():
        return values[:1]
    pixels: NDArray[np.float32] = values[log_probabilities.argmax(axis=1)][:, np.newaxis]
    return pixels
