"""Maps of a network that is run in stages: as of the network as one, and no more than is needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import read_contract
from service.domain.source import Window
from service.inference.runner import TileSides
from service.inference.tiling import stages as planning
from service.inference.tiling.stages import plan_part
from service.maps import plan as map_planning
from service.maps.plan import MapPlan, plan_map
from service.runtimes.engine import EngineOptions, StageFacts
from service.runtimes.openvino import OpenVinoEngine
from service.settings import BUNDLED_MODELS
from tests.service.maps.rasters import Mapper, class_map_of, save_raster
from tests.service.test_bundled_models import drawn

SIDE = 256


@pytest.fixture(scope="module")
def street() -> Iterator[Mapper]:
    mapper = Mapper(BUNDLED_MODELS, "street", tile_side_pixels=SIDE)
    yield mapper
    mapper.close()


@pytest.fixture
def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In stages also where it computes more, and cut close to what is asked for."""
    monkeypatch.setattr(planning, "_WORTH_IT", np.inf)
    monkeypatch.setattr(map_planning, "_SNAP", 16)


def island(height: int, width: int) -> NDArray[np.bool_]:
    """A picture in the shape of an L with a hole, amid void."""
    valid = np.zeros((height, width), np.bool_)
    valid[70:, 90:400] = True
    valid[height - 300 : height - 37, 90:] = True
    valid[height - 200 : height - 150, 200:260] = False
    return valid


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("how", [{}, {"scale": "0.5"}, {"bbox": "389000,5818700,389300,5818950"}])
def test_a_map_in_stages_is_that_of_the_network_as_one(
    street: Mapper, tmp_path: Path, how: dict[str, Any]
) -> None:
    pixels, valid = drawn(734, 1820, seed=4), island(734, 1820)
    source = save_raster(tmp_path / "scene.tif", pixels, valid=valid)
    tiles = 0

    async def count() -> None:
        nonlocal tiles
        tiles += 1

    staged, whole = tmp_path / "staged.tif", tmp_path / "whole.tif"
    parts = street(source, {"geotiff": staged}, before_tile=count, **how).tiles
    in_stages, tiles = tiles, 0
    summary = street(source, {"geotiff": whole}, side=4096, before_tile=count, **how)
    assert (summary.tiles, tiles) == (1, 1)
    assert parts > (not how)
    assert in_stages >= 3
    np.testing.assert_array_equal(class_map_of(staged), class_map_of(whole))


@pytest.mark.usefixtures("in_small_parts")
def test_confidence_comes_of_the_stages_logits(street: Mapper, tmp_path: Path) -> None:
    source = save_raster(tmp_path / "scene.tif", drawn(300, 610, seed=5), valid=island(300, 610))
    maps = []
    for name, side in (("staged", None), ("whole", 4096)):
        kinds = ("geotiff", "confidence")
        targets = {kind: tmp_path / f"{name}-{kind}.tif" for kind in kinds}
        street(source, targets, side=side)
        maps.append([class_map_of(targets[kind]) for kind in kinds])
    np.testing.assert_array_equal(maps[0][0], maps[1][0])
    np.testing.assert_allclose(maps[0][1], maps[1][1], atol=1)  # of shares of 255


@pytest.fixture(scope="module")
def facts() -> Iterator[StageFacts]:
    path = BUNDLED_MODELS / "street" / "1"
    engine = OpenVinoEngine(path, read_contract(path), EngineOptions(), reason="a test")
    assert engine.stages is not None
    yield engine.stages.facts
    engine.close()


def planned(facts: StageFacts, size: tuple[int, int], stored: Window | None = None) -> MapPlan:
    contract = read_contract(BUNDLED_MODELS / "street" / "1")
    sides, whole = TileSides.of(None, light_class_maps=True), Window(0, 0, *size)
    return plan_map(contract, sides, size, None, "class_map", whole, None, facts, stored)


def test_a_tile_of_the_map_is_computed_hardly_more_than_once(facts: StageFacts) -> None:
    plan = planned(facts, (32_768, 32_768))
    tile = list(plan.tiles)[len(plan.tiles) // 2]
    asked = plan.answers_for(tile)
    seen, tiles = plan.part(tile, asked)
    pixels = asked.height * asked.width
    stages = tiles.stages
    assert stages is not None
    assert pixels > 3900**2
    assert tiles.computed_pixels < 1.2 * pixels
    assert stages.shallow.computed_pixels < 1.7 * pixels
    assert stages.deep.computed_pixels * facts.shallow.step**2 < 1.8 * pixels
    assert seen.height * seen.width < 1.6 * pixels


def test_tiles_divide_what_is_stored(facts: StageFacts) -> None:
    plan = planned(facts, (32_768, 32_768), Window(12_288, 12_288, 8192, 8192))
    assert [(span.keep_start, span.keep_stop) for span in plan.tiles.rows] == [
        (0, 16_384),
        (16_384, 32_768),
    ]
    assert plan.rows == plan.columns == range(2)


def test_what_little_of_a_tile_is_asked_for_is_all_that_is_computed(facts: StageFacts) -> None:
    plan = planned(facts, (32_768, 32_768))
    tile = list(plan.tiles)[len(plan.tiles) // 2]
    whole = plan.answers_for(tile)
    seen, tiles = plan.part(tile, Window(whole.top + 2000, whole.left + 2000, 100, 60))
    assert max(seen.height, seen.width) < 1200
    assert tiles.computed_pixels <= seen.height * seen.width


@pytest.mark.parametrize("height", [64, 65, 500, 1000])
def test_parts_at_the_border_are_padded_as_the_whole_is(facts: StageFacts, height: int) -> None:
    """What is mirrored beyond the border is read, also where hardly anything is kept."""
    for start in range(0, height, 31):
        kept = Window(start, 0, min(5, height - start), 40)
        for known in (None, facts):
            seen, tiles = plan_part((height, 40), kept, 32, 366, 4096, known)
            assert seen.top + seen.height <= height
            assert seen.top % 32 == 0
            if seen.top + seen.height == height:
                assert seen.height >= min(height, 33)
            assert tiles.height <= seen.height
