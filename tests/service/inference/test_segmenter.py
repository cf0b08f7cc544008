import asyncio
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from models.contract import ContractError, read_contract
from service.domain.errors import (
    AnswerTooLargeError,
    ImageTooLargeError,
    InferenceError,
    InvalidOptionError,
    ModelUnavailableError,
    UnreadableImageError,
)
from service.domain.model import Model
from service.domain.segmentation import Segmentation
from service.inference.inference import Answer, Inference
from service.inference.segmenter import Segmenter
from service.inputs import open_source
from service.outputs import OUTPUTS
from service.runtimes.engine import Engine, EngineOptions
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
from tests.service.inference.test_batching import RecordingObserver
from tests.solvable import solve

pytestmark = pytest.mark.anyio


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
    segmenter = segmenter_of(
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
    segmenter = segmenter_of(
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
        segmenter_of(model, conv_engine, replace(LIMITS, tile_size=96), workers), body
    )
    whole = await ask(
        segmenter_of(model, conv_engine, replace(LIMITS, tile_size=4096), workers), body
    )
    assert tiled.tiles > 1
    assert whole.tiles == 1
    assert np.mean(class_map(tiled) == class_map(whole)) >= 0.9999


async def test_a_network_with_global_context_is_blended_and_the_answer_says_so(
    conv_store: Path, global_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    model = Model(read_contract(conv_store / "global" / "1"), 1)
    segmenter = segmenter_of(model, global_engine, LIMITS, workers)
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
    segmenter = segmenter_of(solvable_model, HeldEngine(), LIMITS, workers, observer)
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
    segmenter = segmenter_of(
        solvable_model, solvable_engine, replace(LIMITS, max_image_pixels=100), workers
    )
    await ask(segmenter, file_of(picture(0, 10, 10)))
    with pytest.raises(ImageTooLargeError):
        await ask(segmenter, file_of(picture(0, 1, 101)))


async def test_probabilities_over_their_limit_are_refused_before_decoding(
    solvable_model: Model, solvable_engine: Engine, workers: ThreadPoolExecutor
) -> None:
    limits = replace(LIMITS, max_probability_bytes=10 * 10 * 3 * 4)
    segmenter = segmenter_of(solvable_model, solvable_engine, limits, workers)
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

    segmenter = segmenter_of(solvable_model, OtherEngine(), LIMITS, workers)
    with pytest.raises(ContractError, match="3 classes"):
        await segmenter.warm_up()
    await segmenter.close()


async def test_warming_runs_both_signatures_at_two_sizes(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    await held_segmenter.warm_up()
    assert held.batches == [(1, 8, 8, 3)] * 2 + [(1, 512, 512, 3)] * 2
    assert held_segmenter.stuck_seconds == 0


async def test_warming_sets_nothing_up_that_is_made_on_demand(
    held: HeldEngine, held_segmenter: Segmenter
) -> None:
    held.probabilities_on_demand = True
    await held_segmenter.warm_up()
    assert held.batches == [(1, 8, 8, 3), (1, 512, 512, 3)]


async def test_what_the_file_knows_of_itself_reaches_the_output(segmenter: Segmenter) -> None:
    seen: list[Segmentation] = []

    def encode(segmentation: Segmentation, options: Any) -> Iterable[bytes]:
        seen.append(segmentation)
        return OUTPUTS["png"].encode(segmentation, options)

    file = io.BytesIO()
    pages = [Image.fromarray(picture(seed, 9, 7)) for seed in range(3)]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    output = replace(OUTPUTS["png"], encode=encode)
    await Inference(Always(segmenter)).segment(file.getvalue(), output, output.options(), None)
    assert seen[0].source == open_source(file.getvalue(), 100).info
    assert seen[0].source.pages == 3
