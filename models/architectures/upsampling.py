"""Ways to double (or ×`factor`) the resolution in a decoder, by name.

Interpolation: nearest, bilinear, bicubic. Unpooling, the inverse of a pooling: bed_of_nails puts
each value into a corner and zeros around it, nearest_unpool repeats it, max_unpool puts it where
the encoder's pooling found its maximum (Zeiler, Taylor, Fergus 2011; SegNet). Learned: transposed.

Keras' own UpSampling2D breaks SavedModel export where H and W are dynamic and the interpolation is
not nearest (Keras 3.14 to 3.15.1), so resizing is a layer of ours over `tf.image.resize`
(half-pixel centres).
"""

from typing import Any, Protocol, cast

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.receptive_field import ReceptiveField
from models.architectures.table import Upsampling


class Upsample(Protocol):
    """Brings x (N, H, W, C) to (N, factor·H, factor·W, channels); `indices` are those of the
    encoder's pooling."""

    def __call__(
        self,
        x: keras.KerasTensor,
        channels: int,
        factor: int,
        name: str,
        indices: keras.KerasTensor | None = None,
    ) -> keras.KerasTensor: ...


# ---- interpolation


def interpolated(
    features: tf.Tensor, factor: int | tuple[int, int], interpolation: str
) -> tf.Tensor:
    """Features (N, H, W, C) made `factor` times as high and wide, in their own dtype."""
    size = tf.shape(features)[1:3] * factor
    # TensorFlow has no gradient of bicubic interpolation but in float32.
    wide = tf.cast(features, tf.float32)
    return tf.cast(tf.image.resize(wide, size, method=interpolation), features.dtype)


class Resize(keras.layers.Layer):  # type: ignore[misc]
    """Scale (N, H, W, C) to (N, factor·H, factor·W, C) by interpolation; has no weights."""

    def __init__(self, factor: int, interpolation: str, **layer_options: Any) -> None:
        super().__init__(**layer_options)
        self.factor = factor
        self.interpolation = interpolation
        # XLA knows no gradient of the others; Keras then trains without it on a GPU.
        self.supports_jit = interpolation == "bilinear"

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return interpolated(features, self.factor, self.interpolation)

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        if self.interpolation == "nearest":
            return field.repeated(self.factor)
        support = {"bilinear": 1, "bicubic": 2}[self.interpolation]
        return field.interpolated(self.factor, support)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return _enlarged(shape, self.factor)

    def get_config(self) -> dict[str, Any]:
        return cast(dict[str, Any], super().get_config()) | {
            "factor": self.factor,
            "interpolation": self.interpolation,
        }


def _interpolate(method: str) -> Upsample:
    def upsample(
        x: keras.KerasTensor,
        channels: int,
        factor: int,
        name: str,
        indices: keras.KerasTensor | None = None,  # noqa: ARG001
    ) -> keras.KerasTensor:
        # Weights of an interpolation add up to one, so it and a 1×1 convolution with its bias may
        # change places: the same function, with fewer pixels to project and channels to enlarge.
        x = _projected(x, channels, name)
        return Resize(factor, method, name=f"{name}_{method}")(x)

    return upsample


# ---- unpooling


class Unpool(keras.layers.Layer):  # type: ignore[misc]
    """Scale (N, H, W, C) to (N, factor·H, factor·W, C): each value repeated, or in its window's
    corner among zeros."""

    def __init__(self, factor: int, repeat: bool, **layer_options: Any) -> None:
        super().__init__(**layer_options)
        self.factor = factor
        self.repeat = repeat

    def call(self, features: tf.Tensor) -> tf.Tensor:
        rest = features if self.repeat else tf.zeros_like(features)
        window = tf.concat([features] + [rest] * (self.factor**2 - 1), axis=-1)
        return tf.nn.depth_to_space(window, self.factor)

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field.repeated(self.factor)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return _enlarged(shape, self.factor)

    def get_config(self) -> dict[str, Any]:
        return cast(dict[str, Any], super().get_config()) | {
            "factor": self.factor,
            "repeat": self.repeat,
        }


