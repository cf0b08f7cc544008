"""Losses on logits (N, H, W, classes) and masks (N, H, W). Ids that are no class are void: they cost and teach nothing."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.recipe import ClassWeighting


class WeightedCrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """The mean cross-entropy of all pixels that have a class, each weighted by its class.

    `class_weights` has one weight a class. The mean is by weight, so the loss keeps its size whatever the weights' size.
    """

    def __init__(
        self, class_weights: list[float], name: str = "cross_entropy", **options: Any
    ) -> None:
        super().__init__(name=name, reduction="sum", **options)  # call gives one number
        self.class_weights = class_weights

    def call(self, masks: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        classes = len(self.class_weights)
        labels = tf.cast(masks, tf.int32)
        valid = labels < classes
        labels = tf.where(valid, labels, 0)
        weights = tf.gather(tf.constant(self.class_weights, tf.float32), labels)
        weights = tf.where(valid, weights, 0.0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32))
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "class_weights": self.class_weights}


def class_weights(weighting: ClassWeighting, pixels: NDArray[np.int64]) -> list[float]:
    """One weight a class from the classes' pixel counts (classes,) in the training split.

    "inverse_log" is 1 / ln(1.1 + p), p a class's share of all pixels (ENet, Paszke et al. 2016, section 5.1, with 1.1 for 1.02);
    "median_frequency" is median(p) / p over the classes that occur (Eigen and Fergus 2015, section 6.3.2; SegNet).
    """
    share = pixels / max(pixels.sum(), 1)
    if weighting == "none":
        return [1.0] * len(pixels)
    if weighting == "inverse_log":
        return [float(weight) for weight in 1 / np.log(1.1 + share)]
    present = share > 0
    median = float(np.median(share[present])) if present.any() else 1.0
    return [float(median / p) if p > 0 else 0.0 for p in share]
