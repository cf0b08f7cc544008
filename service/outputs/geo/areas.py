"""Areas on the ground, in m²: of rings, and of each class of a map."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.ground import EQUAL_AREA, Transform, quads_area, reproject, to_ground, unwrapped
from service.domain.source import SourceInfo, Window

_CELL = 256  # pixels of a side in which the size of a pixel is taken as one
_CHUNK = 2048
# Straight in the raster's grid is not straight on the ground.
_LONGEST_EDGE = 256.0


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
) -> list[ClassArea]:
    """Of each class of a map (H, W) of which `read` gives windows (h, w)."""
    height, width = size
    cells = cell_areas(height, width, info)
    pixels, areas = np.zeros(256, np.int64), np.zeros(256)
    for top in range(0, height, _CHUNK):
        for left in range(0, width, _CHUNK):
            part = read(Window(top, left, min(_CHUNK, height - top), min(_CHUNK, width - left)))
            for down in range(0, part.shape[0], _CELL):
                for across in range(0, part.shape[1], _CELL):
                    cell = part[down : down + _CELL, across : across + _CELL]
                    counts = _counts(cell)
                    pixels += counts
                    if cells is not None:
                        area = cells[(top + down) // _CELL, (left + across) // _CELL]
                        areas += counts * (area / cell.size)
    return [
        ClassArea(
            one.id,
            one.name,
            int(pixels[one.id]),
            None if cells is None else float(areas[one.id]),
        )
        for one in contract.classes
    ]


def cell_areas(height: int, width: int, info: SourceInfo) -> NDArray[np.float64] | None:
    """The area in m² of each square of _CELL pixels, those at the right and the bottom smaller;
    None where the raster has no CRS.
    """
    if info.transform is None or info.reference is None:
        return None
    rows = np.append(np.arange(0.0, height, _CELL), height)
    columns = np.append(np.arange(0.0, width, _CELL), width)
    net = np.meshgrid(columns, rows)
    points = to_ground(info.transform, net[0].reshape(-1), net[1].reshape(-1))
    projected = reproject(points, info.reference, EQUAL_AREA)
    return quads_area(projected.reshape(len(rows), len(columns), 2))


def ring_areas(
    corners: NDArray[np.float64],
    starts: NDArray[np.int64],
    transform: Transform,
    reference: str,
) -> NDArray[np.float64]:
    """The area in m² within each ring of corners (n, 2), columns and rows; each ring is closed and
    begins at its number of `starts`.
    """
    dense, dense_starts = _densified(corners, starts)
    ground = to_ground(transform, dense[:, 0], dense[:, 1])
    points = reproject(ground, reference, EQUAL_AREA)
    counts = np.diff(np.append(dense_starts, len(points)))
    origin = np.repeat(points[dense_starts], counts, axis=0)
    x, y = points[:, 0] - origin[:, 0], points[:, 1] - origin[:, 1]
    x = unwrapped(np.stack((np.zeros_like(x), x), axis=-1))[:, 1]
    twice = x[:-1] * y[1:] - x[1:] * y[:-1]
    twice[dense_starts[1:] - 1] = 0  # from the last point of a ring to the first of the next
    return np.asarray(np.abs(np.add.reduceat(twice, dense_starts)) / 2)


def _densified(
    corners: NDArray[np.float64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """With points on long edges."""
    steps = np.abs(np.diff(corners, axis=0)).max(axis=1)
    steps[starts[1:] - 1] = 0
    more = np.maximum(1, np.ceil(steps / _LONGEST_EDGE)).astype(np.int64)
    if (more == 1).all():
        return corners, starts
    counts = np.append(more, 1)
    first = np.cumsum(counts) - counts
    part = (np.arange(counts.sum()) - np.repeat(first, counts)) / np.repeat(counts, counts)
    ahead = np.append(np.diff(corners, axis=0), [[0.0, 0.0]], axis=0)
    ahead[starts[1:] - 1] = 0
    dense = np.repeat(corners, counts, axis=0) + part[:, np.newaxis] * np.repeat(
        ahead, counts, axis=0
    )
    return dense, first[starts]


def _counts(cell: NDArray[np.uint8]) -> NDArray[np.int64]:
    first = int(cell[0, 0])
    if bool((cell == first).all()):
        counts = np.zeros(256, np.int64)
        counts[first] = cell.size
        return counts
    return np.bincount(cell.reshape(-1), minlength=256)
