"""One loaded model, and one image's way from bytes to answer. Start reading at `Segmenter.segment`."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from service.catalogue.instance import RuntimeFacts
from service.domain.classes import keep_classes, kept_ids
from service.domain.errors import AnswerTooLargeError
from service.domain.model import Model
from service.domain.segmentation import Need, Segmentation
from service.domain.source import Source
from service.inference.admission import Admission, Place
from service.inference.answer import Answer, Timings
from service.inference.batching import Batcher
from service.inference.limits import InferenceLimits
from service.inference.observer import SILENT, Observer
from service.inference.runner import InferenceResult, Result, Runner, Signature
from service.inference.scheduler import DeviceScheduler
from service.inference.stopwatch import Stopwatch
from service.inference.tiling.plan import Tile, TilePlan, plan_tiles
from service.inference.tiling.stitch import Canvas, make_canvas, needs_probabilities
from service.inputs import open_source, opens_at_once, read_image
from service.outputs.output import Encoded, Output, OutputOptions
from service.runtimes.engine import Engine


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
        self._runner = runner
        self._limits = limits
        self._workers = workers
        self._observer = observer
        self.admission = Admission(limits.max_queue_images, limits.max_queue_bytes)

    @classmethod
    def of_engine(
        cls,
        model: Model,
        engine: Engine,
        limits: InferenceLimits,
        workers: ThreadPoolExecutor,
        observer: Observer = SILENT,
    ) -> "Segmenter":
        """A segmenter whose engine runs in this process and shares it with no other."""
        batcher = Batcher.within(limits, model.id, engine, DeviceScheduler(), observer)
        return cls(model, batcher, limits, workers, observer)

    @property
    def engine(self) -> Engine:
        """The engine, where it runs in this process."""
        assert isinstance(self._runner, Batcher)
        return self._runner.engine

    @property
    def facts(self) -> RuntimeFacts:
        return self._runner.facts

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
        return self._runner.stuck_seconds

    async def segment(
        self,
        upload: bytes | bytearray | memoryview,
        output: Output,
        options: OutputOptions,
        deadline: float | None,
        place: Place,
    ) -> Answer:
        """Segment one image file in the `place` that it was given, and encode the result."""
        kept = kept_ids(self.model.contract, options.classes)
        place.hold(len(upload))
        watch = Stopwatch(self._workers)
        max_pixels = self._limits.max_image_pixels
        if opens_at_once(upload):
            source = watch.run_here("decode", open_source, upload, max_pixels)
        else:
            source = await watch.run("decode", open_source, upload, max_pixels)
        place.hold(self._size_of_work(source, options.need))
        image = await watch.run("decode", read_image, source, self.model.contract.channels)
        del source  # it may hold the picture in another form
        height, width = image.shape[:2]
        plan = plan_tiles(
            height,
            width,
            self.model.contract.stride,
            self.model.contract.receptive_field_radius,
            self._limits.tile_size,
        )
        canvas = make_canvas(plan, options.need, len(self.model.contract.classes))
        last = await self._infer(image, plan, options.need, canvas, deadline, watch)
        shown = image if output.needs_image else None
        del image  # a third of a large picture's memory

        def finish() -> Encoded:
            canvas.put(*last)
            return self._encode(canvas, plan, shown, kept, output, options)

        encoded = await watch.run("encode", finish)
        timings = watch.timings()
        self._report(timings)
        return Answer(self.model.id, encoded, timings, len(plan), plan.blended, width, height)

    async def warm_up(self) -> None:
        """Run what is set up once. Raises ContractError where the model does not do what its contract says."""
        self.admission.expect(await self._runner.warm(self.model.contract))

    async def close(self) -> None:
        """Give the engine back. Images that still wait are refused."""
        await self._runner.close()

    async def _infer(
        self,
        image: NDArray[np.uint8],
        plan: TilePlan,
        need: Need,
        canvas: Canvas,
        deadline: float | None,
        watch: Stopwatch,
    ) -> tuple[Tile, Result]:
        """Run the tiles a few at a time, so that other images come between.

        As many as can run at once run while the next ones wait. All but the last, which most pictures have
        alone, are put on the canvas: whoever encodes puts that one, and a way to a worker is saved.
        """
        signature: Signature = "probabilities" if needs_probabilities(plan, need) else "class_map"
        running: deque[tuple[Tile, asyncio.Task[InferenceResult]]] = deque()

        async def next_result() -> tuple[Tile, Result]:
            tile, task = running[0]
            ran = await task
            running.popleft()
            watch.ran(ran)
            return tile, ran.result

        try:
            for tile in plan:
                run = self._runner.run(signature, plan.cut(image, tile), plan.tile_shape, deadline)
                running.append((tile, asyncio.create_task(run)))
                if len(running) == 2 * self._runner.capacity(plan.tile_shape):
                    await watch.run("infer", canvas.put, *await next_result())
            while len(running) > 1:
                await watch.run("infer", canvas.put, *await next_result())
            return await next_result()
        finally:
            tasks = [task for _, task in running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _encode(
        self,
        canvas: Canvas,
        plan: TilePlan,
        image: NDArray[np.uint8] | None,
        kept: frozenset[int],
        output: Output,
        options: OutputOptions,
    ) -> Encoded:
        keep_classes(self.model.contract, kept, canvas.class_map, canvas.confidence)
        return output.write(
            Segmentation(
                self.model,
                canvas.class_map,
                canvas.confidence,
                canvas.probabilities,
                image,
                plan.blended,
            ),
            options,
        )

    def _report(self, timings: Timings) -> None:
        self._observer.stage(self.model.id, "decode", timings.decode_seconds)
        self._observer.stage(self.model.id, "queue", timings.queue_seconds)
        self._observer.stage(self.model.id, "infer", timings.infer_seconds)
        self._observer.stage(self.model.id, "encode", timings.encode_seconds)

    def _size_of_work(self, source: Source, need: Need) -> int:
        """Bytes of the decoded picture and its maps. Raises AnswerTooLargeError."""
        contract, pixels = self.model.contract, source.height * source.width
        probabilities = pixels * len(contract.classes) * 4 if need == "probabilities" else 0
        if probabilities > self._limits.max_probability_bytes:
            raise AnswerTooLargeError(
                f"The probabilities of {pixels / 1e6:,.1f} megapixels × "
                f"{len(contract.classes)} classes take "
                f"{probabilities / 2**20:,.0f} MiB; the limit is "
                f"{self._limits.max_probability_bytes / 2**20:,.0f} MiB. "
                "Send the image in parts, or ask for `confidence`."
            )
        return pixels * (contract.channels + 2) + probabilities
