"""Which tiles a map is made of, and which part of the raster each of them answers for."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from models.contract import Contract
from models.contract.working_size import WorkingSize
from service.domain.segmentation import Need
from service.domain.source import Window
from service.inference.runner import TileSides
from service.inference.tiling.fit import round_up
from service.inference.tiling.plan import Span, Tile, TilePlan
from service.inference.tiling.stages import can_be_staged, plan_part
from service.inference.voids import CONTEXT
from service.runtimes.engine import StageFacts

# A map has no other picture beside it, so its tiles may be larger than those of a server that has
# many: of a tile of 2608 more is kept than of one of 2176, and 2.0 times the pixels are computed in
# place of 2.3 times.
_LARGER = 1.2
# Where the network is run in stages a tile of the map is so many of a stage's wide: its margins,
# which the earlier stages compute for nothing, are a smaller part of it.
_TILES_OF_A_STAGE = 2
_MOST_KEPT = 4096  # pixels of the raster's own that a side of a tile answers for
_MOST_KEPT_IN_STAGES = 8192
_SNAP = 128  # pixels; parts of fewer shapes are set up for the engine


@dataclass(frozen=True)
class MapPlan:
    """The tiles of all of the raster, of which those of `rows` and `columns` (their numbers) reach
    into the `window` that is asked for.

    `stages`, where there are some, compute a tile in tiles of their own of `side` pixels. `radius`
    is None where a tile is computed as it is, whatever of it is asked for. Of the window all is
    void but the part that is `stored`, in the window's own pixels; None is all of it.
    """

    tiles: TilePlan
    working: WorkingSize | None
    window: Window
    rows: range
    columns: range
    stride: int
    radius: int | None
    side: int
    stages: StageFacts | None
    stored: Window | None

    @property
    def gives_logits(self) -> bool:
        """Whether the engine gives logits of a tile, which are enlarged here."""
        return self.working is not None or self.stages is not None

    @property
    def most_read_rows(self) -> int:
        """Of the raster, for a row of tiles."""
        factor = 1.0 if self.working is None else self.working.factors[0]
        return math.ceil(self.tiles.tile_shape[0] * factor) + 2 * CONTEXT

    def row_extent(self, row: int) -> tuple[int, int]:
        """The first of the window's rows that a row of tiles answers for, and the one behind its
        last.
        """
        top, bottom = self.extent(self.tiles.rows[row], 0)
        first, height = self.window.top, self.window.height
        return max(0, top - first), min(height, bottom - first)

    def answers_for(self, tile: Tile) -> Window:
        """The raster's own pixels whose class is known once this tile, and those before it, are
        done.
        """
        top, bottom = self.extent(tile.rows, 0)
        left, right = self.extent(tile.columns, 1)
        return Window(top, left, bottom - top, right - left)

    def part(self, tile: Tile, asked: Window) -> tuple[Window, TilePlan]:
        """What of the picture the network has to see for the pixels of the raster that are `asked`
        of a tile, and how that is computed.
        """
        if self.radius is None:
            return self._whole(tile)
        kept = self.kept(tile, asked)
        size = self.tiles.height, self.tiles.width
        return plan_part(size, kept, self.stride, self.radius, self.side, self.stages)

    def kept(self, tile: Tile, asked: Window) -> Window:
        """The pixels of what the network sees that answer for what is `asked` of a tile."""
        top, height = self._kept_axis(tile.rows, 0, asked.top, asked.top + asked.height)
        left, width = self._kept_axis(tile.columns, 1, asked.left, asked.left + asked.width)
        return Window(top, left, height, width)

    def _kept_axis(self, span: Span, axis: int, start: int, stop: int) -> tuple[int, int]:
        if self.working is not None:
            factor = self.working.factors[axis]
            start, stop = math.floor(start / factor) - 1, math.ceil(stop / factor) + 1
        first = max(span.keep_start, start // _SNAP * _SNAP)
        return first, min(span.keep_stop, round_up(stop, _SNAP)) - first

    def _whole(self, tile: Tile) -> tuple[Window, TilePlan]:
        (height, width), top, left = self.tiles.tile_shape, tile.rows.start, tile.columns.start
        seen = Window(
            top, left, min(height, self.tiles.height - top), min(width, self.tiles.width - left)
        )
        rows, columns = moved(tile.rows, -top), moved(tile.columns, -left)
        shape, blended = self.tiles.tile_shape, self.tiles.blended
        return seen, TilePlan(seen.height, seen.width, shape, (rows,), (columns,), blended)

    def extent(self, span: Span, axis: int) -> tuple[int, int]:
        length = (self.tiles.height, self.tiles.width)[axis]
        start, stop = span.keep_start, span.keep_stop - span.ramp_out
        if self.working is None:
            return start, stop
        factor = self.working.factors[axis]
        full = round(length * factor)
        return round(start * factor), full if stop == length else round(stop * factor)


def plan_map(
    contract: Contract,
    sides: TileSides,
    size: tuple[int, int],
    working: WorkingSize | None,
    need: Need,
    window: Window,
    side: int | None,
    stages: StageFacts | None = None,
    stored: Window | None = None,
) -> MapPlan:
    """For a raster of (height, width), of which `window` is asked for.

    `side` is that of the largest tile in pixels, None for what `sides` of the engine allow.
    `stages`, those that the network may be run in, give all that is needed; tiles divide the part
    of the raster that is `stored`, beyond which all is void.
    """
    height, width = size if working is None else (working.height, working.width)
    stride, radius = contract.stride, contract.receptive_field_radius
    largest = 1.0 if working is None else max(working.factors)
    if stages is not None and radius is not None and can_be_staged(stride, stages):
        given = side or sides.class_map
        margin, own = (round_up(one, stride) for one in (radius, stages.radii["tail"]))
        kept = max(_TILES_OF_A_STAGE * (given - 2 * own), 2 * own)
        most = min(kept, int(_MOST_KEPT_IN_STAGES / largest) + 2 * stride)
        tiles = _divided((height, width), _wanted(window, stored), working, most, margin)
    else:
        stages, given = None, side or round(sides.class_map * _LARGER)
        larger = TileSides(*(side or round(one * _LARGER) for one in sides))
        if working is not None:
            most = int(_MOST_KEPT / largest) + 2 * ((radius or 0) + stride)
            larger = TileSides(*(min(one, most) for one in larger))
        tiles = larger.plan(contract, height, width, need, scaled=working is not None)
    is_cut = not tiles.blended and contract.only_size is None
    plan = MapPlan(
        tiles,
        working,
        window,
        range(0),
        range(0),
        stride,
        radius if is_cut else None,
        given,
        stages,
        _stored_of(window, stored),
    )
    rows = _reaching(plan, 0, window.top, window.top + window.height)
    columns = _reaching(plan, 1, window.left, window.left + window.width)
    if tiles.blended:  # the ramp that it shares with the one before
        columns = range(max(0, columns.start - 1), columns.stop)
    return replace(plan, rows=rows, columns=columns)


def _stored_of(window: Window, stored: Window | None) -> Window | None:
    both = window if stored is None else common(window, stored)
    if both == window:
        return None
    return both._replace(top=both.top - window.top, left=both.left - window.left)


def _wanted(window: Window, stored: Window | None) -> Window:
    """What is stored of the window; all of it, where that is nothing or not known."""
    if stored is None:
        return window
    both = common(window, stored)
    return both if both.height and both.width else window


def _divided(
    size: tuple[int, int], wanted: Window, working: WorkingSize | None, most: int, margin: int
) -> TilePlan:
    """Tiles of a picture (H, W), each of which computes what of it is asked for with a `margin` of
    its own: what is `wanted` of the raster is divided evenly among as few as can be that keep
    `most` pixels a side. The outermost ones answer for all beyond, too.
    """
    spans = []
    for axis, (start, length) in enumerate(zip(wanted[:2], wanted[2:], strict=True)):
        factor = 1.0 if working is None else working.factors[axis]
        first, stop = int(start / factor), min(size[axis], math.ceil((start + length) / factor))
        count = math.ceil((stop - first) / most)
        inner = [first + (stop - first) * place // count for place in range(1, count)]
        spans.append([Span(one, one, other) for one, other in pairwise((0, *inner, size[axis]))])
    side = most + 2 * margin
    shape = min(side, round_up(size[0], margin)), min(side, round_up(size[1], margin))
    return TilePlan(*size, shape, tuple(spans[0]), tuple(spans[1]), blended=False)


def common(one: Window, other: Window) -> Window:
    """What both have; of no height or no width where that is nothing."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.height, other.top + other.height)
    right = min(one.left + one.width, other.left + other.width)
    return Window(top, left, max(0, bottom - top), max(0, right - left))


def _reaching(plan: MapPlan, axis: int, start: int, stop: int) -> range:
    spans = (plan.tiles.rows, plan.tiles.columns)[axis]
    extents = [plan.extent(span, axis) for span in spans]
    inside = [place for place, (first, last) in enumerate(extents) if first < stop and last > start]
    return range(inside[0], inside[-1] + 1)


def moved(span: Span, by: int) -> Span:
    """The span in a picture that begins `by` pixels before this one."""
    return Span(
        span.start + by, span.keep_start + by, span.keep_stop + by, span.ramp_in, span.ramp_out
    )
