"""Against TensorFlow's own bilinear interpolation of everything."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain import upsampling
from service.domain.source import Window
from service.domain.upsampling import (
    Grid,
    strongest,
    upsampled_class_map,
    upsampled_class_maps,
    upsampled_logits,
)

Logits = NDArray[np.float32]


def blobs(classes: int, height: int, width: int, seed: int = 0) -> Logits:
    """Logits (classes, height, width) that change slowly, so that most cells have one class."""
    coarse = np.random.default_rng(seed).normal(size=(1, height // 8 + 2, width // 8 + 2, classes))
    fine = tf.image.resize(coarse.astype(np.float32), (height, width), method="bicubic").numpy()[0]
    return np.ascontiguousarray(np.moveaxis(fine, -1, 0))


def resized(logits: Logits, height: int, width: int) -> Logits:
    values = tf.image.resize(np.moveaxis(logits, 0, -1)[np.newaxis], (height, width)).numpy()[0]
    return np.moveaxis(values, -1, 0)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize("shape", [(11, 24, 32), (2, 1, 1), (3, 1, 9), (5, 7, 1)])
def test_whole_factors_give_what_interpolating_everything_gives(
    factor: int, shape: tuple[int, int, int]
) -> None:
    logits = blobs(*shape)
    height, width = shape[1] * factor, shape[2] * factor
    grid = Grid((factor, factor))
    expected = resized(logits, height, width)
    class_map = upsampled_class_map(logits, grid, Window(0, 0, height, width))
    np.testing.assert_array_equal(class_map, expected.argmax(axis=0))
    found = upsampled_logits(logits, grid, Window(0, 0, height, width))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("window", [Window(0, 0, 96, 120), Window(3, 5, 40, 61)])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_what_is_too_large_for_whole_cells_is_written_alike(
    factor: int, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, grid = blobs(4, 96 // factor, 120 // factor), Grid((factor, factor))
    whole = upsampled_class_map(logits, grid, window)
    monkeypatch.setattr(upsampling, "_MOST_WHOLE_CELLS_PIXELS", 0)
    np.testing.assert_array_equal(upsampled_class_map(logits, grid, window), whole)


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    factors=st.tuples(st.floats(1, 9), st.floats(1, 9)),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_any_factor_gives_what_interpolating_everything_gives(
    shape: tuple[int, int], factors: tuple[float, float], classes: int, seed: int
) -> None:
    """Small whole numbers tie everywhere, so the order of the classes counts too; quarters are
    exact in binary.
    """
    factors = round(factors[0] * 4) / 4, round(factors[1] * 4) / 4
    logits = np.random.default_rng(seed).integers(0, 3, (classes, *shape)).astype(np.float32)
    height, width = max(1, int(shape[0] * factors[0])), max(1, int(shape[1] * factors[1]))
    grid, window = Grid(factors), Window(0, 0, height, width)
    class_map = upsampled_class_map(logits, grid, window)
    everything = upsampled_logits(logits, grid, window)
    chosen = np.take_along_axis(everything, class_map[np.newaxis].astype(np.intp), axis=0)[0]
    np.testing.assert_allclose(chosen, everything.max(axis=0), atol=1e-5)


@pytest.mark.parametrize("factor", [8, 6.5])
def test_a_window_is_cut_out_of_the_whole(factor: float) -> None:
    logits, grid = blobs(4, 16, 16), Grid((factor, factor))
    side = int(16 * factor)
    whole = upsampled_class_map(logits, grid, Window(0, 0, side, side))
    for top, left, bottom, right in [(0, 0, 101, 77), (3, 50, 60, 51), (13, 17, 104, 104)]:
        window = Window(top, left, bottom - top, right - left)
        part = upsampled_class_map(logits, grid, window)
        np.testing.assert_array_equal(part, whole[top:bottom, left:right])
        given = np.full_like(part, 9)
        assert upsampled_class_map(logits, grid, window, out=given) is given
        np.testing.assert_array_equal(given, part)
        values = upsampled_logits(logits, grid, window)
        np.testing.assert_array_equal(values.argmax(axis=0), part)


@pytest.mark.parametrize("factor", [4, 5.25])
def test_logits_of_a_tile_give_what_those_of_the_whole_give_there(factor: float) -> None:
    logits = blobs(5, 30, 40)
    side = int(20 * factor), int(30 * factor)
    top, left = int(12 * factor), int(15 * factor)
    window = Window(top, left, side[0] - top, side[1] - left)
    whole = upsampled_class_map(logits, Grid((factor, factor)), window)
    tile = Grid((factor, factor), origin=(10, 12))
    part = upsampled_class_map(np.ascontiguousarray(logits[:, 10:, 12:]), tile, window)
    np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize("shape", [(16, 16), (40, 70), (70, 64)])
@pytest.mark.parametrize("factor", [2, 3.5])
def test_pictures_together_are_as_each_alone(shape: tuple[int, int], factor: float) -> None:
    """All of them at once, a few at a time, and one by one."""
    logits = np.random.default_rng(1).integers(0, 3, (5, 4, *shape)).astype(np.float32)
    grid = Grid((factor, factor))
    window = Window(1, 2, int(shape[0] * factor) - 3, int(shape[1] * factor) - 2)
    together = upsampled_class_maps(logits, grid, window)
    each = [upsampled_class_map(one, grid, window) for one in logits]
    np.testing.assert_array_equal(together, each)


def test_of_equal_logits_the_first_class_wins() -> None:
    logits = np.zeros((3, 2, 2), np.float32)
    logits[1:] = 1.0
    np.testing.assert_array_equal(strongest(logits), np.ones((2, 2)))
    np.testing.assert_array_equal(
        upsampled_class_map(logits, Grid((4, 4)), Window(0, 0, 8, 8)), np.ones((8, 8))
    )


def test_noise_in_every_cell_is_interpolated_too() -> None:
    logits = np.random.default_rng(0).normal(size=(11, 40, 40)).astype(np.float32)
    expected = resized(logits, 160, 160).argmax(axis=0)
    found = upsampled_class_map(logits, Grid((4, 4)), Window(0, 0, 160, 160))
    assert np.mean(found == expected) > 0.9999
