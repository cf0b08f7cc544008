"""Against TensorFlow's own bilinear interpolation of everything."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.upsampling import strongest, upsampled_class_map, upsampled_logits

Logits = NDArray[np.float32]


def blobs(classes: int, height: int, width: int, seed: int = 0) -> Logits:
    """Logits (classes, height, width) that change slowly, so that most cells have one class."""
    coarse = np.random.default_rng(seed).normal(size=(1, height // 8 + 2, width // 8 + 2, classes))
    fine = tf.image.resize(coarse.astype(np.float32), (height, width), method="bicubic").numpy()[0]
    return np.ascontiguousarray(np.moveaxis(fine, -1, 0))


def resized(logits: Logits, height: int, width: int) -> Logits:
    values = tf.image.resize(np.moveaxis(logits, 0, -1)[np.newaxis], (height, width)).numpy()[0]
    return np.moveaxis(values, -1, 0)


@pytest.mark.parametrize("factor", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("shape", [(11, 24, 32), (2, 1, 1), (3, 1, 9), (5, 7, 1)])
def test_whole_factors_give_what_interpolating_everything_gives(
    factor: int, shape: tuple[int, int, int]
) -> None:
    logits = blobs(*shape)
    height, width = shape[1] * factor, shape[2] * factor
    expected = resized(logits, height, width)
    class_map = upsampled_class_map(logits, height, width, (factor, factor))
    np.testing.assert_array_equal(class_map, expected.argmax(axis=0))
    found = upsampled_logits(logits, slice(0, height), width, height, (factor, factor))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    factors=st.tuples(st.floats(1, 9), st.floats(1, 9)),
    classes=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_any_factor_gives_what_interpolating_everything_gives(
    shape: tuple[int, int], factors: tuple[float, float], classes: int, seed: int
) -> None:
    """Small whole numbers tie everywhere, so the order of the classes counts too; quarters are exact in binary."""
    factors = round(factors[0] * 4) / 4, round(factors[1] * 4) / 4
    logits = np.random.default_rng(seed).integers(0, 3, (classes, *shape)).astype(np.float32)
    height, width = max(1, int(shape[0] * factors[0])), max(1, int(shape[1] * factors[1]))
    class_map = upsampled_class_map(logits, height, width, factors)
    everything = upsampled_logits(logits, slice(0, height), width, height, factors)
    chosen = np.take_along_axis(everything, class_map[np.newaxis].astype(np.intp), axis=0)[0]
    np.testing.assert_allclose(chosen, everything.max(axis=0), atol=1e-5)


def test_a_picture_that_ends_within_a_cell_is_the_top_left_of_the_whole() -> None:
    logits = blobs(4, 16, 16)
    whole = upsampled_class_map(logits, 128, 128, (8, 8))
    np.testing.assert_array_equal(upsampled_class_map(logits, 101, 77, (8, 8)), whole[:101, :77])


def test_rows_in_bands_are_those_of_the_whole() -> None:
    logits = blobs(3, 9, 11)
    whole = upsampled_logits(logits, slice(0, 63), 70, 63, (7, 6.5))
    for rows in (slice(0, 10), slice(10, 50), slice(50, 63)):
        band = upsampled_logits(logits, rows, 70, 63, (7, 6.5))
        np.testing.assert_array_equal(band, whole[:, rows])


def test_of_equal_logits_the_first_class_wins() -> None:
    logits = np.zeros((3, 2, 2), np.float32)
    logits[1:] = 1.0
    np.testing.assert_array_equal(strongest(logits), np.ones((2, 2)))
    np.testing.assert_array_equal(upsampled_class_map(logits, 8, 8, (4, 4)), np.ones((8, 8)))


def test_noise_in_every_cell_is_interpolated_too() -> None:
    logits = np.random.default_rng(0).normal(size=(11, 40, 40)).astype(np.float32)
    expected = resized(logits, 160, 160).argmax(axis=0)
    found = upsampled_class_map(logits, 160, 160, (4, 4))
    assert np.mean(found == expected) > 0.9999
