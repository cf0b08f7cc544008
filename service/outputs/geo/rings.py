"""Many regions in a few arrays, whatever their number: a Python object a ring would take ten times
the memory of its corners.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int32]  # (n, 2) columns and rows of pixel corners, the last equal to the first


class Rings(NamedTuple):
    """Closed rings one after the other: their `corners` (n, 2), and how many each has."""

    corners: NDArray[np.int32]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """Of region i the rings are those from `first_ring[i]` to `first_ring[i + 1]`, the exterior
    first; of ring j the `corners` (n, 2) int32, columns and rows, are those from `first_corner[j]`
    to `first_corner[j + 1]`, the last equal to the first. Which way rings are wound is not told.
    """

    class_ids: NDArray[np.uint8]
    first_ring: NDArray[np.int64]
    first_corner: NDArray[np.int64]
    corners: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.class_ids)

    @classmethod
    def none(cls) -> "Regions":
        start = np.zeros(1, np.int64)
        return cls(np.empty(0, np.uint8), start, start, np.empty((0, 2), np.int32))

    @classmethod
    def together(cls, several: Sequence["Regions"]) -> "Regions":
        """Those of several, one after the other."""
        if len(several) == 1:
            return several[0]
        rings = np.concatenate([np.diff(one.first_ring) for one in several])
        lengths = np.concatenate([np.diff(one.first_corner) for one in several])
        return cls(
            np.concatenate([one.class_ids for one in several]),
            np.append(0, np.cumsum(rings)),
            np.append(0, np.cumsum(lengths)),
            np.concatenate([one.corners for one in several]),
        )

    @classmethod
    def joined(cls, class_id: int, outer: Sequence[Ring], holes: Sequence[Rings]) -> "Regions":
        """One region: its exterior, which comes first of `outer`, and its holes."""
        lengths = [np.array([len(ring) for ring in outer]), *(one.lengths for one in holes)]
        every = np.concatenate(lengths)
        return cls(
            np.array([class_id], np.uint8),
            np.array([0, len(every)]),
            np.append(0, np.cumsum(every)),
            np.concatenate([*outer, *(one.corners for one in holes)]),
        )

    @classmethod
    def assembled(
        cls,
        class_ids: NDArray[np.uint8],
        corners: NDArray[np.int32],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        sequence: NDArray[np.int64],
        is_hole: NDArray[np.bool_],
    ) -> "Regions":
        """Of open rings that begin at `starts`, put in the `sequence` in which each exterior is
        followed by its holes. `class_ids` are those of rings.
        """
        lengths = lengths[sequence]
        first_corner = np.append(0, np.cumsum(lengths + 1))
        within = np.arange(first_corner[-1]) - np.repeat(first_corner[:-1], lengths + 1)
        within[first_corner[1:] - 1] = 0
        places = np.repeat(starts[sequence], lengths + 1) + within
        exteriors = np.flatnonzero(~is_hole[sequence])
        return cls(
            class_ids[sequence[exteriors]],
            np.append(exteriors, len(sequence)),
            first_corner,
            corners[places],
        )

    @property
    def region_of_ring(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self)), np.diff(self.first_ring))

    def rings_of(self, region: int) -> list[Ring]:
        first, behind = self.first_ring[region], self.first_ring[region + 1]
        bounds = self.first_corner[first : behind + 1]
        own = self.corners[bounds[0] : bounds[-1]]
        return np.split(own, bounds[1:-1] - bounds[0])

    def taken_apart(self, region: int) -> tuple[Ring, Rings]:
        """A region's exterior, and its holes."""
        first, behind = self.first_ring[region], self.first_ring[region + 1]
        bounds = self.first_corner[first : behind + 1]
        holes = self.corners[bounds[1] : bounds[-1]].copy()
        return self.corners[bounds[0] : bounds[1]].copy(), Rings(holes, np.diff(bounds[1:]))

    def exteriors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The first and the last row of each region."""
        rows, starts, own = self.corners[:, 1], self.first_corner[:-1], self.first_ring[:-1]
        if not len(self):
            return starts, starts
        return np.minimum.reduceat(rows, starts)[own], np.maximum.reduceat(rows, starts)[own]

    def where(
        self, regions: NDArray[np.bool_], rings: NDArray[np.bool_] | None = None
    ) -> "Regions":
        """Some of the regions, of these some of the rings, their exteriors among them."""
        held = regions[self.region_of_ring]
        if rings is not None:
            held &= rings
        if held.all():
            return self
        lengths = np.diff(self.first_corner)
        counts = np.add.reduceat(held, self.first_ring[:-1]) if len(self) else np.empty(0, np.int64)
        return Regions(
            self.class_ids[regions],
            np.append(0, np.cumsum(counts[regions])),
            np.append(0, np.cumsum(lengths[held])),
            self.corners[np.repeat(held, lengths)],
        )

    def parts(self, corners: int) -> Iterator[tuple[slice, slice, slice]]:
        """Which regions, rings and corners make parts of about so many corners; a region is within
        one part.
        """
        ends = self.first_corner[self.first_ring[1:]]
        first = 0
        while first < len(self):
            begun = self.first_corner[self.first_ring[first]]
            behind = max(first + 1, int(np.searchsorted(ends, begun + corners, side="right")))
            rings = slice(int(self.first_ring[first]), int(self.first_ring[behind]))
            yield (
                slice(first, behind),
                rings,
                slice(int(begun), int(self.first_corner[rings.stop])),
            )
            first = behind


def ring_parts(first_corner: NDArray[np.int64], corners: int) -> Iterator[tuple[slice, slice]]:
    """Which rings, and which of their corners, make parts of about so many corners."""
    first, rings = 0, len(first_corner) - 1
    while first < rings:
        wanted = first_corner[first] + corners
        behind = max(first + 1, int(np.searchsorted(first_corner, wanted, side="right")) - 1)
        yield slice(first, behind), slice(int(first_corner[first]), int(first_corner[behind]))
        first = behind


def first_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of several pieces begins that lie one after the other."""
    starts: NDArray[np.int64] = np.cumsum(lengths) - lengths
    return starts
