"""How sure a model is, where class maps alone are asked for: said of whatever engine finds logits
on its way, here or in another process.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.contract import read_contract
from service.domain.model import Model
from service.inference.segmenter import Segmenter
from service.runtimes.engine import Engine, EngineOptions
from service.runtimes.loading import load_engine
from tests.service.inference.asking import LIMITS, ask, class_map, file_of, segmenter_of

pytestmark = pytest.mark.anyio

NUCLEI = Path(__file__).parents[3] / "models" / "zoo" / "nuclei" / "1"
MODEL = Model(read_contract(NUCLEI), 1)


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = load_engine(NUCLEI, MODEL.contract, EngineOptions(request.param, "auto", threads=2))
    yield engine
    engine.close()


class Elsewhere:
    """A runner whose engine is in another process: nothing is done on its threads."""

    alone = None

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_every_engine_says_how_sure_it_is(
    engine: Engine, workers: ThreadPoolExecutor, elsewhere: bool
) -> None:
    segmenter = segmenter_of(MODEL, engine, LIMITS, workers)
    if elsewhere:
        runner: Any = Elsewhere(segmenter.runner)
        segmenter = Segmenter(MODEL, runner, LIMITS, workers)
    shapes = np.linspace(0, 8, 160)[:, np.newaxis] + np.linspace(0, 9, 120)
    light = (120 + 100 * np.sin(shapes)).astype(np.uint8)
    image = light[..., np.newaxis].repeat(3, axis=-1)
    body = file_of(image)
    told = await ask(segmenter, body)
    asked = await ask(segmenter, body, "confidence")
    exact = np.asarray(Image.open(io.BytesIO(asked.encoded.body))).mean() / 255
    assert told.observation.confidence == pytest.approx(exact, abs=0.01)
    archive = await ask(segmenter, body, "npz", probabilities=True)
    classes = np.load(io.BytesIO(archive.encoded.body))["class_map"]
    np.testing.assert_array_equal(class_map(told), classes)


async def test_more_values_than_another_process_should_send_are_not_asked_for(
    engine: Engine, workers: ThreadPoolExecutor
) -> None:
    many = MODEL.contract.classes * (engine.logits_factor**2)
    model = Model(MODEL.contract.model_copy(update={"classes": many}), 1)
    segmenter = segmenter_of(model, engine, LIMITS, workers)
    runner: Any = Elsewhere(segmenter.runner)
    assert segmenter.light_logits
    assert not Segmenter(model, runner, LIMITS, workers).light_logits
