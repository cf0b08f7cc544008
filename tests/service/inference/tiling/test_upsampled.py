"""Tiles of a working picture against the whole of it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.segmentation import Need
from service.domain.source import Window
from service.domain.upsampling import Grid, upsampled_logits
from service.inference.tiling.plan import plan_tiles
from service.inference.tiling.upsampled import UpsampledCanvas

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
    canvas = UpsampledCanvas(plan, *full, factors, need, 4)
    for tile in plan:
        top, left = tile.rows.start // STEP, tile.columns.start // STEP
        side = plan.tile_shape[0] // STEP, plan.tile_shape[1] // STEP
        part = logits[:, top : top + side[0], left : left + side[1]]
        canvas.put(tile, np.ascontiguousarray(part))
    grid = Grid((factors[0] * STEP, factors[1] * STEP))
    everything = upsampled_logits(logits, grid, Window(0, 0, *full))
    np.testing.assert_array_equal(canvas.class_map, everything.argmax(axis=0))
    shares = np.exp(everything - everything.max(axis=0))
    shares /= shares.sum(axis=0)
    if canvas.confidence is not None:
        difference = canvas.confidence - 255 * shares.max(axis=0)
        assert np.abs(difference).max() < 0.51
    if canvas.probabilities is not None:
        np.testing.assert_allclose(np.moveaxis(canvas.probabilities, -1, 0), shares, atol=1e-5)
    assert (canvas.confidence is None) == (need == "class_map")
    assert (canvas.probabilities is None) == (need != "probabilities")
