"""One loaded model, and an image's way from bytes to answer: `Segmenter.segment`."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract.typicality import picture_statistics
from models.contract.working_size import WorkingSize
from service.catalogue.instance import RuntimeFacts
from service.concurrency import cancel_all
from service.domain.errors import AnswerTooLargeError
from service.domain.model import Model
from service.domain.observation import Observation
from service.domain.requests import ScaleRequest
from service.domain.segmentation import Need
from service.domain.source import Source
from service.domain.temperature import Temperatures, temperatures_of
from service.inference.admission import Admission, Place
from service.inference.answer import Answer, TensorAnswer, Timings
from service.inference.file_work import FileWork, Picture, observe_maps
from service.inference.limits import InferenceLimits
from service.inference.memory import Work, array_bytes, file_bytes, footprint, probability_bytes
from service.inference.observer import SILENT, Observer
from service.inference.passes import MapCanvas, TileResult, find_stages, passes_of
from service.inference.prepare import plan_array_size, plan_size, seen_at
from service.inference.rasters import plan_raster_size, raster_bytes
from service.inference.runner import InferenceResult, Runner
from service.inference.stopwatch import Stopwatch
from service.inference.tensors import NAMES
from service.inference.tiling.canvas import Canvas, make_canvas
from service.inference.tiling.mirrored import HELD_PROBABILITIES
from service.inference.tiling.plan import Tile, TilePlan
from service.inference.tiling.stitch import Maps
from service.inference.watching import Watcher
from service.inputs import open_source, opens_at_once
from service.inputs.raster_source import RasterSource, refuse_page
from service.outputs.output import Encoded, Output, OutputOptions, RasterOptions
from service.runtimes.engine import StageFacts

# Of a larger picture the steps beside the engine may take long, and its stream would idle.
_MOST_ALONE_PIXELS = 2**20
# Logits of a pixel, which take four bytes each, that come from another process.
_MOST_SENT_VALUES = 1.0


class Segmenter:
    """One loaded model, ready for images.

    `runner` runs the model, here or elsewhere; `workers` decode and encode. Used on the event loop
    only. It owns the runner: `close` closes it.
    """

    def __init__(
        self,
        model: Model,
        runner: Runner,
        limits: InferenceLimits,
        workers: ThreadPoolExecutor,
        observer: Observer = SILENT,
    ) -> None:
        self.model = model
        self.runner = runner
        self.limits = limits
        self._workers = workers
        self._observer = observer
        self.admission = Admission(limits.max_queue_images, limits.max_queue_bytes)

    @property
    def facts(self) -> RuntimeFacts:
        return self.runner.facts

    @property
    def waiting_images(self) -> int:
        """Images accepted and not yet answered."""
        return self.admission.images

    @property
    def waiting_bytes(self) -> int:
        return self.admission.bytes

    @property
    def stuck_seconds(self) -> float:
        """As `Runner.stuck_seconds` says."""
        return self.runner.stuck_seconds

    async def segment(
        self,
        upload: bytes | bytearray | memoryview,
        output: Output,
        options: OutputOptions,
        deadline: float | None,
        place: Place,
        file_name: str | None = None,
        watcher: Watcher | None = None,
    ) -> Answer:
        """Segment one image file in the `place` that it was given, and encode the result, which
        `watcher` sees.
        """
        steps = FileWork(
            self.model,
            self.runner.tile_sides,
            output,
            options,
            file_name,
            upload,
            watcher,
            self._temperatures,
            precision=self.facts.precision,
            light_logits=self.light_logits,
        )
        watch = Stopwatch(self._workers)
        source, working, held = await self._opened(upload, output, options, watch)
        stages = steps.stages = await self._find_stages([(source.height, source.width)], [working])
        work = self._work(
            (source.height, source.width), working, steps.need, held, stages, flips=steps.flips
        )
        extra = self._mirror_bytes(work) if steps.flips else 0
        await place.hold_in_turn(len(upload) + self._size_of([work], steps.need) + extra)
        alone, shape = self.runner.alone, work.plan.tile_shape
        is_alone = _fits_alone(work) and not steps.flips
        if alone is not None and is_alone and alone.runs_alone(shape):
            all_steps = partial(steps.run_alone, source, working, watch)
            result, encoded, found = await alone.run_alone(all_steps, shape, deadline)
        else:
            pictures, result = await watch.run("decode", steps.prepare, source, working)
            del source  # it may hold the picture in another form
            last_tile = await self._infer(pictures, deadline, watch, place.tell)
            del pictures  # a third of a large picture's memory

            def finish() -> tuple[Encoded, Observation]:
                last_tile.put()
                return steps.write(result)

            encoded, found = await watch.run("encode", finish)
        timings = watch.timings()
        self._report(timings, [found])
        return steps.answer(result, encoded, found, timings)

    async def _opened(
        self,
        upload: bytes | bytearray | memoryview,
        output: Output,
        options: OutputOptions,
        watch: Stopwatch,
    ) -> tuple[Source | RasterSource, WorkingSize | None, int]:
        """An upload whose header is read, at which size the network sees it, and how many bytes
        its picture takes.
        """
        contract, max_pixels = self.model.contract, self.limits.max_image_pixels
        scale, show = options.scale_request, output.needs_image
        if isinstance(options, RasterOptions):
            refuse_page(options.page)
            raster = await watch.run("decode", RasterSource, upload, max_pixels, options.bands)
            options.check_place(raster.info)
            working = plan_raster_size(raster, contract, scale)
            return raster, working, raster_bytes(raster, working, contract.channels)
        source: Source
        if opens_at_once(upload):
            source = watch.run_here("decode", open_source, upload, max_pixels, options.page)
        else:
            source = await watch.run("decode", open_source, upload, max_pixels, options.page)
        working = plan_size(source, contract, scale, show=show)
        return source, working, file_bytes(source, working, contract.channels, show=show)

    async def predict(
        self,
        images: Sequence[NDArray[np.uint8]],
        wanted: frozenset[Need],
        scale: ScaleRequest,
        deadline: float | None,
        place: Place,
    ) -> TensorAnswer:
        """Segment images (H, W, C) of this model in the `place` that they were given."""
        need = max(wanted, key=NAMES.index)
        contract = self.model.contract
        watch = Stopwatch(self._workers)
        sizes = [plan_array_size(image, contract, scale) for image in images]
        channels = contract.channels
        stages = await self._find_stages([image.shape[:2] for image in images], sizes)
        works = [
            self._work(
                image.shape,
                size,
                need,
                array_bytes(image.shape[0] * image.shape[1], size, channels),
                stages,
            )
            for image, size in zip(images, sizes, strict=True)
        ]
        await place.hold_in_turn(self._size_of(works, need))
        maps, outputs = _maps_and_outputs(images, need, len(contract.classes), wanted)
        if any(sizes):
            images = await watch.run("decode", lambda: list(map(seen_at, images, sizes)))
        pictures = [
            Picture(image, work.plan, self._canvas(work.plan, maps_of_one, need, size))
            for image, work, maps_of_one, size in zip(images, works, maps, sizes, strict=True)
        ]
        last_tile = await self._infer(pictures, deadline, watch)

        def finish() -> list[Observation]:
            last_tile.put()
            statistics = [picture_statistics(picture.image) for picture in pictures]
            return [
                observe_maps(self.model, *found) for found in zip(statistics, maps, strict=True)
            ]

        observations = await watch.run("encode", finish)
        timings = watch.timings()
        self._report(timings, observations)
        return TensorAnswer(
            self.model.id,
            outputs,
            timings,
            tiles=sum(len(work.plan) for work in works),
            blended=any(work.plan.blended for work in works),
            scales=[1.0 if size is None else size.scale for size in sizes],
            observations=observations,
        )

    async def warm_up(self) -> None:
        """Run what is set up once. Raises ContractError where the model breaks its contract."""
        self.admission.expect(await self.runner.warm(self.model.contract))

    async def close(self) -> None:
        """Give the engine back. Images that still wait are refused."""
        await self.runner.close()

    @cached_property
    def _temperatures(self) -> Temperatures | None:
        return temperatures_of(self.model.contract, self.facts.precision)

    @cached_property
    def light_logits(self) -> bool:
        """Whether logits take no longer to come here than class maps."""
        factor, contract = self.facts.logits_factor, self.model.contract
        if not factor or contract.overlap is not None:
            return False
        values_a_pixel = len(contract.classes) / factor**2
        return self.runner.alone is not None or values_a_pixel <= _MOST_SENT_VALUES

    def _canvas(
        self, plan: TilePlan, maps: Maps, need: Need, working: WorkingSize | None
    ) -> Canvas:
        return make_canvas(
            plan,
            maps,
            need,
            self.model.contract,
            working,
            self._temperatures,
            light_logits=self.light_logits,
        )

    async def _find_stages(
        self, sizes: Sequence[Sequence[int]], working: Sequence[WorkingSize | None]
    ) -> StageFacts | None:
        if not self.light_logits:
            return None
        return await find_stages(self.runner, self._workers, sizes, working)

    async def _infer(
        self,
        pictures: Sequence[Picture],
        deadline: float | None,
        watch: Stopwatch,
        tell: Callable[[int, int], None] | None = None,
    ) -> TileResult:
        """Run the pictures' tiles a few at a time, so that other requests come between.

        As many as can run at once run while the next ones wait. All but the last, which most
        requests have alone, are put on their canvas: whoever encodes puts that one, and a way to a
        worker is saved.
        """
        running: deque[tuple[Canvas | MapCanvas, Tile, asyncio.Task[InferenceResult]]] = deque()
        passes = [one for picture in pictures for one in passes_of(picture, self.runner)]
        tiles, done = sum(len(one.plan) for one in passes), 0
        pixels = sum(picture.image.shape[0] * picture.image.shape[1] for picture in pictures)

        async def next_result() -> TileResult:
            canvas, tile, task = running[0]
            ran = await task
            running.popleft()
            watch.ran(ran)
            return TileResult(canvas, tile, ran.result)

        async def put_next() -> None:
            nonlocal done
            await watch.run("infer", (await next_result()).put)
            done += 1
            if tell is not None:
                tell(pixels * done // tiles, pixels)

        try:
            for one in passes:
                while running and one.needs_all_before:
                    await put_next()
                for tile in one.plan:
                    running.append((one.canvas, tile, asyncio.create_task(one.run(tile, deadline))))
                    while len(running) >= self._tiles_at_once(one.shape):
                        await put_next()
            while len(running) > 1:
                await put_next()
            return await next_result()
        finally:
            await cancel_all([task for *_, task in running])

    def _tiles_at_once(self, shape: tuple[int, int]) -> int:
        """Tiles of one request, of this shape, that run or wait to."""
        return 2 * self.runner.capacity(shape)

    def _report(self, timings: Timings, observations: Sequence[Observation]) -> None:
        """Each of several images is counted, with its part of their time."""
        images = len(observations)
        for observation in observations:
            self._observer.answered(self.model, observation)
            self._observer.stage(self.model.id, "decode", timings.decode_seconds / images)
            self._observer.stage(self.model.id, "queue", timings.queue_seconds / images)
            self._observer.stage(self.model.id, "infer", timings.infer_seconds / images)
            self._observer.stage(self.model.id, "encode", timings.encode_seconds / images)

    def _mirror_bytes(self, work: Work) -> int:
        """What a picture and its mirror image hold together. Raises AnswerTooLargeError."""
        pixels, classes = work.plan.height * work.plan.width, len(self.model.contract.classes)
        held = HELD_PROBABILITIES * probability_bytes(pixels, "probabilities", classes)
        if held > self.limits.max_probability_bytes:
            raise AnswerTooLargeError(
                f"The probabilities of {pixels / 1e6:,.1f} megapixels and their mirror image take "
                f"{held / 2**20:,.0f} MiB; the limit is "
                f"{self.limits.max_probability_bytes / 2**20:,.0f} MiB. Leave `augment` out, or "
                "ask for a smaller `scale`."
            )
        return held

    def _work(
        self,
        shape: Sequence[int],
        working: WorkingSize | None,
        need: Need,
        held_bytes: int,
        stages: StageFacts | None,
        *,
        flips: bool = False,
    ) -> Work:
        height, width = shape[:2]
        seen, scaled = (height, width), working is not None
        if working is not None:
            seen = working.height, working.width
        plan_for = partial(self.runner.tile_sides.plan, self.model.contract, *seen)
        if flips:  # as `FileWork.prepare` plans it
            plan = plan_for("probabilities", scaled=False)
        else:
            plan = plan_for(need, scaled=scaled, stages=stages)
        factor = self.facts.logits_factor if self.light_logits else 0
        return Work(plan, height * width, held_bytes, scaled, factor)

    def _size_of(self, works: Sequence[Work], need: Need) -> int:
        """Bytes that pictures need until they are answered. Raises AnswerTooLargeError."""
        self._check_probabilities(sum(work.pixels for work in works), need)
        tiles_at_once = max(self._tiles_at_once(work.plan.tile_shape) for work in works)
        shared = any(self.runner.batch(work.plan.tile_shape) > 1 for work in works)
        return footprint(works, need, self.model.contract, tiles_at_once, shared=shared).total

    def _check_probabilities(self, pixels: int, need: Need) -> None:
        contract = self.model.contract
        probabilities = probability_bytes(pixels, need, len(contract.classes))
        if probabilities > self.limits.max_probability_bytes:
            raise AnswerTooLargeError(
                f"The probabilities of {pixels / 1e6:,.1f} megapixels × "
                f"{len(contract.classes)} classes take "
                f"{probabilities / 2**20:,.0f} MiB; the limit is "
                f"{self.limits.max_probability_bytes / 2**20:,.0f} MiB. "
                "Send the image in parts, or ask for `confidence`."
            )


def _fits_alone(work: Work) -> bool:
    return len(work.plan) == 1 and work.pixels <= _MOST_ALONE_PIXELS


def _maps_and_outputs(
    images: Sequence[NDArray[np.uint8]], need: Need, classes: int, wanted: frozenset[Need]
) -> tuple[list[Maps], dict[Need, NDArray[Any] | list[NDArray[Any]]]]:
    """The maps of each image, and those `wanted`: one array where all images have one size."""
    shapes = [image.shape[:2] for image in images]
    if len(set(shapes)) == 1:
        together = Maps.empty((len(images), *shapes[0]), need, classes)
        each = [together[index] for index in range(len(images))]
        return each, {name: getattr(together, name) for name in wanted}
    each = [Maps.empty(shape, need, classes) for shape in shapes]
    return each, {name: [getattr(maps, name) for maps in each] for name in wanted}
