"""Run lengths of a class map, found in one pass; `rle`, `coco` and `polygons` count with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Runs:
    """Maximal stretches of one value: `values` uint8, `starts` and `lengths` int64."""

    values: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def pixels(self) -> dict[int, int]:
        """The number of pixels of each id that occurs, by ascending id."""
        # summed from the runs: bincount over the map itself would first widen each pixel to 8 bytes
        counts = np.bincount(self.values, weights=self.lengths)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def find_runs(values: NDArray[np.uint8]) -> Runs:
    """The runs of a flat, non-empty array. Memory: one byte a value, and 24 bytes a run."""
    starts = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))
    lengths = np.diff(starts, append=len(values))
    return Runs(values[starts], starts, lengths)
