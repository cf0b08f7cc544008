"""One row of a map's tiles: read, run, and written to its files."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.concurrency import cancel_all
from service.domain.classes import keep_classes
from service.domain.segmentation import Need
from service.domain.source import Window
from service.domain.temperature import temperatures_of
from service.inference.file_work import Picture
from service.inference.passes import MapCanvas, passes_of
from service.inference.raster_view import View
from service.inference.runner import InferenceResult, Runner, Signature
from service.inference.tiling.canvas import Canvas
from service.inference.tiling.plan import Span, Tile, TilePlan
from service.maps.canvas import RowCanvas
from service.maps.plan import MapPlan, common, moved
from service.maps.work import RowFiles, Work

T = TypeVar("T")


@dataclass
class Spent:
    """CPU seconds of reading and of writing, which go on beside the engine."""

    read: float = 0.0
    write: float = 0.0


def cpu_timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the CPU seconds that this thread took for it: how long it also waited for
    a core says what else the machine did.
    """
    started = time.thread_time()
    return work(), time.thread_time() - started


@dataclass(frozen=True)
class Cut:
    """What is read for a tile: `pixels` (h, w, C) for the network, of what is `seen` of it, how
    they are computed, and where (h, w) of the part of the answer that is `asked` they are `valid`,
    None for everywhere. Nothing is asked beyond what is `kept` of what the network sees.
    """

    pixels: NDArray[np.uint8]
    seen: Window
    tiles: TilePlan
    kept: Window | None
    asked: Window
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
        size = bottom - top, self._plan.window.width
        files = RowFiles(self._work.folder, row, size, self._void)
        temperatures = temperatures_of(self._contract, runner.facts.precision)
        classes = len(self._contract.classes)
        canvas = RowCanvas(self._plan, self._need, classes, self._taken(row), temperatures)
        running = _Running(self._put_result)
        try:
            async with aclosing(self._cuts(row)) as cuts:
                async for pixels, cut in cuts:
                    if cut is None:
                        self._advance(pixels if keep else 0)
                        continue
                    put = partial(self._put, canvas, files, cut, top, keep=keep)
                    taking = _CutCanvas(canvas.signature, cut, pixels if keep else 0, put)
                    await self._run_passes(Picture(cut.pixels, cut.tiles, taking), runner, running)
            await running.put_until(0)
            if keep:
                await self._on(self._writer, "write", partial(files.finish, self.kinds))
        finally:
            await running.cancel()
            await asyncio.shield(self._on(self._writer, "write", files.abandon))
        if canvas.above is not None:
            self._above = row, canvas.above

    async def _run_passes(self, picture: Picture, runner: Runner, running: "_Running") -> None:
        """Give all tiles of a cut to the engine. The last ones are at work when it returns."""
        for one in passes_of(picture, runner):
            if one.needs_all_before:
                await running.put_until(0)
            for tile in one.plan:
                await self._before_tile()
                running.add(one.canvas, tile, one.run(tile, None))
                await running.put_until(2 * runner.capacity(one.shape) - 1)

    async def _put_result(
        self, taking: Canvas | MapCanvas, tile: Tile, result: InferenceResult
    ) -> None:
        put = partial(taking.put, tile, result.result)
        await asyncio.get_running_loop().run_in_executor(self._writer, put)
        if isinstance(taking, _CutCanvas):
            self.spent.write += taking.write_seconds
            self._advance(taking.next_pixels())

    def _taken(self, row: int) -> NDArray[np.float32] | None:
        """What the row above has given to both."""
        if self._above is None or self._above[0] != row - 1:
            return None
        return self._above[1]

    async def _cuts(self, row: int) -> AsyncGenerator[tuple[int, Cut | None]]:
        """Of each of the row's tiles the pixels that are asked for, and what is read for them, the
        next one while the last is at work; None for those without a valid pixel.
        """
        tiles = [
            Tile(self._plan.tiles.rows[row], self._plan.tiles.columns[column])
            for column in self._plan.columns
        ]
        next_cut = asyncio.ensure_future(
            self._on(self._reader, "read", partial(self._cut, tiles[0]))
        )
        try:
            for place in range(len(tiles)):
                cut = await next_cut
                if place + 1 < len(tiles):
                    read = partial(self._cut, tiles[place + 1])
                    next_cut = asyncio.ensure_future(self._on(self._reader, "read", read))
                yield cut
        finally:
            await cancel_all([next_cut])

    def _cut(self, tile: Tile) -> tuple[int, Cut | None]:
        plan, view = self._plan, self._view
        asked = common(plan.answers_for(tile), plan.window)
        pixels = asked.height * asked.width
        if plan.radius is None:
            valid = view.valid(asked) if pixels else None
            if valid is not None and not valid.any() and not plan.tiles.blended:
                return pixels, None
            seen, tiles = plan.part(tile, asked)
            return pixels, Cut(view.read(seen), seen, tiles, None, asked, valid)
        stored = view.stored(asked)
        if stored is None:
            return pixels, None
        asked = stored
        view.look_ahead(plan.part(tile, asked)[0])
        valid = view.valid(asked)
        wanted = asked if valid is None else _around(asked, valid)
        if wanted is None:
            return pixels, None
        if valid is not None:
            valid = valid.copy()  # not all that was looked at
        seen, tiles = plan.part(tile, wanted)
        return pixels, Cut(view.read(seen), seen, tiles, plan.kept(tile, wanted), asked, valid)

    def _put(
        self,
        canvas: RowCanvas,
        files: RowFiles,
        cut: Cut,
        top: int,
        tile: Tile,
        result: NDArray[Any],
        *,
        keep: bool,
    ) -> float:
        """Write what a tile, of all that the network sees, settles of what is asked. `top` is the
        file's first row in the window. Gives the CPU seconds that writing took.
        """
        plan = self._plan
        whole = plan.answers_for(tile)
        step = cut.tiles.tile_shape[0] // result.shape[1] if plan.gives_logits else 1
        maps = canvas.put(tile, result, whole, step)
        wanted = common(whole, cut.asked)
        if not keep or not wanted.height or not wanted.width:
            return 0.0
        part = whole.slices_of(wanted)
        class_map = maps.class_map[part]
        confidence = None if maps.confidence is None else maps.confidence[part]
        keep_classes(self._contract, self._kept, class_map, confidence)
        if cut.valid is not None:
            void = ~cut.valid[cut.asked.slices_of(wanted)]
            if self._void is not None:
                class_map[void] = self._void
            if confidence is not None:
                confidence[void] = 0
        at = wanted.top - plan.window.top - top, wanted.left - plan.window.left
        started = time.thread_time()
        files.write("classes", class_map, *at)
        if confidence is not None:
            files.write("confidence", confidence, *at)
        return time.thread_time() - started

    async def _on(self, thread: ThreadPoolExecutor, kind: str, work: Callable[[], T]) -> T:
        timed = partial(cpu_timed, work)
        result, seconds = await asyncio.get_running_loop().run_in_executor(thread, timed)
        setattr(self.spent, kind, getattr(self.spent, kind) + seconds)
        return result


