"""Losses on the decoder's coarser levels too (Lee et al. 2015, "Deeply-Supervised Nets"; weights as
nnU-Net's, Isensee et al. 2021)."""

from collections.abc import Sequence
from dataclasses import replace

import keras
import tensorflow as tf

from models.architectures.network import Network
from models.training.losses import SegmentationLoss
from models.training.recipe import RecipeError


def with_auxiliary_logits(network: Network) -> Network:
    """The network with further outputs: logits (N, H / stride, W / stride, classes) of each decoder
    level but the finest, in the order of `auxiliary_strides`.

    Raises RecipeError where the network has no such levels.
    """
    strides = auxiliary_strides(network)
    if not strides:
        raise RecipeError(
            "deep_supervision needs a decoder with levels as large as the image by their stride; "
            f"{network.model.name} as set has none"
        )
    model = network.model
    classes = model.output_shape[-1]
    logits = [
        keras.layers.Conv2D(classes, 1, dtype="float32", name=f"auxiliary_{stride}")(
            model.get_layer(network.decoder_levels[stride]).output
        )
        for stride in strides
    ]
    wider = keras.Model(model.input, [model.outputs[0], *logits], name=model.name)
    return replace(network, model=wider)


def auxiliary_strides(network: Network) -> list[int]:
    """The strides of the decoder's levels but the finest, ascending."""
    return sorted(network.decoder_levels)[1:]


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
