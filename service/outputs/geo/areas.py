"""Areas on the ground, in m²: of rings, and of each class of a map."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.ground import (
    Transform,
    equal_area,
    quads_area,
    reproject,
    to_ground,
    true_pixel_size,
    unwrapped,
    unwrapped_path,
)
from service.domain.source import SourceInfo, Window
from service.outputs.geo.stored import chunks

_BLOCK = 256  # pixels of a side that are counted at once
_CHUNK = 2048
_LIKELY = 16  # values that a block is first thought to have no others than
_NET_POINTS = 512  # of a side, that are brought to the ground at once
# Within so many meters the size of a pixel changes evenly enough: by a millionth of what is even
# less of a ring about its middle, and by a thousandth from side to side.
_SMALL_METERS = 5_000.0
# Pixels: straight in the raster's grid is not straight on the ground, and of a coarse grid of the
# whole Earth an edge has to be less than half the way around.
_LONGEST_EDGE = 16.0
_AROUND = 4.0  # pixels each way of a place, of which its pixel's size is the mean
_AT_ONCE = 2**18


@dataclass(frozen=True)
class ClassArea:
    """What a class covers of a map; `area_m2` is None where the raster has no CRS."""

    class_id: int
    name: str
    pixels: int
    area_m2: float | None

    def as_json(self) -> dict[str, object]:
        said = {"id": self.class_id, "name": self.name, "pixels": self.pixels}
        return said if self.area_m2 is None else said | {"area_m2": round(self.area_m2, 4)}


def class_areas(
    read: Callable[[Window], NDArray[np.uint8]],
    size: tuple[int, int],
    info: SourceInfo,
    contract: Contract,
    stored: Window | None = None,
) -> list[ClassArea]:
    """Of each class of a map (H, W) of which `read` gives windows (h, w); all of it is void but
    what is `stored`.
    """
    height, width = size
    side = _side_of_one_size(height, width, info)
    pixels, areas, ids = (
        np.zeros(256, np.int64),
        np.zeros(256),
        {one.id for one in contract.classes},
    )
    chunk = min(_CHUNK, _NET_POINTS * (side or _CHUNK))
    for window in chunks(size, chunk, stored):
        part = read(window)
        if int(part[0, 0]) not in ids and bool((part == part[0, 0]).all()):
            continue  # all of it void
        sizes = None if side is None else _sizes_in(window, info, side)
        _count(part, sizes, side or _BLOCK, pixels, areas)
    return [
        ClassArea(
            one.id, one.name, int(pixels[one.id]), None if side is None else float(areas[one.id])
        )
        for one in contract.classes
    ]


def _count(
    part: NDArray[np.uint8],
    sizes: NDArray[np.float64] | None,
    side: int,
    pixels: NDArray[np.int64],
    areas: NDArray[np.float64],
) -> None:
    """Add each class's pixels of a part (h, w), and their areas where the size of a pixel is known
    for each square of `side` pixels."""
    likely = np.argsort(-pixels, kind="stable")[:_LIKELY].tolist()
    for down in range(0, part.shape[0], _BLOCK):
        for across in range(0, part.shape[1], _BLOCK):
            block = part[down : down + _BLOCK, across : across + _BLOCK]
            counts = _counts(block, likely)
            pixels += counts
            if sizes is None:
                continue
            rows, columns = (
                slice(start // side, (start + _BLOCK) // side) for start in (down, across)
            )
            own = sizes[rows, columns]
            if own.size == 1:
                areas += counts * own[0, 0]
            else:
                each = own.repeat(side, axis=0).repeat(side, axis=1)
                each = each[: block.shape[0], : block.shape[1]]
                areas += np.bincount(block.reshape(-1), each.reshape(-1), minlength=256)


def _side_of_one_size(height: int, width: int, info: SourceInfo) -> int | None:
    """Pixels of a side, a power of two, within which one size is taken for all of them; None where
    the raster has no CRS, or not all of it a place on the Earth.
    """
    if info.transform is None or info.reference is None or not info.is_on_earth:
        return None
    pixel = true_pixel_size(info.transform, info.reference, height, width)
    if pixel is None or pixel * _BLOCK <= _SMALL_METERS:
        return _BLOCK
    return 1 << max(0, math.floor(math.log2(_SMALL_METERS / pixel)))


def _sizes_in(window: Window, info: SourceInfo, side: int) -> NDArray[np.float64]:
    """The area in m² of a pixel of each square of `side` pixels, those at the right and the bottom
    smaller."""
    assert info.transform is not None
    assert info.reference is not None
    rows = np.append(np.arange(0, window.height, side), window.height)
    columns = np.append(np.arange(0, window.width, side), window.width)
    x, y = np.meshgrid(columns + float(window.left), rows + float(window.top))
    points = to_ground(info.transform, x.reshape(-1), y.reshape(-1))
    projected = reproject(points, info.reference, equal_area(info.transform, info.reference))
    squares = quads_area(projected.reshape(len(rows), len(columns), 2))
    sizes: NDArray[np.float64] = squares / np.outer(np.diff(rows), np.diff(columns))
    return sizes


def ring_areas(
    corners: NDArray[np.int32],
    starts: NDArray[np.int64],
    transform: Transform,
    reference: str,
) -> NDArray[np.float64]:
    """The area in m² within each ring of corners (n, 2), columns and rows; each ring is closed and
    begins at its number of `starts`.

    A small ring has as many pixels of the size that one has in its middle: that size changes
    evenly over some kilometers. Of a large one every corner is brought to the ground.
    """
    counts = np.diff(np.append(starts, len(corners)))
    origin = corners[starts]
    away = (corners - np.repeat(origin, counts, axis=0)).astype(np.float64)
    x, y = away[:, 0], away[:, 1]
    cross = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0.0)  # 0 from each ring to the next
    twice = np.add.reduceat(cross, starts)
    sums = [np.append(part[:-1] + part[1:], 0.0) * cross for part in (x, y)]
    middle = [np.add.reduceat(part, starts) / (3 * twice) for part in sums]
    size = _pixel_sizes(origin[:, 0] + middle[0], origin[:, 1] + middle[1], transform, reference)
    areas: NDArray[np.float64] = np.abs(twice) / 2 * size
    extents = [np.maximum.reduceat(p, starts) - np.minimum.reduceat(p, starts) for p in (x, y)]
    is_small = np.maximum(*extents) ** 2 * size < _SMALL_METERS**2
    for ring in np.flatnonzero(~is_small):  # also where there is no size
        own = corners[starts[ring] : starts[ring] + counts[ring]].astype(np.float64)
        areas[ring] = _exact_area(own, transform, reference)
    return areas


def _pixel_sizes(
    columns: NDArray[np.float64],
    rows: NDArray[np.float64],
    transform: Transform,
    reference: str,
) -> NDArray[np.float64]:
    """The area in m² of a pixel at each place."""
    corners = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)], np.float64) * _AROUND
    x = (columns[:, np.newaxis] + corners[:, 0]).reshape(-1)
    y = (rows[:, np.newaxis] + corners[:, 1]).reshape(-1)
    points = reproject(to_ground(transform, x, y), reference, equal_area(transform, reference))
    points = points.reshape(-1, 4, 2)
    first, second, third, fourth = unwrapped(points[..., 0]).T
    xs, ys = np.stack((first, second, fourth, third), -1), points[:, (0, 1, 3, 2), 1]
    xs, ys = xs - xs[:, :1], ys - ys[:, :1]
    twice = (xs * np.roll(ys, -1, axis=-1) - np.roll(xs, -1, axis=-1) * ys).sum(axis=-1)
    return np.asarray(np.abs(twice) / 2 / (2 * _AROUND) ** 2)


def _exact_area(ring: NDArray[np.float64], transform: Transform, reference: str) -> float:
    dense, _ = densified(ring)
    parts = np.array_split(dense, len(dense) // _AT_ONCE + 1)
    measured = equal_area(transform, reference)
    points = np.concatenate(
        [reproject(to_ground(transform, *part.T), reference, measured) for part in parts]
    )
    x, y = unwrapped_path(points[:, 0]) - points[0, 0], points[:, 1] - points[0, 1]
    return float(abs(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2)


def densified(ring: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A ring of pixels' corners (n, 2) with points on long edges, and where its own are among them
    (n)."""
    ahead = np.diff(ring, axis=0)
    counts = np.maximum(1, np.ceil(np.abs(ahead).max(axis=1) / _LONGEST_EDGE)).astype(np.int64)
    first = np.cumsum(counts) - counts
    places = np.append(first, counts.sum())
    if (counts == 1).all():
        return ring, places
    part = (np.arange(counts.sum()) - np.repeat(first, counts)) / np.repeat(counts, counts)
    dense = np.repeat(ring[:-1], counts, axis=0) + part[:, np.newaxis] * np.repeat(
        ahead, counts, axis=0
    )
    return np.concatenate((dense, ring[-1:])), places


def _counts(block: NDArray[np.uint8], likely: Sequence[int]) -> NDArray[np.int64]:
    """How many pixels have each of 256 values. Comparing with few is faster than counting all."""
    block, left = np.ascontiguousarray(block), block.size
    counts = np.zeros(256, np.int64)
    for value in likely:
        counts[value] = np.count_nonzero(block == value)
        left -= int(counts[value])
        if not left:
            return counts
    return np.bincount(block.reshape(-1), minlength=256)
