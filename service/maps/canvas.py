"""What a row of a map's tiles says, as it is put together from left to right."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.segmentation import Need
from service.domain.source import Window
from service.domain.temperature import Temperatures, powers_of
from service.domain.upsampling import Grid, strongest, upsampled_class_map, upsampled_logits
from service.inference.runner import Signature
from service.inference.tiling.plan import Tile
from service.inference.tiling.stitch import ClassMapCanvas, Maps, ProbabilityCanvas
from service.maps.plan import MapPlan, moved

_BAND_VALUES = 2**21


class RowCanvas:
    """Turns the results of a row's tiles, from left to right, into the classes that they settle."""

    def __init__(
        self,
        plan: MapPlan,
        need: Need,
        classes: int,
        above: NDArray[np.float32] | None,
        temperatures: Temperatures | None,
    ) -> None:
        self._plan, self._need, self._classes = plan, need, classes
        self._temperatures = temperatures
        self.signature: Signature = "class_map" if need == "class_map" else "probabilities"
        self.above: NDArray[np.float32] | None = None
        if plan.gives_logits:
            self.signature = "logits"
        elif plan.tiles.blended:
            self.signature = "probabilities"
            self._blending = _BlendedRow(plan, need, classes, above, temperatures)
            self.above = self._blending.canvas.above

    def put(self, tile: Tile, result: NDArray[Any], window: Window, step: int) -> Maps:
        """What is settled by the tile: maps of the `window` that it answers for. Its logits have a
        pixel for `step` × `step` of its own.
        """
        if self._plan.gives_logits:
            return self._upsampled(tile, result, window, step)
        if self._plan.tiles.blended:
            return self._blending.put(tile, result, window)
        maps = Maps.empty((window.height, window.width), self._need, self._classes)
        own = Tile(moved(tile.rows, -window.top), moved(tile.columns, -window.left))
        if self.signature == "class_map":
            ClassMapCanvas(maps).put(own, result)
        else:
            ProbabilityCanvas(self._plan.tiles, maps, self._classes, self._temperatures).put(
                own, result
            )
        return maps

    def _upsampled(self, tile: Tile, logits: NDArray[Any], window: Window, step: int) -> Maps:
        down, across = (1.0, 1.0) if self._plan.working is None else self._plan.working.factors
        factors = down * step, across * step
        grid = Grid(factors, (tile.rows.start // step, tile.columns.start // step))
        if self._need == "class_map":
            return Maps(upsampled_class_map(logits, grid, window))
        maps = Maps.empty((window.height, window.width), self._need, self._classes)
        assert maps.confidence is not None
        for rows in _bands(window.height, self._classes * window.width):
            part = Window(
                window.top + rows.start, window.left, rows.stop - rows.start, window.width
            )
            values = upsampled_logits(logits, grid, part)
            ids = strongest(values)
            maps.class_map[rows] = ids
            total = powers_of(values, ids, self._temperatures).sum(axis=0)
            maps.confidence[rows] = np.rint(255 / total)
        return maps


class _BlendedRow:
    """A row of tiles that are blended: what is settled lies in maps of all of the row."""

    def __init__(
        self,
        plan: MapPlan,
        need: Need,
        classes: int,
        above: NDArray[np.float32] | None,
        temperatures: Temperatures | None,
    ) -> None:
        self._plan = plan
        self._maps: Maps | None = None
        self._need, self._classes = need, classes
        self.canvas = ProbabilityCanvas(
            plan.tiles, Maps.empty((0, 0), need, classes), classes, temperatures, above=above
        )

    def put(self, tile: Tile, result: NDArray[Any], window: Window) -> Maps:
        if self._maps is None:
            shape = window.height, self._plan.tiles.width
            self._maps = Maps.empty(shape, self._need, self._classes)
            self.canvas.maps = self._maps
        self.canvas.put(Tile(moved(tile.rows, -window.top), tile.columns), result)
        columns = slice(window.left, window.left + window.width)
        confidence = self._maps.confidence
        return Maps(
            self._maps.class_map[:, columns].copy(),
            None if confidence is None else confidence[:, columns].copy(),
        )


def _bands(height: int, values_a_row: int) -> Iterator[slice]:
    at_once = max(1, _BAND_VALUES // values_a_row)
    for start in range(0, height, at_once):
        yield slice(start, min(start + at_once, height))
