"""Real engines over small real SavedModels, and workers."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models.contract import read_contract
from service.domain.model import Model
from service.inference.segmenter import Segmenter
from service.runtimes.engine import Engine, EngineOptions
from service.runtimes.loading import load_engine
from tests.service.inference.asking import LIMITS, segmenter_of
from tests.service.inference.conv_network import save_conv_network
from tests.service.inference.held_engine import HeldEngine


@pytest.fixture(scope="session")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield pool


@pytest.fixture(scope="session")
def conv_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `conv/1`, of finite receptive field, and `global/1`, of none. Read only."""
    store = tmp_path_factory.mktemp("conv-store")
    save_conv_network(store, "conv")
    save_conv_network(store, "global", sees_everything=True)
    return store


@pytest.fixture(scope="session")
def solvable_model(solvable_store: Path) -> Model:
    return Model(read_contract(solvable_store / "solvable" / "1"), 1)


@pytest.fixture(scope="session")
def solvable_engine(solvable_store: Path) -> Iterator[Engine]:
    yield from _engine(solvable_store / "solvable" / "1")


@pytest.fixture(scope="session")
def conv_engine(conv_store: Path) -> Iterator[Engine]:
    yield from _engine(conv_store / "conv" / "1")


@pytest.fixture(scope="session")
def global_engine(conv_store: Path) -> Iterator[Engine]:
    yield from _engine(conv_store / "global" / "1")


@pytest.fixture
def held() -> Iterator[HeldEngine]:
    engine = HeldEngine()
    yield engine
    engine.release()


@pytest.fixture
async def held_segmenter(
    held: HeldEngine, solvable_model: Model, workers: ThreadPoolExecutor
) -> AsyncIterator[Segmenter]:
    segmenter = segmenter_of(solvable_model, held, replace(LIMITS, max_queue_images=3), workers)
    yield segmenter
    held.release()
    await segmenter.close()


@pytest.fixture
def segmenter(
    solvable_model: Model, solvable_engine: Engine, workers: ThreadPoolExecutor
) -> Segmenter:
    return segmenter_of(solvable_model, solvable_engine, LIMITS, workers)


def _engine(artefact: Path) -> Iterator[Engine]:
    engine = load_engine(artefact, read_contract(artefact), EngineOptions(threads=2))
    yield engine
    engine.close()
