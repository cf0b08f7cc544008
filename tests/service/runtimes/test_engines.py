"""What holds for every engine, on the model that one can solve in one's head."""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import ContractError, read_contract
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_class_map
from service.runtimes.engine import Engine, EngineOptions
from service.runtimes.loading import load_engine
from tests.solvable import solve

WAYS = {
    "tensorflow": EngineOptions("tensorflow", threads=2),
    "tensorflow, one stream": EngineOptions("tensorflow", threads=2, streams=1),
    "openvino": EngineOptions("openvino", threads=2),
    "openvino, one stream": EngineOptions("openvino", threads=2, streams=1),
    "openvino, three streams": EngineOptions("openvino", threads=3, streams=3),
}


@pytest.fixture(scope="module", params=list(WAYS.values()), ids=list(WAYS))
def engine(openvino_store: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    artefact = openvino_store / "solvable" / "1"
    engine = load_engine(artefact, read_contract(artefact), request.param)
    yield engine
    engine.close()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (2, 33, 57), (5, 1, 40)])
def test_class_maps_have_the_images_size(engine: Engine, shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    class_maps = engine.class_map(images)
    assert class_maps.dtype == np.uint8
    np.testing.assert_array_equal(class_maps, np.stack([solve(image) for image in images]))


def test_each_of_its_streams_answers_its_own_images(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.runtimes.openvino._MOST_KEPT_PIXELS", 40 * 40)
    draw = np.random.default_rng(3)
    batches = [
        draw.integers(0, 256, (images, side, side, 3), np.uint8)
        for images, side in zip(draw.integers(1, 4, 60), draw.integers(1, 64, 60), strict=True)
    ]

    def both(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        return engine.class_map(images), engine.probabilities(images).argmax(axis=-1)

    with ThreadPoolExecutor(engine.streams) as callers:
        for images, answers in zip(batches, callers.map(both, batches), strict=True):
            for answer in answers:
                np.testing.assert_array_equal(answer, images.argmax(axis=-1))


def test_images_that_may_not_be_written_are_read(engine: Engine) -> None:
    """As they are in memory that is shared with other processes."""
    images = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
    images.setflags(write=False)
    np.testing.assert_array_equal(engine.class_map(images)[0], solve(images[0]))


def test_an_answer_stays_as_it_was_when_the_next_one_comes(engine: Engine) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 16, 16, 3), np.uint8)
    first = engine.class_map(images[0]), engine.probabilities(images[0])
    engine.class_map(images[1])
    engine.probabilities(images[1])
    np.testing.assert_array_equal(first[0], images[0].argmax(axis=-1))
    np.testing.assert_array_equal(first[1].argmax(axis=-1), first[0])


def test_probabilities_add_up_to_one_and_agree_with_the_class_map(engine: Engine) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 9, 17, 3), np.uint8)
    probabilities = engine.probabilities(images)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (2, 9, 17, 3)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), engine.class_map(images))


def test_logits_give_the_class_map(engine: Engine) -> None:
    images = np.random.default_rng(4).integers(0, 256, (2, 16, 24, 3), np.uint8)
    logits, factor = engine.logits(images)
    assert logits.dtype == np.float32
    assert logits.shape == (2, 3, 16 // factor, 24 // factor)
    for values, class_map in zip(logits, engine.class_map(images), strict=True):
        np.testing.assert_array_equal(
            upsampled_class_map(values, Grid((factor, factor)), Window(0, 0, 16, 24)), class_map
        )


def test_openvino_files_of_other_classes_are_refused_before_anything_is_run(
    openvino_store: Path,
) -> None:
    artefact = openvino_store / "solvable" / "1"
    contract = read_contract(artefact)
    fewer = contract.model_copy(update={"classes": contract.classes[:2]})
    with pytest.raises(ContractError, match="3 classes; its contract has 2"):
        load_engine(artefact, fewer, EngineOptions("openvino", threads=2))


def test_it_says_where_and_how_it_runs(engine: Engine) -> None:
    assert engine.device == "CPU" or engine.device.startswith("GPU:")
    assert engine.precision == "fp32"
    assert f"SEGSERVE_ENGINE says {engine.name}" in engine.reason
    assert engine.device_reason
    assert engine.best_batch >= 1
    assert engine.best_batch_pixels >= 1


def test_a_batch_it_cannot_run_is_refused_and_the_engine_goes_on(engine: Engine) -> None:
    with pytest.raises(Exception, match=r"uint8|u8"):
        engine.class_map(np.zeros((1, 8, 8, 3), np.float32))
    assert engine.class_map(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 8, 8)


def test_answers_are_right_after_memory_was_given_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.runtimes.openvino._MOST_KEPT_PIXELS", 0)
    images = np.random.default_rng(2).integers(0, 256, (2, 24, 40, 3), np.uint8)
    for batch in (images, images[:1], images[:, ::2], images):
        expected = batch.argmax(axis=-1)
        np.testing.assert_array_equal(engine.class_map(batch), expected)
        np.testing.assert_array_equal(engine.probabilities(batch).argmax(axis=-1), expected)


def test_full_collections_leave_a_loaded_graph_out_and_closing_gives_it_back(
    solvable_store: Path,
) -> None:
    artefact = solvable_store / "gray" / "1"
    options = EngineOptions("tensorflow", threads=2)
    engine = load_engine(artefact, read_contract(artefact), options)
    run = engine._run  # type: ignore[attr-defined] # noqa: SLF001 - the one way to it
    graph = weakref.ref(run.graph)
    del run
    assert all(looked_at is not graph() for looked_at in gc.get_objects())
    engine.close()
    assert graph() is None
