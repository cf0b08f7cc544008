import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from models.contract import ContractError, read_contract
from service.domain.errors import (
    AnswerTooLargeError,
    DeadlineExceededError,
    ImageTooLargeError,
    InferenceError,
    InvalidOptionError,
    ModelUnavailableError,
    QueueFullError,
    UnreadableImageError,
)
from service.domain.model import Model
from service.inference.batching import Batcher
from service.inference.inference import Answer, Inference
from service.inference.limits import InferenceLimits
from service.inference.segmenter import Segmenter
from service.outputs import OUTPUTS
from service.runtimes.engine import Engine, EngineOptions
from tests.service.inference.always import Always
from tests.service.inference.held_engine import HeldEngine, until
from tests.service.inference.test_batching import RecordingObserver
from tests.solvable import solve

pytestmark = pytest.mark.anyio

LIMITS = InferenceLimits(tile_size=64)


def picture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def file_of(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def class_map(answer: Answer) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(answer.encoded.body)))


def waiting(segmenter: Segmenter) -> int:
    """Images and tiles that wait for its engine."""
    assert isinstance(segmenter._runner, Batcher)
    return segmenter._runner.waiting


async def ask(
    segmenter: Segmenter,
    body: bytes,
    name: str = "png",
    deadline: float | None = None,
    **options: object,
) -> Answer:
    chosen = OUTPUTS[name]
    return await Inference(Always(segmenter)).segment(
        body, chosen, chosen.options.model_validate(options), deadline
    )


@pytest.fixture
def held() -> Iterator[HeldEngine]:
    engine = HeldEngine()
    yield engine
    engine.release()


@pytest.fixture
async def held_segmenter(
    held: HeldEngine, solvable_model: Model, workers: ThreadPoolExecutor
) -> AsyncIterator[Segmenter]:
    segmenter = Segmenter.of_engine(
        solvable_model, held, replace(LIMITS, max_queue_images=3), workers
    )
    yield segmenter
    held.release()
    await segmenter.close()


@pytest.fixture
def segmenter(
    solvable_model: Model, solvable_engine: Engine, workers: ThreadPoolExecutor
) -> Segmenter:
    return Segmenter.of_engine(solvable_model, solvable_engine, LIMITS, workers)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (8, 8), (37, 41), (64, 64), (200, 150)])
async def test_every_pixel_of_any_size_is_the_strongest_channel(
    segmenter: Segmenter, shape: tuple[int, int]
) -> None:
    image = picture(0, *shape)
    answer = await ask(segmenter, file_of(image))
    np.testing.assert_array_equal(class_map(answer), solve(image))
    assert (answer.height, answer.width) == shape
    assert not answer.blended


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), min_size=1, max_size=12),
    st.integers(0, 4),
)
async def test_an_image_s_answer_is_the_same_in_any_company(
    solvable_model: Model,
    solvable_engine: Engine,
    workers: ThreadPoolExecutor,
    shapes: list[tuple[int, int]],
    damaged: int,
) -> None:
    segmenter = Segmenter.of_engine(
        solvable_model, solvable_engine, replace(LIMITS, max_batch_images=4), workers
    )
    images = [picture(seed, *shape) for seed, shape in enumerate(shapes)]
    bodies = [file_of(image) for image in images] + [b"\x89PNG\r\n\x1a\nbroken"] * damaged
    answers = await asyncio.gather(
        *(ask(segmenter, body) for body in bodies), return_exceptions=True
    )
    for image, answer in zip(images, answers, strict=False):
        assert isinstance(answer, Answer)
        np.testing.assert_array_equal(class_map(answer), solve(image))
    assert all(isinstance(answer, UnreadableImageError) for answer in answers[len(images) :])
    assert (segmenter.waiting_images, segmenter.waiting_bytes) == (0, 0)


async def test_a_gray_model_gets_gray_images(
    solvable_store: Path, workers: ThreadPoolExecutor
) -> None:
    from service.runtimes.loading import load_engine

    artefact = solvable_store / "gray" / "1"
    contract = read_contract(artefact)
    segmenter = Segmenter.of_engine(
        Model(contract, 1),
        load_engine(artefact, contract, EngineOptions(threads=2)),
        LIMITS,
        workers,
    )
    await segmenter.warm_up()
    gray = picture(0, 30, 90)[..., :1]
    answer = await ask(segmenter, file_of(gray[..., 0]))
    np.testing.assert_array_equal(class_map(answer), solve(gray))
    await segmenter.close()


