"""Continuous batching: an engine with a free stream takes what waits of one shape, up to its limit.

There is no timer. An image that finds a stream idle runs at once and alone; while all are busy
others gather, and go together next. The shape is that of the longest-waiting image, so none
starves.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.catalogue.instance import RuntimeFacts
from service.concurrency import cancel_all
from service.domain.deadline import has_passed
from service.domain.errors import DeadlineExceededError
from service.inference.engine_batch import EngineFaultError, run_alone, run_batch, run_stage
from service.inference.engine_threads import EngineThreads
from service.inference.jobs import (
    Batch,
    Bucket,
    Job,
    inference_error,
    stuck_error,
    unloaded_error,
)
from service.inference.limits import InferenceLimits
from service.inference.observer import SILENT, Observer
from service.inference.runner import (
    DEFAULT_TILE_SIDES,
    AloneWork,
    BatchLimits,
    InferenceResult,
    Signature,
    TileSides,
)
from service.inference.scheduler import WHOLE, DeviceScheduler
from service.inference.warm_up import warm_up, warm_up_sizes
from service.runtimes.engine import Engine, Stage, StageFacts

# A warm-up keeps others waiting no longer than this, however long it takes.
WARM_UP_TURN_SECONDS = 2.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Batcher:
    """Feeds one engine of this process, as many batches at once as it has streams: a Runner.

    Used on the event loop only.

    A batch has at most `max_images` images and no more pixels than `useful_batch_pixels`, but
    always one image. Batches run beside each other where all their pixels are `max_pixels` at most,
    so memory is bounded by that. `scheduler` is shared by all models of the machine.
    `tile_sides` are those of whoever cuts pictures into tiles. `stream_threads` are those of one
    stream, where they are known.
    """

    model_id: str
    engine: Engine
    scheduler: DeviceScheduler
    max_images: int
    max_pixels: int
    useful_batch_pixels: int
    max_batch_seconds: float = InferenceLimits.max_batch_seconds
    observer: Observer = SILENT
    tile_sides: TileSides = DEFAULT_TILE_SIDES
    stream_threads: int | None = None
    _buckets: dict[Bucket, deque[Job]] = field(default_factory=dict)
    _arrivals: Iterator[int] = field(default_factory=count)
    _batches: Iterator[int] = field(default_factory=count)
    _feeding: asyncio.Task[None] | None = None
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _hanging: dict[asyncio.Future[list[Any]], Batch] = field(default_factory=dict)
    _closed: bool = False

    @classmethod
    def within(
        cls,
        limits: InferenceLimits,
        model_id: str,
        engine: Engine,
        scheduler: DeviceScheduler,
        observer: Observer = SILENT,
        threads: int | None = None,
    ) -> "Batcher":
        """Batches are of the size that the engine says is best, where `limits` sets none.

        `threads` are those that the engine computes with, where they are known.
        """
        tile_sides = TileSides.of(limits.tile_size, light_class_maps=engine.light_class_maps)
        most_pixels = tile_sides.probabilities**2
        return cls(
            model_id=model_id,
            engine=engine,
            scheduler=scheduler,
            max_images=limits.max_batch_images or engine.best_batch,
            max_pixels=most_pixels,
            useful_batch_pixels=most_pixels
            if limits.max_batch_images
            else engine.best_batch_pixels,
            max_batch_seconds=limits.max_batch_seconds,
            observer=observer,
            tile_sides=tile_sides,
            stream_threads=None if threads is None else max(1, threads // engine.streams),
        )

    def __post_init__(self) -> None:
        self._threads = EngineThreads(self.engine, self.model_id)

    @cached_property
    def facts(self) -> RuntimeFacts:
        return RuntimeFacts(
            **{fact.name: getattr(self.engine, fact.name) for fact in fields(RuntimeFacts)}
        )

    @property
    def stuck_seconds(self) -> float:
        """As `Runner.stuck_seconds` says."""
        return self._threads.stuck_seconds

    @property
    def waiting(self) -> int:
        """Images and tiles that wait for the engine."""
        return sum(len(jobs) for jobs in self._buckets.values())

    @property
    def batch_limits(self) -> BatchLimits:
        return BatchLimits(
            self.max_images, self.max_pixels, self.useful_batch_pixels, self.engine.streams
        )

    def capacity(self, shape: tuple[int, int]) -> int:
        """As `Runner.capacity` says."""
        return self.batch_limits.capacity(shape)

    def batch(self, shape: tuple[int, int]) -> int:
        """As `Runner.batch` says."""
        return self.batch_limits.batch(shape)

    @property
    def alone(self) -> "Batcher":
        return self

    def runs_alone(self, shape: tuple[int, int]) -> bool:
        """As `AloneRunner.runs_alone` says.

        A stream of several threads would idle while one of them decodes and encodes.
        """
        return self.stream_threads == 1 and self.batch_limits.batch(shape) == 1

    async def run(
        self,
        signature: Signature,
        image: NDArray[np.uint8],
        shape: tuple[int, int],
        deadline: float | None,
    ) -> InferenceResult:
        """As `Runner.run` says."""
        result: InferenceResult = await self._queue(Bucket(signature, *shape), image, deadline)
        return result

    async def run_alone(
        self, work: AloneWork[T], shape: tuple[int, int], deadline: float | None
    ) -> T:
        """As `AloneRunner.run_alone` says."""
        result: T = await self._queue(Bucket("alone", *shape), work, deadline)
        return result

    def find_stages(self) -> StageFacts | None:
        """As `AloneRunner.find_stages` says."""
        stages = self.engine.stages
        return None if stages is None else stages.facts

    async def run_stage(
        self,
        stage: Stage,
        inputs: tuple[NDArray[Any], ...],
        shape: tuple[int, int],
        deadline: float | None,
    ) -> InferenceResult:
        """As `AloneRunner.run_stage` says."""
        result: InferenceResult = await self._queue(Bucket(stage, *shape), inputs, deadline)
        return result

    async def _queue(
        self,
        bucket: Bucket,
        work: NDArray[np.uint8] | tuple[NDArray[Any], ...] | AloneWork[Any],
        deadline: float | None,
    ) -> Any:
        if self._closed:
            raise unloaded_error(self.model_id)
        if self._is_stuck:
            raise stuck_error(self.model_id)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = Job(bucket, work, deadline, next(self._arrivals), future)
        self._buckets.setdefault(bucket, deque()).append(job)
        if self._feeding is None:
            self._feeding = asyncio.create_task(self._feed())
        try:
            return await future
        except asyncio.CancelledError:
            self._forget(job)
            raise

    async def warm(self, contract: Contract) -> float:
        """As `Runner.warm` says, on a thread of the engine's, with the share of one batch.

        Other models get their turn between the sizes, and after `WARM_UP_TURN_SECONDS` where a
        warm-up is slow or hangs.
        """
        seconds = 0.0
        for size in warm_up_sizes(contract):
            share = self._share_of(size)
            async with self.scheduler.held(share, WARM_UP_TURN_SECONDS):
                run = partial(warm_up, self.engine, self.model_id, contract, size)
                seconds = await asyncio.shield(self._threads.call(run))
        return seconds

    async def close(self) -> None:
        """Refuse what still waits, let the running batches end, and close the engine."""
        if self._closed:
            return
        self._closed = True
        self._refuse_all(lambda: unloaded_error(self.model_id))
        try:
            if self._feeding is not None:
                await cancel_all([self._feeding])
            await asyncio.gather(*self._running, return_exceptions=True)
        finally:
            for batch in self._hanging.values():
                batch.fail(lambda: unloaded_error(self.model_id))
            await self._threads.close()

    async def _feed(self) -> None:
        try:
            while self._buckets:
                share = self._share_of(self._longest_waiting().shape)
                await self.scheduler.acquire(share)
                try:
                    jobs = self._take(share)
                except BaseException:
                    self.scheduler.release(share)
                    raise
                if jobs:
                    batch = Batch(jobs, next(self._batches), time.monotonic())
                    running = asyncio.create_task(self._run(batch, share))
                    self._running.add(running)
                    running.add_done_callback(self._running.discard)
                else:
                    self.scheduler.release(share)
        except Exception as error:
            cause = error  # a fault of ours, or of the observer: nobody may be left waiting for it
            self._refuse_all(lambda: inference_error(self.model_id, cause))
            raise
        finally:
            self._feeding = None

    def _longest_waiting(self) -> Bucket:
        return min(self._buckets.items(), key=lambda item: item[1][0].number)[0]

    def _share_of(self, shape: tuple[int, int]) -> int:
        """What a batch with images of this padded shape takes of the machine."""
        return WHOLE // self.batch_limits.max_concurrent_batches(shape)

    def _take(self, share: int) -> list[Job]:
        """The longest-waiting job and those that can run with it, without those nobody wants.

        None where these need more than `share`.
        """
        while self._buckets:
            bucket = self._longest_waiting()
            if self._share_of(bucket.shape) > share:
                break
            waiting = self._buckets[bucket]
            most = self.batch_limits.batch(bucket.shape)
            jobs: list[Job] = []
            while waiting and len(jobs) < most:
                job = waiting.popleft()
                if not self._drop(job):
                    jobs.append(job)
            if not waiting:
                del self._buckets[bucket]
            if jobs:
                return jobs
        return []

    def _drop(self, job: Job) -> bool:
        """Whether nobody wants the job's result any more."""
        if job.future.done():  # cancelled just now: its caller had no chance yet to call `_forget`
            self.observer.dropped(self.model_id, "cancelled")
            return True
        if has_passed(job.deadline):
            error = DeadlineExceededError("The image still waited for the model at its deadline.")
            job.fail(error)
            self.observer.dropped(self.model_id, "deadline")
            return True
        return False

    async def _run(self, batch: Batch, share: int) -> None:
        call = self._threads.call(partial(self._results, batch))
        try:
            await asyncio.wait([call], timeout=self.max_batch_seconds)
        except asyncio.CancelledError:
            batch.fail(lambda: unloaded_error(self.model_id))
            raise
        finally:
            self.scheduler.release(share)
        if call.done():
            self._deliver(batch, call)
        else:
            self._go_on_without(batch, call)
        self.observer.batch(self.model_id, len(batch.jobs))

    def _results(self, batch: Batch) -> list[Any]:
        """One for each job. Called on a thread of the engine's."""
        works = [job.work for job in batch.jobs]
        images = [work for work in works if isinstance(work, np.ndarray)]
        inputs = [work for work in works if isinstance(work, tuple)]
        (signature, *_), shape = batch.bucket, batch.bucket.shape
        if signature == "alone":
            return [run_alone(self.engine, work) for work in works if callable(work)]
        try:
            results: Sequence[NDArray[Any]]
            if signature == "shallow" or signature == "deep" or signature == "tail":
                results = run_stage(self.engine, signature, shape, inputs)
            else:
                results = run_batch(self.engine, signature, shape, images)
        except Exception as error:
            raise EngineFaultError from error
        seconds = time.monotonic() - batch.started
        return [InferenceResult(result, batch.number, seconds) for result in results]

    def _deliver(self, batch: Batch, call: asyncio.Future[list[Any]]) -> None:
        try:
            results = call.result()
        except EngineFaultError as fault:  # it concerns this batch alone
            cause = fault.__cause__
            count, bucket = len(batch.jobs), batch.bucket
            logger.error(
                "%s failed on a batch of %d × %s", self.model_id, count, bucket, exc_info=cause
            )
            batch.fail(lambda: inference_error(self.model_id, cause))
            return
        except Exception as error:  # noqa: BLE001 - of what else is done for an image
            batch.jobs[0].fail(error)
            return
        for job, result in zip(batch.jobs, results, strict=True):
            if not job.future.done():
                job.future.set_result(result)

    def _go_on_without(self, batch: Batch, call: asyncio.Future[list[Any]]) -> None:
        """A batch that hangs keeps its thread and no more. Should it end, its results are given."""
        seconds = self.max_batch_seconds
        logger.error(
            "%s has been at a batch for %g s; others run beside it", self.model_id, seconds
        )
        self._hanging[call] = batch
        call.add_done_callback(self._deliver_late)
        if self._is_stuck:
            self._refuse_all(lambda: stuck_error(self.model_id))

    def _deliver_late(self, call: asyncio.Future[list[Any]]) -> None:
        self._deliver(self._hanging.pop(call), call)

    @property
    def _is_stuck(self) -> bool:
        """Whether no thread is left that could run a batch."""
        return len(self._hanging) >= self.engine.streams

    def _refuse_all(self, make_error: Callable[[], Exception]) -> None:
        for jobs in self._buckets.values():
            for job in jobs:
                job.fail(make_error())
        self._buckets.clear()

    def _forget(self, job: Job) -> None:
        waiting = self._buckets.get(job.bucket)
        if waiting is None or job not in waiting:
            return  # it runs already, or is done
        waiting.remove(job)
        if not waiting:
            del self._buckets[job.bucket]
        self.observer.dropped(self.model_id, "cancelled")
