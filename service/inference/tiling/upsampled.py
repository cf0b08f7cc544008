"""Put the logits of tiles together at the picture's own size, never holding more than a band."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import Overlap
from models.contract.working_size import WorkingSize
from service.domain.overlap import top_classes
from service.domain.source import Window
from service.domain.temperature import Temperatures, powers_of, to_uncertainty
from service.domain.upsampling import (
    Grid,
    strongest,
    upsampled_class_map,
    upsampled_logits,
    upsampled_shares,
)
from service.inference.tiling.plan import Span, Tile, TilePlan
from service.inference.tiling.stitch import Maps, ProbabilityCanvas
from service.runtimes.engine import logits_of

_BAND_VALUES = 2**20


class UpsampledCanvas:
    """Takes logits (classes, h, w) of the tiles of a working picture, or of the picture itself
    where `working` is None, and puts what they say of it into `maps`, which have its size.

    Probabilities have `temperatures`, the classes are those of the network.
    """

    signature: Literal["logits"] = "logits"

    def __init__(
        self,
        plan: TilePlan,
        maps: Maps,
        working: WorkingSize | None,
        temperatures: Temperatures | None = None,
    ) -> None:
        self._plan = plan
        self._maps = maps
        self._factors = (1.0, 1.0) if working is None else working.factors
        self._overhang = (0, 0) if working is None else working.overhang
        self._temperatures = temperatures

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        """Logits of the whole tile; what is kept of it is written."""
        step = self._plan.tile_shape[0] // result.shape[1]  # working pixels in one of the logits'
        factors = self._factors
        grid = Grid(
            (factors[0] * step, factors[1] * step),
            (tile.rows.start // step, tile.columns.start // step),
        )
        maps, overhang = self._maps, self._overhang
        exact = maps.confidence is not None and not maps.for_means
        if not exact:
            kept = result[:, _inside(tile.rows, step), _inside(tile.columns, step)]
            maps.sampled.add_logits(kept, self._temperatures)
        rows = self._kept(tile.rows, 0)
        columns = self._kept(tile.columns, 1)
        width = columns.stop - columns.start
        shares = None if exact or maps.confidence is None else self._shares(result)
        planes = len(result) if exact else 1
        for band in _bands(rows, planes * width, whole=maps.confidence is None):
            height = band.stop - band.start
            window = Window(band.start + overhang[0], columns.start + overhang[1], height, width)
            if not exact:
                part = maps.class_map[band, columns]
                if part.flags.c_contiguous:
                    upsampled_class_map(result, grid, window, out=part)
                else:
                    part[...] = upsampled_class_map(result, grid, window)
                if maps.confidence is not None and shares is not None:
                    classes = maps.class_map[band, columns]
                    sure = upsampled_shares(shares, classes, grid, window)
                    maps.confidence[band, columns] = np.rint(255 * sure)
            else:
                self._write(band, columns, upsampled_logits(result, grid, window))

    def _write(self, rows: slice, columns: slice, logits: NDArray[np.float32]) -> None:
        maps, ids = self._maps, strongest(logits)
        maps.class_map[rows, columns] = ids
        powers = powers_of(logits, ids, self._temperatures)
        total = powers.sum(axis=0)
        if maps.confidence is not None:
            maps.confidence[rows, columns] = np.rint(255 / total)
        if maps.probabilities is not None:
            maps.probabilities[rows, columns] = np.moveaxis(powers / total, 0, -1)
        if maps.uncertainty is not None:
            # of shares q / total: log(total) - Σ q log(q) / total
            powers *= np.log(np.maximum(powers, np.finfo(np.float32).tiny))
            entropy = np.log(total) - powers.sum(axis=0) / total
            maps.uncertainty[rows, columns] = to_uncertainty(entropy, len(logits))

    def _shares(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (classes, h, w) at the logits' own resolution."""
        powers = powers_of(logits.copy(), strongest(logits), self._temperatures)
        powers /= powers.sum(axis=0)
        return powers

    def _kept(self, span: Span, axis: int) -> slice:
        """The picture's rows or columns that `span` of the working picture keeps."""
        full = self._maps.class_map.shape[axis]
        length = (self._plan.height, self._plan.width)[axis]
        factor, overhang = self._factors[axis], self._overhang[axis]
        start = max(0, round(span.keep_start * factor) - overhang)
        stop = full if span.keep_stop == length else round(span.keep_stop * factor) - overhang
        return slice(start, min(stop, full))


