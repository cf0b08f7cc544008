"""Tiles of a working picture against the whole of it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract.working_size import WorkingSize
from service.domain.segmentation import Need
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_logits
from service.inference.tiling.plan import plan_tiles
from service.inference.tiling.stitch import Maps, ProbabilityCanvas
from service.inference.tiling.upsampled import BlendedCanvas, UpsampledCanvas

STRIDE, RADIUS, STEP = 8, 11, 2


def logits_of(height: int, width: int) -> NDArray[np.float32]:
    """Of a working picture of that size padded to the stride, at half of it."""
    low = -(-height // STRIDE) * STRIDE // STEP, -(-width // STRIDE) * STRIDE // STEP
    return np.random.default_rng(3).normal(size=(4, *low)).astype(np.float32)


@pytest.mark.parametrize("need", ["class_map", "confidence", "probabilities"])
@pytest.mark.parametrize("factors", [(4.0, 4.0), (2.7, 3.3), (1.0, 1.0)])
@pytest.mark.parametrize("tile_size", [1000, 64])
def test_tiles_give_what_interpolating_the_whole_gives(
    need: Need, factors: tuple[float, float], tile_size: int
) -> None:
    height, width = 83, 150
    full = int(height * factors[0]), int(width * factors[1])
    logits = logits_of(height, width)
    plan = plan_tiles(height, width, STRIDE, RADIUS, tile_size)
    maps = Maps.empty(full, need, 4)
    canvas = UpsampledCanvas(plan, maps, WorkingSize(height, width, factors, 1.0, resize=True))
    for tile in plan:
        top, left = tile.rows.start // STEP, tile.columns.start // STEP
        side = plan.tile_shape[0] // STEP, plan.tile_shape[1] // STEP
        part = logits[:, top : top + side[0], left : left + side[1]]
        canvas.put(tile, np.ascontiguousarray(part))
    grid = Grid((factors[0] * STEP, factors[1] * STEP))
    everything = upsampled_logits(logits, grid, Window(0, 0, *full))
    np.testing.assert_array_equal(maps.class_map, everything.argmax(axis=0))
    shares = np.exp(everything - everything.max(axis=0))
    shares /= shares.sum(axis=0)
    if maps.confidence is not None:
        difference = maps.confidence - 255 * shares.max(axis=0)
        assert np.abs(difference).max() < 0.51
    if maps.probabilities is not None:
        np.testing.assert_allclose(np.moveaxis(maps.probabilities, -1, 0), shares, atol=1e-5)
    assert (maps.confidence is None) == (need == "class_map")
    assert (maps.probabilities is None) == (need != "probabilities")


def test_a_picture_that_begins_within_the_first_pixel_is_cut_out_there() -> None:
    logits = logits_of(16, 24)
    plan = plan_tiles(16, 24, STRIDE, RADIUS, 1000)
    maps = Maps.empty((16 * 8 - 5, 24 * 8 - 3), "class_map", 4)
    working = WorkingSize(16, 24, (8.0, 8.0), 0.125, resize=False, overhang=(5, 3))
    (tile,) = plan
    UpsampledCanvas(plan, maps, working).put(tile, logits)
    everything = upsampled_logits(logits, Grid((16.0, 16.0)), Window(5, 3, *maps.class_map.shape))
    np.testing.assert_array_equal(maps.class_map, everything.argmax(axis=0))


def test_tiles_that_are_blended_are_upsampled_together() -> None:
    plan = plan_tiles(60, 200, STRIDE, None, 64)
    assert plan.blended
    draw = np.random.default_rng(4)
    shares = draw.dirichlet(np.ones(3), size=plan.tile_shape).astype(np.float32)
    maps, small = (
        Maps.empty((120, 400), "probabilities", 3),
        Maps.empty((60, 200), "probabilities", 3),
    )
    working = WorkingSize(60, 200, (2.0, 2.0), 1.0, resize=True)
    canvas, expected = BlendedCanvas(plan, maps, working, 3), ProbabilityCanvas(plan, small, 3)
    for tile in plan:
        canvas.put(tile, shares)
        expected.put(tile, shares)
    assert small.probabilities is not None
    logits = np.log(np.moveaxis(small.probabilities, -1, 0))
    everything = upsampled_logits(
        np.ascontiguousarray(logits), Grid((2.0, 2.0)), Window(0, 0, 120, 400)
    )
    assert np.mean(maps.class_map == everything.argmax(axis=0)) > 0.999
