"""What an answer says of itself beside the class map: how sure the model is, and whether the
picture is like those that it was made on. It is found on a grid of pixels, so that it costs next to
nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from models.contract.typicality import Typicality, class_shift, typicality
from service.domain.temperature import Temperatures, powers_of
from service.domain.upsampling import strongest

_GRID_PIXELS = 2**13  # of a class map or a confidence map
_GRID_LOGITS = 2**14


class ConfidenceSample:
    """The winners' probabilities on a grid of a picture's pixels."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._pixels = 0

    @property
    def mean(self) -> float | None:
        """None where nothing was sampled."""
        return self._sum / self._pixels if self._pixels else None

    def add_logits(self, logits: NDArray[np.float32], temperatures: Temperatures | None) -> None:
        """Take logits (classes, h, w), which may be off by a constant in each pixel."""
        step = max(1, math.isqrt(logits.size // _GRID_LOGITS))
        sampled = logits[:, ::step, ::step].reshape(len(logits), -1)
        of_class = temperatures is not None and len(temperatures) > 1
        ids = strongest(sampled) if of_class else np.empty(0, np.uint8)
        powers = powers_of(sampled.copy() if step == 1 else sampled, ids, temperatures)
        self._sum += float((1 / powers.sum(axis=0)).sum())
        self._pixels += sampled.shape[1]

    def add_confidence(self, confidence: NDArray[np.uint8]) -> None:
        """Take a confidence map (H, W)."""
        sampled = on_grid(confidence)
        self._sum += float(sampled.mean()) / 255 * sampled.size
        self._pixels += sampled.size


@dataclass(frozen=True)
class Observation:
    """Of one picture of `pixels`: the classes' shares by id, before any is left out, the mean
    confidence, and how far the picture lies outside; None where the model cannot say it.
    """

    pixels: int
    class_shares: tuple[float, ...]
    confidence: float | None
    typicality: Typicality | None

    def document(self) -> dict[str, Any]:
        """As JSON answers say it."""
        sure = {} if self.confidence is None else {"confidence": round(self.confidence, 4)}
        if self.typicality is None:
            return sure
        reasons = list(self.typicality.reasons)
        why = {"atypical_reasons": reasons} if reasons else {}
        return {**sure, "atypical": round(self.typicality.score, 3), **why}


def observe(
    contract: Contract,
    statistics: Mapping[str, float],
    class_map: NDArray[np.uint8],
    confidence: ConfidenceSample,
) -> Observation:
    """`statistics` are those of the picture as the network saw it; `class_map` (H, W) has class ids
    only.
    """
    grid = on_grid(class_map)
    counts = np.bincount(grid.reshape(-1), minlength=len(contract.classes))
    shares: list[float] = (counts / grid.size).tolist()
    found = None
    if contract.reference is not None:
        all_statistics = dict(statistics)
        all_statistics["class_shift"] = class_shift(shares, contract.reference.class_shares)
        if confidence.mean is not None:
            all_statistics["confidence"] = confidence.mean
        found = typicality(all_statistics, contract.reference)
    return Observation(class_map.size, tuple(shares), confidence.mean, found)


def on_grid(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A few thousand of the values (H, W), regularly spaced."""
    step = max(1, math.isqrt(values.size // _GRID_PIXELS))
    return values[::step, ::step]
