"""One confusion matrix, and every score from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """Scores as fractions in [0, 1] (Long et al. 2015, section 5). A class that occurs neither in
    the masks nor in the predictions has no IoU (NaN) and is left out of the means."""

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    mean_dice: float
    class_iou: NDArray[np.float64]
    class_dice: NDArray[np.float64]
    class_accuracy: NDArray[np.float64]
    class_pixels: NDArray[np.int64]

    def summary(self) -> dict[str, float]:
        """The scores of the field, by the names they go by."""
        return {
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "mean_iou": self.mean_iou,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "mean_dice": self.mean_dice,
        }


class ConfusionMatrix:
    """Counts pixels by true class (row) and predicted class (column); void pixels are left out."""

    def __init__(self, classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((classes, classes), np.int64)

    def add(self, mask: NDArray[np.uint8], class_map: NDArray[np.uint8]) -> None:
        """Count one mask and one class map of the same shape. Ids beyond the classes in `mask` are
        void."""
        classes = len(self.counts)
        valid = mask < classes
        places = mask[valid].astype(np.int64) * classes + class_map[valid]
        self.counts += np.bincount(places, minlength=classes * classes).reshape(classes, classes)

    def scores(self) -> Scores:
        """All scores of what was counted so far."""
        hits = np.diag(self.counts).astype(np.float64)
        truth = self.counts.sum(axis=1)
        predicted = self.counts.sum(axis=0)
        total = max(int(truth.sum()), 1)
        accuracy = _ratio(hits, truth)
        iou = _ratio(hits, truth + predicted - hits)
        dice = _ratio(
            2 * hits, truth + predicted
        )  # of two classes, the second one's is the F1 score
        return Scores(
            pixel_accuracy=float(hits.sum() / total),
            mean_accuracy=_mean(accuracy),
            mean_iou=_mean(iou),
            frequency_weighted_iou=float(np.nansum(iou * truth) / total),
            mean_dice=_mean(dice),
            class_iou=iou,
            class_dice=dice,
            class_accuracy=accuracy,
            class_pixels=truth,
        )


def _ratio(
    part: NDArray[np.float64], whole: NDArray[np.int64] | NDArray[np.float64]
) -> NDArray[np.float64]:
    ratio = np.full(len(part), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
