"""Ways to double (or ×`factor`) the resolution in a decoder, by name.

Keras' own UpSampling2D breaks SavedModel export where H and W are dynamic and the interpolation is not nearest
(Keras 3.14 to 3.15.1), so resizing is a layer of ours over `tf.image.resize` (half-pixel centres).
"""

from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.options import Upsampling

Upsample = Callable[[keras.KerasTensor, int, int, str], keras.KerasTensor]


class Resize(keras.layers.Layer):  # type: ignore[misc]
    """Scale (N, H, W, C) to (N, factor·H, factor·W, C) by interpolation; has no weights."""

    def __init__(self, factor: int, interpolation: str, **layer_options: Any) -> None:
        super().__init__(**layer_options)
        self.factor = factor
        self.interpolation = interpolation

    def call(self, features: tf.Tensor) -> tf.Tensor:
        size = tf.shape(features)[1:3] * self.factor
        resized = tf.image.resize(features, size, method=self.interpolation)
        return tf.cast(resized, features.dtype)  # interpolation computes in float32

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        return batch, height and height * self.factor, width and width * self.factor, channels

    def get_config(self) -> dict[str, Any]:
        return cast(dict[str, Any], super().get_config()) | {
            "factor": self.factor,
            "interpolation": self.interpolation,
        }


class BilinearKernel(keras.initializers.Initializer):  # type: ignore[misc]
    """The kernel with which a transposed convolution starts as bilinear interpolation, channel by channel.

    Source: Long, Shelhamer, Darrell 2015, section 3.3. Equals `tf.image.resize` away from the border.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        height, width, outputs, inputs = shape
        kernel = np.zeros(shape, np.float32)
        for channel in range(min(outputs, inputs)):
            kernel[:, :, channel, channel] = np.outer(_triangle(height), _triangle(width))
        return tf.constant(kernel, dtype=dtype or tf.float32)


def _triangle(size: int) -> NDArray[np.float64]:
    radius = (size + 1) // 2
    centre = radius - 1 if size % 2 else radius - 0.5
    triangle: NDArray[np.float64] = 1 - np.abs(np.arange(size) - centre) / radius
    return triangle


def _interpolate(method: str) -> Upsample:
    def upsample(x: keras.KerasTensor, channels: int, factor: int, name: str) -> keras.KerasTensor:
        x = Resize(factor, method, name=f"{name}_{method}")(x)
        if x.shape[-1] == channels:
            return x
        return keras.layers.Conv2D(channels, 1, name=f"{name}_project")(x)

    return upsample


def _transposed(x: keras.KerasTensor, channels: int, factor: int, name: str) -> keras.KerasTensor:
    """Kernel 2×factor: divisible by the stride, so that no checkerboard is built in."""
    return keras.layers.Conv2DTranspose(
        channels,
        2 * factor,
        strides=factor,
        padding="same",
        kernel_initializer=BilinearKernel(),
        name=f"{name}_transposed",
    )(x)


UPSAMPLINGS: dict[Upsampling, Upsample] = {
    "nearest": _interpolate("nearest"),
    "bilinear": _interpolate("bilinear"),
    "transposed": _transposed,
}
