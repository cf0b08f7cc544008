"""The bundled models give a picture the same class map alone, in any batch, and in tiles."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.contract import read_contract, verify_files
from service.catalogue.store import scan
from service.runtimes.engine import EngineName, EngineOptions
from service.runtimes.loading import load_engine
from service.settings import BUNDLED_MODELS
from tests.service.serving import ServerThread, class_map_of, serving

REQUIRED_AGREEMENT = 0.9999
MAX_ARTEFACT_BYTES = 12_000_000
MAX_ZOO_BYTES = 40_000_000
NAMES = sorted(scan(BUNDLED_MODELS).models)
ENGINES: tuple[EngineName, ...] = ("tensorflow", "openvino")


def drawn(height: int, width: int, seed: int, channels: int = 3) -> NDArray[np.uint8]:
    """Soft blobs with edges here and there: what a network finds regions in."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (height // 40 + 2, width // 40 + 2, channels), np.uint8)
    rows = [
        np.asarray(Image.fromarray(coarse[..., c]).resize((width, height))) for c in range(channels)
    ]
    return np.stack(rows, axis=-1)


def agreement(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(np.mean(first == second))


def test_there_is_a_bundled_model() -> None:
    assert "street" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_is_small_and_whole(name: str) -> None:
    for artefact in scan(BUNDLED_MODELS).models[name].values():
        assert artefact.size_bytes <= MAX_ARTEFACT_BYTES
        verify_files(artefact.path, read_contract(artefact.path))


def test_all_bundled_models_together_are_small() -> None:
    sizes = [a.size_bytes for found in scan(BUNDLED_MODELS).models.values() for a in found.values()]
    assert sum(sizes) <= MAX_ZOO_BYTES


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> EngineName:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def untiled(engine_name: EngineName) -> Iterator[ServerThread]:
    with serving(
        BUNDLED_MODELS, engine=engine_name, max_batch_images=8, tile_side_pixels=4096
    ) as server:
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_scores_in_int8_nearly_as_in_fp32(name: str) -> None:
    for artefact in scan(BUNDLED_MODELS).models[name].values():
        quantization = read_contract(artefact.path).quantization
        assert quantization is not None
        drop = quantization.float_scores["val"]["mean_iou"] - quantization.scores["val"]["mean_iou"]
        assert drop <= 0.005


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_gets_the_same_map_alone_and_among_others(
    untiled: ServerThread, name: str
) -> None:
    """Among others of its padded shape, of other shapes, and among some that fail."""
    sizes = [(96 - seed % 3, 128 - seed % 2) if seed % 4 else (40 + seed, 70) for seed in range(24)]
    pictures = [drawn(*size, seed) for seed, size in enumerate(sizes)]
    alone = [class_map_of(untiled.segment(picture, model=name)) for picture in pictures]
    batches = untiled.metric("segserve_batch_size_images_count", {"model": f"{name}/1"})

    def ask(picture: NDArray[np.uint8] | None) -> httpx.Response:
        if picture is not None:
            return untiled.segment(picture, model=name)
        return untiled.client.post("/segment", params={"model": name}, content=b"no picture")

    jobs = [job for picture in pictures for job in (picture, None)]
    with ThreadPoolExecutor(12) as callers:
        answers = list(callers.map(ask, jobs))
    together = [class_map_of(answer) for answer in answers[::2]]
    assert {answer.status_code for answer in answers[1::2]} == {415}
    more = untiled.metric("segserve_batch_size_images_count", {"model": f"{name}/1"}) - batches
    assert more < len(pictures), "nothing was batched, so nothing was compared"
    for one, other in zip(alone, together, strict=True):
        assert agreement(one, other) >= REQUIRED_AGREEMENT


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_gets_the_same_map_whole_and_in_tiles(
    untiled: ServerThread, engine_name: EngineName, name: str
) -> None:
    picture = drawn(1100, 1730, seed=7)
    whole = untiled.segment(picture, model=name, scale="native")
    with serving(
        BUNDLED_MODELS, models=(name,), engine=engine_name, tile_side_pixels=1024
    ) as server:
        tiled = server.segment(picture, model=name, scale="native")
    assert int(tiled.headers["X-Tiles"]) > 1
    assert agreement(class_map_of(whole), class_map_of(tiled)) >= REQUIRED_AGREEMENT


@pytest.mark.parametrize("name", NAMES)
def test_both_signatures_agree_at_odd_sizes(engine_name: EngineName, name: str) -> None:
    (artefact,) = scan(BUNDLED_MODELS).models[name].values()
    contract = read_contract(artefact.path)
    engine = load_engine(artefact.path, contract, EngineOptions(engine_name, threads=2))
    for size in [(1, 1), (1, 50), (33, 31), (64, 96)]:
        image = drawn(*size, seed=3, channels=contract.channels)
        probabilities = engine.probabilities(image[np.newaxis])
        assert probabilities.shape == (1, *size, len(contract.classes))
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
        np.testing.assert_array_equal(
            engine.class_map(image[np.newaxis]), probabilities.argmax(axis=-1)
        )
    engine.close()
