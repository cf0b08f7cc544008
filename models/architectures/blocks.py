"""The layers that every network is built of."""

from typing import Any, cast

import keras
import tensorflow as tf

from models.architectures.receptive_field import ReceptiveField
from models.architectures.table import Padding
from models.architectures.upsampling import MaxPoolWithIndices

BATCH_NORM_MOMENTUM = 0.9  # Keras' 0.99 lags behind in trainings of a few thousand steps


class BatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras' BatchNormalization over channels, by TensorFlow's fused kernel.

    Keras 3 spells the arithmetic out; on a CPU a training step then takes 1.4 times as long
    (benchmarks/batch_norm.py).
    """

    def call(self, x: tf.Tensor, training: bool = False, mask: None = None) -> tf.Tensor:  # noqa: ARG002
        learning = training and self.trainable
        # Under a mixed precision policy x is 16 bits wide, and the statistics stay float32.
        gamma, beta, mean, variance = (
            tf.cast(variable, tf.float32)
            for variable in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        y, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=tf.zeros(0) if learning else mean,
            variance=tf.zeros(0) if learning else variance,
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            replica = tf.distribute.get_replica_context()
            if replica is not None and replica.num_replicas_in_sync > 1:
                # Each device would keep the statistics of its own share of the batch.
                batch_mean, batch_variance = replica.all_reduce(
                    tf.distribute.ReduceOp.MEAN, [batch_mean, batch_variance]
                )
            keep = self.momentum
            self.moving_mean.assign(mean * keep + batch_mean * (1 - keep))
            self.moving_variance.assign(variance * keep + batch_variance * (1 - keep))
        return y


def conv_block(
    x: keras.KerasTensor, filters: int, name: str, padding: Padding = "same"
) -> keras.KerasTensor:
    """3×3 convolution and ReLU; He initialisation (Ronneberger et al. 2015, section 3).

    'valid' is as in the paper, two pixels less each way and a bias; 'same' has BatchNorm between,
    as people use it.
    """
    paper = padding == "valid"
    x = keras.layers.Conv2D(
        filters,
        3,
        padding=padding,
        use_bias=paper,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    if not paper:
        x = BatchNorm(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def double_conv_block(
    x: keras.KerasTensor, filters: int, name: str, padding: Padding = "same"
) -> keras.KerasTensor:
    """Two `conv_block`s, U-Net's unit."""
    x = conv_block(x, filters, f"{name}_1", padding)
    return conv_block(x, filters, f"{name}_2", padding)


def max_pool(
    x: keras.KerasTensor, name: str, with_indices: bool
) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """2×2 max-pooling, and the indices of the maxima where a decoder will want them."""
    if with_indices:
        pooled, indices = MaxPoolWithIndices(name=name)(x)
        return pooled, indices
    return keras.layers.MaxPooling2D(2, name=name)(x), None


class MirrorPad(keras.layers.Layer):  # type: ignore[misc]
    """Mirror-pad (N, H, W, C) at the bottom and right until H and W are multiples of `stride`.

    The border pixel is not repeated (numpy's "reflect"); where the image is smaller than what it
    needs, the mirror image is mirrored again, so any H, W ≥ 1 will do. For valid convolutions H and
    W become a multiple of the stride and `remainder` more, and `margin` pixels are mirrored in on
    every side (Ronneberger et al. 2015, figure 2).
    """

    def __init__(
        self, stride: int, margin: int = 0, remainder: int = 0, **layer_options: Any
    ) -> None:
        super().__init__(**layer_options)
        self.stride = stride
        self.margin = margin
        self.remainder = remainder

    def call(self, images: tf.Tensor) -> tf.Tensor:
        for axis in (1, 2):
            static = images.shape[axis]
            if static is None or self._with_margins(static) != static:
                images = tf.gather(
                    images, self._mirrored_indices(tf.shape(images)[axis]), axis=axis
                )
        return images

    def _mirrored_indices(self, size: tf.Tensor) -> tf.Tensor:
        period = tf.maximum(2 * (size - 1), 1)
        end = self._with_margins(size) - self.margin
        position = tf.range(-self.margin, end) % period
        return tf.where(position < size, position, period - position)

    def _with_margins(self, size: Any) -> Any:
        beyond = -((self.remainder - size) // self.stride) * self.stride
        return self.remainder + beyond + 2 * self.margin

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        """What is mirrored in lies nearer than the pixel it stands for."""
        return field.shifted(self.margin)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = shape
        padded = [size and self._with_margins(size) for size in (height, width)]
        return batch, *padded, channels

    def get_config(self) -> dict[str, Any]:
        return cast(dict[str, Any], super().get_config()) | {
            "stride": self.stride,
            "margin": self.margin,
            "remainder": self.remainder,
        }


class CropLike(keras.layers.Layer):  # type: ignore[misc]
    """Crop the first tensor (N, H', W', C) to the height and width of the second: MirrorPad's
    inverse."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        padded, original = inputs
        if padded.shape[1] is not None and padded.shape[1:3] == original.shape[1:3]:
            return padded
        size = tf.shape(original)
        return padded[:, : size[1], : size[2]]

    def propagate(self, field: ReceptiveField) -> ReceptiveField:
        return field

    def compute_output_shape(
        self, shapes: tuple[tuple[int | None, ...], tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        padded, original = shapes
        return padded[0], original[1], original[2], padded[3]


def scaled_input(x: keras.KerasTensor, channels_needed: int) -> keras.KerasTensor:
    """Bring pixel values 0–255 to [-1, 1], and gray to as many equal channels as the encoder was
    trained on."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(x)
    return gray_to_rgb(x) if channels_needed > 1 else x


def gray_to_rgb(x: keras.KerasTensor) -> keras.KerasTensor:
    """Three equal channels where x has one; others stay as they are."""
    if x.shape[-1] != 1:
        return x
    return keras.layers.Concatenate(name="gray_to_rgb")([x] * 3)
