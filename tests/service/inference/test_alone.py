"""Pictures that share no batch anyway: all of their work in one call on the engine's thread."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from service.domain.errors import (
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    UnreadableImageError,
)
from service.domain.model import Model
from service.domain.source import Samples, Window
from service.inference.limits import InferenceLimits
from service.inference.observer import SILENT, Observer
from service.inference.segmenter import Segmenter
from service.inputs.jpeg import PlainJpegSource
from service.outputs import OUTPUTS
from service.runtimes.engine import Engine
from tests.service.inference.asking import (
    LIMITS,
    ask,
    class_map,
    file_of,
    picture,
    segmenter_of,
    waiting,
)
from tests.service.inference.held_engine import HeldEngine, until
from tests.service.inference.test_batching import RecordingObserver
from tests.service.inputs.files import save
from tests.solvable import solve

pytestmark = pytest.mark.anyio

ONE_A_BATCH = replace(LIMITS, max_batch_images=1)


@pytest.fixture
def no_workers() -> ThreadPoolExecutor:
    """Whoever wants a worker fails."""
    pool = ThreadPoolExecutor(max_workers=1)
    pool.shutdown()
    return pool


def alone_segmenter(
    model: Model,
    engine: Engine,
    workers: ThreadPoolExecutor,
    limits: InferenceLimits = ONE_A_BATCH,
    observer: Observer = SILENT,
) -> Segmenter:
    """Each stream has one thread."""
    return segmenter_of(model, engine, limits, workers, observer, threads=engine.streams)


def jpeg(seed: int, height: int, width: int) -> bytes:
    return save(Image.fromarray(picture(seed, height, width)), "JPEG", quality=95)


async def test_it_needs_no_worker_and_answers_all_the_same(
    solvable_model: Model,
    held: HeldEngine,
    workers: ThreadPoolExecutor,
    no_workers: ThreadPoolExecutor,
) -> None:
    body = jpeg(1, 40, 56)
    alone = await ask(alone_segmenter(solvable_model, held, no_workers), body)
    batched = await ask(segmenter_of(solvable_model, held, LIMITS, workers), body)
    assert alone.encoded == batched.encoded
    assert alone.timings.decode_seconds > 0
    assert alone.timings.infer_seconds > 0
    assert alone.timings.encode_seconds > 0


@pytest.mark.parametrize("scale", ["native", "0.5"])
@pytest.mark.parametrize("name", OUTPUTS)
async def test_every_format_has_the_bytes_that_it_has_otherwise(
    solvable_model: Model,
    solvable_engine: Engine,
    workers: ThreadPoolExecutor,
    name: str,
    scale: str,
) -> None:
    body = file_of(picture(2, 37, 60))
    alone = alone_segmenter(solvable_model, solvable_engine, workers)
    batched = segmenter_of(solvable_model, solvable_engine, LIMITS, workers)
    assert alone.runner.alone is not None
    assert alone.runner.alone.runs_alone((40, 64))
    ours, theirs = (
        await ask(alone, body, name, scale=scale),
        await ask(batched, body, name, scale=scale),
    )
    assert ours.encoded == theirs.encoded
    assert replace(ours, timings=theirs.timings) == theirs


@pytest.mark.parametrize(
    ("limits", "threads"),
    [(LIMITS, 1), (ONE_A_BATCH, 2)],
    ids=["a batch holds more", "a stream has two threads"],
)
async def test_where_it_does_not_pay_the_workers_are_used(
    solvable_model: Model,
    held: HeldEngine,
    no_workers: ThreadPoolExecutor,
    limits: InferenceLimits,
    threads: int,
) -> None:
    segmenter = segmenter_of(solvable_model, held, limits, no_workers, threads=threads)
    with pytest.raises(RuntimeError, match="shutdown"):
        await ask(segmenter, jpeg(1, 16, 24))


async def test_what_is_tiled_or_large_goes_the_long_way(
    solvable_model: Model, held: HeldEngine, workers: ThreadPoolExecutor
) -> None:
    tiled, large = picture(1, 65, 130), picture(2, 1030, 1030)
    segmenter = alone_segmenter(solvable_model, held, workers)
    answer = await ask(segmenter, file_of(tiled))
    assert answer.tiles > 1
    np.testing.assert_array_equal(class_map(answer), solve(tiled))
    limits = replace(ONE_A_BATCH, tile_size=2048)
    held.hold()
    asked = asyncio.create_task(
        ask(alone_segmenter(solvable_model, held, workers, limits), file_of(large))
    )
    await until(lambda: (1, 1032, 1032, 3) in held.batches)  # decoded by a worker
    held.release()
    np.testing.assert_array_equal(class_map(await asked), solve(large))


async def test_a_damaged_file_is_told_so_and_the_next_one_answered(
    solvable_model: Model, held: HeldEngine, no_workers: ThreadPoolExecutor
) -> None:
    segmenter = alone_segmenter(solvable_model, held, no_workers)
    body = jpeg(1, 40, 56)
    with pytest.raises(UnreadableImageError, match="truncated"):
        await ask(segmenter, body[: len(body) // 2])
    assert (await ask(segmenter, body)).height == 40
    assert held.batches == [(1, 40, 56, 3)]
    assert (segmenter.waiting_images, segmenter.waiting_bytes) == (0, 0)


async def test_an_engine_s_failure_is_told_without_its_words(
    solvable_model: Model, held: HeldEngine, no_workers: ThreadPoolExecutor
) -> None:
    segmenter = alone_segmenter(solvable_model, held, no_workers)
    held.fails = lambda _: True
    with pytest.raises(InferenceError) as failure:
        await ask(segmenter, jpeg(1, 40, 56))
    assert "fell over" not in str(failure.value)
    assert str(failure.value.__cause__) == "the device fell over"
    held.fails = lambda _: False
    assert (await ask(segmenter, jpeg(1, 40, 56))).width == 56


async def test_who_leaves_or_is_late_is_dropped_before_anything_is_decoded(
    solvable_model: Model,
    held: HeldEngine,
    no_workers: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []
    read = PlainJpegSource.read

    def counted(
        source: PlainJpegSource, window: Window | None = None, scale: float = 1.0
    ) -> Samples:
        decoded.append(source.width)
        return read(source, window, scale)

    monkeypatch.setattr(PlainJpegSource, "read", counted)
    observer = RecordingObserver()
    segmenter = alone_segmenter(solvable_model, held, no_workers, observer=observer)
    held.hold()
    first = asyncio.create_task(ask(segmenter, jpeg(1, 40, 56)))
    await until(lambda: len(held.batches) == 1)
    leaving = asyncio.create_task(ask(segmenter, jpeg(2, 40, 48)))
    late = asyncio.create_task(ask(segmenter, jpeg(3, 40, 32), deadline=time.monotonic() + 0.05))
    last = asyncio.create_task(ask(segmenter, jpeg(4, 40, 24)))
    await until(lambda: waiting(segmenter) == 3)
    leaving.cancel()
    with pytest.raises(DeadlineExceededError):
        await late
    held.release()
    assert [(await first).width, (await last).width] == [56, 24]
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert decoded == [56, 24]
    assert observer.drops == ["cancelled", "cancelled"]
    assert observer.batches == [1, 1]
    assert (segmenter.waiting_images, segmenter.waiting_bytes) == (0, 0)


async def test_as_many_run_beside_each_other_as_there_are_streams(
    solvable_model: Model, held: HeldEngine, no_workers: ThreadPoolExecutor
) -> None:
    held.streams = 2
    segmenter = alone_segmenter(solvable_model, held, no_workers)
    held.hold()
    asked = [asyncio.create_task(ask(segmenter, jpeg(seed, 16, 24))) for seed in range(4)]
    await until(lambda: len(held.batches) == 2)
    assert waiting(segmenter) == 2
    held.release()
    assert [answer.width for answer in await asyncio.gather(*asked)] == [24] * 4
    assert len(held.threads) == 2


async def test_closing_refuses_what_waits_and_finishes_what_runs(
    solvable_model: Model, held: HeldEngine, no_workers: ThreadPoolExecutor
) -> None:
    segmenter = alone_segmenter(solvable_model, held, no_workers)
    held.hold()
    running = asyncio.create_task(ask(segmenter, jpeg(1, 40, 56)))
    await until(lambda: len(held.batches) == 1)
    behind = asyncio.create_task(ask(segmenter, jpeg(2, 40, 56)))
    await until(lambda: waiting(segmenter) == 1)
    closing = asyncio.create_task(segmenter.close())
    with pytest.raises(ModelUnavailableError):
        await behind
    held.release()
    assert (await running).width == 56
    await closing
    assert held.closings == 1
