"""Tiles of real networks put together, compared with the whole picture run at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.segmentation import Need
from service.inference.tiling.canvas import make_canvas
from service.inference.tiling.fit import fit
from service.inference.tiling.plan import plan_tiles
from service.inference.tiling.stitch import Maps
from service.runtimes.engine import Engine
from tests.service.inference.conv_network import CLASSES, RADIUS, STRIDE
from tests.service.outputs.maps import make_model

CONTRACT = make_model(CLASSES).contract


def smooth_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Blobs of colour, as a network sees them in photographs, with noise on them."""
    draw = np.random.default_rng(height * 1000 + width)
    coarse = draw.integers(0, 256, (-(-height // 12), -(-width // 12), 3), np.int64)
    blobs = coarse.repeat(12, axis=0).repeat(12, axis=1)[:height, :width]
    noisy: NDArray[np.uint8] = np.clip(blobs + draw.integers(-25, 26, blobs.shape), 0, 255).astype(
        np.uint8
    )
    return noisy


def run(
    engine: Engine, image: NDArray[np.uint8], need: Need, radius: int | None, tile_size: int
) -> Maps:
    height, width = image.shape[:2]
    plan = plan_tiles(height, width, STRIDE, radius, tile_size)
    maps = Maps.empty((height, width), need, CLASSES)
    canvas = make_canvas(plan, maps, need, CONTRACT)
    call = engine.probabilities if canvas.signature == "probabilities" else engine.class_map
    padded = fit(image, STRIDE)
    for tile in plan:
        canvas.put(tile, call(plan.cut(padded, tile)[np.newaxis])[0])
    return maps


@settings(max_examples=25)
@given(st.integers(1, 330), st.integers(1, 330), st.sampled_from([64, 96, 128]))
def test_tiles_of_a_finite_receptive_field_equal_the_whole_picture(
    conv_engine: Engine, height: int, width: int, tile_size: int
) -> None:
    image = smooth_picture(height, width)
    tiled = run(conv_engine, image, "class_map", RADIUS, tile_size).class_map
    whole = run(conv_engine, image, "class_map", RADIUS, 4096).class_map
    assert np.mean(tiled == whole) >= 0.9999


def test_the_network_s_radius_is_what_its_weights_see(conv_engine: Engine) -> None:
    image = smooth_picture(96, 96)[np.newaxis]
    changed = image.copy()
    changed[0, 48, 48] = 255 - changed[0, 48, 48]
    differs = (
        np.abs(conv_engine.probabilities(image) - conv_engine.probabilities(changed)).max(axis=-1)[
            0
        ]
        > 1e-6
    )
    rows, columns = np.nonzero(differs)
    assert max(np.abs(rows - 48).max(), np.abs(columns - 48).max()) <= RADIUS


def test_too_small_a_margin_shows_so_the_comparison_can_fail(conv_engine: Engine) -> None:
    image = smooth_picture(320, 320)
    tiled = run(conv_engine, image, "class_map", 0, 64).class_map
    whole = run(conv_engine, image, "class_map", RADIUS, 4096).class_map
    assert np.mean(tiled == whole) < 0.999


def test_confidence_and_probabilities_of_tiles_equal_the_whole_picture_s(
    conv_engine: Engine,
) -> None:
    image = smooth_picture(201, 150)
    tiled = run(conv_engine, image, "probabilities", RADIUS, 64)
    whole = run(conv_engine, image, "probabilities", RADIUS, 4096)
    assert tiled.confidence is not None
    assert whole.confidence is not None
    assert tiled.probabilities is not None
    assert whole.probabilities is not None
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=1e-4)
    assert np.abs(tiled.confidence.astype(int) - whole.confidence).max() <= 1
    np.testing.assert_array_equal(whole.confidence, np.rint(whole.probabilities.max(axis=-1) * 255))
    np.testing.assert_array_equal(tiled.class_map, tiled.probabilities.argmax(axis=-1))


@pytest.mark.parametrize("shape", [(300, 260), (64, 500), (500, 64)])
def test_blended_tiles_that_disagree_leave_no_seam(shape: tuple[int, int]) -> None:
    plan = plan_tiles(*shape, STRIDE, None, 128)
    maps = Maps.empty(shape, "probabilities", CLASSES)
    canvas = make_canvas(plan, maps, "probabilities", CONTRACT)
    draw = np.random.default_rng(0)
    for tile in plan:
        canvas.put(tile, np.full((*plan.tile_shape, CLASSES), draw.random(), np.float32))
    blended = maps.probabilities
    assert blended is not None
    assert np.ptp(blended) > 0.2
    ramp = max(span.ramp_in for span in (*plan.rows, *plan.columns))
    assert max(np.abs(np.diff(blended, axis=axis)).max() for axis in (0, 1)) < 2 / ramp


def test_blending_is_the_weighted_mean_of_the_tiles(global_engine: Engine) -> None:
    image = smooth_picture(150, 170)
    plan = plan_tiles(150, 170, STRIDE, None, 64)
    expected = np.zeros((150, 170, CLASSES))
    maps = Maps.empty((150, 170), "probabilities", CLASSES)
    canvas = make_canvas(plan, maps, "probabilities", CONTRACT)
    padded = fit(image, STRIDE)
    for tile in plan:
        result = global_engine.probabilities(plan.cut(padded, tile)[np.newaxis])[0]
        canvas.put(tile, result)
        weights = [np.ones(span.keep_stop - span.keep_start) for span in (tile.rows, tile.columns)]
        for weight, span in zip(weights, (tile.rows, tile.columns), strict=True):
            weight[: span.ramp_in] *= (np.arange(span.ramp_in) + 0.5) / max(1, span.ramp_in)
            weight[len(weight) - span.ramp_out :] *= 1 - (np.arange(span.ramp_out) + 0.5) / max(
                1, span.ramp_out
            )
        place = (
            slice(tile.rows.keep_start, tile.rows.keep_stop),
            slice(tile.columns.keep_start, tile.columns.keep_stop),
        )
        inside = result[tile.rows.inside, tile.columns.inside]
        expected[place] += inside * weights[0][:, None, None] * weights[1][None, :, None]
    assert maps.probabilities is not None
    np.testing.assert_allclose(maps.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(maps.class_map, maps.probabilities.argmax(axis=-1))


def test_a_blended_class_map_needs_no_probabilities_of_the_whole_picture(
    global_engine: Engine,
) -> None:
    maps = run(global_engine, smooth_picture(200, 200), "class_map", None, 64)
    assert maps.probabilities is None
    assert maps.class_map.shape == (200, 200)
