"""The encoders whose widths are their own, by name: features at strides 2 to 32 of pixel values
0–255, normalised inside as their weights want it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from models.architectures.backbones import mobilenet_v2_features
from models.architectures.blocks import BATCH_NORM_MOMENTUM, BatchNorm, scaled_input
from models.architectures.efficientnet_lite import efficientnet_lite0_features
from models.architectures.keras_applications import keras_features
from models.architectures.network import Features
from models.architectures.table import KERAS, Encoder

STRIDE = 32  # of their coarsest features
FEATURE_NORM = "feature{stride}_bn"  # the name of the BatchNorm behind those of a stride
_DECODER_FILTERS = {16: 128, 8: 64, 4: 48, 2: 32}  # by stride, at a width of 64


def _mobilenet_v2(image: keras.KerasTensor, weights: str | None) -> Features:
    return mobilenet_v2_features(scaled_input(image, 3), weights)


ENCODERS: dict[Encoder, Callable[[keras.KerasTensor, str | None], Features]] = {
    "mobilenet_v2": _mobilenet_v2,
    "efficientnet_lite0": efficientnet_lite0_features,
}


def encode(image: keras.KerasTensor, encoder: Encoder, weights: str | None) -> Features:
    """The features of an encoder in ENCODERS, or of Keras Applications. Raises BackboneWeightsError
    and UnfitBackboneError."""
    if encoder.startswith(KERAS):
        return keras_features(image, encoder.removeprefix(KERAS), weights)
    with _float32_where_faster():
        return ENCODERS[encoder](image, weights)


def decoder_filters(width: int) -> dict[int, int]:
    """The filters of a decoder that fits these encoders, by stride, the coarsest first; a `width`
    of 64 is what the recipes have, of 128 twice as many."""
    return {stride: max(filters * width // 64, 1) for stride, filters in _DECODER_FILTERS.items()}


def normalised(features: Features) -> Features:
    """A BatchNorm behind each of the features.

    They are sums of linear projections, whose means lie far from zero and whose spread differs from
    stride to stride; a decoder learns sooner from normalised ones (benchmarks/encoders.py).
    """
    return {
        stride: BatchNorm(momentum=BATCH_NORM_MOMENTUM, name=FEATURE_NORM.format(stride=stride))(
            feature
        )
        for stride, feature in features.items()
    }


@contextmanager
def _float32_where_faster() -> Iterator[None]:
    """On a CPU these encoders stay in float32 under a policy of bfloat16, and the decoder's wide
    convolutions alone have 16 bits: TensorFlow's gradients of a 3×3 depthwise convolution with
    stride 2 take nine times the CPU time in bfloat16 there, ReLU6 1.7 times. What it gains in all
    is measured in benchmarks/training_step.py."""
    policy = keras.config.dtype_policy()
    if policy.name != "mixed_bfloat16" or tf.config.list_physical_devices("GPU"):
        yield
        return
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
