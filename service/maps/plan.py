"""Which tiles a map is made of, and which part of the raster each of them answers for."""

from dataclasses import dataclass

from models.contract import Contract
from models.contract.working_size import WorkingSize
from service.domain.segmentation import Need
from service.domain.source import Window
from service.inference.runner import TileSides
from service.inference.tiling.plan import Span, Tile, TilePlan

# A map has no other picture beside it, so its tiles may be larger than those of a server that has
# many: of a tile of 2608 more is kept than of one of 2176, and 2.0 times the pixels are computed in
# place of 2.3 times.
_LARGER = 1.2
_MOST_KEPT = 4096  # pixels of the raster's own that a side of a tile answers for


@dataclass(frozen=True)
class MapPlan:
    """The tiles of all of the raster, of which those of `rows` and `columns` (their numbers) reach
    into the `window` that is asked for.
    """

    tiles: TilePlan
    working: WorkingSize | None
    window: Window
    rows: range
    columns: range

    @property
    def need_warm_up(self) -> bool:
        """Whether a row of tiles begins with what the one above has given to both."""
        return self.tiles.blended and len(self.tiles.rows) > 1

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

    def seen_by(self, tile: Tile) -> Window:
        """The part of what the network sees that is cut for a tile."""
        height, width = self.tiles.tile_shape
        top, left = tile.rows.start, tile.columns.start
        return Window(
            top, left, min(height, self.tiles.height - top), min(width, self.tiles.width - left)
        )

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
) -> MapPlan:
    """For a raster of (height, width), of which `window` is asked for.

    `side` is that of the largest tile in pixels, None for what `sides` of the engine allow.
    """
    given = TileSides(side, side) if side else TileSides(*(round(one * _LARGER) for one in sides))
    height, width = size
    if working is not None:
        height, width = working.height, working.width
        radius = contract.receptive_field_radius or 0
        most = int(_MOST_KEPT / max(working.factors)) + 2 * (radius + contract.stride)
        given = TileSides(*(min(one, most) for one in given))
    tiles = given.plan(contract, height, width, need, scaled=working is not None)
    plan = MapPlan(tiles, working, window, range(0), range(0))
    rows = _reaching(plan, 0, window.top, window.top + window.height)
    columns = _reaching(plan, 1, window.left, window.left + window.width)
    if tiles.blended:  # the ramp that it shares with the one before
        columns = range(max(0, columns.start - 1), columns.stop)
    return MapPlan(tiles, working, window, rows, columns)


def _reaching(plan: MapPlan, axis: int, start: int, stop: int) -> range:
    spans = (plan.tiles.rows, plan.tiles.columns)[axis]
    extents = [plan.extent(span, axis) for span in spans]
    inside = [place for place, (first, last) in enumerate(extents) if first < stop and last > start]
    return range(inside[0], inside[-1] + 1)
