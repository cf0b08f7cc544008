"""Regions as polygons with their areas, some thousands at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from service.domain.source import SourceInfo
from service.outputs.geo.areas import ring_areas
from service.outputs.geo.regions import Region, Ring

_BATCH_CORNERS = 200_000


@dataclass(frozen=True)
class Shape:
    """A region that is large enough: closed rings (n, 2) of columns and rows, the exterior first.

    `pixels` and `area_m2` are those of the region as it is in the map, before it is simplified.
    """

    class_id: int
    pixels: int
    area_m2: float | None
    rings: list[NDArray[np.float64]]


def shapes_of(
    regions: Iterable[Region], info: SourceInfo, min_area: float, tolerance: float
) -> Iterator[Shape]:
    """Without regions, and with holes filled, of less than `min_area`: m², or pixels where the
    raster has no CRS. Rings move by at most `tolerance` pixels.
    """
    for batch in _batches(regions):
        yield from _shapes(batch, info, min_area, tolerance)


def _batches(regions: Iterable[Region]) -> Iterator[list[Region]]:
    batch, corners = list[Region](), 0
    for region in regions:
        batch.append(region)
        corners += sum(map(len, region.rings))
        if corners > _BATCH_CORNERS:
            yield batch
            batch, corners = [], 0
    if batch:
        yield batch


def _shapes(
    batch: list[Region], info: SourceInfo, min_area: float, tolerance: float
) -> Iterator[Shape]:
    rings = [ring for region in batch for ring in region.rings]
    lengths = np.array([len(ring) for ring in rings])
    starts = np.cumsum(lengths) - lengths
    corners = np.concatenate(rings).astype(np.float64)
    pixels = _pixel_areas(rings)
    meters = None
    if info.transform is not None and info.reference is not None:
        meters = ring_areas(corners, starts, info.transform, info.reference)
    sizes = pixels if meters is None else meters
    place = 0
    for region in batch:
        own = slice(place, place + len(region.rings))
        place = own.stop
        held = [0, *(1 + np.flatnonzero(sizes[own][1:] >= min_area)).tolist()]
        if _without_holes(sizes[own][held]) < min_area:
            continue
        outline = [region.rings[number].astype(np.float64) for number in held]
        yield Shape(
            region.class_id,
            int(_without_holes(pixels[own][held])),
            None if meters is None else float(_without_holes(meters[own][held])),
            outline if tolerance == 0 else _simple(outline, tolerance),
        )


def _without_holes(areas: NDArray[np.float64]) -> float:
    return float(areas[0] - areas[1:].sum())


def _pixel_areas(rings: list[Ring]) -> NDArray[np.float64]:
    return np.array(
        [abs(int(r[:-1, 0] @ r[1:, 1] - r[1:, 0] @ r[:-1, 1])) / 2 for r in rings], np.float64
    )


def _simple(rings: list[NDArray[np.float64]], tolerance: float) -> list[NDArray[np.float64]]:
    simple = shapely.Polygon(rings[0], rings[1:]).simplify(tolerance, preserve_topology=True)
    if not isinstance(simple, shapely.Polygon) or simple.is_empty or not simple.is_valid:
        return rings
    return [shapely.get_coordinates(ring) for ring in (simple.exterior, *simple.interiors)]
