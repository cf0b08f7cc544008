import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.inference.tiling.fit import fit, padded_shape, unfit

sides = st.integers(1, 70)
strides = st.sampled_from([1, 2, 8, 16, 32])


@given(sides, sides, strides, st.sampled_from([1, 3]))
def test_fit_pads_as_numpy_reflects(height: int, width: int, stride: int, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    rows, columns = -height % stride, -width % stride
    expected = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(fit(image, stride), expected)


@given(sides, sides, strides)
def test_unfit_is_the_inverse_of_fit(height: int, width: int, stride: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 1), np.uint8)
    padded = fit(image, stride)
    assert padded.shape[:2] == padded_shape(height, width, stride)
    np.testing.assert_array_equal(unfit(padded[..., 0], height, width), image[..., 0])


def test_a_single_pixel_fills_its_padding() -> None:
    image = np.array([[[1, 2, 3]]], np.uint8)
    assert (fit(image, 4) == image).all()


def test_a_picture_that_fits_is_not_changed() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    np.testing.assert_array_equal(fit(image, 8), image)
