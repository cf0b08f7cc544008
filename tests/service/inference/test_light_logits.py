"""How sure a model is, where class maps alone are asked for: said of whatever engine finds logits
on its way, here or in another process.
"""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.contract import read_contract
from service.domain.model import Model
from service.domain.temperature import calibrated, temperatures_of
from service.inference.engine_batch import run_batch
from service.inference.segmenter import Segmenter
from service.inference.tiling.canvas import make_canvas
from service.inference.tiling.plan import plan_tiles
from service.inference.tiling.stitch import Maps
from service.inference.tiling.upsampled import UpsampledCanvas
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


def cells(height: int, width: int) -> NDArray[np.uint8]:
    """Bright spots on dark (H, W, 3)."""
    y, x = np.indices((height, width))
    light = 20 + 200 * (np.sin(y / 5) * np.sin(x / 5) > 0.3)
    return light.astype(np.uint8)[..., np.newaxis].repeat(3, axis=-1)


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
    image = cells(160, 120)
    body = file_of(image)
    told = await ask(segmenter, body)
    asked = await ask(segmenter, body, "confidence")
    exact = np.asarray(Image.open(io.BytesIO(asked.encoded.body))).mean() / 255
    assert told.observation.confidence == pytest.approx(exact, abs=0.01)
    archive = await ask(segmenter, body, "npz", probabilities=True)
    arrays = np.load(io.BytesIO(archive.encoded.body))
    np.testing.assert_array_equal(class_map(told), arrays["class_map"])
    raw = engine.probabilities(image[np.newaxis])[0]
    temperatures = temperatures_of(MODEL.contract, engine.precision)
    assert temperatures is not None
    wanted = calibrated(raw, arrays["class_map"], temperatures)
    np.testing.assert_allclose(arrays["probabilities"], wanted, atol=2e-3)


def test_small_pictures_enlarged_together_are_as_each_by_itself(engine: Engine) -> None:
    contract, shape = MODEL.contract, (64, 64)
    images = [cells(*size) for size in ((50, 60), (64, 64), (33, 40))]
    plans = [
        plan_tiles(image.shape[0], image.shape[1], contract.stride, 0, 1000) for image in images
    ]
    logits = run_batch(engine, "logits", shape, images)
    enlarged = run_batch(engine, "enlarged", shape, images)
    for image, plan, of_one, of_both in zip(images, plans, logits, enlarged, strict=True):
        maps, expected = (Maps.empty(image.shape[:2], "class_map", 2) for _ in "ab")
        (tile,) = plan
        canvas = make_canvas(plan, maps, "class_map", contract, light_logits=True)
        assert canvas.signature == "enlarged"
        canvas.put(tile, of_both)
        by_itself = UpsampledCanvas(replace(plan, tile_shape=shape), expected, None)
        by_itself.put(tile, of_one)
        np.testing.assert_array_equal(maps.class_map, expected.class_map)
        assert maps.sampled.mean == expected.sampled.mean
        assert 0 < maps.class_map.mean() < 1  # both classes are there


async def test_json_says_how_sure_it_is_of_classes_and_regions_unless_told_not_to(
    engine: Engine, workers: ThreadPoolExecutor
) -> None:
    segmenter = segmenter_of(MODEL, engine, LIMITS, workers)
    shapes = np.linspace(0, 8, 160)[:, np.newaxis] + np.linspace(0, 9, 120)
    light = (120 + 100 * np.sin(shapes)).astype(np.uint8)
    body = file_of(light[..., np.newaxis].repeat(3, axis=-1))

    async def means(name: str, **options: Any) -> list[tuple[float, float | None]]:
        """Pixels and confidence of each class or region."""
        document = json.loads((await ask(segmenter, body, name, **options)).encoded.body)
        if name == "polygons":
            entries = [one["properties"] for one in document["features"]]
            return [(one["area"], one.get("confidence")) for one in entries]
        if name == "coco":
            return [(one["area"], one.get("score")) for one in document["annotations"]]
        return [(one["pixels"], one.get("confidence")) for one in document["classes"]]

    for scale in ("native", "0.8"):
        for name in ("rle", "coco", "polygons"):
            told = await means(name, scale=scale)
            exact = await means(name, scale=scale, confidence=True)
            assert [pixels for pixels, _ in told] == [pixels for pixels, _ in exact]
            assert len(told) >= 2
            for (pixels, found), (_, wanted) in zip(told, exact, strict=True):
                assert found == pytest.approx(wanted, abs=0.02 if pixels > 500 else 0.1)
            unsaid = await means(name, scale=scale, confidence=False)
            assert {sure for _, sure in unsaid} == {None}
            assert None not in {sure for _, sure in await means(name, augment="flip")}


async def test_more_values_than_another_process_should_send_are_not_asked_for(
    engine: Engine, workers: ThreadPoolExecutor
) -> None:
    many = MODEL.contract.classes * (engine.logits_factor**2)
    model = Model(MODEL.contract.model_copy(update={"classes": many}), 1)
    segmenter = segmenter_of(model, engine, LIMITS, workers)
    runner: Any = Elsewhere(segmenter.runner)
    assert segmenter.light_logits
    assert not Segmenter(model, runner, LIMITS, workers).light_logits
