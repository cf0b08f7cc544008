"""Cut a large picture into overlapping tiles of one shape, and put their results together.

A pixel of the map depends on the input within the receptive-field radius. A tile's margin is at
least that radius and its origin a multiple of the stride, so what is kept of it, its centre, equals
the untiled result: the overlap-tile strategy of U-Net. Tiles at the picture's border have the true
border on that side, and need no margin there.

A network with global context has no finite radius. Its tiles cannot equal the untiled result;
neighbours are blended into each other instead, on probabilities, so that at least no seam shows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.inference.tiling.fit import padded_shape, round_up
from service.runtimes.engine import StageFacts

_LEAST_MARGINS = (
    4  # in a tile's side: at least half of it is kept, so at most 4 times the picture is computed
)
_BLENDED_MARGIN = 1 / 8  # of the tile's side, at each side, where the radius is not finite
_RAMP = 64  # pixels over which such tiles are blended; _RAMP × W × classes floats are kept for it


@dataclass(frozen=True)
class Span:
    """One tile's extent on one axis, in pixels of the picture.

    The tile starts at `start`; of it [`keep_start`, `keep_stop`) counts. The first `ramp_in` of
    these are shared with the tile before, the last `ramp_out` with the one after, with weights that
    rise and fall linearly.
    """

    start: int
    keep_start: int
    keep_stop: int
    ramp_in: int = 0
    ramp_out: int = 0

    @property
    def inside(self) -> slice:
        """What counts, in the tile's own pixels."""
        return slice(self.keep_start - self.start, self.keep_stop - self.start)


@dataclass(frozen=True)
class Tile:
    rows: Span
    columns: Span


@dataclass(frozen=True)
class TilePlan:
    """Tiles of one shape (H, W), multiples of the stride, row by row from the top left. Where there
    are `stages` they go before, and these tiles are those of the last.
    """

    height: int
    width: int
    tile_shape: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    blended: bool
    stages: "StagePlans | None" = None

    @property
    def computed_pixels(self) -> int:
        """Of all tiles, margins and all."""
        return len(self) * self.tile_shape[0] * self.tile_shape[1]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Tile]:
        return (Tile(rows, columns) for rows in self.rows for columns in self.columns)

    def cut(self, image: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8]:
        """A view of the image (H, W, C) under the tile; smaller where the tile reaches past it."""
        top, left = tile.rows.start, tile.columns.start
        return image[top : top + self.tile_shape[0], left : left + self.tile_shape[1]]


@dataclass(frozen=True)
class StagePlans:
    """Of the stages before the last: tiles of the padded picture for `shallow`, tiles of its map,
    in that map's pixels, for `deep`.

    Where only a part of what is read counts, a later stage has less to do than the one before:
    `deep_at` and `tail_at` are the first of the picture's pixels (row, column) that theirs stand
    for.
    """

    facts: StageFacts
    shallow: TilePlan
    deep: TilePlan
    deep_at: tuple[int, int] = (0, 0)
    tail_at: tuple[int, int] = (0, 0)

    @property
    def map_shapes(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Both maps, (h, w, channels)."""
        step, shallow, deep = self.facts.shallow.step, self.facts.shallow, self.facts.deep
        ratio = deep.step // step
        return (
            (self.shallow.height // step, self.shallow.width // step, shallow.channels),
            (self.deep.height // ratio, self.deep.width // ratio, deep.channels),
        )

    @property
    def map_bytes(self) -> int:
        maps = self.facts.shallow, self.facts.deep
        shapes = zip(self.map_shapes, maps, strict=True)
        return sum(math.prod(shape) * one.dtype.itemsize for shape, one in shapes)


def plan_tiles(
    height: int,
    width: int,
    stride: int,
    radius: int | None,
    tile_size: int,
    only_size: tuple[int, int] | None = None,
) -> TilePlan:
    """Plan for a picture (H, W) and a network with this receptive-field radius, None where it is
    not finite.

    No tile has more than `tile_size`² pixels, unless the radius is so large that less than half of
    its side would be kept; a picture of no more pixels is one tile. Tiles of a network that takes
    `only_size` have that, are blended, and are mirrored beyond a picture that is smaller.
    """
    if only_size is not None:
        rows, columns = _fixed_spans(height, only_size[0]), _fixed_spans(width, only_size[1])
        blended = len(rows) * len(columns) > 1
        return TilePlan(height, width, only_size, rows, columns, blended)
    padded_height, padded_width = padded_shape(height, width, stride)
    if padded_height * padded_width <= tile_size**2:
        whole = (Span(0, 0, height),), (Span(0, 0, width),)
        return TilePlan(height, width, (padded_height, padded_width), *whole, blended=False)
    margin = round_up(
        radius if radius is not None else max(1, int(tile_size * _BLENDED_MARGIN)), stride
    )
    ramp = 0 if radius is not None else min(_RAMP, margin)
    shortest = max(_LEAST_MARGINS * margin, 2 * stride)

    def longest(other_side: int) -> int:
        """A strip may be as long as its small height allows."""
        return max(tile_size**2 // min(other_side, tile_size) // stride * stride, shortest)

    tile_height, rows = _plan_axis(height, stride, margin, longest(padded_width), ramp)
    tile_width, columns = _plan_axis(width, stride, margin, longest(padded_height), ramp)
    blended = radius is None and len(rows) * len(columns) > 1
    return TilePlan(height, width, (tile_height, tile_width), rows, columns, blended)


def _fixed_spans(length: int, side: int) -> tuple[Span, ...]:
    if length <= side:
        return (Span(0, 0, length),)
    margin = int(side * _BLENDED_MARGIN)
    count = math.ceil((length - 2 * margin) / (side - 2 * margin))
    starts = [i * (length - side) // (count - 1) for i in range(count)]
    return _spans(starts, side, length, min(_RAMP, 2 * margin))


def _plan_axis(
    length: int, stride: int, margin: int, longest: int, ramp: int
) -> tuple[int, tuple[Span, ...]]:
    """The tile's side on this axis, and its spans: as few as can be, of one side, evenly spread."""
    padded = round_up(length, stride)
    if padded <= longest:
        return padded, (Span(0, 0, length),)
    count = math.ceil((padded - 2 * margin) / (longest - 2 * margin))
    # at least two strides: the padding of the last tile mirrors what the padding of the whole
    # picture would
    side = max(round_up(math.ceil((padded - 2 * margin) / count) + 2 * margin, stride), 2 * stride)
    steps = (padded - side) // stride
    count = 1 + math.ceil(steps * stride / (side - 2 * margin))
    starts = [i * steps // (count - 1) * stride for i in range(count)]
    return side, _spans(starts, side, length, ramp)


def _spans(starts: list[int], side: int, length: int, ramp: int) -> tuple[Span, ...]:
    """Tiles of one side that begin there; seams lie amid what two of them share."""
    count = len(starts)
    ramp = min(ramp, *(b - a for a, b in pairwise(starts)))
    seams = [(start + before + side) // 2 for before, start in pairwise(starts)]
    return tuple(
        Span(
            start,
            keep_start=0 if i == 0 else seams[i - 1] - ramp // 2,
            keep_stop=length if i == count - 1 else seams[i] - ramp // 2 + ramp,
            ramp_in=0 if i == 0 else ramp,
            ramp_out=0 if i == count - 1 else ramp,
        )
        for i, start in enumerate(starts)
    )
