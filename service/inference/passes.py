"""The passes that a picture's tiles are run in: one, or one for each stage of the network."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract.working_size import WorkingSize
from service.inference.file_work import Picture
from service.inference.runner import AloneRunner, InferenceResult, Result, Runner
from service.inference.tiling.canvas import Canvas
from service.inference.tiling.plan import Span, StagePlans, Tile, TilePlan
from service.runtimes.engine import FeatureMap, StageFacts


@dataclass(frozen=True)
class MapCanvas:
    """Takes a stage's results (h, w, channels) of tiles whose pixels are `step` to one of `whole`,
    the map of all of the picture.
    """

    whole: NDArray[Any]
    step: int

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        (top, bottom), (left, right) = map(self._kept, (tile.rows, tile.columns))
        inside = result[self._inside(tile.rows), self._inside(tile.columns)]
        self.whole[top:bottom, left:right] = inside

    def _kept(self, span: Span) -> tuple[int, int]:
        return span.keep_start // self.step, span.keep_stop // self.step

    def _inside(self, span: Span) -> slice:
        return slice(span.inside.start // self.step, span.inside.stop // self.step)


class TileResult:
    """What the engine gave for a tile, which is what the canvas' signature asks for. Once it is put
    where it belongs, it is held no longer.
    """

    def __init__(self, canvas: Canvas | MapCanvas, tile: Tile, result: Result) -> None:
        self._canvas, self._tile = canvas, tile
        self._results = [result]

    def put(self) -> None:
        self._canvas.put(self._tile, self._results.pop())


@dataclass(frozen=True)
class Pass:
    """Tiles, of a `shape` in pixels of the picture. Some passes need all that is before them."""

    plan: TilePlan
    canvas: Canvas | MapCanvas
    shape: tuple[int, int]
    run: Callable[[Tile, float | None], Coroutine[Any, Any, InferenceResult]]
    needs_all_before: bool = False


async def find_stages(
    runner: Runner,
    workers: ThreadPoolExecutor,
    sizes: Sequence[Sequence[int]],
    working: Sequence[WorkingSize | None],
) -> StageFacts | None:
    """Stages that pictures of these sizes, seen at `working` sizes, may be run in. They are not
    looked for where all are small.
    """
    alone, most = runner.alone, runner.tile_sides.class_map**2
    seen = [
        size[0] * size[1] if scaled is None else scaled.height * scaled.width
        for size, scaled in zip(sizes, working, strict=True)
    ]
    if alone is None or max(seen, default=0) <= most:
        return None
    return await asyncio.get_running_loop().run_in_executor(workers, alone.find_stages)


def passes_of(picture: Picture, runner: Runner) -> list[Pass]:
    plan, stages, alone = picture.plan, picture.plan.stages, runner.alone
    if stages is not None and alone is not None:
        return _StagedPicture(picture, stages, alone).passes()
    signature = picture.canvas.signature

    def run(tile: Tile, deadline: float | None) -> Coroutine[Any, Any, InferenceResult]:
        image = plan.cut(picture.image, tile)
        return runner.run(signature, image, plan.tile_shape, deadline)

    return [Pass(plan, picture.canvas, plan.tile_shape, run)]


class _StagedPicture:
    """Its maps are there while its passes are."""

    def __init__(self, picture: Picture, stages: StagePlans, runner: AloneRunner) -> None:
        self._picture, self._stages, self._runner = picture, stages, runner
        facts = stages.facts
        self._shallow, self._deep = (
            np.empty(shape, one.dtype)
            for shape, one in zip(stages.map_shapes, (facts.shallow, facts.deep), strict=True)
        )

    def passes(self) -> list[Pass]:
        shallow, deep, tail = self._stages.shallow, self._stages.deep, self._picture.plan
        facts = self._stages.facts
        step = facts.shallow.step
        height, width = deep.tile_shape
        return [
            Pass(shallow, MapCanvas(self._shallow, step), shallow.tile_shape, self._run_shallow),
            Pass(
                deep,
                MapCanvas(self._deep, facts.deep.step // step),
                (height * step, width * step),
                self._run_deep,
                needs_all_before=True,
            ),
            Pass(
                tail, self._picture.canvas, tail.tile_shape, self._run_tail, needs_all_before=True
            ),
        ]

    def _run_shallow(
        self, tile: Tile, deadline: float | None
    ) -> Coroutine[Any, Any, InferenceResult]:
        plan = self._stages.shallow
        image = plan.cut(self._picture.image, tile)
        return self._runner.run_stage("shallow", (image,), plan.tile_shape, deadline)

    def _run_deep(self, tile: Tile, deadline: float | None) -> Coroutine[Any, Any, InferenceResult]:
        plan, step = self._stages.deep, self._stages.facts.shallow.step
        height, width = plan.tile_shape
        top, left = (first // step for first in self._stages.deep_at)
        part = plan.cut(self._shallow[top:, left:], tile)
        return self._runner.run_stage("deep", (part,), (height * step, width * step), deadline)

    def _run_tail(self, tile: Tile, deadline: float | None) -> Coroutine[Any, Any, InferenceResult]:
        plan, facts = self._picture.plan, self._stages.facts
        (top, left), (above, before) = self._stages.tail_at, self._stages.deep_at
        inputs = (
            plan.cut(self._picture.image[top:, left:], tile),
            _under(self._shallow, facts.shallow, plan, tile, (top, left)),
            _under(self._deep, facts.deep, plan, tile, (top - above, left - before)),
        )
        return self._runner.run_stage("tail", inputs, plan.tile_shape, deadline)


def _under(
    whole: NDArray[Any], facts: FeatureMap, plan: TilePlan, tile: Tile, at: tuple[int, int]
) -> NDArray[Any]:
    """The part of a map that lies under a tile of the picture, whose first pixel is `at` that of
    the map's.
    """
    (height, width), step = plan.tile_shape, facts.step
    top, left = (tile.rows.start + at[0]) // step, (tile.columns.start + at[1]) // step
    return whole[top : top + height // step, left : left + width // step]
