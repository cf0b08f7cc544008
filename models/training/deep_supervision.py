"""Losses on the decoder's coarser levels too (Lee et al. 2015, "Deeply-Supervised Nets"; weights as nnU-Net's, Isensee et al. 2021)."""

import re
from collections.abc import Sequence

import keras
import tensorflow as tf

from models.training.losses import SegmentationLoss
from models.training.recipe import RecipeError

_LEVEL = re.compile(r"up(\d+)_2_relu")  # a decoder level's last layer, by its stride
_AUXILIARY = re.compile(r"auxiliary_(\d+)")


def with_auxiliary_logits(network: keras.Model) -> keras.Model:
    """The network with further outputs: logits (N, H / stride, W / stride, classes) of each decoder level but the finest.

    Raises RecipeError where the network has no such levels.
    """
    levels = {int(m[1]): layer for layer in network.layers if (m := _LEVEL.fullmatch(layer.name))}
    coarser = sorted(levels)[1:]
    if not coarser or any(getattr(layer, "margin", 0) for layer in network.layers):
        raise RecipeError(
            f"deep_supervision needs a decoder with levels as large as the image by their stride; {network.name} as set has none"
        )
    classes = network.output_shape[-1]
    logits = [
        keras.layers.Conv2D(classes, 1, dtype="float32", name=f"auxiliary_{stride}")(
            levels[stride].output
        )
        for stride in coarser
    ]
    return keras.Model(network.inputs, [network.outputs[0], *logits], name=network.name)


def level_strides(network: keras.Model) -> list[int]:
    """The stride of each output: 1, then those of `with_auxiliary_logits`."""
    return [int(m[1]) if (m := _AUXILIARY.fullmatch(name)) else 1 for name in network.output_names]


def level_losses(
    loss: SegmentationLoss,
    outputs: Sequence[tf.Tensor],
    strides: Sequence[int],
    masks: tf.Tensor,
    border: tf.Tensor | None,
) -> tf.Tensor:
    """The mean loss over the levels, each weighing half of the next finer one.

    A coarser level is compared with the mask's pixels in the middle of its own.
    """
    total, whole = tf.constant(0.0), 0.0
    for level, (logits, stride) in enumerate(zip(outputs, strides, strict=True)):
        middle = slice(stride // 2, None, stride)
        small = masks[:, middle, middle]
        size = tf.shape(small)
        edges = None if border is None else border[:, middle, middle]
        total += loss(small, logits[:, : size[1], : size[2]], edges) * 0.5**level
        whole += 0.5**level
    return total / whole
