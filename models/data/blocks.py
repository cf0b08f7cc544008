"""Blocks of ground: samples that lie side by side are no test of each other, so those of one block
stay in one split."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rasterio.transform import array_bounds

from models.data.dataset import Sample
from models.data.scenes import read_scene

_BLOCKS = 16  # of each stretch of ground, about
_LEAST_SAMPLES = 4  # of a stretch; fewer stay as they are


@dataclass(frozen=True)
class _Place:
    """The box of a sample in the units of a CRS."""

    crs: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom


def with_blocks(samples: Sequence[Sample]) -> list[Sample]:
    """Give samples that lie side by side on the ground the block that they are of as their group;
    others, and those that have a group, stay as they are.

    A stretch of ground without gaps is divided into about sixteen blocks of its samples.
    """
    places = {
        number: place
        for number, sample in enumerate(samples)
        if sample.group is None and (place := _place(sample)) is not None
    }
    grouped = list(samples)
    for name, stretch in enumerate(_stretches(places)):
        if len(stretch) < _LEAST_SAMPLES:
            continue
        for number, block in _blocks({n: places[n] for n in stretch}).items():
            grouped[number] = replace(samples[number], group=f"ground {name + 1}, block {block}")
    return grouped


def _place(sample: Sample) -> _Place | None:
    try:
        scene = read_scene(sample.image)
    except (ValueError, OSError):
        return None
    if scene is None:
        return None
    window = sample.window or scene.whole
    left, bottom, right, top = array_bounds(window.height, window.width, scene.on_ground(window))
    crs = scene.crs.to_wkt() if scene.crs else ""
    return _Place(crs, float(left), float(bottom), float(right), float(top))


def _stretches(places: dict[int, _Place]) -> list[list[int]]:
    """Samples that touch or overlap, directly or through others: in order."""
    cells: dict[tuple[str, int, int], list[int]] = {}
    side = max((max(p.width, p.height) for p in places.values()), default=1.0)
    for number, place in places.items():
        column, row = math.floor(place.left / side), math.floor(place.bottom / side)
        cells.setdefault((place.crs, column, row), []).append(number)
    parent = {number: number for number in places}

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for (crs, column, row), members in cells.items():
        near = [
            other
            for across in (-1, 0, 1)
            for up in (-1, 0, 1)
            for other in cells.get((crs, column + across, row + up), ())
        ]
        for number in members:
            for other in near:
                if number < other and _touch(places[number], places[other]):
                    parent[root(other)] = root(number)
    stretches: dict[int, list[int]] = {}
    for number in places:
        stretches.setdefault(root(number), []).append(number)
    return list(stretches.values())


def _touch(first: _Place, second: _Place) -> bool:
    """Whether no more than a hundredth of their size lies between them."""
    gap = 0.01 * max(first.width, first.height)
    return (
        first.left < second.right + gap
        and second.left < first.right + gap
        and first.bottom < second.top + gap
        and second.bottom < first.top + gap
    )


def _blocks(places: dict[int, _Place]) -> dict[int, str]:
    """Which block each sample is of, by where its middle lies in a net over all of them."""
    left, right = min(p.left for p in places.values()), max(p.right for p in places.values())
    bottom, top = min(p.bottom for p in places.values()), max(p.top for p in places.values())
    width, height = right - left, top - bottom
    cells = min(_BLOCKS, max(2, len(places) // 4))
    across = min(cells, max(1, round(math.sqrt(cells * width / height))))
    down = max(1, round(cells / across))
    return {
        number: f"{_cell(place.top + place.bottom - 2 * bottom, 2 * height, down)}-"
        f"{_cell(place.left + place.right - 2 * left, 2 * width, across)}"
        for number, place in places.items()
    }


def _cell(at: float, length: float, cells: int) -> int:
    return min(cells - 1, int(at / length * cells))
