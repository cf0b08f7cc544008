"""A raster of any size in, a map of its classes out: `predict_raster`.

Start reading here. The way of a tile is `rows.RowRunner`; what lies on the disk meanwhile is told
in `work.py`.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.contract import Contract
from models.contract.intensity import IntensityWindow
from models.contract.working_size import WorkingSize
from service.domain.classes import kept_ids, void_id
from service.domain.errors import InvalidOptionError
from service.domain.segmentation import Need
from service.domain.source import SourceInfo, Window
from service.inference.inference import Inference
from service.inference.raster_view import View, find_tone, find_working_size
from service.inference.rasters import refuse_void
from service.inference.segmenter import Segmenter
from service.inputs.raster import Raster, open_raster
from service.inputs.raster_source import refuse_page
from service.maps.finish import (
    FORMATS,
    Finished,
    Noting,
    finish,
    refuse_targets,
    refuse_without_ground,
)
from service.maps.like import box_like
from service.maps.malloc import return_large_blocks
from service.maps.options import MapOptions
from service.maps.plan import MapPlan, plan_map
from service.maps.rows import RowRunner, cpu_timed
from service.maps.window import info_of, wanted_window
from service.maps.work import Work
from service.outputs.geo.areas import ClassArea

__all__ = ["FORMATS", "MapProgress", "MapStoppedError", "MapSummary", "predict_raster"]

_VERSION = 2  # of what lies in a work folder


class MapStoppedError(Exception):
    """`cancelled` said so. What is done is kept, and the same call goes on with it."""


@dataclass(frozen=True)
class MapProgress:
    """How far a map is: pixels of the part that is asked for, those of void and of an earlier run
    among them. `rate` is pixels a second of this run, `seconds_left` None while nothing is known of
    it. `stage` is "tiles", then "writing".
    """

    done: int
    total: int
    seconds: float
    rate: float
    seconds_left: float | None
    stage: Literal["tiles", "writing"] = "tiles"


@dataclass(frozen=True)
class MapSummary:
    """What became of a map of `height` × `width` pixels.

    `files` are those that were written, by format, `areas` what each class covers of the ground.
    `notes` are sentences that whoever asked should read. `resumed_rows` of `rows` of tiles, whose
    numbers are `row_numbers`, were there. Of this run are `seconds`, the
    `cpu_seconds` of all that the process did meanwhile, and those of them that reading and writing
    took.
    """

    height: int
    width: int
    model_id: str
    files: Mapping[str, tuple[Path, ...]]
    areas: tuple[ClassArea, ...]
    notes: tuple[str, ...]
    tiles: int
    rows: int
    row_numbers: range
    resumed_rows: int
    blended: bool
    scale: float
    window: IntensityWindow | None
    info: SourceInfo
    seconds: float
    cpu_seconds: float
    read_cpu_seconds: float
    write_cpu_seconds: float


@dataclass
class _Meter:
    """Counts what is done, and tells of it."""

    total: int
    tell: Callable[[MapProgress], None]
    done: int = 0
    own: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, pixels: int, *, own: bool = True) -> None:
        self.done += pixels
        self.own += pixels if own else 0
        self._say("tiles")

    def writing(self) -> None:
        self._say("writing")

    def _say(self, stage: Literal["tiles", "writing"]) -> None:
        seconds = time.monotonic() - self.started
        rate = self.own / seconds if seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate else None
        self.tell(MapProgress(self.done, self.total, seconds, rate, left, stage))


async def predict_raster(
    inference: Inference,
    model: str,
    source: Path,
    targets: Mapping[str, Path],
    options: MapOptions,
    *,
    work: Path,
    alone: bool = True,
    side: int | None = None,
    progress: Callable[[MapProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    before_tile: Callable[[], Awaitable[None]] | None = None,
    only_rows: Collection[int] | None = None,
    like: Path | None = None,
    noting: Noting | None = None,
) -> MapSummary:
    """Segment a GeoTIFF, BigTIFF or COG of any size by exact tiles, in bounded memory.

    `model` is the version, such as "street/1", which is leased for a row of tiles at a time.
    `targets` says where each of `finish.FORMATS` is wanted; each file appears whole, by one
    rename, when all of the map is done. `work` is a folder of this map alone, on a disk with room
    for twice the compressed result: what is done is kept there row by row, and a call of the same
    source, model and options goes on after whatever ended the last one. It is removed at the end;
    whoever gives a map up removes it.

    `alone` (uploads) keeps files beside the source out. `side` bounds the tiles, in pixels, and the
    network is run as one in them, as several processes can agree on; by default they are as suits
    the engine, and larger than those of requests, which wait for as long as a tile takes.
    `progress` is called on the event loop after each tile. `cancelled` is asked before each tile;
    cancelling the task frees what it holds at once. `before_tile` is awaited before each tile is
    given to the engine, such as to let others pass. `only_rows` does those rows of tiles and writes
    no target: others do the rest, in the same `work`; none of them begins it. `like` is a raster on
    whose grid the map is wanted. `noting` is called with each file that is written and where it
    will be, just before it is there.

    Raises ServiceError, MapStoppedError and OSError.
    """
    began, cpu_began = time.monotonic(), time.process_time()
    return_large_blocks()
    refuse_targets(targets)
    need: Need = "confidence" if "confidence" in targets else "class_map"
    with ExitStack() as stack:
        reader = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="map-read"))
        writer = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="map-write"))
        on_reader = functools.partial(asyncio.get_running_loop().run_in_executor, reader)
        on_writer = functools.partial(asyncio.get_running_loop().run_in_executor, writer)
        opened = _Opened()
        try:
            async with inference.lease(model) as segmenter:
                contract, model_id = segmenter.model.contract, segmenter.model.id
                begun = functools.partial(
                    opened.open, source, segmenter, options, need, like, alone=alone, side=side
                )
                (plan, view), opening_seconds = await on_reader(cpu_timed, begun)
            assert opened.raster is not None
            info = info_of(opened.raster, plan.window)
            refuse_without_ground(targets, info)
            facts = _facts(source, contract, model_id, options, need, plan)
            joins = bool(only_rows)
            kept_work = await on_writer(functools.partial(Work.begin, work, facts, joins=joins))
            meter = _Meter(plan.window.height * plan.window.width, progress or (lambda _: None))

            async def ready() -> None:
                if cancelled is not None and cancelled():
                    raise MapStoppedError("The map was stopped; what is done of it is kept.")
                if before_tile is not None:
                    await before_tile()

            void = void_id(contract)
            rows = RowRunner(
                plan,
                view,
                contract,
                kept_ids(contract, options.classes),
                need,
                void,
                kept_work,
                reader,
                writer,
                ready,
                meter.advance,
            )
            resumed = 0
            for row in plan.rows if only_rows is None else sorted(only_rows):
                if kept_work.is_done(row):
                    top, bottom = plan.row_extent(row)
                    meter.advance((bottom - top) * plan.window.width, own=False)
                    resumed += 1
                    continue
                async with inference.lease(model) as segmenter:
                    await rows.run(row, segmenter.runner)
            notes = opened.notes
            window = opened.window
        finally:
            await asyncio.shield(on_reader(opened.close))
        spent = rows.spent
        finished = Finished({}, (), (plan.window.height, plan.window.width), info)
        if only_rows is None:
            meter.writing()
            started = time.process_time()  # GDAL compresses on threads of its own, and alone
            finishing = functools.partial(
                finish,
                kept_work,
                plan,
                contract,
                model_id,
                info,
                options,
                targets,
                like,
                noting or (lambda _partial, _target: None),
            )
            finished = await on_writer(finishing)
            spent.write += time.process_time() - started
    return MapSummary(
        height=finished.size[0],
        width=finished.size[1],
        model_id=model_id,
        files=finished.files,
        areas=finished.areas,
        notes=tuple(notes),
        tiles=len(plan.rows) * len(plan.columns),
        rows=len(plan.rows),
        row_numbers=plan.rows,
        resumed_rows=resumed,
        blended=plan.tiles.blended,
        scale=1.0 if plan.working is None else plan.working.scale,
        window=window,
        info=finished.info,
        seconds=time.monotonic() - began,
        cpu_seconds=time.process_time() - cpu_began,
        read_cpu_seconds=opening_seconds + spent.read,
        write_cpu_seconds=spent.write,
    )


class _Opened:
    """The source, open on the reader's thread."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.raster: Raster | None = None
        self.notes: list[str] = []
        self.window: IntensityWindow | None = None

    def open(
        self,
        source: Path,
        segmenter: Segmenter,
        options: MapOptions,
        need: Need,
        like: Path | None,
        *,
        alone: bool,
        side: int | None,
    ) -> tuple[MapPlan, View]:
        contract = segmenter.model.contract
        raster = self._stack.enter_context(open_raster(source, bands=options.bands, alone=alone))
        self.raster = raster
        _refuse_unmapped(options)
        if contract.overlap is not None:
            raise InvalidOptionError(
                f"The classes of {contract.name} overlap, and a map has one class a pixel. Cut the "
                "raster into pictures and ask for the format `masks`."
            )
        refuse_void(raster.has_void, contract)
        working, note = find_working_size(raster, contract, options.scale_request)
        self.notes += [each for each in (raster.note, note) if each is not None]
        window = wanted_window(raster, options.bbox)
        if like is not None:
            if options.bbox is not None:
                raise InvalidOptionError(
                    "`bbox` and the grid of another raster exclude each other."
                )
            window = wanted_window(raster, box_like(like, raster))
        plan = _planned(segmenter, raster, working, need, window, side)
        if plan.working is not None and plan.tiles.blended:
            raise InvalidOptionError(
                f"{contract.name} sees all of a picture at once, so its tiles are blended, and "
                "that is done at the raster's own scale alone. Say `scale=native`, or resample the "
                "raster first."
            )
        tone = find_tone(raster, contract, options.intensity_request)
        self.window = tone.window
        return plan, View(raster, contract, tone, working)

    def close(self) -> None:
        self._stack.close()