class _Running:
    """Tiles that the engine has, in their order. Each result is `put` where it belongs."""

    def __init__(
        self, put: Callable[[Canvas | MapCanvas, Tile, InferenceResult], Awaitable[None]]
    ) -> None:
        self._put = put
        self._tasks: deque[tuple[Canvas | MapCanvas, Tile, asyncio.Task[InferenceResult]]] = deque()

    def add(
        self,
        taking: Canvas | MapCanvas,
        tile: Tile,
        run: Coroutine[Any, Any, InferenceResult],
    ) -> None:
        self._tasks.append((taking, tile, asyncio.create_task(run)))

    async def put_until(self, left: int) -> None:
        """Wait for the first ones, until no more are `left`."""
        while len(self._tasks) > left:
            taking, tile, task = self._tasks[0]
            result = await task
            self._tasks.popleft()
            await self._put(taking, tile, result)

    async def cancel(self) -> None:
        await cancel_all([task for *_, task in self._tasks])


class _CutCanvas:
    """Takes the results of what is cut for a tile of the map, and counts its `pixels` as they are
    done.
    """

    def __init__(
        self,
        signature: Signature,
        cut: Cut,
        pixels: int,
        put: Callable[[Tile, NDArray[Any]], float],
    ) -> None:
        self.signature: Signature = signature
        self.write_seconds = 0.0  # of the last one
        self._cut, self._pixels, self._put, self._done = cut, pixels, put, 0

    def put(self, tile: Tile, result: NDArray[Any]) -> None:
        cut, stages = self._cut, self._cut.tiles.stages
        down, across = (0, 0) if stages is None else stages.tail_at
        rows = moved(tile.rows, cut.seen.top + down)
        columns = moved(tile.columns, cut.seen.left + across)
        if cut.kept is not None:
            rows = _within(rows, cut.kept.top, cut.kept.top + cut.kept.height)
            columns = _within(columns, cut.kept.left, cut.kept.left + cut.kept.width)
        self.write_seconds = 0.0
        if rows.keep_start < rows.keep_stop and columns.keep_start < columns.keep_stop:
            self.write_seconds = self._put(Tile(rows, columns), result)

    def next_pixels(self) -> int:
        """Those that one more tile stands for."""
        before, tiles = self._pixels * self._done // len(self._cut.tiles), len(self._cut.tiles)
        self._done += 1
        return self._pixels * self._done // tiles - before


def _around(window: Window, valid: NDArray[np.bool_]) -> Window | None:
    """The part of a window around all that is `valid` (h, w) of it; None where nothing is."""
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if not len(rows):
        return None
    top, left = window.top + int(rows[0]), window.left + int(columns[0])
    return Window(top, left, int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)


def _within(span: Span, start: int, stop: int) -> Span:
    """What of it is kept there."""
    first, last = max(span.keep_start, start), min(span.keep_stop, stop)
    return Span(span.start, first, last, span.ramp_in, span.ramp_out)
