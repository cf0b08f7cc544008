"""Everything that is told of a model on one split: what `segtrain evaluate` prints, and what a
report shows."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.data.dataset import Dataset, Sample
from models.training.boundary import BoundaryF1
from models.training.calibration import Calibration
from models.training.evaluation import Predictor, eval_batches
from models.training.metrics import ConfusionMatrix, Scores
from models.training.temperature import calibrated

SINGLE_PASS = "single_pass"  # each image once, whole, as it is served


@dataclass(frozen=True)
class ImageScore:
    """One image and its own mean IoU, NaN where its mask is all void."""

    sample: Sample
    mean_iou: float


@dataclass(frozen=True)
class Assessment:
    """The scores of one model on one split, and what they are made of. The rate is that of the
    model alone. `calibration` is of the probabilities as they are served, `uncalibrated` of the
    network's own where these have a temperature."""

    dataset: Dataset
    split: str
    confusion: ConfusionMatrix
    boundary_f1: float
    calibration: Calibration
    images: tuple[ImageScore, ...]
    images_per_second: float
    inference_mode: str
    scale: str = "native"  # at which size the images were seen
    uncalibrated: Calibration | None = None
    robustness: Mapping[str, float] | None = None  # mean IoU by condition, where it was asked for

    @property
    def scores(self) -> Scores:
        return self.confusion.scores()

    def summary(self) -> dict[str, float]:
        """The scores as fractions in [0, 1], by name."""
        return {
            **self.scores.summary(),
            "boundary_f1": self.boundary_f1,
            "calibration_error": self.calibration.error,
            "class_calibration_error": self.calibration.class_error,
            "brier": self.calibration.brier,
        }

    def by_class(self) -> dict[str, dict[str, float]]:
        """IoU, Dice and accuracy of each class, NaN where there is none."""
        scores = self.scores
        return {
            c.name: {"iou": float(iou), "dice": float(dice), "accuracy": float(accuracy)}
            for c, iou, dice, accuracy in zip(
                self.dataset.class_list.classes,
                scores.class_iou,
                scores.class_dice,
                scores.class_accuracy,
                strict=True,
            )
        }

    def name_of(self, sample: Sample) -> str:
        """Its image's path below the data set's folder: file names alone can be equal in nested
        folders."""
        return sample.name(self.dataset.folder)

    def document(self) -> dict[str, Any]:
        """All numbers, for JSON; None in place of NaN."""
        by_class = self.by_class()
        document: dict[str, Any] = _without_nan(
            {
                "data": self.dataset.class_list.name,
                "split": self.split,
                "inference_mode": self.inference_mode,
                "scale": self.scale,
                **self.summary(),
                "pixel_error": 1 - self.scores.pixel_accuracy,
                "images_per_second": self.images_per_second,
                "class_iou": {name: values["iou"] for name, values in by_class.items()},
                "class_dice": {name: values["dice"] for name, values in by_class.items()},
                "class_accuracy": {name: values["accuracy"] for name, values in by_class.items()},
                "confusion": self.confusion.counts.tolist(),
                "calibration": _reliability(self.calibration),
                "uncalibrated": None
                if self.uncalibrated is None
                else self.uncalibrated.summary() | _reliability(self.uncalibrated),
                **({} if self.robustness is None else {"robustness": dict(self.robustness)}),
                "images": {
                    self.name_of(scored.sample): scored.mean_iou
                    for scored in sorted(self.images, key=lambda scored: scored.sample.place)
                },
            }
        )
        return document


def assess(
    predictor: Predictor,
    dataset: Dataset,
    split: str,
    *,
    batch_size: int,
    inference_mode: str = SINGLE_PASS,
    scale: str = "native",
    temperatures: Sequence[float] | None = None,
) -> Assessment:
    """Predict the split once and score it; `inference_mode` says how the predictor runs the model,
    `scale` at which size it sees the images, and `temperatures`, one a class, are those that its
    probabilities are served with. Raises DatasetError."""
    classes = len(dataset.class_list.classes)
    confusion, calibration = ConfusionMatrix(classes), Calibration(classes)
    uncalibrated = None if temperatures is None else Calibration(classes)
    boundary, images = BoundaryF1(classes), []
    timed: list[tuple[int, float]] = []  # images, seconds
    for shown in eval_batches(dataset, split, batch_size):
        began = time.perf_counter()
        probabilities = predictor.probabilities(shown.images)
        timed.append((len(shown.samples), time.perf_counter() - began))
        class_maps = probabilities.argmax(axis=-1).astype(np.uint8)
        if temperatures is not None and uncalibrated is not None:
            uncalibrated.add(shown.masks, probabilities)
            probabilities = calibrated(probabilities, temperatures)
        calibration.add(shown.masks, probabilities)
        for sample, mask, class_map in zip(shown.samples, shown.masks, class_maps, strict=True):
            own = ConfusionMatrix(classes)
            own.add(mask, class_map)
            confusion.counts += own.counts
            boundary.add(mask, class_map)
            images.append(ImageScore(sample, own.scores().mean_iou))
    return Assessment(
        dataset,
        split,
        confusion,
        boundary.score(),
        calibration,
        tuple(images),
        _rate(timed),
        inference_mode,
        scale,
        uncalibrated,
    )


def _reliability(calibration: Calibration) -> dict[str, list[float]]:
    return {
        "pixels": calibration.pixels.tolist(),
        "confidence": calibration.confidence.tolist(),
        "accuracy": calibration.accuracy.tolist(),
    }


def _rate(timed: list[tuple[int, float]]) -> float:
    """Images a second, without the first batch where there are others: TensorFlow traces in it."""
    images, seconds = np.sum(timed[1:] or timed, axis=0)
    return float(images / max(seconds, 1e-9))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
