"""Two class maps of the same pictures against each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.classes import bands


@dataclass(frozen=True)
class Agreement:
    """How often two versions say the same, over one picture or many.

    `counts` (classes, classes) int64 are pixels, by the first one's class and the second one's.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, first: NDArray[np.uint8], second: NDArray[np.uint8], classes: int) -> "Agreement":
        """Of two class maps (H, W)."""
        counts = np.zeros(classes * classes, np.int64)
        for rows in bands(*first.shape):
            pairs = first[rows].astype(np.uint16) * classes + second[rows]
            counts += np.bincount(pairs.reshape(-1), minlength=len(counts))[: len(counts)]
        return cls(counts.reshape(classes, classes))

    @classmethod
    def none(cls, classes: int) -> "Agreement":
        return cls(np.zeros((classes, classes), np.int64))

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        return int(self.counts.sum())

    @property
    def equal_share(self) -> float:
        """Of the pixels; 1 where there are none."""
        return float(np.trace(self.counts) / self.pixels) if self.pixels else 1.0

    @property
    def class_iou(self) -> list[float | None]:
        """The IoU of both versions' pixels of each class; None where neither has any."""
        both = np.diag(self.counts)
        either = self.counts.sum(axis=0) + self.counts.sum(axis=1) - both
        return [int(b) / int(e) if e else None for b, e in zip(both, either, strict=True)]

    @property
    def mean_iou(self) -> float:
        """Over the classes that there are; 1 where there are none."""
        there = [iou for iou in self.class_iou if iou is not None]
        return sum(there) / len(there) if there else 1.0

    @property
    def first_shares(self) -> NDArray[np.float64]:
        """The classes' parts of the pixels (classes,), by the first version."""
        return self._shares(1)

    @property
    def second_shares(self) -> NDArray[np.float64]:
        """The same by the second."""
        return self._shares(0)

    def _shares(self, axis: int) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = self.counts.sum(axis=axis) / max(1, self.pixels)
        return shares
