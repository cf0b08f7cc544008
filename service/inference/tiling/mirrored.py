"""Test-time augmentation: the mean of what a network says of a picture and of its mirror image."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.contract.working_size import WorkingSize
from service.domain.temperature import Temperatures
from service.inference.tiling.plan import Span, Tile, TilePlan
from service.inference.tiling.stitch import Maps, ProbabilityCanvas
from service.inference.tiling.upsampled import UpsampledCanvas
from service.runtimes.engine import logits_of

# Probabilities of both pictures, their mean and its logits are held at once.
HELD_PROBABILITIES = 4


class MirrorCanvas:
    """Takes probabilities (H, W, classes) of one of the two, in the plan's order. Whichever has its
    last tile last puts the mean of both into the maps.
    """

    signature: Literal["probabilities"] = "probabilities"

    def __init__(self, mean: "MirrorMean", side: int) -> None:
        self._mean, self._side = mean, side

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        self._mean.put(self._side, tile, result)


class MirrorMean:
    """Of a picture (side 0) and its mirror image (side 1), which are cut alike by `plan`."""

    def __init__(
        self,
        plan: TilePlan,
        maps: Maps,
        working: WorkingSize | None,
        classes: int,
        temperatures: Temperatures | None,
    ) -> None:
        self._plan = plan
        self._sides = [
            Maps.empty((plan.height, plan.width), "probabilities", classes) for _ in range(2)
        ]
        self._canvases = [ProbabilityCanvas(plan, side, classes) for side in self._sides]
        whole = replace(plan, tile_shape=(plan.height, plan.width), blended=False)
        self._canvas = UpsampledCanvas(whole, maps, working, temperatures)
        self._missing = 2 * len(plan)

    def put(self, side: int, tile: Tile, result: NDArray[Any]) -> None:
        self._canvases[side].put(tile, result)
        self._missing -= 1
        if self._missing:
            return
        plain, mirrored = (one.probabilities for one in self._sides)
        assert plain is not None  # as they were made
        assert mirrored is not None
        mean = (plain + mirrored[:, ::-1]) / np.float32(2)
        self._sides.clear()
        self._canvases.clear()
        rows, columns = Span(0, 0, self._plan.height), Span(0, 0, self._plan.width)
        self._canvas.put(Tile(rows, columns), logits_of(mean[np.newaxis])[0])
