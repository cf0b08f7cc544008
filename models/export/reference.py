"""What a model sees and answers on its own data, for its contract's `reference`."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, Reference, Spread
from models.contract.typicality import class_shift, distances, picture_statistics
from models.contract.working_size import ScaleRequest, wanted_ratio, working_size
from models.training.scaled import resized
from models.training.temperature import calibrated

_GRID_PIXELS = 1024  # of an image's probabilities, which are kept until the temperature is known
_LEAST_LIMIT = 1.0  # no picture within the middle 90 % of each statistic is atypical
_LIMIT_PERCENTILE = 99


class ReferenceSample:
    """Statistics of pictures of train and val, and probabilities of each on a grid."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._statistics: list[dict[str, float]] = []
        self._shares: list[NDArray[np.float64]] = []
        self._grids: list[NDArray[np.float32]] = []
        self._splits: list[str] = []

    def add(self, split: str, image: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Take an image (H, W, C) with its probabilities (H, W, classes)."""
        height, width, classes = probabilities.shape
        step = max(1, math.isqrt(height * width // _GRID_PIXELS))
        grid = probabilities[::step, ::step].reshape(-1, classes)
        ids = grid.argmax(axis=1)
        self._shares.append(np.bincount(ids, minlength=classes) / len(ids))
        self._statistics.append(picture_statistics(as_seen(image, self._contract)))
        self._splits.append(split)
        if split != "train":  # on which the model is surer than elsewhere
            self._grids.append(grid.copy())

    def reference(self, temperatures: Sequence[float]) -> Reference:
        """Of at least one image of val; `temperatures` are those its probabilities are served
        with, one a class."""
        confidences = [
            float(calibrated(grid, temperatures).max(axis=-1).mean()) for grid in self._grids
        ]
        shares = np.mean(self._shares, axis=0)
        usual = (shares / shares.sum()).tolist()
        shifts = [class_shift(own.tolist(), usual) for own in self._shares]
        spreads = {
            name: spread([one[name] for one in self._statistics]) for name in self._statistics[0]
        }
        found = Reference(
            split="+".join(dict.fromkeys(self._splits)),
            images=len(self._splits),
            class_shares=tuple(usual),
            confidence=spread(confidences),
            class_shift=spread(shifts),
            **spreads,
        )
        furthest = [
            max(distances({**one, "class_shift": shift}, found).values())
            for one, shift in zip(self._statistics, shifts, strict=True)
        ]
        limit = max(_LEAST_LIMIT, float(np.percentile(furthest, _LIMIT_PERCENTILE)))
        return found.model_copy(update={"limit": limit})


def spread(values: Sequence[float]) -> Spread:
    """How values lie."""
    p05, p50, p95 = np.percentile(values, (5, 50, 95))
    return Spread(mean=float(np.mean(values)), p05=float(p05), p50=float(p50), p95=float(p95))


def as_seen(image: NDArray[np.uint8], contract: Contract) -> NDArray[np.uint8]:
    """An image (H, W, C) at the size at which the network is shown it."""
    height, width = image.shape[:2]
    ratio, exact = wanted_ratio(max(height, width), contract.scale, ScaleRequest.parse("auto"))
    working = working_size(height, width, ratio, (1.0,), exact=exact)
    return image if working is None else resized(image, working.height, working.width)
