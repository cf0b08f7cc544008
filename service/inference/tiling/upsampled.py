"""Put the logits of tiles together at the picture's own size, holding no more than a band of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.segmentation import Need
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_map, upsampled_logits
from service.inference.tiling.plan import Span, Tile, TilePlan

_BAND_VALUES = 2**20


class UpsampledCanvas:
    """Takes logits (classes, h, w) of the tiles of a working picture, each of whose pixels is `factors` (down, across) of the
    picture's, and gives maps of its own `height` × `width`.
    """

    def __init__(
        self,
        plan: TilePlan,
        height: int,
        width: int,
        factors: tuple[float, float],
        need: Need,
        classes: int,
    ) -> None:
        self._plan = plan
        self._factors = factors
        self.class_map = np.empty((height, width), np.uint8)
        self.confidence: NDArray[np.uint8] | None = None
        self.probabilities: NDArray[np.float32] | None = None
        if need != "class_map":
            self.confidence = np.empty((height, width), np.uint8)
        if need == "probabilities":
            self.probabilities = np.empty((height, width, classes), np.float32)

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        """Logits of the whole tile; what is kept of it is written."""
        step = self._plan.tile_shape[0] // result.shape[1]  # working pixels in one of the logits'
        grid = Grid(
            (self._factors[0] * step, self._factors[1] * step),
            (tile.rows.start // step, tile.columns.start // step),
        )
        height, width = self.class_map.shape
        rows = _kept(tile.rows, self._plan.height, self._factors[0], height)
        columns = _kept(tile.columns, self._plan.width, self._factors[1], width)
        if self.confidence is None:
            window = Window(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
            self.class_map[slice(*rows), slice(*columns)] = upsampled_class_map(
                result, grid, window
            )
            return
        for band in _bands(rows, result.shape[0] * (columns[1] - columns[0])):
            values = upsampled_logits(
                result,
                grid,
                Window(band[0], columns[0], band[1] - band[0], columns[1] - columns[0]),
            )
            self._write(slice(*band), slice(*columns), values)

    def _write(self, rows: slice, columns: slice, logits: NDArray[np.float32]) -> None:
        highest = logits.max(axis=0)
        self.class_map[rows, columns] = logits.argmax(axis=0)
        np.exp(np.subtract(logits, highest, out=logits), out=logits)
        total = logits.sum(axis=0)
        assert self.confidence is not None  # its caller has looked
        self.confidence[rows, columns] = np.rint(255 / total)
        if self.probabilities is not None:
            self.probabilities[rows, columns] = np.moveaxis(logits / total, 0, -1)


def _kept(span: Span, length: int, factor: float, full: int) -> tuple[int, int]:
    """The picture's pixels that `span` of a working axis of `length` pixels keeps."""
    stop = full if span.keep_stop == length else round(span.keep_stop * factor)
    return round(span.keep_start * factor), min(stop, full)


def _bands(rows: tuple[int, int], values_a_row: int) -> Iterator[tuple[int, int]]:
    at_once = max(1, _BAND_VALUES // max(1, values_a_row))
    for start in range(*rows, at_once):
        yield start, min(start + at_once, rows[1])
