"""One row of a map's tiles: read, run, and written to its files."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.concurrency import cancel_all
from service.domain.classes import keep_classes
from service.domain.segmentation import Need
from service.domain.source import Window
from service.domain.temperature import Temperatures, powers_of, temperatures_of
from service.domain.upsampling import Grid, strongest, upsampled_class_map, upsampled_logits
from service.inference.raster_view import View
from service.inference.runner import InferenceResult, Runner, Signature
from service.inference.tiling.plan import Span, Tile
from service.inference.tiling.stitch import ClassMapCanvas, Maps, ProbabilityCanvas
from service.maps.plan import MapPlan
from service.maps.work import RowFiles, Work

P = ParamSpec("P")
T = TypeVar("T")

_BAND_VALUES = 2**21


@dataclass
class Spent:
    """Seconds of each kind of work; reading and writing go on beside the engine's."""

    read: float = 0.0
    infer: float = 0.0
    write: float = 0.0
    _batches: set[int] = field(default_factory=set)

    def ran(self, result: InferenceResult) -> None:
        """Count a batch once, however many tiles it held."""
        if result.batch not in self._batches:
            self._batches.add(result.batch)
            self.infer += result.seconds


@dataclass(frozen=True)
class Cut:
    """What is read for a tile: `pixels` (h, w, C) for the network, and where its answer is `valid`
    (h, w), None for everywhere.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_] | None


class RowRunner:
    """Runs rows of one map. Used on the event loop only; `reader` and `writer` have a thread each.

    `before_tile` is awaited before each tile is given to the engine; it raises where the map is to
    stop.
    """

    def __init__(
        self,
        plan: MapPlan,
        view: View,
        contract: Contract,
        kept: frozenset[int],
        need: Need,
        void: int | None,
        work: Work,
        reader: ThreadPoolExecutor,
        writer: ThreadPoolExecutor,
        before_tile: Callable[[], Awaitable[None]],
        advance: Callable[[int], None],
    ) -> None:
        self._plan, self._view, self._contract = plan, view, contract
        self._kept, self._need, self._void, self._work = kept, need, void, work
        self._reader, self._writer = reader, writer
        self._before_tile, self._advance = before_tile, advance
        self.spent = Spent()
        self._above: tuple[int, NDArray[np.float32]] | None = None

    @property
    def kinds(self) -> list[str]:
        return ["classes"] if self._need == "class_map" else ["confidence", "classes"]

    async def run(self, row: int, runner: Runner) -> None:
        """Do a row of tiles, all of it. Raises ServiceError and OSError."""
        plan = self._plan
        if plan.tiles.blended and row > 0 and (self._above is None or self._above[0] != row - 1):
            await self._run(row - 1, runner, keep=False)
        await self._run(row, runner, keep=True)

    async def _run(self, row: int, runner: Runner, *, keep: bool) -> None:
        top, bottom = self._plan.row_extent(row)
        size, shape = (bottom - top, self._plan.window.width), self._plan.tiles.tile_shape
        files = RowFiles(self._work.folder, row, size, self._void)
        temperatures = temperatures_of(self._contract, runner.facts.precision)
        classes = len(self._contract.classes)
        canvas = _RowCanvas(self._plan, self._need, classes, self._taken(row), temperatures)
        running: deque[tuple[Tile, Cut, asyncio.Task[InferenceResult]]] = deque()

        async def finish_next() -> None:
            tile, cut, task = running[0]
            result = await task
            running.popleft()
            self.spent.ran(result)
            put = partial(self._put, canvas, files, tile, cut, result.result, top, keep=keep)
            await self._on(self._writer, "write", put)
            self._advance(self._pixels(tile) if keep else 0)

        try:
            async with aclosing(self._cuts(row)) as cuts:
                async for tile, cut in cuts:
                    if cut is None:
                        self._advance(self._pixels(tile))
                        continue
                    await self._before_tile()
                    run = runner.run(canvas.signature, cut.pixels, shape, None)
                    running.append((tile, cut, asyncio.create_task(run)))
                    while len(running) >= 2 * runner.capacity(shape):
                        await finish_next()
            while running:
                await finish_next()
            if keep:
                await self._on(self._writer, "write", partial(files.finish, self.kinds))
        finally:
            await cancel_all([task for *_, task in running])
            await asyncio.shield(self._on(self._writer, "write", files.abandon))
        if canvas.above is not None:
            self._above = row, canvas.above

    def _taken(self, row: int) -> NDArray[np.float32] | None:
        """What the row above has given to both."""
        if self._above is None or self._above[0] != row - 1:
            return None
        return self._above[1]

    async def _cuts(self, row: int) -> AsyncGenerator[tuple[Tile, Cut | None]]:
        """The row's tiles with what is read for them, the next one while the last is at work; None
        for those without a valid pixel.
        """
        tiles = [
            Tile(self._plan.tiles.rows[row], self._plan.tiles.columns[column])
            for column in self._plan.columns
        ]
        next_cut = asyncio.ensure_future(
            self._on(self._reader, "read", partial(self._cut, tiles[0]))
        )
        try:
            for place, tile in enumerate(tiles):
                cut = await next_cut
                if place + 1 < len(tiles):
                    read = partial(self._cut, tiles[place + 1])
                    next_cut = asyncio.ensure_future(self._on(self._reader, "read", read))
                yield tile, cut
        finally:
            await cancel_all([next_cut])

    def _cut(self, tile: Tile) -> Cut | None:
        valid = self._view.valid(self._plan.answers_for(tile))
        if valid is not None and not valid.any() and not self._plan.tiles.blended:
            return None
        return Cut(self._view.read(self._plan.seen_by(tile)), valid)

    def _pixels(self, tile: Tile) -> int:
        _, _, height, width = _common(self._plan.answers_for(tile), self._plan.window)
        return height * width

    def _put(
        self,
        canvas: "_RowCanvas",
        files: RowFiles,
        tile: Tile,
        cut: Cut,
        result: NDArray[Any],
        top: int,
        *,
        keep: bool,
    ) -> None:
        """Write what a tile settles of the window. `top` is the file's first row in it."""
        whole = self._plan.answers_for(tile)
        maps = canvas.put(tile, result, whole)
        if not keep:
            return
        keep_classes(self._contract, self._kept, maps.class_map, maps.confidence)
        if cut.valid is not None:
            if self._void is not None:
                maps.class_map[~cut.valid] = self._void
            if maps.confidence is not None:
                maps.confidence[~cut.valid] = 0
        wanted = _common(whole, self._plan.window)
        if not wanted.height or not wanted.width:
            return
        rows = slice(wanted.top - whole.top, wanted.top - whole.top + wanted.height)
        columns = slice(wanted.left - whole.left, wanted.left - whole.left + wanted.width)
        at = wanted.top - self._plan.window.top - top, wanted.left - self._plan.window.left
        files.write("classes", maps.class_map[rows, columns], *at)
        if maps.confidence is not None:
            files.write("confidence", maps.confidence[rows, columns], *at)

    async def _on(self, thread: ThreadPoolExecutor, kind: str, work: Callable[[], T]) -> T:
        def timed() -> tuple[T, float]:
            started = time.monotonic()
            return work(), time.monotonic() - started

        result, seconds = await asyncio.get_running_loop().run_in_executor(thread, timed)
        setattr(self.spent, kind, getattr(self.spent, kind) + seconds)
        return result


