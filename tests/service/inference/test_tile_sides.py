"""Which side the largest tile has: by the memory an engine takes, unless an operator said it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.contract import Contract, read_contract
from service.domain.model import Model
from service.domain.segmentation import Need
from service.inference.limits import InferenceLimits
from service.inference.runner import TileSides
from tests.service.inference.asking import segmenter_of
from tests.service.inference.held_engine import HeldEngine


@pytest.fixture(scope="module")
def contract(conv_store: Path) -> Contract:
    return read_contract(conv_store / "conv" / "1")


@pytest.mark.parametrize(
    ("need", "scaled", "tiles"),
    [
        ("class_map", False, 1),
        ("confidence", False, 4),
        ("probabilities", False, 4),
        ("confidence", True, 1),
    ],
)
def test_what_takes_half_of_the_memory_has_twice_the_pixels(
    contract: Contract, need: Need, scaled: bool, tiles: int
) -> None:
    sides = TileSides.of(None, light_class_maps=True)
    assert 1.9 < (sides.class_map / sides.probabilities) ** 2 < 2.1
    assert len(sides.plan(contract, 2176, 2176, need, scaled=scaled)) == tiles


def test_what_is_blended_is_run_for_its_probabilities(conv_store: Path) -> None:
    contract = read_contract(conv_store / "global" / "1")
    sides = TileSides.of(None, light_class_maps=True)
    assert len(sides.plan(contract, 2000, 2000, "class_map", scaled=False)) > 1


def test_an_engine_that_takes_as_much_for_class_maps_has_one_side() -> None:
    assert len(set(TileSides.of(None, light_class_maps=False))) == 1


def test_the_operator_s_side_holds_for_all(
    contract: Contract, held: HeldEngine, workers: ThreadPoolExecutor
) -> None:
    held.light_class_maps = True
    chosen = segmenter_of(Model(contract, 1), held, InferenceLimits(), workers)
    said = segmenter_of(Model(contract, 1), held, InferenceLimits(tile_size=96), workers)
    assert chosen.runner.tile_sides == TileSides.of(None, light_class_maps=True)
    assert said.runner.tile_sides == TileSides(96, 96)