class MaxPoolWithIndices(keras.layers.Layer):  # type: ignore[misc]
    """2×2 max-pooling of (N, H, W, C) with even H and W, and where in its window each maximum was:
    0 to 3, int32.

    Dense arithmetic over the four corners of each window: the same on every device, and open to
    compilers, which `tf.nn.max_pool_with_argmax` with a scatter is not.
    """

    def call(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        corners = tf.split(tf.nn.space_to_depth(features, 2), 4, axis=-1)
        pooled = tf.maximum(tf.maximum(*corners[:2]), tf.maximum(*corners[2:]))
        # The first of equal maxima, as tf.argmax has it, which takes nearly twice as long on a CPU.
        # int32: LiteRT selects no uint8.
        indices = tf.fill(tf.shape(pooled), 3)
        for place in (2, 1, 0):
            indices = tf.where(corners[place] == pooled, place, indices)
        return pooled, indices

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field.sliding(2, 2, "valid")

    def compute_output_spec(
        self, features: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, height, width, channels = features.shape
        shape = (batch, height and height // 2, width and width // 2, channels)
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, "int32")


class MaxUnpool(keras.layers.Layer):  # type: ignore[misc]
    """MaxPoolWithIndices' inverse: each value of (N, H, W, C) to its place in (N, 2H, 2W, C), zeros
    elsewhere."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        features, indices = inputs
        zeros = tf.zeros_like(features)
        window = [tf.where(indices == corner, features, zeros) for corner in range(4)]
        return tf.nn.depth_to_space(tf.concat(window, axis=-1), 2)

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field.repeated(2)

    def compute_output_shape(
        self, shapes: tuple[tuple[int | None, ...], tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return _enlarged(shapes[0], 2)


def _unpool(*, repeat: bool) -> Upsample:
    def upsample(
        x: keras.KerasTensor,
        channels: int,
        factor: int,
        name: str,
        indices: keras.KerasTensor | None = None,  # noqa: ARG001
    ) -> keras.KerasTensor:
        x = _projected(x, channels, name)
        return Unpool(factor, repeat, name=f"{name}_unpool")(x)

    return upsample


def _max_unpool(
    x: keras.KerasTensor,
    channels: int,
    factor: int,
    name: str,
    indices: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """The values come in as many channels as the indices have."""
    if indices is None or factor != 2 or channels != indices.shape[-1]:
        raise ValueError("max_unpool needs the indices of the 2×2 pooling that it inverts")
    return MaxUnpool(name=f"{name}_max_unpool")((_projected(x, channels, name), indices))


# ---- learned


class BilinearKernel(keras.initializers.Initializer):  # type: ignore[misc]
    """The kernel with which a transposed convolution starts as bilinear interpolation, channel by
    channel.

    Source: Long, Shelhamer, Darrell 2015, section 3.3. Equals `tf.image.resize` away from the
    border.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        height, width, outputs, inputs = shape
        kernel = np.zeros(shape, np.float32)
        for channel in range(min(outputs, inputs)):
            kernel[:, :, channel, channel] = np.outer(_triangle(height), _triangle(width))
        return tf.constant(kernel, dtype=dtype or tf.float32)


def _triangle(size: int) -> NDArray[np.float64]:
    radius = (size + 1) // 2
    center = radius - 1 if size % 2 else radius - 0.5
    triangle: NDArray[np.float64] = 1 - np.abs(np.arange(size) - center) / radius
    return triangle


def _transposed(
    x: keras.KerasTensor,
    channels: int,
    factor: int,
    name: str,
    indices: keras.KerasTensor | None = None,  # noqa: ARG001
) -> keras.KerasTensor:
    """Kernel 2×factor: divisible by the stride, so that no checkerboard is built in."""
    return keras.layers.Conv2DTranspose(
        channels,
        2 * factor,
        strides=factor,
        padding="same",
        kernel_initializer=BilinearKernel(),
        name=f"{name}_transposed",
    )(x)


def up_convolution(
    x: keras.KerasTensor,
    channels: int,
    factor: int,
    name: str,
    indices: keras.KerasTensor | None = None,  # noqa: ARG001
) -> keras.KerasTensor:
    """The paper U-Net's transposed convolution: a kernel no larger than the stride, He
    initialisation."""
    return keras.layers.Conv2DTranspose(
        channels, factor, strides=factor, kernel_initializer="he_normal", name=f"{name}_transposed"
    )(x)


def _projected(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    """Bring x to `channels` by a 1×1 convolution, where it has others."""
    if x.shape[-1] == channels:
        return x
    return keras.layers.Conv2D(channels, 1, name=f"{name}_project")(x)


def _enlarged(shape: tuple[int | None, ...], factor: int) -> tuple[int | None, ...]:
    batch, height, width, channels = shape
    return batch, height and height * factor, width and width * factor, channels


UPSAMPLINGS: dict[Upsampling, Upsample] = {
    "nearest": _interpolate("nearest"),
    "bilinear": _interpolate("bilinear"),
    "bicubic": _interpolate("bicubic"),
    "bed_of_nails": _unpool(repeat=False),
    "nearest_unpool": _unpool(repeat=True),
    "max_unpool": _max_unpool,
    "transposed": _transposed,
}