class _RowCanvas:
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
        if plan.working is not None:
            self.signature = "logits"
        elif plan.tiles.blended:
            self.signature = "probabilities"
            self._blending = _BlendedRow(plan, need, classes, above, temperatures)
            self.above = self._blending.canvas.above

    def put(self, tile: Tile, result: NDArray[Any], window: Window) -> Maps:
        """What is settled by the tile: maps of the `window` that it answers for."""
        if self._plan.working is not None:
            return self._upsampled(tile, result, window)
        if self._plan.tiles.blended:
            return self._blending.put(tile, result, window)
        maps = Maps.empty((window.height, window.width), self._need, self._classes)
        own = Tile(_moved(tile.rows, window.top), _moved(tile.columns, window.left))
        if self.signature == "class_map":
            ClassMapCanvas(maps).put(own, result)
        else:
            ProbabilityCanvas(self._plan.tiles, maps, self._classes, self._temperatures).put(
                own, result
            )
        return maps

    def _upsampled(self, tile: Tile, logits: NDArray[Any], window: Window) -> Maps:
        working = self._plan.working
        assert working is not None
        step = self._plan.tiles.tile_shape[0] // logits.shape[1]
        factors = working.factors[0] * step, working.factors[1] * step
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
        self.canvas.put(Tile(_moved(tile.rows, window.top), tile.columns), result)
        columns = slice(window.left, window.left + window.width)
        confidence = self._maps.confidence
        return Maps(
            self._maps.class_map[:, columns].copy(),
            None if confidence is None else confidence[:, columns].copy(),
        )


def _moved(span: Span, by: int) -> Span:
    """The span in a picture that begins `by` pixels further on."""
    return Span(
        span.start - by, span.keep_start - by, span.keep_stop - by, span.ramp_in, span.ramp_out
    )


def _common(one: Window, other: Window) -> Window:
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.height, other.top + other.height)
    right = min(one.left + one.width, other.left + other.width)
    return Window(top, left, max(0, bottom - top), max(0, right - left))


def _bands(height: int, values_a_row: int) -> Iterator[slice]:
    at_once = max(1, _BAND_VALUES // values_a_row)
    for start in range(0, height, at_once):
        yield slice(start, min(start + at_once, height))
