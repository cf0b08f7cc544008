"""The confidence above which pixels of a class are right as often as is wished, chosen on val."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, OperatingPoint, StoredPrecision, UserError
from models.data.dataset import Dataset
from models.export.artefact import Measure
from models.export.confidence import FITTED_SPLIT, file_predictor, held_precisions
from models.training.evaluation import eval_batches
from models.training.temperature import with_temperatures

_LEVELS = 256  # confidence is compared in 8 bits


class PrecisionError(UserError):
    """A precision that no confidence gives, or of no class. The text says the best there is."""


class Tally:
    """Of each class and level of confidence: the pixels that were given it, and those rightly; and
    of each class its pixels in the masks."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.given: NDArray[np.int64] = np.zeros((classes, _LEVELS), np.int64)
        self.right: NDArray[np.int64] = np.zeros((classes, _LEVELS), np.int64)
        self.truth: NDArray[np.int64] = np.zeros(classes, np.int64)

    def add(self, masks: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Count masks (N, H, W) and probabilities (N, H, W, classes); ids beyond are void."""
        valid = masks < self.classes
        truth, ids = masks[valid], probabilities.argmax(axis=-1)[valid]
        levels = np.rint(probabilities.max(axis=-1)[valid] * 255).astype(np.intp)
        places, size = ids * _LEVELS + levels, self.classes * _LEVELS
        shape = self.given.shape
        self.given += np.bincount(places, minlength=size).reshape(shape)
        self.right += np.bincount(places[ids == truth], minlength=size).reshape(shape)
        self.truth += np.bincount(truth, minlength=self.classes)

    def point(self, class_id: int, name: str, wished: float) -> OperatingPoint:
        """The lowest confidence that gives a class the precision that is wished. Raises
        PrecisionError."""
        given = self.given[class_id, ::-1].cumsum()[::-1]
        right = self.right[class_id, ::-1].cumsum()[::-1]
        precision = np.divide(right, given, out=np.zeros(_LEVELS), where=given > 0)
        enough = np.flatnonzero(precision >= wished)
        if not enough.size:
            best = "the model gives it no pixel"
            if given[0]:
                level = int(precision.argmax())
                best = f"the best is {precision[level]:.4f}, at a confidence of {level / 255:.3f}"
            raise PrecisionError(
                f"no confidence gives {name} a precision of {wished:g} on {FITTED_SPLIT}: {best}. "
                "Nothing was written"
            )
        level = int(enough[0])
        return OperatingPoint(
            min_confidence=math.floor(level / 255 * 10_000) / 10_000,  # no level above is asked
            wished_precision=wished,
            precision=float(precision[level]),
            recall=float(right[level] / max(1, self.truth[class_id])),
            split=FITTED_SPLIT,
        )


def choose_on(dataset: Dataset, wished: Mapping[str, float]) -> Measure:
    """What chooses the operating points of classes by name, for every precision that the artefact
    holds. It raises PrecisionError and DatasetError."""

    def choose(folder: Path, contract: Contract) -> Contract:
        ids = {one.name: one.id for one in contract.classes}
        unknown = sorted(set(wished) - set(ids))
        if unknown:
            raise PrecisionError(
                f"--precision names {unknown[0]!r}; the classes of {contract.name} are "
                f"{', '.join(ids)}"
            )
        points: dict[StoredPrecision, dict[str, OperatingPoint]] = {
            precision: dict(of_classes)
            for precision, of_classes in (contract.operating_points or {}).items()
        }
        for precision in held_precisions(contract):
            predictor = file_predictor(folder, contract, precision)
            fitted = (contract.calibration or {}).get(precision)
            if fitted is not None:
                predictor = with_temperatures(predictor, fitted.temperatures(len(ids)))
            tally = Tally(len(ids))
            for shown in eval_batches(dataset, FITTED_SPLIT, 1):
                tally.add(shown.masks, predictor.probabilities(shown.images))
            of_precision = points.setdefault(precision, {})
            for name, least in wished.items():
                of_precision[name] = tally.point(ids[name], name, least)
        return contract.model_copy(update={"operating_points": points})

    return choose
