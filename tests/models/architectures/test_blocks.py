import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from models.architectures.blocks import BatchNorm, MirrorPad
from models.architectures.table import Upsampling
from models.architectures.upsampling import (
    UPSAMPLINGS,
    BilinearKernel,
    MaxPoolWithIndices,
    MaxUnpool,
    Resize,
    Unpool,
)


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


@given(st.integers(1, 40), st.integers(1, 40))
def test_mirrored_surroundings_are_numpys_reflect_too(height: int, width: int) -> None:
    """A valid U-Net's: 92 pixels all round, and a size of 16n + 4 within."""
    image = np.random.default_rng(0).uniform(size=(1, height, width, 1)).astype(np.float32)
    rows, columns = (4 - height) % 16, (4 - width) % 16
    expected = np.pad(image, ((0, 0), (92, 92 + rows), (92, 92 + columns), (0, 0)), mode="reflect")
    layer = MirrorPad(16, margin=92, remainder=4)
    np.testing.assert_array_equal(layer(image), expected)
    assert layer.compute_output_shape(image.shape) == expected.shape


ANY: list[Upsampling] = [
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "nearest_unpool",
    "transposed",
]


@pytest.mark.parametrize("method", ANY)
def test_upsampling_doubles_any_size(method: Upsampling) -> None:
    inputs = keras.Input((None, None, 6))
    model = keras.Model(inputs, UPSAMPLINGS[method](inputs, 4, 2, "up"))
    assert model.output_shape == (None, None, None, 4)
    assert model(np.zeros((1, 5, 7, 6), np.float32)).shape == (1, 10, 14, 4)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_bed_of_nails_has_each_value_in_its_windows_corner(factor: int) -> None:
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 2, 3, 2)
    nails = np.asarray(Unpool(factor, repeat=False)(x))
    assert nails.shape == (1, 2 * factor, 3 * factor, 2)
    np.testing.assert_array_equal(nails[:, ::factor, ::factor], x)
    assert nails.sum() == x.sum()


@pytest.mark.parametrize("factor", [2, 3])
def test_nearest_unpooling_is_nearest_interpolation(factor: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(Unpool(factor, repeat=True)(x), Resize(factor, "nearest")(x))


def test_max_unpooling_puts_values_back_where_the_maxima_were() -> None:
    x = np.array([[1, 5, 2, 0], [3, 4, 9, 0], [0, 0, 7, 6], [0, 8, 1, 2]], np.float32)
    pooled, indices = MaxPoolWithIndices()(x[np.newaxis, :, :, np.newaxis])
    assert pooled[0, :, :, 0].numpy().tolist() == [[5, 9], [8, 7]]
    assert indices[0, :, :, 0].numpy().tolist() == [[1, 2], [3, 0]]
    back = MaxUnpool()((-pooled, indices))
    expected = [[0, -5, 0, 0], [0, 0, -9, 0], [0, 0, -7, 0], [0, -8, 0, 0]]
    assert back[0, :, :, 0].numpy().tolist() == expected


def test_pooling_with_indices_is_tensorflows() -> None:
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 3)).astype(np.float32)
    pooled, indices = MaxPoolWithIndices()(x)
    expected, _ = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")
    np.testing.assert_array_equal(pooled, expected)
    kept = np.asarray(MaxUnpool()((pooled, indices)))
    np.testing.assert_array_equal(kept, np.where(kept != 0, x, 0))
    assert np.count_nonzero(kept) == pooled.numpy().size


def test_max_unpooling_needs_indices_of_its_pooling() -> None:
    with pytest.raises(ValueError, match="indices of the 2×2 pooling"):
        UPSAMPLINGS["max_unpool"](keras.Input((4, 4, 6)), 6, 2, "up")


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "bed_of_nails", "max_unpool"])
def test_what_says_that_it_can_be_compiled_can(method: Upsampling) -> None:
    inputs = keras.Input((4, 6, 2))
    pooled, indices = MaxPoolWithIndices()(inputs)
    network = keras.Model(inputs, UPSAMPLINGS[method](pooled, 2, 2, "up", indices))
    image = tf.random.stateless_normal((1, 4, 6, 2), (0, 0))

    def slope(image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            squares = tf.reduce_sum(tf.square(network(image)))
        return tape.gradient(squares, image)

    can = all(layer.supports_jit for layer in network.layers)
    assert can == (method not in ("nearest", "bicubic"))
    compiled = tf.function(slope, jit_compile=can)(image)
    np.testing.assert_allclose(compiled, slope(image), atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_transposed_convolution_starts_as_bilinear_interpolation(factor: int) -> None:
    layer = keras.layers.Conv2DTranspose(
        3, 2 * factor, strides=factor, padding="same", kernel_initializer=BilinearKernel()
    )
    x = np.random.default_rng(0).uniform(size=(1, 9, 11, 3)).astype(np.float32)
    expected = tf.image.resize(x, (9 * factor, 11 * factor), method="bilinear")
    inside = np.s_[:, factor:-factor, factor:-factor]
    np.testing.assert_allclose(layer(x)[inside], expected[inside], atol=1e-5)
