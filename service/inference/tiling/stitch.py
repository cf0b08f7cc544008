"""Put the tiles' results together, holding no more than a seam of probabilities."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract import Overlap
from service.domain.observation import ConfidenceSample
from service.domain.overlap import top_classes
from service.domain.segmentation import Need, is_of_classes
from service.domain.temperature import Temperatures, calibrated, uncertainty_of
from service.inference.tiling.plan import Span, Tile, TilePlan

_CACHED_VALUES = (
    2**18
)  # a megabyte of float32, which stays in the cache while each class is looked at


def needs_probabilities(plan: TilePlan, need: Need) -> bool:
    """Whether the tiles must be run through `probabilities` rather than `class_map`."""
    return plan.blended or not is_of_classes(need)


@dataclass(frozen=True)
class Maps:
    """Where a picture's result is put; None where it is not asked for.

    `class_map`, `confidence` and `uncertainty` (H, W) uint8, `probabilities` (H, W, classes)
    float32. `sampled` is how sure the model is, where no confidence is asked for, or one
    `for_means` alone.
    """

    class_map: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.uint8] | None = None
    sampled: ConfidenceSample = field(default_factory=ConfidenceSample)
    for_means: bool = False

    @classmethod
    def empty(cls, shape: tuple[int, ...], need: Need, classes: int) -> "Maps":
        """For one picture (H, W), or for N of one size (N, H, W)."""
        return cls(
            np.empty(shape, np.uint8),
            None if need == "class_map" else np.empty(shape, np.uint8),
            np.empty((*shape, classes), np.float32) if need == "probabilities" else None,
            np.empty(shape, np.uint8) if need == "uncertainty" else None,
            for_means=need == "mean_confidence",
        )

    def __getitem__(self, index: int) -> "Maps":
        """Views of one picture's maps out of N."""
        return Maps(
            self.class_map[index],
            None if self.confidence is None else self.confidence[index],
            None if self.probabilities is None else self.probabilities[index],
            None if self.uncertainty is None else self.uncertainty[index],
            for_means=self.for_means,
        )


class ClassMapCanvas:
    """Takes the engine's class maps (H, W), and keeps of each tile what counts."""

    signature: Literal["class_map"] = "class_map"

    def __init__(self, maps: Maps) -> None:
        self._class_map = maps.class_map

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        self._class_map[_kept(tile.rows), _kept(tile.columns)] = result[
            tile.rows.inside, tile.columns.inside
        ]


class ProbabilityCanvas:
    """Takes probabilities (H, W, classes) in the plan's order, and blends them where tiles overlap.

    Of the blended ones it takes the strongest class, or where classes overlap the one on top; the
    probabilities themselves are kept only if asked for. These have `temperatures`, the classes are
    those of the network.
    """

    signature: Literal["probabilities"] = "probabilities"

    def __init__(
        self,
        plan: TilePlan,
        maps: Maps,
        classes: int,
        temperatures: Temperatures | None = None,
        overlap: Overlap | None = None,
        above: NDArray[np.float32] | None = None,
    ) -> None:
        """`above` is that of a canvas of the row of tiles above, where each row has its own."""
        self._overlap = overlap
        self._blended = plan.blended
        self._temperatures = temperatures
        self.maps = maps
        # What the tile to the left, and the row of tiles above, have given to the ramps they share
        # with the next.
        self._left = np.empty(0, np.float32)
        self.above = (
            np.zeros((plan.rows[0].ramp_out, plan.width, classes), np.float32)
            if above is None
            else above
        )

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        block: NDArray[np.float32] = result[tile.rows.inside, tile.columns.inside]
        if self._blended:
            block = self._blend_columns(tile.columns, block.copy())
            block = self._blend_rows(tile, block)
        self._settle(tile.rows.keep_start, tile.columns.keep_start, block)

    def _blend_columns(self, columns: Span, block: NDArray[np.float32]) -> NDArray[np.float32]:
        if ramp := columns.ramp_in:
            block[:, :ramp] *= _rise(ramp)[:, np.newaxis]
            block[:, :ramp] += self._left
        if ramp := columns.ramp_out:
            self._left = block[:, -ramp:] * _fall(ramp)[:, np.newaxis]
            block = block[:, :-ramp]
        return block

    def _blend_rows(self, tile: Tile, block: NDArray[np.float32]) -> NDArray[np.float32]:
        left = tile.columns.keep_start
        above = self.above[:, left : left + block.shape[1]]
        if ramp := tile.rows.ramp_in:
            block[:ramp] *= _rise(ramp)[:, np.newaxis, np.newaxis]
            block[:ramp] += above
        if ramp := tile.rows.ramp_out:
            above[...] = block[-ramp:] * _fall(ramp)[:, np.newaxis, np.newaxis]
            block = block[:-ramp]
        return block

    def _settle(self, top: int, left: int, block: NDArray[np.float32]) -> None:
        maps = self.maps
        columns = slice(left, left + block.shape[1])
        rows_at_once = max(1, _CACHED_VALUES // (block.shape[1] * block.shape[2]))
        for row in range(0, block.shape[0], rows_at_once):
            part = block[row : row + rows_at_once]
            rows = slice(top + row, top + row + part.shape[0])
            if self._overlap is None:
                ids, highest = _strongest(part)
            else:
                ids, highest = top_classes(part, self._overlap)
            maps.class_map[rows, columns] = ids
            if maps.confidence is None:
                continue
            if self._temperatures is not None:
                part = calibrated(part, ids, self._temperatures)
                highest = part.max(axis=-1)
            maps.confidence[rows, columns] = np.rint(highest * 255)
            if maps.uncertainty is not None:
                maps.uncertainty[rows, columns] = uncertainty_of(part)
            if maps.probabilities is not None:
                maps.probabilities[rows, columns] = part


def _strongest(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The first of the highest classes (H, W), and its probability (H, W).

    Class by class, which over a short last axis is several times as fast as numpy's argmax and max.
    """
    highest = probabilities[..., 0].copy()
    ids = np.zeros(highest.shape, np.uint8)
    for class_id in range(1, probabilities.shape[-1]):
        of_class = probabilities[..., class_id]
        np.copyto(ids, class_id, where=of_class > highest, casting="unsafe")
        np.maximum(highest, of_class, out=highest)
    return ids, highest


def _kept(span: Span) -> slice:
    return slice(span.keep_start, span.keep_stop)


def _rise(ramp: int) -> NDArray[np.float32]:
    """Weights that grow from near 0 to near 1 over `ramp` pixels; with `_fall` they add up to 1."""
    return ((np.arange(ramp) + 0.5) / ramp).astype(np.float32)


def _fall(ramp: int) -> NDArray[np.float32]:
    return 1 - _rise(ramp)
