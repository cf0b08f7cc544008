"""Outlines for tools in which people drag corners: few corners, and the same pixels inside."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import Field

from service.outputs.output import OutputOptions

# An outline through the middles of pixel edges is nowhere nearer to a pixel's center than the half
# diagonal of half a pixel, 0.354. One that moves by less has the same centers inside.
EXACT_TOLERANCE: Final = 0.35

Ring = NDArray[np.float64]  # (n, 2), the last corner equal to the first


class OutlineOptions(OutputOptions):
    """What formats share that can draw polygons."""

    tolerance: float = Field(
        default=EXACT_TOLERANCE,
        ge=0,
        le=1000,
        description=(
            "Simplify outlines so that they move by at most this many pixels; up to 0.35 the "
            "centers of the same pixels lie inside."
        ),
        examples=[1.5],
    )
    min_area: float = Field(
        default=0.0,
        ge=0,
        description="Leave out regions and fill holes of fewer pixels than this.",
        examples=[64],
    )


def light_rings(rings: Iterable[NDArray[np.int64]], tolerance: float) -> list[Ring]:
    """A region's closed rings along pixel edges, the exterior first, with fewer corners.

    They are led through the middles of pixel edges, which makes slopes of stairs, and then moved by
    `tolerance` pixels at most. The winding stays.
    """
    cut = [_through_middles(ring) for ring in rings]
    if tolerance <= EXACT_TOLERANCE:
        return [_in_two_lines(ring, tolerance) for ring in cut]
    polygon = shapely.Polygon(cut[0], cut[1:])
    simple = polygon.simplify(tolerance, preserve_topology=True)
    if not isinstance(simple, shapely.Polygon) or not simple.is_valid:
        return cut
    return [shapely.get_coordinates(ring) for ring in (simple.exterior, *simple.interiors)]


def _in_two_lines(ring: Ring, tolerance: float) -> Ring:
    """A ring that moves by no more than that: simplified as a ring, the corner where it begins may
    move twice as far. Parts of outlines are 0.7 pixels apart or more, so none meet."""
    middle = len(ring) // 2
    lines = [shapely.LineString(ring[: middle + 1]), shapely.LineString(ring[middle:])]
    first, second = (
        shapely.get_coordinates(line.simplify(tolerance, preserve_topology=False)) for line in lines
    )
    return np.concatenate((first, second[1:]))


def _through_middles(ring: NDArray[np.int64]) -> Ring:
    """The ring with each corner cut off half a pixel before and behind it."""
    corners = ring.astype(np.float64)
    steps = np.diff(corners, axis=0)
    half = np.sign(steps) / 2  # all edges run along pixels
    middles = np.stack((corners[:-1] + half, corners[1:] - half), axis=1).reshape(-1, 2)
    differs = np.ones(len(middles), np.bool_)  # an edge of one pixel has one middle
    differs[1:] = (middles[1:] != middles[:-1]).any(axis=1)
    kept = middles[differs]
    return np.concatenate((kept, kept[:1]))


def without_holes(rings: Iterable[NDArray[np.int64] | Ring]) -> Ring:
    """One open ring (n, 2) around the same area: a seam leads to each hole and back.

    `rings` are closed (the last corner is the first) and wound against each other, so that by
    either rule of filling a hole stays one.
    """
    outline, *holes = (ring[:-1].astype(np.float64) for ring in rings)
    for hole in holes:
        tree = shapely.STRtree(list(map(shapely.Point, outline)))
        nearest, distances = tree.query_nearest(
            shapely.points(hole), return_distance=True, all_matches=False
        )
        best = int(distances.argmin())
        start, place = int(nearest[0][best]), int(nearest[1][best])
        loop = np.roll(hole, -start, axis=0)
        outline = np.concatenate(
            [outline[: place + 1], loop, loop[:1], outline[place : place + 1], outline[place + 1 :]]
        )
    return outline