async def test_a_tiled_picture_equals_the_untiled_one(
    conv_store: Path, conv_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    model = Model(read_contract(conv_store / "conv" / "1"), 1)
    body = file_of(picture(0, 311, 250).repeat(2, axis=0))
    tiled = await ask(
        Segmenter.of_engine(model, conv_engine, replace(LIMITS, tile_size=96), workers), body
    )
    whole = await ask(
        Segmenter.of_engine(model, conv_engine, replace(LIMITS, tile_size=4096), workers), body
    )
    assert tiled.tiles > 1
    assert whole.tiles == 1
    assert np.mean(class_map(tiled) == class_map(whole)) >= 0.9999


async def test_a_network_with_global_context_is_blended_and_the_answer_says_so(
    conv_store: Path, global_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    model = Model(read_contract(conv_store / "global" / "1"), 1)
    segmenter = Segmenter.of_engine(model, global_engine, LIMITS, workers)
    assert (await ask(segmenter, file_of(picture(0, 200, 200)))).blended
    assert not (await ask(segmenter, file_of(picture(0, 60, 60)))).blended


@pytest.mark.parametrize("name", OUTPUTS)
async def test_every_format_answers_a_tiled_picture(segmenter: Segmenter, name: str) -> None:
    answer = await ask(segmenter, file_of(picture(0, 90, 120)), name)
    assert answer.tiles > 1
    assert answer.encoded.media_type in OUTPUTS[name].media_types
    assert answer.encoded.body


async def test_a_tiled_picture_does_not_starve_others(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.hold()
    large = asyncio.create_task(ask(held_segmenter, file_of(picture(0, 640, 640))))
    await until(lambda: len(held.batches) == 1)
    small = asyncio.create_task(ask(held_segmenter, file_of(picture(1, 20, 20))))
    await until(lambda: waiting(held_segmenter) >= 2)
    held.release()
    await small
    tiles_before = [batch[1:3] for batch in held.batches].index((24, 24))
    assert tiles_before <= 3
    await large


async def test_tiles_of_an_accepted_picture_need_no_further_leave(
    held_segmenter: Segmenter,
) -> None:
    image = picture(0, 500, 500)
    answer = await ask(held_segmenter, file_of(image))
    assert answer.tiles > 3  # the queue's limit of images
    np.testing.assert_array_equal(class_map(answer), solve(image))


async def test_a_full_queue_refuses_and_says_when_to_come_back(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.hold()
    accepted = [
        asyncio.create_task(ask(held_segmenter, file_of(picture(i, 8, 8)))) for i in range(3)
    ]
    await until(lambda: held_segmenter.waiting_images == 3)
    with pytest.raises(QueueFullError, match="no more than 3") as refusal:
        await ask(held_segmenter, file_of(picture(9, 8, 8)))
    assert refusal.value.retry_after_seconds >= 1
    held.release()
    await asyncio.gather(*accepted)
    await ask(held_segmenter, file_of(picture(9, 8, 8)))


async def test_a_queue_full_of_bytes_refuses(
    held: HeldEngine, solvable_model: Model, workers: ThreadPoolExecutor
) -> None:
    segmenter = Segmenter.of_engine(
        solvable_model, held, replace(LIMITS, max_queue_bytes=10_000), workers
    )
    held.hold()
    accepted = asyncio.create_task(
        ask(segmenter, file_of(picture(0, 60, 60)))
    )  # above the limit, and alone
    await until(lambda: segmenter.waiting_bytes > 10_000)
    with pytest.raises(QueueFullError, match="MiB"):
        await ask(segmenter, file_of(picture(1, 8, 8)))
    assert segmenter.waiting_images == 1
    held.release()
    await accepted
    assert segmenter.waiting_bytes == 0
    await segmenter.close()


async def test_the_deadline_ends_the_wait_while_the_engine_is_busy(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.hold()
    with pytest.raises(DeadlineExceededError, match="deadline"):
        await ask(held_segmenter, file_of(picture(0, 8, 8)), deadline=time.monotonic() + 0.05)
    assert (held_segmenter.waiting_images, held_segmenter.waiting_bytes) == (0, 0)


async def test_a_deadline_that_has_passed_is_refused_before_the_engine_runs(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    with pytest.raises(DeadlineExceededError):
        await ask(held_segmenter, file_of(picture(0, 8, 8)), deadline=time.monotonic() - 1)
    assert held.batches == []


async def test_a_cancelled_caller_frees_its_place_and_its_tiles(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.hold()
    leaving = asyncio.create_task(ask(held_segmenter, file_of(picture(0, 400, 400))))
    await until(lambda: waiting(held_segmenter) > 0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (held_segmenter.waiting_images, waiting(held_segmenter)) == (0, 0)
    held.release()
    await ask(held_segmenter, file_of(picture(1, 8, 8)))
    assert len(held.batches) == 2


async def test_an_engine_failure_is_told_and_the_next_image_served(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.fails = lambda images: images.shape[1] == 16
    with pytest.raises(InferenceError) as failure:
        await ask(held_segmenter, file_of(picture(0, 16, 8)))
    assert "fell over" not in str(failure.value)
    assert isinstance(failure.value.__cause__, RuntimeError)
    await ask(held_segmenter, file_of(picture(1, 8, 8)))


async def test_one_failed_tile_fails_the_picture_and_leaves_nothing_behind(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.fails = lambda _: len(held.batches) == 3
    with pytest.raises(InferenceError):
        await ask(held_segmenter, file_of(picture(0, 400, 400)))
    await until(lambda: held_segmenter.stuck_seconds == 0)
    assert (held_segmenter.waiting_images, waiting(held_segmenter)) == (0, 0)


async def test_a_closed_segmenter_takes_no_image_and_gives_its_engine_back(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    await held_segmenter.close()
    with pytest.raises(ModelUnavailableError):
        await ask(held_segmenter, file_of(picture(1, 8, 8)))
    assert held.closings == 1


async def test_stages_and_batches_are_observed(
    solvable_model: Model, workers: ThreadPoolExecutor
) -> None:
    observer = RecordingObserver()
    segmenter = Segmenter.of_engine(solvable_model, HeldEngine(), LIMITS, workers, observer)
    answer = await ask(segmenter, file_of(picture(0, 8, 8)))
    assert [stage for _, stage in observer.stages] == ["decode", "queue", "infer", "encode"]
    assert {model_id for model_id, _ in observer.stages} == {"solvable/1"}
    assert observer.batches == [1]
    assert answer.timings.decode_seconds > 0
    assert answer.timings.infer_seconds > 0
    assert answer.timings.encode_seconds > 0
    await segmenter.close()


@pytest.mark.parametrize("classes", ["cat", "red,,"])
async def test_a_class_the_model_does_not_have_is_refused_before_decoding(
    segmenter: Segmenter, classes: str
) -> None:
    with pytest.raises(InvalidOptionError, match="red, green, blue"):
        await ask(segmenter, b"not even an image", classes=classes)


async def test_pixels_over_the_limit_are_refused(
    solvable_model: Model, solvable_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    segmenter = Segmenter.of_engine(
        solvable_model, solvable_engine, replace(LIMITS, max_image_pixels=100), workers
    )
    await ask(segmenter, file_of(picture(0, 10, 10)))
    with pytest.raises(ImageTooLargeError):
        await ask(segmenter, file_of(picture(0, 1, 101)))


async def test_probabilities_over_their_limit_are_refused_before_decoding(
    solvable_model: Model, solvable_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    limits = replace(LIMITS, max_probability_bytes=10 * 10 * 3 * 4)
    segmenter = Segmenter.of_engine(solvable_model, solvable_engine, limits, workers)
    await ask(segmenter, file_of(picture(0, 10, 10)), "npz", probabilities=True)
    await ask(segmenter, file_of(picture(0, 1, 101)), "npz")
    with pytest.raises(AnswerTooLargeError, match="confidence"):
        await ask(segmenter, file_of(picture(0, 1, 101)), "npz", probabilities=True)


async def test_warming_refuses_an_engine_that_does_not_keep_its_contract(
    solvable_model: Model, workers: ThreadPoolExecutor
) -> None:
    class OtherEngine(HeldEngine):
        def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return super().class_map(images) + np.uint8(7)

    segmenter = Segmenter.of_engine(solvable_model, OtherEngine(), LIMITS, workers)
    with pytest.raises(ContractError, match="3 classes"):
        await segmenter.warm_up()
    await segmenter.close()


async def test_warming_runs_both_signatures_at_two_sizes(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    await held_segmenter.warm_up()
    assert held.batches == [(1, 8, 8, 3)] * 2 + [(1, 512, 512, 3)] * 2
    assert held_segmenter.stuck_seconds == 0
