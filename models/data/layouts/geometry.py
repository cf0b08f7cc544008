"""Areas that annotation tools draw: polygons with holes, ellipses and bitmaps, as pixels.

One rule for all that are outlines: a pixel is of an area where its center lies inside, x to the
right and y down from the picture's top left corner, a pixel 1 × 1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.data.layouts.regions import EDGE_PIXELS, Box

Size: TypeAlias = tuple[int, int]  # width, height
Ring: TypeAlias = NDArray[np.float64]  # (n, 2): x, y
# Rows that the edges of one area may cross in all. An outline of 100,000 corners, each edge as high
# as a large picture, would take minutes.
MAX_CROSSINGS = 2**25
# Of a picture whose size a file states; Pillow decodes none of more than 2^27.4.
MAX_PIXELS = 2**28


@dataclass(frozen=True)
class Stencil:
    """The pixels of an area within the picture: bool (h, w), its first pixel at `left`, `top`."""

    left: int
    top: int
    pixels: NDArray[np.bool_]

    @property
    def box(self) -> tuple[slice, slice]:
        """Where it lies in the picture: rows and columns."""
        height, width = self.pixels.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class Geometry(Protocol):
    """An area of a picture."""

    def box(self, size: Size) -> Box | None:
        """What it spans, in pixels; None where it cannot reach beyond the picture."""

    def stencil(self, size: Size) -> Stencil:
        """Its pixels in a picture of that size. Raises ValueError where it cannot be drawn."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """Rings of corners; a pixel is inside where an odd number of rings lies around its center, so
    that rings within rings are holes. `is_relative`: shares of width and height, not pixels."""

    rings: tuple[Ring, ...]
    is_relative: bool = False

    def box(self, size: Size) -> Box | None:
        points = np.concatenate(self._scaled(size))
        return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())

    def stencil(self, size: Size) -> Stencil:
        width, height = size
        rings = self._scaled(size)
        points = np.concatenate(rings)
        left, top = _clipped(np.floor(points.min(axis=0)), size)
        right, bottom = _clipped(np.ceil(points.max(axis=0)), size)
        first = np.concatenate(rings)
        second = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
        pixels = _filled(first - (left, top), second - (left, top), right - left, bottom - top)
        return Stencil(min(left, width), min(top, height), pixels)

    def _scaled(self, size: Size) -> list[Ring]:
        return [ring * size for ring in self.rings] if self.is_relative else list(self.rings)


@dataclass(frozen=True)
class Ellipse:
    """Half axes `rx`, `ry` around (x, y), turned clockwise on the screen by `rotation` degrees."""

    x: float
    y: float
    rx: float
    ry: float
    rotation: float = 0.0

    def box(self, size: Size) -> Box | None:
        del size
        cos, sin = self._turn
        half = math.hypot(self.rx * cos, self.ry * sin), math.hypot(self.rx * sin, self.ry * cos)
        return self.x - half[0], self.y - half[1], self.x + half[0], self.y + half[1]

    def stencil(self, size: Size) -> Stencil:
        if self.rx <= 0 or self.ry <= 0:
            return Stencil(0, 0, np.zeros((0, 0), np.bool_))
        box = self.box(size)
        assert box is not None
        left, top = _clipped(np.floor(box[:2]), size)
        right, bottom = _clipped(np.ceil(box[2:]), size)
        y, x = np.ogrid[top:bottom, left:right]
        across, down = x + 0.5 - self.x, y + 0.5 - self.y
        cos, sin = self._turn
        along = (across * cos + down * sin) / self.rx
        aside = (down * cos - across * sin) / self.ry
        return Stencil(left, top, along**2 + aside**2 <= 1)

    @property
    def _turn(self) -> tuple[float, float]:
        return math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))


@dataclass(frozen=True, eq=False)
class Bitmap:
    """Pixels (h, w) that `decode` gives when they are drawn, the first at `left`, `top`. A slip
    beyond the picture is cut off, more is a ValueError."""

    left: int
    top: int
    decode: Callable[[Size], NDArray[np.bool_]]

    def box(self, size: Size) -> Box | None:
        del size
        return None

    def stencil(self, size: Size) -> Stencil:
        pixels = self.decode(size)
        height, width = pixels.shape
        reach = -self.left, -self.top, self.left + width - size[0], self.top + height - size[1]
        if max(reach) > EDGE_PIXELS:
            raise ValueError(
                f"its bitmap of {width}×{height} pixels at {self.left}, {self.top} is not in the "
                f"picture of {size[0]}×{size[1]}"
            )
        left, top = _clipped(np.array((self.left, self.top), np.float64), size)
        right, bottom = _clipped(np.array((self.left + width, self.top + height), float), size)
        inside = pixels[top - self.top :, left - self.left :][: bottom - top, : right - left]
        return Stencil(left, top, inside)


def ring(points: Sequence[Sequence[float]]) -> Ring:
    """Corners as an array. Raises ValueError where they are less than three, or no numbers."""
    corners = np.array([(float(x), float(y)) for x, y in points], np.float64).reshape(-1, 2)
    if len(corners) < 3:
        raise ValueError(f"a polygon has three corners or more, and this one has {len(corners)}")
    require_finite(corners)
    return corners


def rectangle(
    left: float, top: float, width: float, height: float, rotation: float, around_center: bool
) -> Polygon:
    """A rectangle in pixels, turned clockwise on the screen by `rotation` degrees around its center
    or its top left corner. Raises ValueError where a number is none."""
    require_finite(np.array([left, top, width, height, rotation]))
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    pivot = np.array((width / 2, height / 2) if around_center else (0, 0))
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    turned = (corners - pivot) @ np.array([(cos, sin), (-sin, cos)]) + pivot + (left, top)
    return Polygon((turned,))


def picture_size(width: Any, height: Any) -> Size:
    """Width and height as a file states them. Raises ValueError, TypeError and OverflowError where
    they are none, or of more pixels than are ever decoded."""
    size = int(width), int(height)
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"its size is {size[0]}×{size[1]}")
    return size


def require_finite(values: NDArray[np.float64]) -> None:
    """Raise ValueError where a coordinate is no number, or beyond any picture."""
    if not (np.abs(values) < 2**31).all():  # neither is NaN
        raise ValueError("a coordinate is not a number of pixels")


def zeros_and_ones(runs: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """A bitmap (height, width) from the lengths of its runs of zeros and ones in turn, row by row,
    zeros first. Raises ValueError where they do not fill it."""
    if runs.size and runs.min() < 0:
        raise ValueError("it has a run of less than no pixels")
    total = int(runs.sum()) if runs.size and runs.max() <= height * width else -1
    if total != height * width:
        raise ValueError(f"its runs do not cover the {width}×{height} pixels of its box")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(height, width)


def _clipped(point: NDArray[np.float64], size: Size) -> tuple[int, int]:
    x, y = np.clip(point, 0, size).astype(np.int64).tolist()
    return x, y


def _filled(first: Ring, second: Ring, width: int, height: int) -> NDArray[np.bool_]:
    """Pixels (height, width) around whose centers the edges from `first` to `second` run an odd
    number of times. Raises ValueError where the edges cross too many rows."""
    downward = first[:, 1] <= second[:, 1]
    upper = np.where(downward[:, None], first, second)
    lower = np.where(downward[:, None], second, first)
    # Of the rows whose center line an edge crosses: the first, and the one after the last.
    begin = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.int64)
    end = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.int64)
    counts = np.maximum(end - begin, 0)
    total = int(counts.sum())
    if total > MAX_CROSSINGS:
        raise ValueError(f"its {len(first)} edges cross {total} rows of pixels in all")
    edge = np.repeat(np.arange(len(first)), counts)
    rows = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + begin[edge]
    start, stop = upper[edge], lower[edge]
    share = (rows + 0.5 - start[:, 1]) / (stop[:, 1] - start[:, 1])
    x = start[:, 0] + share * (stop[:, 0] - start[:, 0])
    # The first pixel whose center is not left of the crossing; from there on it counts.
    columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    crossings = np.bincount(rows * (width + 1) + columns, minlength=height * (width + 1))
    odd = (crossings & 1).astype(np.bool_).reshape(height, width + 1)
    inside: NDArray[np.bool_] = np.logical_xor.accumulate(odd, axis=1)[:, :width]
    return inside