class EnlargedCanvas:
    """As UpsampledCanvas, of a small picture that is run whole: the engine's thread makes the class
    maps of a batch together.
    """

    signature: Literal["enlarged"] = "enlarged"

    def __init__(self, maps: Maps, temperatures: Temperatures | None = None) -> None:
        self._maps, self._temperatures = maps, temperatures

    def put(self, tile: Tile, result: Any) -> None:
        """`Enlarged` of the padded picture."""
        maps, step = self._maps, result.class_map.shape[0] // result.logits.shape[1]
        kept = result.logits[:, _inside(tile.rows, step), _inside(tile.columns, step)]
        maps.sampled.add_logits(kept, self._temperatures)
        maps.class_map[...] = result.class_map[tile.rows.inside, tile.columns.inside]


class BlendedCanvas:
    """As UpsampledCanvas, of tiles that are blended: all their probabilities are put together
    first.
    """

    signature: Literal["probabilities"] = "probabilities"

    def __init__(
        self,
        plan: TilePlan,
        maps: Maps,
        working: WorkingSize,
        classes: int,
        temperatures: Temperatures | None = None,
    ) -> None:
        self._plan, self._maps, self._working = plan, maps, working
        self._temperatures = temperatures
        self._blended = Maps.empty((plan.height, plan.width), "probabilities", classes)
        self._canvas = ProbabilityCanvas(plan, self._blended, classes)
        self._missing = len(plan)

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        """Probabilities of the whole tile, in the plan's order."""
        self._canvas.put(tile, result)
        self._missing -= 1
        if self._missing:
            return
        assert self._blended.probabilities is not None  # as they were made
        logits = logits_of(self._blended.probabilities[np.newaxis])[0]
        whole = replace(self._plan, tile_shape=logits.shape[1:], blended=False)
        rows, columns = Span(0, 0, self._plan.height), Span(0, 0, self._plan.width)
        canvas = UpsampledCanvas(whole, self._maps, self._working, self._temperatures)
        canvas.put(Tile(rows, columns), logits)


def _inside(span: Span, step: int) -> slice:
    """The logits of what counts of a tile, each of which is `step` pixels long."""
    inside = span.inside
    return slice(inside.start // step, -(-inside.stop // step))


class OverlapCanvas:
    """As BlendedCanvas, where classes overlap: their probabilities are enlarged, each for itself,
    and not logits that have something in common.
    """

    signature: Literal["probabilities"] = "probabilities"

    def __init__(
        self, plan: TilePlan, maps: Maps, working: WorkingSize, classes: int, overlap: Overlap
    ) -> None:
        self._maps, self._working, self._overlap = maps, working, overlap
        self._seen = Maps.empty((plan.height, plan.width), "probabilities", classes)
        self._canvas = ProbabilityCanvas(plan, self._seen, classes, overlap=overlap)
        self._missing = len(plan)

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        """Probabilities of the whole tile, in the plan's order."""
        self._canvas.put(tile, result)
        self._missing -= 1
        if self._missing:
            return
        assert self._seen.probabilities is not None  # as they were made
        planes = np.ascontiguousarray(np.moveaxis(self._seen.probabilities, -1, 0))
        grid, overhang = Grid(self._working.factors), self._working.overhang
        height, width = self._maps.class_map.shape
        for band in _bands(slice(0, height), len(planes) * width, whole=False):
            window = Window(band.start + overhang[0], overhang[1], band.stop - band.start, width)
            self._write(band, np.moveaxis(upsampled_logits(planes, grid, window), 0, -1))

    def _write(self, rows: slice, probabilities: NDArray[np.float32]) -> None:
        maps = self._maps
        ids, of_top = top_classes(probabilities, self._overlap)
        maps.class_map[rows] = ids
        if maps.confidence is not None:
            maps.confidence[rows] = np.rint(of_top * 255)
        if maps.probabilities is not None:
            maps.probabilities[rows] = probabilities


def _bands(rows: slice, values_a_row: int, *, whole: bool) -> Iterator[slice]:
    at_once = rows.stop - rows.start if whole else max(1, _BAND_VALUES // max(1, values_a_row))
    for start in range(rows.start, rows.stop, max(1, at_once)):
        yield slice(start, min(start + at_once, rows.stop))