def _planned(
    segmenter: Segmenter,
    raster: Raster,
    working: WorkingSize | None,
    need: Need,
    window: Window,
    side: int | None,
) -> MapPlan:
    """In tiles of `side`, the same whatever engine runs them; by default as suits this engine."""
    runner, contract = segmenter.runner, segmenter.model.contract
    size = raster.height, raster.width
    stored = raster.stored(Window(0, 0, *size)) or Window(0, 0, 0, 0)
    planned = functools.partial(
        plan_map, contract, runner.tile_sides, size, working, need, window, stored=stored
    )
    if side is not None:
        return planned(side)
    own = min(runner.tile_sides) if segmenter.limits.tile_size is not None else None
    if segmenter.light_logits and runner.alone is not None:
        plan = planned(own, runner.alone.find_stages())
        if raster.can_hold_rows(plan.most_read_rows):
            return plan
    return planned(own)


def _refuse_unmapped(options: MapOptions) -> None:
    if options.augment != "none":
        raise InvalidOptionError(
            "A map is made of the raster as it lies; leave `augment` out, or send a smaller "
            "picture to /segment."
        )
    if options.min_confidence is not None:
        raise InvalidOptionError(
            "A map leaves nothing out by its confidence. Leave `min_confidence` out, ask for the "
            "confidence too, and compare the two rasters."
        )
    refuse_page(options.page)


def _facts(
    source: Path,
    contract: Contract,
    model_id: str,
    options: MapOptions,
    need: Need,
    plan: MapPlan,
) -> dict[str, object]:
    """All that the rows of a map depend on."""
    status = source.stat()
    return {
        "version": _VERSION,
        "source": [str(source.resolve()), status.st_size, status.st_mtime_ns],
        "model": [model_id, contract.digest],
        "options": options.model_dump_json(include=_OF_ROWS),
        "need": need,
        "tiles": [*plan.tiles.tile_shape, len(plan.tiles.rows), len(plan.tiles.columns)],
        "in_stages": plan.stages is not None,
        "window": list(plan.window),
    }


_OF_ROWS = {"classes", "page", "scale", "intensity", "bands"}
