"""Large pictures in stages, each in tiles of its own: as the network as a whole says it."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import read_contract
from service.domain.errors import InferenceError
from service.domain.model import Model
from service.inference.limits import InferenceLimits
from service.inference.memory import Work, footprint
from service.inference.runner import TileSides
from service.inference.segmenter import Segmenter
from service.inference.tiling import stages as planning
from service.runtimes.engine import EngineOptions, Stage, Stages
from service.runtimes.openvino import OpenVinoEngine
from service.settings import BUNDLED_MODELS
from tests.service.inference.asking import ask, class_map, file_of, segmenter_of, waiting
from tests.service.inference.held_engine import TIMEOUT_SECONDS, until
from tests.service.test_bundled_models import drawn

pytestmark = pytest.mark.anyio

STREET = BUNDLED_MODELS / "street" / "1"
BELOW_WHOLE = 256  # a side of tiles that leaves the network's own no smaller than its margins ask


@pytest.fixture(scope="module", params=["street", "nuclei", "pets"])
def bundled(request: pytest.FixtureRequest) -> Iterator[tuple[Model, OpenVinoEngine]]:
    path: Path = BUNDLED_MODELS / request.param / "1"
    contract = read_contract(path)
    engine = OpenVinoEngine(path, contract, EngineOptions(threads=2), reason="a test")
    yield Model(contract, 1), engine
    engine.close()


@pytest.fixture
def always_in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it computes more."""
    monkeypatch.setattr(planning, "_WORTH_IT", np.inf)


def segmenter(
    bundled: tuple[Model, OpenVinoEngine], workers: ThreadPoolExecutor, tile_size: int
) -> Segmenter:
    return segmenter_of(*bundled, InferenceLimits(tile_size=tile_size), workers, threads=2)


@pytest.mark.usefixtures("always_in_stages")
async def test_every_pixel_is_as_of_the_whole_picture(
    bundled: tuple[Model, OpenVinoEngine], workers: ThreadPoolExecutor
) -> None:
    body = file_of(drawn(301, 1807, seed=7))
    whole = await ask(segmenter(bundled, workers, 4096), body, scale="native")
    staged = await ask(segmenter(bundled, workers, BELOW_WHOLE), body, scale="native")
    assert whole.tiles == 1
    assert staged.tiles > 10
    np.testing.assert_array_equal(class_map(staged), class_map(whole))


@pytest.mark.usefixtures("always_in_stages")
async def test_a_failed_stage_fails_the_picture_and_leaves_nothing_behind(
    bundled: tuple[Model, OpenVinoEngine],
    workers: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages = bundled[1].stages
    assert stages is not None

    def fall_over(*_: object) -> None:
        raise RuntimeError("fell over")

    monkeypatch.setattr(type(stages), "run", fall_over)
    failing = segmenter(bundled, workers, BELOW_WHOLE)
    with pytest.raises(InferenceError):
        await ask(failing, file_of(drawn(64, 1600, seed=1)), scale="native")
    await until(lambda: failing.stuck_seconds == 0)
    assert (failing.waiting_images, waiting(failing)) == (0, 0)


@pytest.mark.usefixtures("always_in_stages")
async def test_a_picture_that_is_cancelled_between_two_stages_is_worked_on_no_further(
    bundled: tuple[Model, OpenVinoEngine],
    workers: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = bundled[1]
    stages = engine.stages
    assert stages is not None
    run, free, asked = type(stages).run, threading.Event(), list[str]()

    def held_at_deep(self: Any, stage: Stage, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        asked.append(stage)
        if stage == "deep":
            assert free.wait(TIMEOUT_SECONDS)
        return run(self, stage, inputs)

    monkeypatch.setattr(type(stages), "run", held_at_deep)
    cancelled = segmenter(bundled, workers, BELOW_WHOLE)
    body = file_of(drawn(64, 1600, seed=2))
    task = asyncio.create_task(ask(cancelled, body, scale="native"))
    await until(lambda: "deep" in asked)
    assert cancelled.waiting_images == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (cancelled.waiting_images, waiting(cancelled)) == (0, 0)
    free.set()
    await until(lambda: cancelled.stuck_seconds == 0)
    assert "shallow" in asked
    assert "tail" not in asked
    assert asked.count("deep") <= engine.streams  # what waited behind them was dropped
    # the next one is answered
    assert (await ask(cancelled, body, scale="native")).tiles > 1


def test_a_large_picture_is_computed_hardly_more_than_once(
    bundled: tuple[Model, OpenVinoEngine],
) -> None:
    model, engine = bundled
    facts, sides = known(engine.stages).facts, TileSides.of(None, light_class_maps=True)
    of_100_megapixels = 8660, 11547
    whole = sides.plan(model.contract, *of_100_megapixels, "class_map", scaled=False)
    plan = sides.plan(model.contract, *of_100_megapixels, "class_map", scaled=False, stages=facts)
    assert plan.stages is not None
    assert whole.stages is None
    pixels = 8660 * 11547
    assert whole.computed_pixels > 2 * pixels
    assert plan.computed_pixels < 1.25 * pixels
    assert plan.stages.shallow.computed_pixels < 1.25 * pixels
    assert plan.stages.deep.computed_pixels * facts.shallow.step**2 < 1.5 * pixels
    assert (plan.height, plan.width) == of_100_megapixels


def test_what_is_small_or_wants_probabilities_is_run_whole(
    bundled: tuple[Model, OpenVinoEngine],
) -> None:
    model, engine = bundled
    facts, sides = known(engine.stages).facts, TileSides.of(None, light_class_maps=True)
    for size, need in (((2000, 2000), "class_map"), ((8000, 8000), "confidence")):
        plan = sides.plan(model.contract, *size, need, scaled=False, stages=facts)  # type: ignore[arg-type]
        assert plan.stages is None


def test_maps_that_stages_make_are_counted(bundled: tuple[Model, OpenVinoEngine]) -> None:
    model, engine = bundled
    facts, sides = known(engine.stages).facts, TileSides(2176, 1536)
    plan = sides.plan(model.contract, 6400, 6400, "class_map", scaled=False, stages=facts)
    assert plan.stages is not None
    channels = facts.shallow.channels, facts.deep.channels
    assert plan.stages.map_shapes == ((800, 800, channels[0]), (400, 400, channels[1]))
    expected = 800 * 800 * channels[0] + 400 * 400 * channels[1]
    work = Work(plan, 6400 * 6400, 0, scaled=False, logits_factor=2)
    assert footprint([work], "class_map", model.contract, 2, shared=False).images == expected


def known(stages: Stages | None) -> Stages:
    assert stages is not None
    return stages
