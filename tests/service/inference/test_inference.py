"""The seam: what is asked of a model, and what a request holds while it runs."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.contract import read_contract
from service.domain.errors import (
    AnswerTooLargeError,
    DeadlineExceededError,
    ImageTooLargeError,
    InvalidTensorError,
    QueueFullError,
)
from service.domain.model import Model
from service.inference.inference import Inference, TensorAnswer
from service.inference.segmenter import Segmenter
from service.outputs import OUTPUTS
from service.runtimes.engine import Engine
from tests.service.inference.always import Always
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
from tests.solvable import solve

pytestmark = pytest.mark.anyio


async def predict(
    segmenter: Segmenter,
    arrays: Any,
    *outputs: str,
    deadline: float | None = None,
) -> TensorAnswer:
    return await Inference(Always(segmenter)).predict(
        None, arrays, outputs or ("class_map",), deadline
    )


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
    segmenter = segmenter_of(solvable_model, held, replace(LIMITS, max_queue_bytes=10_000), workers)
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


async def test_a_large_picture_gets_its_turn_beside_small_ones_that_come_and_go(
    held: HeldEngine, solvable_model: Model, workers: ThreadPoolExecutor
) -> None:
    limits = replace(LIMITS, max_queue_bytes=10_000)
    segmenter = segmenter_of(solvable_model, held, limits, workers)
    small, large = file_of(picture(1, 8, 8)), file_of(picture(0, 60, 60))
    done = asyncio.Event()

    async def trickle() -> None:
        while not done.is_set():
            with contextlib.suppress(QueueFullError):  # while the large one is in
                await ask(segmenter, small)

    clients = [asyncio.create_task(trickle()) for _ in range(2)]
    await until(lambda: len(held.batches) > 2)
    answer = await ask(segmenter, large)
    done.set()
    await asyncio.gather(*clients)
    assert (answer.height, answer.width) == (60, 60)
    assert (segmenter.waiting_images, segmenter.waiting_bytes) == (0, 0)
    await segmenter.close()


async def test_a_large_picture_that_never_finds_room_is_told_at_its_deadline(
    held: HeldEngine, solvable_model: Model, workers: ThreadPoolExecutor
) -> None:
    limits = replace(LIMITS, max_queue_bytes=10_000)
    segmenter = segmenter_of(solvable_model, held, limits, workers)
    held.hold()
    small = asyncio.create_task(ask(segmenter, file_of(picture(1, 8, 8))))
    await until(lambda: len(held.batches) == 1)
    with pytest.raises(DeadlineExceededError):
        await ask(segmenter, file_of(picture(0, 60, 60)), deadline=time.monotonic() + 0.05)
    held.release()
    await small
    assert (segmenter.waiting_images, segmenter.waiting_bytes) == (0, 0)
    await segmenter.close()


@pytest.mark.parametrize("shape", [(1, 1), (37, 41), (200, 150)])
async def test_arrays_get_the_class_map_that_a_file_of_the_same_pixels_gets(
    segmenter: Segmenter, shape: tuple[int, int]
) -> None:
    image = picture(0, *shape)
    answer = await predict(segmenter, image[np.newaxis])
    from_file = await ask(segmenter, file_of(image))
    maps = answer.outputs["class_map"]
    assert isinstance(maps, np.ndarray)
    assert (str(maps.dtype), maps.shape) == ("uint8", (1, *shape))
    np.testing.assert_array_equal(maps[0], class_map(from_file))
    assert (answer.tiles, answer.blended) == (from_file.tiles, from_file.blended)
    assert (answer.model_id, list(answer.outputs)) == ("solvable/1", ["class_map"])
    assert answer.timings.infer_seconds > 0


@pytest.mark.parametrize("side", [16, 90])
async def test_the_outputs_agree_with_each_other_whole_and_tiled(
    segmenter: Segmenter, side: int
) -> None:
    images = np.stack([picture(seed, side, side) for seed in range(3)])
    names = ("class_map", "probabilities", "confidence")
    outputs = (await predict(segmenter, images, *names)).outputs
    shares = images.astype(np.float32) + 1e-3
    shares /= shares.sum(axis=-1, keepdims=True)
    assert all(isinstance(outputs[name], np.ndarray) for name in outputs)
    ids, probabilities, confidence = (np.asarray(outputs[name]) for name in names)  # type: ignore[index]
    dtypes = [str(array.dtype) for array in (ids, probabilities, confidence)]
    assert dtypes == ["uint8", "float32", "uint8"]
    assert probabilities.shape == (3, side, side, 3)
    np.testing.assert_allclose(probabilities, shares, atol=1e-5)
    np.testing.assert_array_equal(ids, [solve(image) for image in images])
    np.testing.assert_array_equal(confidence, np.rint(probabilities.max(axis=-1) * 255))


async def test_images_of_mixed_sizes_each_get_their_own_map(segmenter: Segmenter) -> None:
    images = [
        picture(seed, *shape) for seed, shape in enumerate([(8, 8), (130, 90), (8, 8), (7, 9)])
    ]
    answer = await predict(segmenter, images)
    for image, found in zip(images, answer.outputs["class_map"], strict=True):
        np.testing.assert_array_equal(found, solve(image))
    assert answer.tiles > len(images)


async def test_arrays_share_batches_with_files(held: HeldEngine, held_segmenter: Segmenter) -> None:
    held.hold()
    first = asyncio.create_task(ask(held_segmenter, file_of(picture(0, 40, 8))))
    await until(lambda: len(held.batches) == 1)
    file = asyncio.create_task(ask(held_segmenter, file_of(picture(1, 7, 8))))
    await until(lambda: waiting(held_segmenter) == 1)
    arrays = asyncio.create_task(predict(held_segmenter, [picture(2, 8, 5)]))
    await until(lambda: waiting(held_segmenter) == 2)
    held.release()
    await asyncio.gather(first, file, arrays)
    assert [batch[0] for batch in held.batches] == [1, 2]


async def test_many_arrays_let_a_file_come_between(
    held: HeldEngine, solvable_model: Model, workers: ThreadPoolExecutor
) -> None:
    segmenter = segmenter_of(solvable_model, held, LIMITS, workers)
    held.hold()
    arrays = asyncio.create_task(predict(segmenter, np.zeros((60, 8, 8, 3), np.uint8)))
    await until(lambda: len(held.batches) == 1)
    of_arrays = waiting(segmenter)
    file = asyncio.create_task(ask(segmenter, file_of(picture(1, 20, 20))))
    await until(lambda: waiting(segmenter) > of_arrays)
    held.release()
    await asyncio.gather(file, arrays)
    assert [batch[1:3] for batch in held.batches].index((24, 24)) <= 3
    assert sum(batch[0] for batch in held.batches) == 61
    await segmenter.close()


PIXELS = np.zeros((2, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (PIXELS.astype(np.float32), r"tensor is float32 of shape \(2, 8, 8, 3\); solvable/1 takes"),
        (PIXELS.astype(np.int64), "int64"),
        (PIXELS.view(np.bool_), "bool"),
        (PIXELS[..., :1], r"\(2, 8, 8, 1\); .* RGB .*\(N, H, W, 3\), or several of \(H, W, 3\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"\(2, 3, 8, 8\)"),
        (PIXELS[0], r"tensor is uint8 of shape \(8, 8, 3\)"),
        (PIXELS[np.newaxis], r"\(1, 2, 8, 8, 3\)"),
        (np.array(3, np.uint8), r"shape \(\)"),
        (PIXELS[:0], r"shape \(0, 8, 8, 3\) has no pixels"),
        (PIXELS[:, :0], "at least 1 × 1 pixel"),
        ([], "There is no image; solvable/1 takes"),
        ([PIXELS[0], PIXELS[0, :, :0]], r"Image 1 of shape \(8, 0, 3\) has no pixels"),
        ([PIXELS[0], PIXELS], r"Image 1 is uint8 of shape \(2, 8, 8, 3\)"),
        ([PIXELS[0, ..., 0]], r"Image 0 is uint8 of shape \(8, 8\)"),
        ([PIXELS[0].astype(np.uint16)], "Image 0 is uint16"),
        (np.zeros((65, 1, 1, 3), np.uint8), "65 images; the limit is 64"),
    ],
)
async def test_arrays_that_the_model_does_not_take_are_refused_with_what_it_takes(
    segmenter: Segmenter, arrays: Any, words: str
) -> None:
    with pytest.raises(InvalidTensorError, match=words):
        await predict(segmenter, arrays)
    assert (segmenter.waiting_images, segmenter.waiting_bytes) == (0, 0)


@pytest.mark.parametrize("outputs", [("logits",), ("class_map", "Confidence")])
async def test_an_output_that_there_is_not_is_refused_by_the_names_of_those_there_are(
    segmenter: Segmenter, outputs: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidTensorError, match="class_map, confidence, probabilities"):
        await predict(segmenter, PIXELS, *outputs)
    with pytest.raises(InvalidTensorError, match="No output"):
        await Inference(Always(segmenter)).predict(None, PIXELS, (), None)


async def test_arrays_are_held_to_the_limits_of_files(
    solvable_model: Model, solvable_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    limits = replace(LIMITS, max_image_pixels=100, max_probability_bytes=2 * 64 * 3 * 4)
    segmenter = segmenter_of(solvable_model, solvable_engine, limits, workers)
    with pytest.raises(ImageTooLargeError, match="Image 1 is 101 × 1"):
        await predict(segmenter, [PIXELS[0], picture(0, 1, 101)])
    await predict(segmenter, PIXELS, "probabilities")
    with pytest.raises(AnswerTooLargeError, match="confidence"):
        await predict(segmenter, np.concatenate([PIXELS, PIXELS]), "probabilities")


async def test_each_array_takes_a_place_in_the_queue(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.hold()
    running = asyncio.create_task(predict(held_segmenter, PIXELS))
    await until(lambda: held_segmenter.waiting_images == 2)
    with pytest.raises(QueueFullError, match="no more than 3"):
        await predict(held_segmenter, PIXELS)
    held.release()
    await running
    assert (held_segmenter.waiting_images, held_segmenter.waiting_bytes) == (0, 0)


async def test_arrays_are_given_up_at_their_deadline_and_leave_nothing_behind(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.hold()
    with pytest.raises(DeadlineExceededError, match="2 images were not done"):
        await predict(held_segmenter, PIXELS, deadline=time.monotonic() + 0.05)
    assert (held_segmenter.waiting_images, held_segmenter.waiting_bytes) == (0, 0)
    assert waiting(held_segmenter) == 0
    held.release()
    await predict(held_segmenter, PIXELS)


async def test_a_gray_model_says_that_it_takes_gray(
    solvable_store: Path, held: HeldEngine, workers: ThreadPoolExecutor
) -> None:
    model = Model(read_contract(solvable_store / "gray" / "1"), 1)
    segmenter = segmenter_of(model, held, LIMITS, workers)
    with pytest.raises(InvalidTensorError, match=r"gray/1 takes gray .*\(N, H, W, 1\)"):
        await predict(segmenter, PIXELS)
    await segmenter.close()


async def test_pixels_that_may_not_be_written_to_are_taken_as_they_are(
    segmenter: Segmenter,
) -> None:
    """As they come out of a message's bytes."""
    image = picture(3, 16, 8)
    received = np.frombuffer(image.tobytes(), np.uint8).reshape(1, 16, 8, 3)
    answer = await predict(segmenter, received)
    np.testing.assert_array_equal(answer.outputs["class_map"][0], solve(image))


async def test_how_far_a_picture_is_is_told_tile_by_tile(segmenter: Segmenter) -> None:
    told: list[tuple[int, int]] = []
    row = OUTPUTS["png"]
    answer = await Inference(Always(segmenter)).segment(
        file_of(picture(0, 200, 300)),
        row,
        row.options(),
        None,
        tell=lambda done, total: told.append((done, total)),
    )
    assert len(told) == answer.tiles - 1
    assert told == sorted(told)
    assert {total for _, total in told} == {200 * 300}
    assert 0 < told[0][0] < told[-1][0] < 200 * 300
