"""Regions with their areas, some thousands at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from service.domain.source import SourceInfo
from service.outputs.geo.areas import ring_areas
from service.outputs.geo.rings import Regions, ring_parts

_BATCH_CORNERS = 2**18


@dataclass(frozen=True)
class Shapes:
    """Regions that are large enough.

    `pixels` and `area_m2` (n,) are those of each region as it is in the map, before it is
    simplified; `area_m2` is None where the raster has no CRS.
    """

    regions: Regions
    pixels: NDArray[np.int64]
    area_m2: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.regions)


def shapes_of(
    regions: Iterable[Regions], info: SourceInfo, min_area: float, tolerance: float
) -> Iterator[Shapes]:
    """Without regions, and with holes filled, of less than `min_area`: m², or pixels where the
    raster has no CRS. Rings move by at most `tolerance` pixels.
    """
    for batch in regions:
        shapes = _large_enough(batch, info, min_area)
        if len(shapes):
            simple = _simple(shapes.regions, tolerance) if tolerance else shapes.regions
            yield Shapes(simple, shapes.pixels, shapes.area_m2)


def _large_enough(regions: Regions, info: SourceInfo, min_area: float) -> Shapes:
    pixels, meters = np.empty(len(regions.first_corner) - 1), None
    if info.transform is not None and info.reference is not None and info.is_on_earth:
        meters = np.empty(len(pixels))
    for rings, corners in ring_parts(regions.first_corner, _BATCH_CORNERS):
        own = regions.corners[corners]
        starts = regions.first_corner[rings] - corners.start
        pixels[rings] = pixel_areas(own, starts)
        if meters is not None:
            assert info.transform is not None
            assert info.reference is not None
            meters[rings] = ring_areas(own, starts, info.transform, info.reference)
    is_exterior = np.zeros(len(pixels), np.bool_)
    is_exterior[regions.first_ring[:-1]] = True
    sizes = pixels if meters is None else meters
    held = is_exterior | (sizes >= min_area)

    def of_regions(of_rings: NDArray[np.float64]) -> NDArray[np.float64]:
        signed = np.where(is_exterior, of_rings, -of_rings) * held
        total: NDArray[np.float64] = np.add.reduceat(signed, regions.first_ring[:-1])
        return total

    large = of_regions(sizes) >= min_area
    return Shapes(
        regions.where(large, held),
        np.rint(of_regions(pixels)[large]).astype(np.int64),
        None if meters is None else of_regions(meters)[large],
    )


def pixel_areas(corners: NDArray[np.int32], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels within each closed ring of corners (n, 2), which begins at its number of `starts`."""
    if not len(starts):
        return np.empty(0)
    x, y = corners[:, 0].astype(np.int64), corners[:, 1].astype(np.int64)
    twice = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0)
    twice[starts[1:] - 1] = 0  # from the last corner of a ring to the first of the next
    return np.abs(np.add.reduceat(twice, starts)) / 2


def _simple(regions: Regions, tolerance: float) -> Regions:
    """Each by itself; one that would become no polygon is left as it is."""
    numbers = np.arange(len(regions.first_corner) - 1)
    of_corner = np.repeat(numbers, np.diff(regions.first_corner))
    rings = np.asarray(shapely.linearrings(regions.corners, indices=of_corner))
    whole = np.asarray(shapely.polygons(rings, indices=regions.region_of_ring))
    simple = shapely.simplify(whole, tolerance, preserve_topology=True)
    fine = (
        (shapely.get_type_id(simple) == shapely.GeometryType.POLYGON)
        & ~shapely.is_empty(simple)
        & shapely.is_valid(simple)
    )
    _, corners, (first_corner, first_ring) = shapely.to_ragged_array(np.where(fine, simple, whole))
    return Regions(
        regions.class_ids,
        first_ring.astype(np.int64),
        first_corner.astype(np.int64),
        np.rint(corners).astype(np.int32),
    )
