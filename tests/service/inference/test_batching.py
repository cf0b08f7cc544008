import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.errors import DeadlineExceededError, InferenceError, ModelUnavailableError
from service.domain.model import Model
from service.domain.observation import Observation
from service.inference.batching import Batcher
from service.inference.observer import DropReason, Stage
from service.inference.runner import InferenceResult, Signature
from service.inference.scheduler import DeviceScheduler
from service.inference.tiling.fit import padded_shape
from tests.service.inference.held_engine import TIMEOUT_SECONDS, HeldEngine, until
from tests.solvable import solve

pytestmark = pytest.mark.anyio


@dataclass
class RecordingObserver:
    """An observer that writes down what it is told."""

    stages: list[tuple[str, Stage]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    drops: list[DropReason] = field(default_factory=list)

    def stage(self, model_id: str, stage: Stage, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append((model_id, stage))

    def answered(self, model: Model, observation: Observation) -> None: ...

    def batch(self, model_id: str, images: int) -> None:  # noqa: ARG002
        self.batches.append(images)

    def dropped(self, model_id: str, reason: DropReason) -> None:  # noqa: ARG002
        self.drops.append(reason)


@pytest.fixture
def engine() -> Iterator[HeldEngine]:
    engine = HeldEngine()
    yield engine
    engine.release()


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
async def batcher(engine: HeldEngine, observer: RecordingObserver) -> AsyncIterator[Batcher]:
    batcher = make_batcher(engine, observer)
    yield batcher
    engine.release()
    await batcher.close()


def make_batcher(
    engine: HeldEngine, observer: RecordingObserver, scheduler: DeviceScheduler | None = None
) -> Batcher:
    return Batcher(
        "solvable/1",
        engine,
        scheduler or DeviceScheduler(),
        max_images=4,
        max_pixels=64 * 64,
        useful_batch_pixels=64 * 64,
        observer=observer,
    )


def picture(seed: int, height: int = 8, width: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def submit(
    batcher: Batcher, image: NDArray[np.uint8], deadline: float | None = None
) -> asyncio.Task[InferenceResult]:
    shape = padded_shape(image.shape[0], image.shape[1], 8)
    return asyncio.create_task(batcher.run("class_map", image, shape, deadline))


async def occupy(batcher: Batcher, engine: HeldEngine) -> asyncio.Task[InferenceResult]:
    """Have the engine run one batch that does not end until it is released."""
    engine.hold()
    before = len(engine.batches)
    task = submit(batcher, picture(999))
    await until(lambda: len(engine.batches) > before)
    return task


async def test_an_image_that_finds_the_engine_idle_runs_alone(
    batcher: Batcher, engine: HeldEngine
) -> None:
    image = picture(1)
    ran = await submit(batcher, image)
    np.testing.assert_array_equal(ran.result, solve(image))
    assert engine.batches == [(1, 8, 8, 3)]


async def test_what_waits_of_one_shape_goes_together_up_to_the_limit(
    batcher: Batcher, engine: HeldEngine, observer: RecordingObserver
) -> None:
    first = await occupy(batcher, engine)
    waiting = [submit(batcher, picture(i)) for i in range(6)]
    await asyncio.sleep(0)
    engine.release()
    for i, ran in enumerate(await asyncio.gather(*waiting)):
        np.testing.assert_array_equal(ran.result, solve(picture(i)))
    await first
    assert [batch[0] for batch in engine.batches] == [1, 4, 2]
    assert observer.batches == [1, 4, 2]


async def test_the_shape_of_the_longest_waiting_image_goes_first(
    batcher: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(batcher, engine)
    sizes = [(16, 8), (8, 8), (16, 8), (8, 8), (24, 8)]
    waiting = [submit(batcher, picture(i, *size)) for i, size in enumerate(sizes)]
    await asyncio.sleep(0)
    engine.release()
    await asyncio.gather(first, *waiting)
    assert engine.batches[1:] == [(2, 16, 8, 3), (2, 8, 8, 3), (1, 24, 8, 3)]


async def test_a_batch_holds_no_more_pixels_than_the_limit_but_always_one_image(
    batcher: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(batcher, engine)
    waiting = [submit(batcher, picture(i, 32, 64)) for i in range(3)]
    waiting += [submit(batcher, picture(i, 80, 80)) for i in range(2)]
    await asyncio.sleep(0)
    engine.release()
    await asyncio.gather(first, *waiting)
    assert [batch[:3] for batch in engine.batches[1:]] == [
        (2, 32, 64),
        (1, 32, 64),
        (1, 80, 80),
        (1, 80, 80),
    ]


async def test_class_maps_and_probabilities_do_not_share_a_batch(
    batcher: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(batcher, engine)
    ids = submit(batcher, picture(1))
    shares = asyncio.create_task(batcher.run("probabilities", picture(2), (8, 8), None))
    await asyncio.sleep(0)
    engine.release()
    assert (await ids).result.shape == (8, 8)
    assert (await shares).result.shape == (8, 8, 3)
    await first
    assert len(engine.batches) == 3


async def test_a_failed_batch_fails_only_its_own_waiters(
    batcher: Batcher, engine: HeldEngine
) -> None:
    engine.fails = lambda images: images.shape[1] == 16
    first = await occupy(batcher, engine)
    doomed = [submit(batcher, picture(i, 16)) for i in range(2)]
    fine = [submit(batcher, picture(i)) for i in range(2)]
    await asyncio.sleep(0)
    engine.release()
    results = await asyncio.gather(first, *doomed, *fine, return_exceptions=True)
    failures = results[1:3]
    assert all(isinstance(failure, InferenceError) for failure in failures)
    assert failures[0] is not failures[1]
    assert all(
        isinstance(failure.__cause__, RuntimeError)
        for failure in failures
        if isinstance(failure, Exception)
    )
    assert all(isinstance(ran, InferenceResult) for ran in (results[0], *results[3:]))


async def test_an_engine_that_gives_the_wrong_shape_fails_the_batch(
    observer: RecordingObserver,
) -> None:
    class OnePixelEngine(HeldEngine):
        def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return super().class_map(images)[:, :1, :1]

    batcher = make_batcher(OnePixelEngine(), observer)
    with pytest.raises(InferenceError, match="failed on this image"):
        await submit(batcher, picture(1))
    await batcher.close()


async def test_an_engine_of_one_stream_is_called_from_one_thread(
    batcher: Batcher, engine: HeldEngine
) -> None:
    await asyncio.gather(*(submit(batcher, picture(i, 8 * (i + 1))) for i in range(4)))
    assert len(engine.threads) == 1


async def test_a_caller_that_leaves_is_dropped_before_it_runs(
    batcher: Batcher, engine: HeldEngine, observer: RecordingObserver
) -> None:
    first = await occupy(batcher, engine)
    leaving, staying = submit(batcher, picture(1, 16)), submit(batcher, picture(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    engine.release()
    await asyncio.gather(first, staying)
    assert (1, 16, 8, 3) not in engine.batches
    assert observer.drops == ["cancelled"]


async def test_a_caller_that_leaves_while_its_batch_runs_harms_no_other(
    batcher: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(batcher, engine)
    leaving, staying = submit(batcher, picture(1)), submit(batcher, picture(2))
    await asyncio.sleep(0)
    engine.release()
    await first
    engine.hold()
    await until(lambda: len(engine.batches) == 2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    engine.release()
    np.testing.assert_array_equal((await staying).result, solve(picture(2)))


async def test_an_image_past_its_deadline_is_dropped_before_it_runs(
    batcher: Batcher, engine: HeldEngine, observer: RecordingObserver
) -> None:
    first = await occupy(batcher, engine)
    late = submit(batcher, picture(1, 16), deadline=time.monotonic())
    await asyncio.sleep(0)
    engine.release()
    with pytest.raises(DeadlineExceededError):
        await late
    await first
    assert (1, 16, 8, 3) not in engine.batches
    assert observer.drops == ["deadline"]


async def test_closing_refuses_what_waits_and_finishes_what_runs(
    batcher: Batcher, engine: HeldEngine
) -> None:
    running = await occupy(batcher, engine)
    waiting = submit(batcher, picture(1))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(ModelUnavailableError):
        await waiting
    assert engine.closings == 0
    engine.release()
    await closing
    assert (await running).result.shape == (8, 8)
    assert engine.closings == 1
    with pytest.raises(ModelUnavailableError):
        await submit(batcher, picture(2))


async def test_stuck_seconds_grow_while_a_batch_runs_and_are_zero_when_idle(
    batcher: Batcher, engine: HeldEngine
) -> None:
    assert batcher.stuck_seconds == 0
    running = await occupy(batcher, engine)
    once = batcher.stuck_seconds
    await until(lambda: batcher.stuck_seconds > once > 0)
    engine.release()
    await running
    assert batcher.stuck_seconds == 0


def _note(order: list[str], name: str, _images: NDArray[np.uint8]) -> bool:
    """Write down whose batch ran; it does not fail."""
    order.append(name)
    return False


async def test_models_that_share_turns_take_them_one_after_the_other() -> None:
    scheduler = DeviceScheduler()
    order: list[str] = []
    engines = {"busy": HeldEngine(), "rare": HeldEngine()}
    for name, engine in engines.items():
        engine.fails = partial(_note, order, name)
    batchers = {
        name: make_batcher(engine, RecordingObserver(), scheduler)
        for name, engine in engines.items()
    }
    first = await occupy(batchers["busy"], engines["busy"])
    tasks = [submit(batchers["busy"], picture(i, 8 * (i + 1))) for i in range(6)]
    tasks += [submit(batchers["rare"], picture(i, 8 * (i + 1))) for i in range(2)]
    await asyncio.sleep(0)
    engines["busy"].release()
    await asyncio.gather(first, *tasks)
    assert order[:6] == ["busy", "busy", "rare", "busy", "rare", "busy"]  # as they asked
    for batcher in batchers.values():
        await batcher.close()


arrivals = st.lists(
    st.tuples(
        st.integers(1, 20),  # height
        st.integers(1, 20),  # width
        st.sampled_from(["stays", "stays", "leaves at once", "leaves later", "late"]),
        st.integers(0, 3),  # rounds of the event loop before the next arrival
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60)
@given(arrivals, st.sets(st.sampled_from([8, 16, 24])), st.integers(1, 3))
async def test_every_caller_gets_its_own_map_or_its_own_failure(
    arrivals: list[tuple[int, int, str, int]], failing_heights: set[int], streams: int
) -> None:
    engine = HeldEngine()
    engine.streams = streams
    engine.fails = lambda images: images.shape[1] in failing_heights
    batcher = make_batcher(engine, RecordingObserver())
    batcher.max_pixels = 24 * 24  # some have the engine for themselves
    tasks = []
    for seed, (height, width, manner, pause) in enumerate(arrivals):
        deadline = time.monotonic() - 1 if manner == "late" else None
        task = submit(batcher, picture(seed, height, width), deadline)
        tasks.append(task)
        if manner == "leaves at once":
            task.cancel()
        for _ in range(pause):
            await asyncio.sleep(0)
        if manner == "leaves later":
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for seed, ((height, width, manner, _), result) in enumerate(
        zip(arrivals, results, strict=True)
    ):
        if isinstance(result, asyncio.CancelledError):
            assert manner.startswith("leaves")
        elif isinstance(result, DeadlineExceededError):
            assert manner == "late"
        elif isinstance(result, InferenceError):
            assert padded_shape(height, width, 8)[0] in failing_heights
        else:
            assert isinstance(result, InferenceResult)
            assert manner != "late"
            np.testing.assert_array_equal(
                result.result[:height, :width], solve(picture(seed, height, width))
            )
    await batcher.close()
    assert batcher.stuck_seconds == 0
    assert all(batch[0] <= 4 for batch in engine.batches)


@pytest.fixture
async def two_streams(engine: HeldEngine, observer: RecordingObserver) -> AsyncIterator[Batcher]:
    engine.streams = 2
    batcher = make_batcher(engine, observer)
    yield batcher
    engine.release()
    await batcher.close()


async def test_batches_run_beside_each_other_as_far_as_the_engine_has_streams(
    two_streams: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(two_streams, engine)
    second = await occupy(two_streams, engine)
    waiting = [submit(two_streams, picture(i)) for i in range(3)]
    await asyncio.sleep(0)
    assert [batch[0] for batch in engine.batches] == [1, 1]
    engine.release()
    for i, ran in enumerate(await asyncio.gather(*waiting)):
        np.testing.assert_array_equal(ran.result, solve(picture(i)))
    await asyncio.gather(first, second)
    assert [batch[0] for batch in engine.batches] == [1, 1, 3]
    assert len(engine.threads) == 2


async def test_what_is_too_large_to_run_beside_another_has_the_engine_for_itself(
    two_streams: Batcher, engine: HeldEngine
) -> None:
    small = await occupy(two_streams, engine)
    large, behind = submit(two_streams, picture(1, 48, 48)), submit(two_streams, picture(2))
    await asyncio.sleep(0.01)
    assert len(engine.batches) == 1
    engine.release()
    await small
    engine.hold()
    await until(lambda: len(engine.batches) == 2)
    await asyncio.sleep(0.01)
    assert engine.batches[1:] == [(1, 48, 48, 3)]
    engine.release()
    np.testing.assert_array_equal((await large).result, solve(picture(1, 48, 48)))
    np.testing.assert_array_equal((await behind).result, solve(picture(2)))


async def test_a_large_image_that_leaves_lets_the_small_ones_behind_it_run(
    two_streams: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(two_streams, engine)
    large, small = submit(two_streams, picture(1, 48, 48)), submit(two_streams, picture(2))
    await asyncio.sleep(0)
    large.cancel()
    engine.release()
    np.testing.assert_array_equal((await small).result, solve(picture(2)))
    await first
    assert (1, 48, 48, 3) not in engine.batches


async def test_stuck_seconds_are_those_of_the_longest_of_the_batches_that_run(
    two_streams: Batcher, engine: HeldEngine
) -> None:
    first = await occupy(two_streams, engine)
    await until(lambda: two_streams.stuck_seconds > 0.01)
    once = two_streams.stuck_seconds
    second = await occupy(two_streams, engine)
    assert two_streams.stuck_seconds >= once
    engine.release()
    await asyncio.gather(first, second)
    assert two_streams.stuck_seconds == 0


async def test_closing_waits_for_every_stream(two_streams: Batcher, engine: HeldEngine) -> None:
    running = [await occupy(two_streams, engine), await occupy(two_streams, engine)]
    closing = asyncio.create_task(two_streams.close())
    await asyncio.sleep(0.01)
    assert engine.closings == 0
    engine.release()
    await closing
    assert all(ran.result.shape == (8, 8) for ran in await asyncio.gather(*running))
    assert engine.closings == 1


def test_batches_share_the_pixels_and_hold_what_is_worth_it(
    engine: HeldEngine,
) -> None:
    batcher = make_batcher(engine, RecordingObserver())
    batcher.useful_batch_pixels = 16 * 16
    sides = (8, 16, 32, 64)
    assert [batcher.capacity((side, side)) for side in sides] == [4, 1, 1, 1]
    engine.streams = 2
    assert [batcher.batch_limits.batch((side, side)) for side in sides] == [4, 1, 1, 1]
    assert [batcher.capacity((side, side)) for side in sides] == [8, 2, 2, 1]
    batcher.useful_batch_pixels = batcher.max_pixels = 32 * 32
    assert [batcher.batch_limits.batch((side, side)) for side in sides] == [4, 2, 1, 1]
    assert [batcher.capacity((side, side)) for side in sides] == [8, 4, 1, 1]


async def test_a_warm_up_that_hangs_keeps_no_other_model_from_answering(
    engine: HeldEngine, observer: RecordingObserver, solvable_model: Model
) -> None:
    scheduler = DeviceScheduler()
    serving = make_batcher(HeldEngine(), observer, scheduler)
    arriving = make_batcher(engine, observer, scheduler)
    engine.hold()
    warming = asyncio.create_task(arriving.warm(solvable_model.contract))
    await until(lambda: len(engine.batches) == 1)
    image = picture(1)
    np.testing.assert_array_equal((await submit(serving, image)).result, solve(image))
    assert not warming.done()
    assert arriving.stuck_seconds > 0
    engine.release()
    await warming
    assert arriving.stuck_seconds == 0
    await arriving.close()
    await serving.close()


async def test_who_gives_up_on_a_warm_up_that_hangs_does_not_hide_it(
    batcher: Batcher, engine: HeldEngine, solvable_model: Model
) -> None:
    engine.hold()
    warming = asyncio.create_task(batcher.warm(solvable_model.contract))
    await until(lambda: len(engine.batches) == 1)
    warming.cancel()
    await asyncio.gather(warming, return_exceptions=True)
    once = batcher.stuck_seconds
    await until(lambda: batcher.stuck_seconds > once > 0)
    engine.release()
    await until(lambda: batcher.stuck_seconds == 0)


def impatient(
    engine: HeldEngine, observer: RecordingObserver, scheduler: DeviceScheduler | None = None
) -> Batcher:
    """A batcher that takes any batch that is held for one that hangs."""
    batcher = make_batcher(engine, observer, scheduler)
    batcher.max_batch_seconds = 0.05
    return batcher


async def test_a_batch_that_hangs_keeps_its_thread_and_no_other_model_from_the_device(
    engine: HeldEngine, observer: RecordingObserver
) -> None:
    scheduler = DeviceScheduler()
    hanging = impatient(engine, observer, scheduler)
    serving = make_batcher(HeldEngine(), observer, scheduler)
    engine.hold()
    late, waiting = submit(hanging, picture(1)), submit(hanging, picture(2, 16))
    image = picture(3)
    np.testing.assert_array_equal((await submit(serving, image)).result, solve(image))
    with pytest.raises(ModelUnavailableError, match="too long"):
        await waiting
    with pytest.raises(ModelUnavailableError, match="too long"):
        await submit(hanging, picture(4))
    assert hanging.stuck_seconds > 0
    assert len(engine.batches) == 1
    engine.release()
    np.testing.assert_array_equal((await late).result, solve(picture(1)))
    assert hanging.stuck_seconds == 0
    hanging.max_batch_seconds = TIMEOUT_SECONDS
    np.testing.assert_array_equal((await submit(hanging, image)).result, solve(image))
    await hanging.close()
    await serving.close()


async def test_a_stream_that_hangs_leaves_the_others_running(
    engine: HeldEngine, observer: RecordingObserver
) -> None:
    engine.streams = 2
    batcher = impatient(engine, observer)
    engine.hold()
    tasks = [submit(batcher, picture(1, 64, 64))]  # with the device for itself
    await until(lambda: len(engine.batches) == 1)
    tasks.append(submit(batcher, picture(2)))
    await until(lambda: len(engine.batches) == 2)
    engine.release()
    for i, ran in enumerate(await asyncio.gather(*tasks)):
        size = (64, 64) if i == 0 else (8, 8)
        np.testing.assert_array_equal(ran.result, solve(picture(i + 1, *size)))
    await batcher.close()


async def test_closing_does_not_wait_for_a_batch_that_hangs_and_closes_the_engine_after_it(
    engine: HeldEngine, observer: RecordingObserver
) -> None:
    batcher = impatient(engine, observer)
    engine.hold()
    lost = submit(batcher, picture(1))
    await until(lambda: len(engine.batches) == 1)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(lost), 2 * batcher.max_batch_seconds)
    await batcher.close()
    with pytest.raises(ModelUnavailableError):
        await lost
    assert batcher.stuck_seconds > 0
    assert engine.closings == 0
    engine.release()
    await until(lambda: engine.closings == 1)
    await until(lambda: batcher.stuck_seconds == 0)


async def test_closing_that_is_given_up_tells_those_who_wait_for_a_running_batch(
    engine: HeldEngine, observer: RecordingObserver
) -> None:
    batcher = make_batcher(engine, observer)
    running = await occupy(batcher, engine)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    with pytest.raises(ModelUnavailableError):
        await running
    assert batcher.stuck_seconds > 0
    engine.release()
    await until(lambda: engine.closings == 1)


async def test_closing_does_not_wait_for_the_device_that_another_model_has(
    engine: HeldEngine, observer: RecordingObserver
) -> None:
    scheduler = DeviceScheduler()
    busy, idle = make_batcher(engine, observer, scheduler), HeldEngine()
    running = await occupy(busy, engine)
    leaving = make_batcher(idle, observer, scheduler)
    waiting = submit(leaving, picture(1))
    await asyncio.sleep(0)
    await leaving.close()
    with pytest.raises(ModelUnavailableError):
        await waiting
    assert idle.closings == 1
    engine.release()
    await running
    np.testing.assert_array_equal((await submit(busy, picture(2))).result, solve(picture(2)))
    await busy.close()


async def test_a_warm_up_that_is_given_up_before_its_turn_is_not_taken_for_stuck(
    batcher: Batcher, engine: HeldEngine, solvable_model: Model
) -> None:
    running = await occupy(batcher, engine)
    warming = asyncio.create_task(batcher.warm(solvable_model.contract))
    await asyncio.sleep(0)
    warming.cancel()
    await asyncio.gather(warming, return_exceptions=True)
    engine.release()
    await running
    await until(lambda: batcher.stuck_seconds == 0)


@pytest.mark.parametrize("signature", ["class_map", "probabilities"])
async def test_a_result_that_waits_does_not_keep_its_batch(
    batcher: Batcher, engine: HeldEngine, signature: Signature
) -> None:
    first = await occupy(batcher, engine)
    together = [
        asyncio.create_task(batcher.run(signature, picture(i), (8, 8), None)) for i in range(4)
    ]
    await asyncio.sleep(0)
    engine.release()
    results = [ran.result for ran in await asyncio.gather(*together)]
    assert [batch[0] for batch in engine.batches] == [1, 4]
    assert all(result.base is None for result in results)
    await first
