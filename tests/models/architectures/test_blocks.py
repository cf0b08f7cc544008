import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from models.architectures.blocks import BatchNorm, MirrorPad
from models.architectures.upsampling import UPSAMPLINGS, BilinearKernel


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 8, 32]))
def test_mirror_padding_is_numpys_reflect(height: int, width: int, stride: int) -> None:
    image = np.random.default_rng(0).uniform(size=(1, height, width, 2)).astype(np.float32)
    rows, columns = -height % stride, -width % stride
    expected = np.pad(image, ((0, 0), (0, rows), (0, columns), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(MirrorPad(stride)(image), expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_fused_batch_norm_is_keras_own(training: bool) -> None:
    x = np.random.default_rng(0).normal(3, 2, (4, 16, 16, 5)).astype(np.float32)
    ours, theirs = BatchNorm(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    y, expected = ours(x, training=training), theirs(x, training=training)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        # The fused kernel's variance is that of a sample, n / (n - 1) of Keras': here 1024 / 1023.
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=1e-5)


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    layer = BatchNorm(momentum=0.9)
    layer.build((None, None, None, 2))
    layer.trainable = False
    before = layer.get_weights()
    layer(np.ones((2, 4, 4, 2), np.float32), training=True)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("method", UPSAMPLINGS)
def test_upsampling_doubles_any_size(method: str) -> None:
    inputs = keras.Input((None, None, 6))
    model = keras.Model(inputs, UPSAMPLINGS[method](inputs, 4, 2, "up"))  # type: ignore[index]
    assert model(np.zeros((1, 5, 7, 6), np.float32)).shape == (1, 10, 14, 4)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_transposed_convolution_starts_as_bilinear_interpolation(factor: int) -> None:
    layer = keras.layers.Conv2DTranspose(
        3, 2 * factor, strides=factor, padding="same", kernel_initializer=BilinearKernel()
    )
    x = np.random.default_rng(0).uniform(size=(1, 9, 11, 3)).astype(np.float32)
    expected = tf.image.resize(x, (9 * factor, 11 * factor), method="bilinear")
    inside = np.s_[:, factor:-factor, factor:-factor]
    np.testing.assert_allclose(layer(x)[inside], expected[inside], atol=1e-5)
